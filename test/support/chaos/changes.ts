/**
 * Random changes of a cluster's objects, from a seed: labels of pods and Namespaces, pods of other hosts, tiers, groups, policies, address sets, rule
 * tables. None of them touches what `fixed.ts` has, and what an object names is there before it and is not deleted while it does.
 */
import { objectKey } from '../../../src/model/objects.js';
import type { Random } from '../../oracle/random.js';
import { decode } from '../decode.js';
import { acnp, clusterGroup, labels, networkPolicy, port, tier, type Manifest } from '../policies.js';
import { ruleTable } from '../manifests.js';

/** `document` undefined: deleted. */
export interface Change { readonly key: string; readonly document: Manifest | undefined; readonly before: Manifest | undefined }

export interface ChaosPod { readonly namespace: string; readonly name: string; readonly ipv4: string; readonly ipv6: string }

/** What the generator changes one at a time. */
export const FIELDS = ['pods', 'namespaces', 'tiers', 'groups', 'cluster policies', 'network policies', 'sets', 'tables'] as const;
export type Field = (typeof FIELDS)[number];

/** Ports that changes are about. */
export const CHANGING_PORTS: readonly number[] = [80, 81, 8080];
export const NAMESPACES: readonly string[] = ['shop', 'work'];
const BUILT_IN_TIERS = ['securityops', 'application', 'baseline'];
const CUSTOM_TIERS: Readonly<Record<string, readonly number[]>> = { low: [210, 220], middle: [110, 120], high: [60, 70] };
const GROUPS = ['g0', 'g1', 'g2', 'g3'];
const SETS = ['s0', 's1', 's2', 's3'];
const APPS = ['web', 'db', 'cache'];
const ENVIRONMENTS = ['prod', 'test'];

type Spec = Readonly<Record<string, unknown>>;

export class Changes {
  private readonly objects = new Map<string, Manifest>();

  constructor(private readonly random: Random, private readonly pods: readonly ChaosPod[], initial: readonly Manifest[]) {
    for (const document of initial) this.objects.set(keyOf(document), document);
  }

  get current(): ReadonlyMap<string, Manifest> {
    return this.objects;
  }

  /** As after a restored backup. */
  reset(objects: ReadonlyMap<string, Manifest>): void {
    this.objects.clear();
    for (const [key, document] of objects) this.objects.set(key, document);
  }

  /** One that was made by somebody else. */
  take({ key, document }: Change): void {
    if (document === undefined) this.objects.delete(key);
    else this.objects.set(key, document);
  }

  /** The next change in one of the fields; made here already. */
  next(fields: readonly Field[]): Change {
    for (let attempt = 0; attempt < 1_000; attempt += 1) {
      const change = this.propose(this.random.pick(fields));
      if (change === undefined || JSON.stringify(change.before) === JSON.stringify(change.document)) continue;
      this.take(change);
      return change;
    }
    throw new Error(`nothing to change in ${fields.join()}`);
  }

  private propose(field: Field): Change | undefined {
    switch (field) {
      case 'pods': return this.random.chance(0.7) ? this.put(this.localPod(this.random.pick(this.pods))) : this.putOrDelete(this.remotePod());
      case 'namespaces': return this.put(namespaceManifest(this.random.pick(NAMESPACES), this.random.pick(ENVIRONMENTS)));
      case 'tiers': {
        const name = this.random.pick(Object.keys(CUSTOM_TIERS));
        return this.putOrDelete(tier(name, this.random.pick(CUSTOM_TIERS[name] ?? [])));
      }
      case 'groups': return this.putOrDelete(this.group());
      case 'cluster policies': return this.putOrDelete(this.clusterPolicy());
      case 'network policies': return this.putOrDelete(this.networkPolicy());
      case 'sets': return this.putOrDelete(this.set());
      case 'tables': return this.putOrDelete(this.table());
    }
  }

  private put(document: Manifest): Change {
    const key = keyOf(document);
    return { key, document, before: this.objects.get(key) };
  }

  /** What others name stays. */
  private putOrDelete(document: Manifest): Change | undefined {
    const change = this.put(document);
    if (change.before === undefined || this.random.chance(0.65)) return change;
    if ([...this.objects.values()].some((other) => referencesOf(other).includes(change.key))) return undefined;
    return { ...change, document: undefined };
  }

