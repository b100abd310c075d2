/** Random things that policies select, for one test world: some local behind its vNICs, others at addresses that the world routes outside. */
import type { ObjectMeta } from '../../src/model/metadata.js';
import type { AttachmentObject, DesiredObject, NamespaceObject, NodeObject, PodObject, VirtualMachineObject, WorkloadReference } from '../../src/model/objects.js';
import type { ExternalEntityObject, ServiceObject } from '../../src/model/policy-objects.js';
import { canonicalLiteral } from './addresses.js';
import { PROTOCOL } from './packet.js';
import type { AddressPlan, PlanWorkload } from './plan.js';
import type { NamedPort } from './policy-members.js';
import type { Random } from './random.js';

export interface PolicyPlan extends AddressPlan {
  /** Host side interface of each workload, by name. */
  readonly interfaceOf: (workload: string) => string;
}

export const NODE = 'host-1';
export const NAMESPACES = ['x', 'y', 'z', 'w'] as const;
export const LABEL_VALUES: Readonly<Record<string, readonly string[]>> = { app: ['web', 'db'], team: ['a', 'b'], pod: ['a', 'b', 'c'] };
export const NAMESPACE_LABEL_VALUES: Readonly<Record<string, readonly string[]>> = { tier: ['prod', 'dev'], purpose: ['p1', 'p2'], env: ['test'] };
export const NODE_LABEL_VALUES: Readonly<Record<string, readonly string[]>> = { role: ['control-plane', 'worker'], zone: ['a', 'b'] };
export const ENTITY_LABEL_VALUES: Readonly<Record<string, readonly string[]>> = { app: ['web', 'db', 'api'], role: ['vm', 'bare'] };
export const PORT_NAMES = ['http', 'serve', 'dns', 'metrics'] as const;
export const PORT_NUMBERS = [53, 80, 81, 443, 8080, 8081, 8082, 9090] as const;
export const POLICY_PROTOCOLS = [PROTOCOL.tcp, PROTOCOL.udp, PROTOCOL.sctp] as const;
export const ACCOUNTS = ['default', 'builder'] as const;


/** `x-a` is the pod a of Namespace x; every other name is a VM. */
export function referenceOf(workload: string): WorkloadReference {
  const match = /^([xyzw])-(.+)$/.exec(workload);
  const [, namespace, name] = match ?? [];
  return namespace === undefined || name === undefined ? { kind: 'VirtualMachine', name: workload } : { kind: 'Pod', namespace, name };
}

export function attachmentName(workload: string): string {
  return `${workload}-eth0`;
}

export function meta(name: string, namespace?: string, labels: Readonly<Record<string, string>> = {}): ObjectMeta {
  return { name, ...(namespace === undefined ? {} : { namespace }), labels };
}

export function generateInventory(random: Random, plan: PolicyPlan): DesiredObject[] {
  const outside = new OutsideAddresses(random);
  return [
    ...NAMESPACES.map((name) => namespace(random, name)),
    ...plan.workloads.flatMap((workload) => local(random, workload, plan)),
    ...['x/c', 'y/c', 'z/c', 'w/a', 'w/d'].map((name) => remotePod(random, name, outside)),
    ...nodes(random, plan, outside),
    ...machines(random, outside),
    ...services(random, outside),
    ...externalEntities(random, outside),
  ];
}

/** Gives addresses of the prefixes that a world routes outside; now and then one that somebody has already. */
class OutsideAddresses {
  private next = 16;

  constructor(private readonly random: Random) {}

  take(): string[] {
    if (this.next === 16 || this.random.chance(0.9)) this.next += 1;
    const four = `203.0.113.${this.next}`;
    const six = `2001:db8:cafe::${this.next.toString(16)}`;
    return this.random.weighted([[6, [four, six]], [2, [four]], [2, [six]]]);
  }
}

export function randomLabels(random: Random, values: Readonly<Record<string, readonly string[]>>): Record<string, string> {
  return Object.fromEntries(Object.entries(values).flatMap(([key, choices]) => (random.chance(0.7) ? [[key, random.pick(choices)] as const] : [])));
}

export function namespace(random: Random, name: string): NamespaceObject {
  return { kind: 'Namespace', metadata: meta(name, undefined, { 'kubernetes.io/metadata.name': name, ...randomLabels(random, NAMESPACE_LABEL_VALUES) }) };
}

