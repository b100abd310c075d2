/** Short forms for hand-made policy worlds: Namespaces x, y, z with pods a, b, c, every one local, as in Antrea's end-to-end tests. */
import type { LabelSelector } from '../../src/model/metadata.js';
import type { AttachmentObject, DesiredObject, NamespaceObject, NodeObject, PodObject } from '../../src/model/objects.js';
import type {
  AdminPolicyObject, AdminRule, AntreaPolicyObject, AntreaRule, NetworkPolicyObject, NetworkPolicyRule, SecurityPolicyObject, SecurityRule,
} from '../../src/model/policy-objects.js';
import type { OraclePacket } from './packet.js';
import { judge, type PolicyVerdict } from './policy-oracle.js';
import type { PolicyWorld } from './policy-world.js';

const SPACES = ['x', 'y', 'z'];
const PODS = ['a', 'b', 'c'];

export function labels(matchLabels: Readonly<Record<string, string>>): LabelSelector {
  return { matchLabels, matchExpressions: [] };
}
export const all = labels({});
export const pods = (name: string): LabelSelector => labels({ pod: name });
export const space = (name: string): LabelSelector => labels({ ns: name });

export function addressOf(name: string, family: 4 | 6 = 4): string {
  const [spaceName = '', podName = ''] = name.split('/');
  const [s, p] = [SPACES.indexOf(spaceName) + 1, PODS.indexOf(podName) + 1];
  return family === 4 ? `10.0.${s}.${p}` : `fd00::${s}:${p}`;
}

export function namespaceObject(name: string, more: Readonly<Record<string, string>> = {}): NamespaceObject {
  return { kind: 'Namespace', metadata: { name, labels: { ns: name, ...more } } };
}

export function podObject(name: string, more: Partial<PodObject> = {}): (PodObject | AttachmentObject)[] {
  const [namespace = '', podName = ''] = name.split('/');
  return [
    { kind: 'Pod', metadata: { name: podName, namespace, labels: { pod: podName } }, addresses: [addressOf(name), addressOf(name, 6)], ports: [], ...more },
    { kind: 'Attachment', metadata: { name, labels: {} }, workload: { kind: 'Pod', namespace, name: podName }, vnic: 'eth0', interface: name.replace('/', '-'), addresses: [] },
  ];
}

export const NODE: NodeObject = { kind: 'Node', metadata: { name: 'node-1', labels: {} }, addresses: ['192.0.2.1', '2001:db8::1'] };

/** The nine pods and their Namespaces; `own` replace objects of the same kind and name. */
export function worldOf(...own: readonly DesiredObject[]): PolicyWorld {
  const base: DesiredObject[] = [NODE, ...SPACES.map((name) => namespaceObject(name)), ...SPACES.flatMap((s) => PODS.flatMap((p) => podObject(`${s}/${p}`)))];
  const same = (a: DesiredObject, b: DesiredObject): boolean => a.kind === b.kind && a.metadata.name === b.metadata.name && a.metadata.namespace === b.metadata.namespace;
  return { objects: [...base.filter((object) => !own.some((other) => same(object, other))), ...own], node: 'node-1', cluster: 'default' };
}

export interface Ask { readonly port?: number; readonly protocol?: number; readonly sourcePort?: number; readonly family?: 4 | 6; readonly icmpType?: number; readonly icmpCode?: number }

/** A name is a pod of this host; everything else is an address elsewhere. */
export function ask(world: PolicyWorld, from: string, to: string, { family = 4, protocol = 6, port = 80, sourcePort = 40_000, icmpType, icmpCode }: Ask = {}): PolicyVerdict {
  const address = (end: string): string => (end.includes('/') ? addressOf(end, family) : end);
  const icmp = protocol === 1 || protocol === 58;
  const packet: OraclePacket = {
    family, protocol, source: address(from), destination: address(to),
    ...(icmp ? { icmpType: icmpType ?? 8, icmpCode: icmpCode ?? 0 } : { sourcePort, destinationPort: port }),
  };
  return judge(world, packet, { from: from.includes('/') ? from : undefined, to: to.includes('/') ? to : undefined });
}

/** Con, Drp or Rej. */
export function verdict(world: PolicyWorld, from: string, to: string, options: Ask = {}): string {
  return { accept: 'Con', drop: 'Drp', reject: 'Rej' }[ask(world, from, to, options).action];
}

/** "from to": verdict, for every pair of pods; those without an entry are `rest`. */
export function pairs(world: PolicyWorld, options: Ask = {}): Record<string, string> {
  const names = SPACES.flatMap((s) => PODS.map((p) => `${s}/${p}`));
  return Object.fromEntries(names.flatMap((from) => names.filter((to) => to !== from).map((to) => [`${from} ${to}`, verdict(world, from, to, options)] as const)));
}

export function networkPolicy(name: string, spec: Partial<NetworkPolicyObject> = {}): NetworkPolicyObject {
  const [namespace = '', own = ''] = name.split('/');
  return { kind: 'NetworkPolicy', metadata: { name: own, namespace, labels: {} }, podSelector: all, policyTypes: ['Ingress'], ingress: [], egress: [], ...spec };
}
export function kubernetesRule(spec: Partial<NetworkPolicyRule> = {}): NetworkPolicyRule {
  return { peers: [], ports: [], ...spec };
}

/** `acnp` or `namespace/annp`. */
export function antreaPolicy(name: string, spec: Partial<AntreaPolicyObject> = {}): AntreaPolicyObject {
  const [first = '', second] = name.split('/');
  const metadata = second === undefined ? { name: first, labels: {} } : { name: second, namespace: first, labels: {} };
  return {
    kind: second === undefined ? 'AntreaClusterNetworkPolicy' : 'AntreaNetworkPolicy', metadata, tier: 'application', priority: 1, appliedTo: [{ podSelector: all }], ingress: [], egress: [], ...spec,
  };
}
export function antreaRule(action: AntreaRule['action'], spec: Partial<AntreaRule> = {}): AntreaRule {
  return { name: action, action, peers: [], ports: [], protocols: [], toServices: [], appliedTo: [], log: false, ...spec };
}

export function adminPolicy(kind: AdminPolicyObject['kind'], name: string, spec: Partial<AdminPolicyObject> = {}): AdminPolicyObject {
  return { kind, metadata: { name, labels: {} }, tier: kind === 'BaselineAdminNetworkPolicy' ? 'Baseline' : 'Admin', priority: 0, subject: { namespaces: all }, ingress: [], egress: [], ...spec };
}
export function adminRule(action: AdminRule['action'], spec: Partial<AdminRule> = {}): AdminRule {
  return { name: '', action, peers: [{ namespaces: all }], ports: [], ...spec };
}

export function securityPolicy(name: string, rules: readonly SecurityRule[], spec: Partial<SecurityPolicyObject> = {}): SecurityPolicyObject {
  return { kind: 'SecurityPolicy', metadata: { name, labels: {} }, category: 'Application', sequence: 0, disabled: false, appliedTo: [], rules, ...spec };
}
export function securityRule(action: SecurityRule['action'], spec: Partial<SecurityRule> = {}): SecurityRule {
  return {
    name: action, sources: [], sourcesExcluded: false, destinations: [], destinationsExcluded: false, services: [], action, direction: 'InOut', log: false, disabled: false, appliedTo: [], ...spec,
  };
}