  private localPod({ namespace, name, ipv4, ipv6 }: ChaosPod): Manifest {
    return podManifest({ namespace, name, ipv4, ipv6 }, { app: this.random.pick(APPS), ...(this.random.chance(0.3) ? { extra: 'yes' } : {}) }, 'host-1');
  }

  /** At an address of the world's outside, or, where nobody looks, at that of nobody. */
  private remotePod(): Manifest {
    const number = this.random.int(0, 7);
    return podManifest({ namespace: NAMESPACES[number % 2] ?? '', name: `far-${number}`, ipv4: `203.0.113.${10 + number}`, ipv6: `2001:db8:cafe::${10 + number}` }, { app: this.random.pick(APPS) }, 'host-2');
  }

  private peer(): Spec {
    const { random } = this;
    const selector = random.chance(0.8) ? labels({ app: random.pick(APPS) }) : { matchExpressions: [{ key: 'app', operator: 'NotIn', values: [random.pick(APPS)] }] };
    return random.weighted<() => Spec>([
      [3, () => ({ podSelector: selector, namespaceSelector: random.chance(0.5) ? {} : labels({ env: random.pick(ENVIRONMENTS) }) })],
      [1, () => ({ podSelector: labels({ pod: random.pick(this.pods).name }), namespaceSelector: {} })],
      [1, () => ({ namespaceSelector: labels({ env: random.pick(ENVIRONMENTS) }) })],
      [1, () => ({ ipBlock: { cidr: random.pick([`${random.pick(this.pods).ipv4}/32`, `${random.pick(this.pods).ipv6}/128`, '10.10.0.0/23', '203.0.113.0/28']) } })],
    ])();
  }

  private known(kind: string): string[] {
    return [...this.objects.values()].filter((document) => document.kind === kind).map(({ metadata }) => metadata.name);
  }

  private ports(): Spec[] {
    return this.random.subset(CHANGING_PORTS, 0.5).map((number) => port(number));
  }

  private group(): Manifest {
    const { random } = this;
    const name = random.pick(GROUPS);
    // Groups of groups are the last ones, and only of the first ones: no circles.
    const inner = this.known('ClusterGroup').filter((other) => other === 'g0' || other === 'g1');
    if (name === 'g3' && inner.length > 0) return clusterGroup(name, { childGroups: [random.pick(inner)] });
    const { ipBlock, ...selection } = this.peer() as { ipBlock?: unknown };
    return clusterGroup(name, ipBlock === undefined ? selection : { ipBlocks: [ipBlock] });
  }

  /** A peer, or a group that is there. */
  private peerOrGroup(): Spec {
    const groups = this.known('ClusterGroup').filter((name) => GROUPS.includes(name));
    return groups.length > 0 && this.random.chance(0.5) ? { group: this.random.pick(groups) } : this.peer();
  }

  private clusterPolicy(): Manifest {
    const { random } = this;
    const tierName = random.pick([...BUILT_IN_TIERS, ...this.known('Tier')]);
    const rules = (side: 'from' | 'to'): Spec[] => Array.from({ length: random.int(1, 2) }, () => {
      const ports = this.ports();
      return {
        action: random.weighted([[4, 'Allow'], [3, 'Drop'], [2, 'Reject'], [tierName === 'baseline' ? 0 : 1, 'Pass']]), ports: ports.length === 0 ? [port(80)] : ports,
        ...(random.chance(0.85) ? { [side]: [this.peerOrGroup(), ...(random.chance(0.3) ? [this.peer()] : [])] } : {}),
      };
    });
    const { ipBlock, ...target } = this.peerOrGroup() as { ipBlock?: unknown };
    const directions = random.weighted([[4, ['ingress']], [2, ['egress']], [1, ['ingress', 'egress']]]);
    return acnp(`p${random.int(0, 6)}`, {
      tier: tierName, priority: random.int(1, 20),
      appliedTo: [ipBlock === undefined ? target : { podSelector: {}, namespaceSelector: {} }],
      ...(directions.includes('ingress') ? { ingress: rules('from') } : {}), ...(directions.includes('egress') ? { egress: rules('to') } : {}),
    });
  }