function local(random: Random, workload: PlanWorkload, plan: PolicyPlan): (PodObject | VirtualMachineObject | AttachmentObject)[] {
  const reference = referenceOf(workload.name);
  const addresses = random.weighted([[7, [workload.ipv4, workload.ipv6]], [1, [workload.ipv4]], [1, [workload.ipv6]]]).map(canonicalLiteral);
  const attachment: AttachmentObject = {
    kind: 'Attachment', metadata: meta(attachmentName(workload.name)), workload: reference, vnic: 'eth0', interface: plan.interfaceOf(workload.name),
    mac: workload.mac, addresses: [],
  };
  if (reference.kind === 'Pod') return [pod(random, reference.namespace ?? 'default', reference.name, addresses, NODE), attachment];
  return [machine(random, reference.name, addresses), attachment];
}

function remotePod(random: Random, name: string, outside: OutsideAddresses): PodObject {
  const [namespaceName = '', podName = ''] = name.split('/');
  return pod(random, namespaceName, podName, outside.take(), 'host-2');
}

export function pod(random: Random, namespaceName: string, name: string, addresses: readonly string[], nodeName: string): PodObject {
  const labels = { ...randomLabels(random, LABEL_VALUES), pod: name };
  return {
    kind: 'Pod', metadata: meta(name, namespaceName, labels), nodeName,
    ...(random.chance(0.3) ? { serviceAccount: 'builder' } : {}),
    addresses, ports: namedPorts(random),
  };
}

/** The same name may mean another number elsewhere, and in one pod a number for each protocol. */
export function namedPorts(random: Random): NamedPort[] {
  return PORT_NAMES.flatMap((name): NamedPort[] => {
    if (random.chance(0.4)) return [];
    const protocols = random.chance(0.25) ? random.subset(POLICY_PROTOCOLS, 0.6) : [random.pick(POLICY_PROTOCOLS)];
    return protocols.map((protocol) => ({ name, protocol, port: random.pick(PORT_NUMBERS) }));
  });
}

function nodes(random: Random, plan: PolicyPlan, outside: OutsideAddresses): NodeObject[] {
  return [
    { kind: 'Node', metadata: meta(NODE, undefined, randomLabels(random, NODE_LABEL_VALUES)), addresses: plan.host },
    ...['host-2', 'host-3'].map((name): NodeObject => ({ kind: 'Node', metadata: meta(name, undefined, randomLabels(random, NODE_LABEL_VALUES)), addresses: outside.take() })),
  ];
}

function machine(random: Random, name: string, addresses: readonly string[]): VirtualMachineObject {
  return {
    kind: 'VirtualMachine', metadata: meta(name, undefined, randomLabels(random, LABEL_VALUES)),
    segment: random.pick(['vlan-64', 'vlan-65', 'lab']), nics: [{ name: 'eth0', addresses }],
  };
}

function machines(random: Random, outside: OutsideAddresses): VirtualMachineObject[] {
  return [machine(random, 'vm-far', outside.take()), machine(random, 'web-vm', outside.take())];
}

function services(random: Random, outside: OutsideAddresses): ServiceObject[] {
  return ['x/front', 'y/back'].map((text): ServiceObject => {
    const [namespaceName = '', name = ''] = text.split('/');
    const key = random.pick(Object.keys(LABEL_VALUES));
    return {
      kind: 'Service', metadata: meta(name, namespaceName, randomLabels(random, LABEL_VALUES)), type: 'ClusterIP',
      clusterIps: outside.take(), externalIps: random.chance(0.3) ? outside.take() : [], ingressIps: [],
      ...(random.chance(0.85) ? { selector: { matchLabels: { [key]: random.pick(LABEL_VALUES[key] ?? ['']) }, matchExpressions: [] } } : {}),
      ports: [...new Set([...random.subset(PORT_NUMBERS, 0.3).slice(0, 3), 80 as const])].map((port, index) => ({ name: `p${index}`, protocol: random.pick(POLICY_PROTOCOLS), port })),
    };
  });
}

function externalEntities(random: Random, outside: OutsideAddresses): ExternalEntityObject[] {
  return ['x/legacy', 'z/printer'].map((text): ExternalEntityObject => {
    const [namespaceName = '', name = ''] = text.split('/');
    return { kind: 'ExternalEntity', metadata: meta(name, namespaceName, randomLabels(random, ENTITY_LABEL_VALUES)), addresses: outside.take(), ports: [] };
  });
}
