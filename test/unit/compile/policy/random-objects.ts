/** Random policies of all kinds over a small inventory, as decoded objects, for tests that change one object at a time. */
import type { LabelSelector } from '../../../../src/model/metadata.js';
import type { DesiredObject } from '../../../../src/model/objects.js';
import type {
  AdminPeer, AdminRule, AntreaPeer, AntreaRule, AntreaTarget, GroupExpression, NetworkPolicyPeer, PolicyPort, SecurityEndpoint, SecurityRule, SecurityTarget,
} from '../../../../src/model/policy-objects.js';

/** Uniform numbers from a seed (mulberry32). */
export class Random {
  constructor(private state: number) {}

  below(limit: number): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % limit;
  }

  chance(percent: number): boolean {
    return this.below(100) < percent;
  }

  pick<T>(list: readonly T[]): T {
    const value = list[this.below(list.length)];
    if (value === undefined) throw new Error('nothing to pick from');
    return value;
  }

  some<T>(max: number, make: () => T): T[] {
    return Array.from({ length: this.below(max + 1) }, make);
  }
}

const NAMESPACES = ['x', 'y', 'z'] as const;
const PODS = ['a', 'b', 'c', 'd'] as const;
const KEYS = ['app', 'tier', 'env'] as const;
const VALUES = ['one', 'two', 'three'] as const;
const TIERS = ['emergency', 'application', 'baseline', 'custom'] as const;
const GROUPS = ['g1', 'g2', 'g3', 'g4'] as const;
/** Domain names and patterns that peers may be. */
export const NAMES = ['www.example.com', '*.example.net'] as const;

/** Draws objects; keys repeat often, so that drawing again changes or replaces. */
export class RandomObjects {
  private readonly random: Random;

  constructor(seed: number) {
    this.random = new Random(seed);
  }

  get choice(): Random {
    return this.random;
  }

  object(): DesiredObject {
    const { random } = this;
    const kinds = [
      () => this.pod(), () => this.pod(), () => this.pod(), () => this.namespace(), () => this.networkPolicy(), () => this.networkPolicy(), () => this.antrea(),
      () => this.antrea(), () => this.admin(), () => this.security(), () => this.clusterGroup(), () => this.group(), () => this.service(), () => this.node(), () => this.machine(),
      () => this.tier(), () => this.attachment(), () => this.entity(), () => this.group(), () => this.gateway(),
    ];
    return random.pick(kinds)();
  }

  private labels(): Record<string, string> {
    return Object.fromEntries(this.random.some(3, () => [this.random.pick(KEYS), this.random.pick(VALUES)]));
  }

  private selector(): LabelSelector {
    const { random } = this;
    return {
      matchLabels: random.chance(50) ? { [random.pick(KEYS)]: random.pick(VALUES) } : {},
      matchExpressions: random.chance(30) ? [random.chance(50)
        ? { key: random.pick(KEYS), operator: random.pick(['In', 'NotIn'] as const), values: [random.pick(VALUES), random.pick(VALUES)] }
        : { key: random.pick(KEYS), operator: random.pick(['Exists', 'DoesNotExist'] as const), values: [] }] : [],
    };
  }

  private address(): string {
    return `10.0.${this.random.below(3)}.${this.random.below(20)}`;
  }

  private pod(): DesiredObject {
    const { random } = this;
    return {
      kind: 'Pod', metadata: { name: random.pick(PODS), namespace: random.pick(NAMESPACES), labels: this.labels() }, addresses: random.some(2, () => this.address()),
      ports: random.chance(50) ? [{ name: 'web', protocol: 6, port: random.pick([80, 8080]) }] : [],
      ...(random.chance(10) ? { hostNetwork: true as const } : {}), ...(random.chance(20) ? { serviceAccount: 'robot' } : {}),
    };
  }

  private namespace(): DesiredObject {
    const name = this.random.pick(NAMESPACES);
    return {
      kind: 'Namespace', metadata: {
        name, labels: { 'kubernetes.io/metadata.name': name, ...this.labels() },
        ...(this.random.chance(20) ? { annotations: { 'networkpolicy.antrea.io/enable-logging': 'true' } } : {}),
      },
    };
  }

