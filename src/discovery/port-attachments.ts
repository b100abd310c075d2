/** From ports of workloads, and the objects that are declared, to an Attachment for each port. Pure; what is not clear is said, never guessed. */
import { interfaceProblem, labelProblem, subdomainProblem } from '../model/names.js';
import { quote } from '../model/quote.js';
import type { AttachmentObject, DesiredObject, VirtualMachineObject, WorkloadReference } from '../model/objects.js';
import { namePorts, type NamedPort } from './port-names.js';

/** A port of the bridge that somebody wrote a workload on. */
export interface WorkloadPort {
  /** Of the port, as the switch calls it. */
  readonly name: string;
  readonly workload:
    | { readonly kind: 'Pod'; readonly namespace: string; readonly name: string }
    /** Lower case, with dashes. */
    | { readonly kind: 'VirtualMachine'; readonly uuid: string };
  /** What the one who made the port calls it. */
  readonly id?: string;
  /** Which of the pod's interfaces, where it is not the first. */
  readonly vnic?: string;
  /** Canonical. */
  readonly mac?: string;
  /** Canonical hosts. */
  readonly addresses: readonly string[];
}

/** What discovery needs of the objects of one source. */
export interface Declared {
  /** By key. */
  readonly machines: ReadonlyMap<string, VirtualMachineObject>;
  readonly attachments: ReadonlyMap<string, AttachmentObject>;
}

export interface Bound {
  /** Sorted by interface. */
  readonly attachments: readonly AttachmentObject[];
  /** See namePorts. */
  readonly names: readonly NamedPort[];
  /** Ports without a filter, or with one that is not as it should be, and why. */
  readonly problems: readonly string[];
}

export function declaredOf(objects: ReadonlyMap<string, DesiredObject>): Declared {
  const machines = new Map<string, VirtualMachineObject>();
  const attachments = new Map<string, AttachmentObject>();
  for (const [key, object] of objects) {
    if (object.kind === 'VirtualMachine') machines.set(key, object);
    else if (object.kind === 'Attachment') attachments.set(key, object);
  }
  return { machines, attachments };
}

/**
 * A port whose interface a declared Attachment names is that one's. Of several sources the earlier is in force where two have one object. `names`: of
 * the result before.
 */
export function bindPorts(ports: readonly WorkloadPort[], sources: readonly Declared[], names: readonly NamedPort[]): Bound {
  const claimed = new Set<string>();
  const taken = new Set<string>();
  for (const { attachments } of sources) {
    for (const attachment of attachments.values()) {
      claimed.add(attachment.interface);
      taken.add(attachment.metadata.name);
    }
  }
  const machines = machinesByUuid(sources);
  const problems: string[] = [];
  const drafts: { readonly port: WorkloadPort; readonly identity: string; readonly spec: Spec }[] = [];
  for (const port of ports) {
    if (claimed.has(port.name)) continue;
    const wrong = interfaceProblem(port.name) ?? (port.workload.kind === 'Pod' ? podProblem(port.workload) : undefined);
    const spec = wrong ?? specOf(port, machines);
    if (typeof spec === 'string') {
      problems.push(`port ${quote(port.name)} has no filter: ${spec}`);
      continue;
    }
    if (spec.problem !== undefined) problems.push(`port ${quote(port.name)}: ${spec.problem}`);
    drafts.push({ port, identity: identityOf(port), spec });
  }
  const next = namePorts(drafts.map(({ port, identity }) => ({ port: port.name, identity })), names, taken);
  const nameOf = new Map(next.slice(next.length - drafts.length).map(({ port, attachment }) => [port, attachment]));
  return {
    names: next, problems,
    attachments: drafts.map(({ port, spec: { workload, vnic } }): AttachmentObject => ({
      kind: 'Attachment', metadata: { name: nameOf.get(port.name) ?? '', labels: {} }, workload, vnic, interface: port.name,
      ...(port.mac === undefined ? {} : { mac: port.mac }), addresses: port.addresses,
      // Its object may come later than its port.
      ...(port.workload.kind === 'Pod' ? { early: true as const } : {}),
    })),
  };
}

interface Spec {
  readonly workload: WorkloadReference;
  readonly vnic: string;
  readonly problem?: string;
}

const FIRST_VNIC = 'eth0';

/** Or why there is no filter. */
function specOf({ name, workload, vnic, mac }: WorkloadPort, machines: ReadonlyMap<string, readonly VirtualMachineObject[]>): Spec | string {
  if (workload.kind === 'Pod') {
    return { workload: { kind: 'Pod', namespace: workload.namespace, name: workload.name }, vnic: vnic === undefined ? FIRST_VNIC : vnicName(vnic) };
  }
  const [machine, another] = machines.get(workload.uuid) ?? [];
  if (machine === undefined) return `there is no VirtualMachine with spec.uuid ${workload.uuid}`;
  if (another !== undefined) return `VirtualMachine/${machine.metadata.name} and VirtualMachine/${another.metadata.name} have the same spec.uuid ${workload.uuid}`;
  const reference: WorkloadReference = { kind: 'VirtualMachine', name: machine.metadata.name };
  const found = vnicOf(machine, mac);
  if (found !== undefined) return { workload: reference, vnic: found };
  // Policies for the machine apply all the same; addresses of another vNIC must not become this one's.
  return { workload: reference, vnic: vnicName(name), problem: `no vNIC of VirtualMachine/${machine.metadata.name} has its MAC address ${mac ?? '(not said)'}; none of its addresses is known` };
}

/** The vNIC with that address, else the only one that declares none. */
function vnicOf({ nics }: VirtualMachineObject, mac: string | undefined): string | undefined {
  if (nics.length === 0) return FIRST_VNIC;
  const exact = mac === undefined ? undefined : nics.find((nic) => nic.mac === mac);
  if (exact !== undefined) return exact.name;
  const [only, another] = mac === undefined ? nics : nics.filter((nic) => nic.mac === undefined);
  return another === undefined ? only?.name : undefined;
}

/** As vNICs may be called (NAMESPACE/NETWORK of ovn-kubernetes may not). */
function vnicName(text: string): string {
  const plain = text.replaceAll(/[^A-Za-z0-9._-]/g, '-').replace(/^[^A-Za-z0-9]+/, '').slice(0, 63);
  return plain === '' ? FIRST_VNIC : plain;
}

function podProblem({ namespace, name }: { readonly namespace: string; readonly name: string }): string | undefined {
  return labelProblem(namespace) ?? subdomainProblem(name);
}

function identityOf({ workload, vnic, id, mac }: WorkloadPort): string {
  return workload.kind === 'Pod' ? `Pod/${workload.namespace}/${workload.name}/${vnic ?? ''}` : `VirtualMachine/${workload.uuid}/${id ?? mac ?? ''}`;
}

function machinesByUuid(sources: readonly Declared[]): ReadonlyMap<string, readonly VirtualMachineObject[]> {
  const seen = new Set<string>();
  const found = new Map<string, VirtualMachineObject[]>();
  for (const { machines } of sources) {
    for (const [key, machine] of machines) {
      if (seen.has(key)) continue;
      seen.add(key);
      const digits = machine.uuid?.toLowerCase().replaceAll('-', '') ?? '';
      if (!/^[0-9a-f]{32}$/.test(digits)) continue;
      const uuid = [digits.slice(0, 8), digits.slice(8, 12), digits.slice(12, 16), digits.slice(16, 20), digits.slice(20)].join('-');
      found.set(uuid, [...(found.get(uuid) ?? []), machine]);
    }
  }
  return found;
}
