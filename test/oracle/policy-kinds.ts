/** Random policies of the Kubernetes, Antrea and policy.networking.k8s.io kinds, valid as their webhooks want them, and Antrea's groups. */
import type { DesiredObject } from '../../src/model/objects.js';
import type {
  AdminPeer, AdminPolicyObject, AdminPort, AdminRule, AdminSubject, AntreaGroupObject, AntreaPeer, AntreaPolicyObject, AntreaRule, AntreaTarget, NetworkPolicyObject,
  NetworkPolicyPeer, NetworkPolicyRule, TierObject,
} from '../../src/model/policy-objects.js';
import { ACCOUNTS, ENTITY_LABEL_VALUES, meta, NAMESPACES, NODE_LABEL_VALUES, PORT_NAMES, type PolicyPlan } from './policy-inventory.js';
import { ipBlock, namespaceSelector, podSelection, podSelector, policyPort, policyPorts, prefix, selector } from './policy-pieces.js';
import type { Random } from './random.js';

export interface KindContext {
  readonly random: Random;
  readonly plan: PolicyPlan;
  /** What policies may refer to. */
  readonly objects: readonly DesiredObject[];
  readonly dangling: boolean;
}

export function kubernetesPolicy({ random, plan }: KindContext, index: number): NetworkPolicyObject {
  const policyTypes = random.weighted<NetworkPolicyObject['policyTypes']>([[4, ['Ingress']], [2, ['Egress']], [3, ['Ingress', 'Egress']]]);
  const rules = (type: 'Ingress' | 'Egress'): NetworkPolicyRule[] => {
    // Rules of a type that is not named have no effect.
    if (!policyTypes.includes(type) && random.chance(0.9)) return [];
    return Array.from({ length: random.weighted([[2, 0], [5, 1], [3, 2]]) }, () => ({
      peers: Array.from({ length: random.weighted([[2, 0], [5, 1], [2, 2]]) }, () => kubernetesPeer(random, plan)),
      ports: policyPorts(random),
    }));
  };
  return {
    kind: 'NetworkPolicy', metadata: meta(`np-${index}`, random.pick(NAMESPACES)), podSelector: podSelector(random), policyTypes, ingress: rules('Ingress'), egress: rules('Egress'),
  };
}

function kubernetesPeer(random: Random, plan: PolicyPlan): NetworkPolicyPeer {
  return random.chance(0.3) ? { ipBlock: ipBlock(random, plan) } : podSelection(random);
}

export function tiers(random: Random): TierObject[] {
  return [['tier-60', 60], ['tier-220', 220], ['tier-249', 249]].flatMap(([name, priority]): TierObject[] => {
    if (!random.chance(0.6) || typeof name !== 'string' || typeof priority !== 'number') return [];
    return [{ kind: 'Tier', metadata: meta(name), priority, description: '' }];
  });
}

export function antreaPolicy(context: KindContext, index: number, kind: AntreaPolicyObject['kind']): AntreaPolicyObject {
  const { random, objects } = context;
  const home = kind === 'AntreaNetworkPolicy' ? random.pick(NAMESPACES) : undefined;
  const custom = objects.flatMap((object) => (object.kind === 'Tier' ? [object.metadata.name] : []));
  const tier = context.dangling && random.chance(0.25) ? 'tier-nowhere'
    : random.weighted<string>([[4, 'application'], [2, 'emergency'], [2, 'securityops'], [1, 'networkops'], [2, 'baseline'], [custom.length, custom[random.int(0, Math.max(0, custom.length - 1))] ?? 'platform']]);
  const target = (): AntreaTarget[] => Array.from({ length: random.weighted([[5, 1], [2, 2]]) }, () => antreaTarget(context, home));
  const perRule = random.chance(0.3);
  const rules = (direction: 'ingress' | 'egress', count: number): AntreaRule[] => Array.from({ length: count }, (_, place) => antreaRule(context, home, tier, `${direction}-${place}`, direction, perRule ? target() : []));
  const [ingress, egress] = random.weighted([[2, [1, 0]], [2, [2, 0]], [2, [0, 1]], [2, [0, 2]], [3, [1, 1]], [2, [3, 3]]]);
  return {
    kind, metadata: meta(`${home === undefined ? 'acnp' : 'annp'}-${index}`, home), tier,
    priority: random.pick([1, 1, 2, 5, 5.5, 10, 10_000]), appliedTo: perRule ? [] : target(),
    ingress: rules('ingress', ingress ?? 0), egress: rules('egress', egress ?? 0),
  };
}