  private networkPolicy(): Manifest {
    const { random } = this;
    const sides = random.weighted([[4, ['Ingress']], [2, ['Egress']], [1, ['Ingress', 'Egress']]]);
    const rule = (side: 'from' | 'to'): Spec => ({ [side]: [this.peer(), ...(random.chance(0.4) ? [this.peer()] : [])], ports: [port(80), ...this.ports()].slice(-2) });
    const name = `n${random.int(0, 5)}`;
    return networkPolicy(NAMESPACES[Number(name.slice(1)) % 2] ?? '', name, {
      podSelector: random.chance(0.3) ? {} : labels({ app: random.pick(APPS) }), policyTypes: sides,
      ...(sides.includes('Ingress') ? { ingress: [rule('from')] } : {}), ...(sides.includes('Egress') ? { egress: [rule('to')] } : {}),
    });
  }

  private set(): Manifest {
    const addresses = [...this.pods.flatMap(({ ipv4, ipv6 }) => [ipv4, ipv6]), '203.0.113.0/28', '10.10.2.0/24', '198.51.100.7'];
    return { apiVersion: 'dfw.dev/v1', kind: 'AddressSet', metadata: { name: this.random.pick(SETS) }, spec: { addresses: this.random.subset(addresses, 0.4) } };
  }

  private table(): Manifest {
    const { random } = this;
    const sets = this.known('AddressSet');
    const side = (): Spec => (sets.length > 0 && random.chance(0.7) ? { addressSets: [random.pick(sets)] } : { addresses: [random.pick(this.pods).ipv4, random.pick(this.pods).ipv6] });
    const name = `1${random.int(0, 2)}`;
    return ruleTable(name, {
      ...(random.chance(0.3) ? {} : { appliedTo: { workloads: random.subset(this.pods, 0.5).concat(random.pick(this.pods)).map((pod) => ({ kind: 'Pod', namespace: pod.namespace, name: pod.name })) } }),
      rules: Array.from({ length: random.int(1, 3) }, (_, index) => ({
        id: Number(name) * 10 + index, direction: random.pick(['in', 'out', 'inout']), protocol: 'tcp', ports: [String(random.pick(CHANGING_PORTS))], action: random.pick(['accept', 'drop', 'reject']), log: random.chance(0.3),
        ...(random.chance(0.7) ? { source: side() } : {}), ...(random.chance(0.3) ? { destination: side() } : {}),
      })),
    });
  }
}

/** As agentctl and the oracle know it. */
export function keyOf(document: Manifest): string {
  const decoded = decode(document);
  if ('problems' in decoded) throw new Error(`refused: ${JSON.stringify(decoded.problems)} ${JSON.stringify(document)}`);
  return objectKey(decoded.object);
}

export function podManifest({ namespace, name, ipv4, ipv6 }: ChaosPod, more: Readonly<Record<string, string>>, node: string): Manifest {
  return {
    apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace, labels: { pod: name, ...more } }, spec: { nodeName: node },
    status: { phase: 'Running', podIP: ipv4, podIPs: [{ ip: ipv4 }, { ip: ipv6 }] },
  };
}

export function namespaceManifest(name: string, env: string): Manifest {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels: { 'kubernetes.io/metadata.name': name, ns: name, env } } };
}

/** Keys of what must be there for it to act as it says. */
export function referencesOf(document: Manifest): string[] {
  const found: string[] = [];
  const visit = (value: unknown): void => {
    if (Array.isArray(value)) value.forEach(visit);
    else if (typeof value === 'object' && value !== null) {
      for (const [name, inner] of Object.entries(value)) {
        if (name === 'group') found.push(`ClusterGroup/${String(inner)}`);
        else if (name === 'childGroups') found.push(...(inner as string[]).map((child) => `ClusterGroup/${child}`));
        else if (name === 'addressSets') found.push(...(inner as string[]).map((set) => `AddressSet/${set}`));
        else if (name === 'tier' && !['emergency', ...BUILT_IN_TIERS].includes(String(inner))) found.push(`Tier/${String(inner)}`);
        else visit(inner);
      }
    }
  };
  visit(document.spec);
  return found;
}
