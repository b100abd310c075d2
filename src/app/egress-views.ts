/** What people are told of Egresses. */
import { compareText } from '../compile/world.js';
import type { DesiredObject } from '../model/objects.js';
import type { EgressStateView, EgressView } from '../model/views.js';
import type { Egress } from './egress.js';

export function egressState(egress: Egress): EgressStateView {
  const { egresses, pods, allocation } = egress.selection;
  const holders = egress.ownership.holders;
  return {
    egresses: egresses.map(({ metadata: { name }, externalIpPool }): EgressView => {
      const address = allocation.addresses.get(name) ?? '';
      const pending = egress.pending(name);
      return {
        name, address, pool: externalIpPool ?? '', node: holders?.get(address)?.node ?? '', state: pending === undefined ? 'active' : `pending: ${pending}`,
        workloads: pods.filter((one) => one.egress === name).map(({ pod, from }) => ({
          namespace: pod.metadata.namespace ?? 'default', name: pod.metadata.name, node: pod.nodeName ?? '', addresses: [...from],
        })).sort((a, b) => compareText(`${a.namespace}/${a.name}`, `${b.namespace}/${b.name}`)),
      };
    }),
    pools: [...allocation.usage].map(([name, { total, used }]) => ({ name, total, used })).sort((a, b) => compareText(a.name, b.name)),
  };
}

/** The manifest with the status that Antrea's controller would write: status.egressNode, egressIP and conditions; status.usage of pools. */
export function withEgressStatus(object: DesiredObject, manifest: unknown, egress: Egress | undefined): unknown {
  if (egress === undefined || typeof manifest !== 'object' || manifest === null) return manifest;
  const { name } = object.metadata;
  if (object.kind === 'ExternalIPPool') {
    const usage = egress.selection.allocation.usage.get(name);
    return usage === undefined ? manifest : { ...manifest, status: { usage } };
  }
  if (object.kind !== 'Egress') return manifest;
  const address = egress.selection.allocation.addresses.get(name);
  const node = address === undefined ? undefined : egress.ownership.holders?.get(address)?.node;
  const pending = egress.pending(name);
  const condition = (type: string, holds: boolean): object => ({ type, status: holds ? 'True' : 'False', ...(holds || pending === undefined ? {} : { message: pending }) });
  return {
    ...manifest, status: {
      ...(address === undefined ? {} : { egressIP: address }), ...(node === undefined ? {} : { egressNode: node }),
      conditions: [condition('IPAllocated', address !== undefined), condition('IPAssigned', pending === undefined)],
    },
  };
}
