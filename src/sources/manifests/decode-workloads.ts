/** VirtualMachine and Attachment manifests → objects. */
import type { AttachmentObject, ObjectMeta, VirtualMachineObject } from '../../model/objects.js';
import type { AttachmentManifest, ManifestMeta, VirtualMachineManifest } from './own-manifests.js';
import { interfaceProblem, LEARNING_ANNOTATION, nsxNameProblem, subdomainProblem } from '../../model/names.js';
import { quote } from '../../model/quote.js';
import { decodeHosts, decodeMac } from './addresses.js';
import { refuse, refuseIf } from './checks.js';
import { decodeMeta, decodeWorkload } from './metadata.js';

const LEARNING = ['off', 'manual', 'firstUse', 'aged'];

function decodeOwnMeta(metadata: ManifestMeta): ObjectMeta {
  const meta = decodeMeta(metadata, nsxNameProblem);
  const learning = metadata.annotations?.[LEARNING_ANNOTATION];
  if (learning === undefined) return meta;
  if (!LEARNING.includes(learning)) throw refuse(`metadata.annotations[${LEARNING_ANNOTATION}]`, `${quote(String(learning))} is none of ${LEARNING.join(', ')}`);
  return { ...meta, annotations: { ...meta.annotations, [LEARNING_ANNOTATION]: learning } };
}

export function decodeVirtualMachine(manifest: VirtualMachineManifest): VirtualMachineObject {
  const { uuid, segment, nics = [] } = manifest.spec ?? {};
  const seen = new Set<string>();
  return {
    kind: 'VirtualMachine',
    metadata: decodeOwnMeta(manifest.metadata),
    ...(uuid === undefined ? {} : { uuid }),
    ...(segment === undefined ? {} : { segment }),
    nics: nics.map(({ name, mac, addresses }, index) => {
      const path = `spec.nics[${index}]`;
      refuseIf(vnicProblem(name), `${path}.name`);
      if (seen.has(name)) throw refuse(`${path}.name`, `two vNICs are named ${name}`);
      seen.add(name);
      return { name, ...(mac === undefined ? {} : { mac: decodeMac(mac, `${path}.mac`) }), addresses: decodeHosts(addresses, `${path}.addresses`) };
    }),
  };
}

/** vNIC names become part of filter names (`nic-3-eth0-dfw.2`) and of `namespace/pod/vnic` arguments. */
function vnicProblem(name: string): string | undefined {
  return /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(name) ? undefined
    : `the vNIC name ${quote(name)} may hold only letters, digits and . _ - and at most 63 characters`;
}

export function decodeAttachment(manifest: AttachmentManifest): AttachmentObject {
  const { spec } = manifest;
  const { vnic = 'eth0', mac } = spec;
  refuseIf(vnicProblem(vnic), 'spec.vnic');
  refuseIf(interfaceProblem(spec.interface), 'spec.interface');
  if (spec.node !== undefined) refuseIf(subdomainProblem(spec.node), 'spec.node');
  return {
    kind: 'Attachment',
    metadata: decodeOwnMeta(manifest.metadata),
    ...(spec.node === undefined ? {} : { node: spec.node }),
    workload: decodeWorkload(spec.workload, 'spec.workload'),
    vnic,
    interface: spec.interface,
    ...(mac === undefined ? {} : { mac: decodeMac(mac, 'spec.mac') }),
    addresses: decodeHosts(spec.addresses, 'spec.addresses'),
  };
}