function antreaTarget(context: KindContext, home: string | undefined): AntreaTarget {
  const { random } = context;
  switch (random.weighted<'pods' | 'group' | 'account'>([[6, 'pods'], [2, 'group'], [home === undefined ? 1 : 0, 'account']])) {
    case 'pods': return home === undefined ? podSelection(random) : { podSelector: podSelector(random) };
    case 'group': return { group: groupName(context, home) };
    case 'account': return { serviceAccount: { namespace: home ?? random.pick(NAMESPACES), name: random.pick(ACCOUNTS) } };
  }
}

function antreaRule(context: KindContext, home: string | undefined, tier: string, name: string, direction: 'ingress' | 'egress', appliedTo: readonly AntreaTarget[]): AntreaRule {
  const { random } = context;
  const action = random.weighted<AntreaRule['action']>([[5, 'Allow'], [4, 'Drop'], [2, 'Reject'], [tier === 'baseline' ? 0 : 2, 'Pass']]);
  const base = { name, action, appliedTo, log: random.chance(0.1), toServices: [], peers: [], ports: [], protocols: [] };
  const services = context.objects.filter((object) => object.kind === 'Service');
  if (direction === 'egress' && services.length > 0 && random.chance(0.1)) {
    const { metadata } = random.pick(services);
    return { ...base, action: 'Allow', toServices: [{ namespace: metadata.namespace ?? '', name: metadata.name }] };
  }
  const peers = Array.from({ length: random.weighted([[3, 0], [5, 1], [2, 2]]) }, () => antreaPeer(context, home));
  if (random.chance(0.12)) {
    const type = random.pick([8, 128, 13]);
    const icmp = random.pick([{}, { type }, { type, code: 0 }]);
    return { ...base, peers, protocols: [{ icmp }] };
  }
  return { ...base, peers, ports: policyPorts(random, { source: true }) };
}

function antreaPeer(context: KindContext, home: string | undefined): AntreaPeer {
  const { random, plan } = context;
  const form = random.weighted<'pods' | 'block' | 'group' | 'account' | 'nodes' | 'entities' | 'self' | 'same'>([
    [6, 'pods'], [3, 'block'], [3, 'group'], [home === undefined ? 1 : 0, 'account'], [1, 'nodes'], [1, 'entities'], [home === undefined ? 2 : 0, 'self'], [home === undefined ? 2 : 0, 'same'],
  ]);
  switch (form) {
    case 'pods': return podSelection(random);
    case 'block': return { ipBlock: ipBlock(random, plan) };
    case 'group': return { group: groupName(context, home) };
    case 'account': return { serviceAccount: { namespace: random.pick(NAMESPACES), name: random.pick(ACCOUNTS) } };
    case 'nodes': return { nodeSelector: selector(random, NODE_LABEL_VALUES) };
    case 'entities': return { externalEntitySelector: selector(random, ENTITY_LABEL_VALUES), ...(random.chance(0.4) ? { namespaceSelector: namespaceSelector(random) } : {}) };
    case 'self': return { namespaces: { match: 'Self' }, ...(random.chance(0.3) ? { podSelector: podSelector(random) } : {}) };
    case 'same': return { namespaces: { sameLabels: random.pick([['tier'], ['purpose'], ['tier', 'purpose'], ['env']]) }, ...(random.chance(0.3) ? { podSelector: podSelector(random) } : {}) };
  }
}

const GROUPS = ['g-pods', 'g-more', 'g-blocks', 'g-service', 'g-nodes', 'g-entities', 'g-nested'] as const;

function groupName({ random, dangling }: KindContext, _home: string | undefined): string {
  return dangling && random.chance(0.25) ? 'g-nowhere' : random.pick(GROUPS);
}

/** The same names for the cluster and for each Namespace. */
export function antreaGroups(random: Random, plan: PolicyPlan): AntreaGroupObject[] {
  return [undefined, ...NAMESPACES].flatMap((home) => GROUPS.map((name) => antreaGroup(random, plan, name, home)));
}