  private ports(): PolicyPort[] {
    const { random } = this;
    return random.some(2, () => (random.chance(30) ? { protocol: 6, port: 'web' } : { protocol: random.pick([6, 17]), port: random.pick([80, 81]) }));
  }

  private networkPolicy(): DesiredObject {
    const { random } = this;
    const peers = (): NetworkPolicyPeer[] => random.some(2, () => (random.chance(20)
      ? { ipBlock: { cidr: '10.0.0.0/16', except: random.some(1, () => '10.0.1.0/24') } }
      : random.pick([{ podSelector: this.selector() }, { namespaceSelector: this.selector() }, { podSelector: this.selector(), namespaceSelector: this.selector() }])));
    const rules = () => random.some(2, () => ({ peers: peers(), ports: this.ports() }));
    return {
      kind: 'NetworkPolicy', metadata: { name: random.pick(['n1', 'n2']), namespace: random.pick(NAMESPACES), labels: {} }, podSelector: this.selector(),
      policyTypes: random.pick([['Ingress'], ['Egress'], ['Ingress', 'Egress']]), ingress: rules(), egress: rules(),
    };
  }

  private antrea(): DesiredObject {
    const { random } = this;
    const cluster = random.chance(60);
    const target = (): AntreaTarget => random.pick([
      { podSelector: this.selector() }, ...(cluster ? [{ namespaceSelector: this.selector() }, { nodeSelector: this.selector() }] : []), { group: random.pick(GROUPS) },
      { serviceAccount: { namespace: random.pick(NAMESPACES), name: 'robot' } }, this.entities(),
      // Never in force: a NodePort.
      ...(random.chance(5) ? [{ service: { namespace: 'x', name: 'svc' } }] : []),
    ]);
    const peer = (): AntreaPeer => random.pick<AntreaPeer>([
      { podSelector: this.selector(), namespaceSelector: this.selector() }, { group: random.pick(GROUPS) }, { nodeSelector: this.selector() },
      { fqdn: random.pick(NAMES) }, this.entities(), { serviceAccount: { namespace: random.pick(NAMESPACES), name: 'robot' } },
      ...(cluster ? [{ namespaces: { match: 'Self' as const }, podSelector: this.selector() }, { namespaces: { sameLabels: [random.pick(KEYS)] } }] : []),
    ]);
    const own = random.chance(30);
    const rule = (direction: string, index: number): AntreaRule => ({
      name: `${direction}${index}`, action: random.pick(['Allow', 'Drop', 'Reject', 'Pass'] as const), protocols: [], appliedTo: own ? [target()] : [], log: random.chance(20),
      ...(direction === 'out' && random.chance(20)
        ? { action: 'Allow', peers: [], ports: [], toServices: [{ namespace: random.pick(NAMESPACES), name: 'svc' }] }
        : { peers: random.some(2, peer), ports: this.ports(), toServices: [] }),
    });
    const rules = (direction: string): AntreaRule[] => Array.from({ length: random.below(3) }, (_, index) => rule(direction, index));
    return {
      kind: cluster ? 'AntreaClusterNetworkPolicy' : 'AntreaNetworkPolicy',
      metadata: { name: random.pick(['p1', 'p2', 'p3']), labels: {}, ...(cluster ? {} : { namespace: random.pick(NAMESPACES) }) },
      tier: random.pick(TIERS), priority: 1 + random.below(5), appliedTo: own ? [] : [target()], ingress: rules('in'), egress: rules('out'),
    };
  }

  private admin(): DesiredObject {
    const { random } = this;
    const subject = () => (random.chance(50) ? { namespaces: this.selector() } : { pods: { namespaceSelector: this.selector(), podSelector: this.selector() } });
    const rules = (): AdminRule[] => random.some(2, () => ({
      name: '', action: random.pick(['Allow', 'Drop', 'Pass'] as const), ports: this.ports(),
      peers: [random.pick<AdminPeer>([{ networks: ['10.0.2.0/24'] }, { nodes: this.selector() }, { domainNames: [random.pick(NAMES)] }, subject(), subject(), subject()])],
    }));
    const kind = random.pick(['AdminNetworkPolicy', 'BaselineAdminNetworkPolicy', 'ClusterNetworkPolicy'] as const);
    return {
      kind, metadata: { name: kind === 'BaselineAdminNetworkPolicy' ? 'default' : random.pick(['c1', 'c2']), labels: {} },
      tier: kind === 'BaselineAdminNetworkPolicy' ? 'Baseline' : kind === 'AdminNetworkPolicy' ? 'Admin' : random.pick(['Admin', 'Baseline'] as const),
      priority: random.below(4), subject: subject(), ingress: rules(), egress: rules(),
    };
  }

