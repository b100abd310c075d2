/** From objects to the vNICs whose addresses are learned: those that are attached here and for which nobody declares an address. Pure. */
import { objectKey, type AttachmentObject, type DesiredObject, type VirtualMachineObject, type WorkloadReference } from '../../model/objects.js';
import { LEARNING_ANNOTATION } from '../../model/names.js';
import type { LearningMode } from './binding-table.js';

export interface LearningVnic {
  /** The same for the same vNIC of the same workload, whatever its interface is called. */
  readonly key: string;
  /** Key and name of its Attachment. */
  readonly attachmentKey: string;
  readonly attachment: string;
  readonly workload: WorkloadReference;
  readonly workloadKey: string;
  readonly vnic: string;
  readonly interface: string;
  /** Declared; '' = not. */
  readonly mac: string;
  readonly mode: LearningMode;
}

/** Of several sources the earlier is in force where two have one object; of Attachments of one interface the first by name. */
export function learningVnics(sources: readonly ReadonlyMap<string, DesiredObject>[], standard: LearningMode | 'off'): readonly LearningVnic[] {
  const attachments = new Map<string, AttachmentObject>();
  for (const objects of sources) {
    for (const [key, object] of objects) if (object.kind === 'Attachment' && !attachments.has(key)) attachments.set(key, object);
  }
  const interfaces = new Set<string>();
  const found: LearningVnic[] = [];
  for (const [attachmentKey, attachment] of [...attachments].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const { workload, vnic, metadata: { name } } = attachment;
    if (interfaces.has(attachment.interface)) continue;
    interfaces.add(attachment.interface);
    if (workload.kind === 'Node' || attachment.addresses.length > 0) continue;
    const workloadKey = keyOf(workload);
    const object = findObject(sources, workloadKey);
    // Of a pod that nobody has described it cannot be told what it declares.
    if (workload.kind === 'Pod' && object?.kind !== 'Pod') continue;
    const { addresses, mac } = declaredOf(object, vnic);
    const mode = modeOf(attachment, object) ?? standard;
    if (addresses.length > 0 || mode === 'off') continue;
    found.push({ key: `${workloadKey} ${vnic}`, attachmentKey, attachment: name, workload, workloadKey, vnic, interface: attachment.interface, mac: attachment.mac ?? mac, mode });
  }
  return found;
}

export function findObject(sources: readonly ReadonlyMap<string, DesiredObject>[], key: string): DesiredObject | undefined {
  for (const objects of sources) {
    const object = objects.get(key);
    if (object !== undefined) return object;
  }
  return undefined;
}

export function keyOf({ kind, namespace, name }: WorkloadReference): string {
  return objectKey({ kind, metadata: kind === 'Pod' ? { name, namespace: namespace ?? 'default' } : { name } });
}

/** The machine with what is known of vNICs that declare no address. The same object when that is nothing. */
export function completedMachine(machine: VirtualMachineObject, known: ReadonlyMap<string, readonly string[]>): VirtualMachineObject {
  const more = new Map([...known].filter(([vnic, addresses]) => addresses.length > 0 && declaredOf(machine, vnic).addresses.length === 0));
  if (more.size === 0) return machine;
  const nics = machine.nics.map((nic) => {
    const addresses = more.get(nic.name);
    more.delete(nic.name);
    return addresses === undefined ? nic : { ...nic, addresses };
  });
  return { ...machine, nics: [...nics, ...[...more].map(([name, addresses]) => ({ name, addresses }))] };
}

/** Another version of an object, completed as the one that is in force was: `completed` from `original`. What it declares itself stands. */
export function completedLike(object: DesiredObject, original: DesiredObject, completed: DesiredObject): DesiredObject {
  if (object.kind === 'VirtualMachine' && original.kind === 'VirtualMachine' && completed.kind === 'VirtualMachine') {
    return completedMachine(object, new Map(completed.nics.flatMap(({ name, addresses }) => (declaredOf(original, name).addresses.length === 0 ? [[name, addresses]] : []))));
  }
  if (object.kind === 'Attachment' && completed.kind === 'Attachment') {
    const sameVnic = keyOf(object.workload) === keyOf(completed.workload) && object.vnic === completed.vnic;
    return sameVnic && object.addresses.length === 0 ? { ...object, addresses: completed.addresses } : object;
  }
  return object.kind === 'Pod' && completed.kind === 'Pod' && object.addresses.length === 0 ? { ...object, addresses: completed.addresses } : object;
}

function declaredOf(object: DesiredObject | undefined, vnic: string): { readonly addresses: readonly string[]; readonly mac: string } {
  if (object?.kind === 'Pod') return { addresses: object.addresses, mac: '' };
  const nic = object?.kind === 'VirtualMachine' ? object.nics.find(({ name }) => name === vnic) : undefined;
  return { addresses: nic?.addresses ?? [], mac: nic?.mac ?? '' };
}

const MODES: ReadonlySet<string> = new Set<LearningMode | 'off'>(['off', 'manual', 'firstUse', 'aged']);

export function isMode(text: string): text is LearningMode | 'off' {
  return MODES.has(text);
}

/** What the Attachment says stands before what its workload says. */
function modeOf(...objects: readonly (DesiredObject | undefined)[]): LearningMode | 'off' | undefined {
  for (const object of objects) {
    const text = object?.metadata.annotations?.[LEARNING_ANNOTATION];
    if (text !== undefined && isMode(text)) return text;
  }
  return undefined;
}