function antreaGroup(random: Random, plan: PolicyPlan, name: (typeof GROUPS)[number], home: string | undefined): AntreaGroupObject {
  const base = { kind: home === undefined ? 'ClusterGroup' as const : 'AntreaGroup' as const, metadata: meta(name, home), ipBlocks: [], childGroups: [] };
  switch (name) {
    case 'g-pods':
    case 'g-more': return { ...base, selection: podSelection(random) };
    case 'g-blocks': return { ...base, ipBlocks: Array.from({ length: random.int(1, 3) }, () => ipBlock(random, plan)) };
    // A namespaced group selects no nodes, and Services of its own Namespace, where there may be none of that name.
    case 'g-service': return { ...base, service: home === undefined ? random.pick([{ namespace: 'x', name: 'front' }, { namespace: 'y', name: 'back' }]) : { namespace: home, name: random.pick(['front', 'back']) } };
    case 'g-nodes': return { ...base, ...(home === undefined ? { nodeSelector: selector(random, NODE_LABEL_VALUES) } : { selection: podSelection(random) }) };
    case 'g-entities': return { ...base, externalEntitySelector: selector(random, ENTITY_LABEL_VALUES) };
    case 'g-nested': {
      const some = random.subset(['g-pods', 'g-more', 'g-blocks', 'g-service', 'g-entities'], 0.4);
      return { ...base, childGroups: some.length > 0 ? some : ['g-pods'] };
    }
  }
}

export function adminPolicy({ random, plan }: KindContext, index: number, kind: AdminPolicyObject['kind']): AdminPolicyObject {
  const tier = kind === 'BaselineAdminNetworkPolicy' || (kind === 'ClusterNetworkPolicy' && random.chance(0.4)) ? 'Baseline' : 'Admin';
  const rule = (direction: 'ingress' | 'egress', place: number): AdminRule => {
    const peers = Array.from({ length: random.weighted([[5, 1], [2, 2]]) }, () => adminPeer(random, plan, direction));
    // Nodes and networks have no named ports.
    const named = peers.every((peer) => peer.nodes === undefined && peer.networks === undefined);
    return {
      name: random.chance(0.7) ? `${direction}-${place}` : '',
      action: random.weighted<AdminRule['action']>([[4, 'Allow'], [4, 'Drop'], [kind === 'BaselineAdminNetworkPolicy' ? 0 : 3, 'Pass']]),
      peers, ports: Array.from({ length: random.weighted([[4, 0], [4, 1], [2, 2]]) }, () => adminPort(random)).filter((port) => named || !('namedPort' in port)),
    };
  };
  const [ingress, egress] = random.weighted([[2, [1, 0]], [2, [2, 0]], [2, [0, 1]], [2, [0, 2]], [3, [2, 2]]]);
  return {
    kind, metadata: meta(kind === 'BaselineAdminNetworkPolicy' ? 'default' : `${kind === 'AdminNetworkPolicy' ? 'anp' : 'cnp'}-${index}`), tier,
    priority: kind === 'BaselineAdminNetworkPolicy' ? 0 : random.pick([0, 1, 5, 10, 1000]),
    subject: adminSubject(random),
    ingress: Array.from({ length: ingress ?? 0 }, (_, place) => rule('ingress', place)),
    egress: Array.from({ length: egress ?? 0 }, (_, place) => rule('egress', place)),
  };
}

function adminSubject(random: Random): AdminSubject {
  return random.chance(0.5) ? { namespaces: namespaceSelector(random) } : { pods: { namespaceSelector: namespaceSelector(random), podSelector: podSelector(random) } };
}

function adminPeer(random: Random, plan: PolicyPlan, direction: 'ingress' | 'egress'): AdminPeer {
  const form = random.weighted<'pods' | 'nodes' | 'networks'>([[6, 'pods'], [direction === 'egress' ? 1 : 0, 'nodes'], [direction === 'egress' ? 2 : 0, 'networks']]);
  if (form === 'nodes') return { nodes: selector(random, NODE_LABEL_VALUES) };
  if (form === 'networks') return { networks: [...new Set(Array.from({ length: random.int(1, 2) }, () => prefix(random, plan)))] };
  return adminSubject(random);
}

/** Every port of this API has a number, a range, or a name without a protocol. */
function adminPort(random: Random): AdminPort {
  const port = policyPort(random);
  if (typeof port.port === 'number') return port;
  return { namedPort: random.pick(PORT_NAMES) };
}