  private security(): DesiredObject {
    const { random } = this;
    const ends = (): SecurityEndpoint[] => random.some(2, () => (random.chance(60) ? { group: random.pick(GROUPS) } : { addresses: ['10.0.2.0/24'] }));
    const target = (): SecurityTarget => random.pick<SecurityTarget>([
      { group: random.pick(GROUPS) }, { group: random.pick(GROUPS) }, { workload: { kind: 'VirtualMachine', name: random.pick(['v1', 'v2']) } },
      { workload: { kind: 'Pod', namespace: random.pick(NAMESPACES), name: random.pick(PODS) } }, { workload: { kind: 'Node', name: random.pick(['n1', 'n2']) } },
    ]);
    const rule = (index: number): SecurityRule => ({
      name: `r${index}`, sources: ends(), sourcesExcluded: random.chance(10), destinations: ends(), destinationsExcluded: random.chance(10),
      services: random.some(1, () => ({ protocol: 6, ports: [{ first: 80, last: 80 }], sourcePorts: [] })), action: random.pick(['Allow', 'Drop'] as const),
      direction: random.pick(['In', 'Out', 'InOut'] as const), log: false, disabled: random.chance(20),
      appliedTo: random.chance(20) ? [target()] : [],
    });
    return {
      kind: 'SecurityPolicy', metadata: { name: random.pick(['s1', 's2']), labels: {} }, category: random.pick(['Emergency', 'Environment', 'Application'] as const),
      sequence: random.below(3), disabled: random.chance(10), appliedTo: random.some(1, target),
      rules: Array.from({ length: 1 + random.below(2) }, (_, index) => rule(index)),
    };
  }

  private clusterGroup(): DesiredObject {
    const { random } = this;
    const namespaced = random.chance(30);
    const bare = { ipBlocks: [], childGroups: [] };
    const how = random.pick([
      { selection: { podSelector: this.selector(), ...(namespaced ? {} : { namespaceSelector: this.selector() }) }, ...bare },
      { ipBlocks: [{ cidr: '10.0.1.0/24', except: [] }], childGroups: [] },
      { ipBlocks: [], childGroups: this.groups() },
      { ...this.entities(), ...bare },
      { service: { namespace: random.pick(NAMESPACES), name: 'svc' }, ...bare },
      { nodeSelector: this.selector(), ...bare },
    ]);
    return {
      kind: namespaced ? 'AntreaGroup' : 'ClusterGroup',
      metadata: { name: random.pick(GROUPS), labels: {}, ...(namespaced ? { namespace: random.pick(NAMESPACES) } : {}) }, ...how,
    };
  }

  private group(): DesiredObject {
    const { random } = this;
    const expression = (): GroupExpression => random.pick<GroupExpression>([
      { object: 'KubernetesNamespace', key: 'Name', operator: 'Equals', values: [random.pick(NAMESPACES)] },
      { object: 'Pod', key: 'Label', operator: 'Equals', values: [`${random.pick(KEYS)}=${random.pick(VALUES)}`] },
      { object: 'Pod', key: 'Name', operator: 'NotIn', values: [random.pick(PODS)] },
    ]);
    const alone = (): GroupExpression => random.pick<GroupExpression>([
      { object: 'VirtualMachine', key: 'Tag', operator: 'Equals', values: [`app=${random.pick(VALUES)}`] },
      { object: 'KubernetesNode', key: 'Label', operator: 'Exists', values: [random.pick(KEYS)] },
      { object: 'KubernetesService', key: 'Name', operator: 'StartsWith', values: ['s'] },
      { object: 'KubernetesGateway', key: 'Name', operator: 'NotEquals', values: ['w2'] },
      { object: 'KubernetesCluster', key: 'Name', operator: 'Equals', values: ['c'] },
      { object: 'Segment', key: 'Name', operator: 'In', values: ['s1'] },
    ]);
    // Held: no object is both.
    const wrong: GroupExpression[] = [{ object: 'Pod', key: 'Name', operator: 'Equals', values: ['a'] }, { object: 'VirtualMachine', key: 'Name', operator: 'Equals', values: ['a'] }];
    return {
      kind: 'Group', metadata: { name: random.pick(GROUPS), labels: {} },
      criteria: random.some(2, () => (random.chance(5) ? wrong : random.chance(30) ? [alone()] : [expression(), ...random.some(1, expression)])),
      addresses: random.some(1, () => this.address()),
      workloads: random.chance(20) ? [random.pick([
        { kind: 'Pod', namespace: random.pick(NAMESPACES), name: random.pick(PODS) }, { kind: 'VirtualMachine', name: 'v1' }, { kind: 'Node', name: 'n1' },
      ] as const)] : [],
      groups: random.chance(30) ? this.groups() : [],
    };
  }

  /** One or two, different. */
  private groups(): string[] {
    return [...new Set([this.random.pick(GROUPS), ...this.random.some(1, () => this.random.pick(GROUPS))])];
  }

  private entities(): { readonly externalEntitySelector: LabelSelector; readonly namespaceSelector?: LabelSelector } {
    return { externalEntitySelector: this.selector(), ...(this.random.chance(30) ? { namespaceSelector: this.selector() } : {}) };
  }

  private entity(): DesiredObject {
    const { random } = this;
    return {
      kind: 'ExternalEntity', metadata: { name: random.pick(['e1', 'e2']), namespace: random.pick(NAMESPACES), labels: this.labels() }, ports: [],
      addresses: [random.chance(50) ? `10.1.0.${random.below(4)}` : this.address()],
    };
  }

  private gateway(): DesiredObject {
    const { random } = this;
    return { kind: 'Gateway', metadata: { name: random.pick(['w1', 'w2']), namespace: random.pick(NAMESPACES), labels: this.labels() }, addresses: [this.address()] };
  }

  private service(): DesiredObject {
    const { random } = this;
    return {
      kind: 'Service', metadata: { name: 'svc', namespace: random.pick(NAMESPACES), labels: {} }, clusterIps: random.some(1, () => `10.96.0.${random.below(3)}`),
      externalIps: [], ingressIps: [], type: 'ClusterIP', ports: random.some(2, () => ({ protocol: 6, port: random.pick([80, 443]) })), ...(random.chance(80) ? { selector: this.selector() } : {}),
    };
  }

  private node(): DesiredObject {
    return { kind: 'Node', metadata: { name: this.random.pick(['n1', 'n2']), labels: this.labels() }, addresses: [`192.0.2.${this.random.below(4)}`] };
  }

  private machine(): DesiredObject {
    return {
      kind: 'VirtualMachine', metadata: { name: this.random.pick(['v1', 'v2']), labels: this.labels() },
      nics: [{ name: 'eth0', addresses: [`10.1.0.${this.random.below(4)}`] }], ...(this.random.chance(50) ? { segment: this.random.pick(['s1', 's2']) } : {}),
    };
  }

  private tier(): DesiredObject {
    return { kind: 'Tier', metadata: { name: this.random.pick(['custom', 'custom', 'application']), labels: {} }, priority: this.random.pick([10, 120]), description: '' };
  }

  private attachment(): DesiredObject {
    const { random } = this;
    const [namespace, name] = [random.pick(NAMESPACES), random.pick(PODS)];
    const [title, workload] = random.chance(75) ? [`${namespace}-${name}`, { kind: 'Pod', namespace, name } as const]
      : random.pick([['v1', { kind: 'VirtualMachine', name: 'v1' }], ['v2', { kind: 'VirtualMachine', name: 'v2' }], ['n1', { kind: 'Node', name: 'n1' }]] as const);
    // Two of one interface: the second is not in force.
    const own = !random.chance(3);
    return { kind: 'Attachment', metadata: { name: title, labels: {} }, vnic: 'eth0', addresses: [], interface: own ? `i${title}` : 'ix-a', workload };
  }
}
