/** What people are told of Egresses. */
import { compareText } from '../compile/world.js';
import { objectKey, type DesiredObject } from '../model/objects.js';
import type { Status, StatusCondition } from '../model/status.js';
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

/** The manifest with the status as it is now. */
export function withEgressStatus(object: DesiredObject, manifest: unknown, egress: Egress | undefined): unknown {
  if (egress === undefined || typeof manifest !== 'object' || manifest === null) return manifest;
  const status = statusOf(object, egress);
  return status === undefined ? manifest : { ...manifest, status: Object.fromEntries(Object.entries(status).filter(([, value]) => value !== null)) };
}

/** What Antrea's controller and agents would write: status.egressNode, egressIP and conditions of an Egress; status.usage of a pool. */
function statusOf({ kind, metadata: { name } }: DesiredObject, egress: Egress): Status | undefined {
  const { usage, addresses } = egress.selection.allocation;
  if (kind === 'ExternalIPPool') {
    const used = usage.get(name);
    return used === undefined ? undefined : { usage: used };
  }
  if (kind !== 'Egress') return undefined;
  const address = addresses.get(name);
  const node = address === undefined ? undefined : egress.ownership.holders?.get(address)?.node;
  const pending = egress.pending(name);
  const condition = (type: string, holds: boolean): StatusCondition => ({ type, status: holds ? 'True' : 'False', ...(holds || pending === undefined ? {} : { message: pending }) });
  return {
    egressIP: address ?? null, egressNode: node ?? null,
    conditions: [condition('IPAllocated', address !== undefined), condition('IPAssigned', pending === undefined)],
  };
}

/**
 * The statuses that this node is to write, by object key: of an Egress the node that has its address does; of one that no node has, and of pools, one of the nodes that are
 * alive. `ownerOf`: which. Nothing while it is not known who has what.
 */
export function ownStatuses(egress: Egress, ownerOf: (what: string, nodes: Iterable<string>) => string | undefined): ReadonlyMap<string, Status> {
  const { selection, ownership: { holders, nodes }, node } = egress;
  const statuses = new Map<string, Status>();
  if (holders === undefined) return statuses;
  const alive = nodes.size > 0 ? nodes.keys() : selection.nodes.map(({ metadata }) => metadata.name);
  const writesOthers = ownerOf('status', alive) === node;
  for (const object of [...selection.egresses, ...selection.pools]) {
    const address = object.kind === 'Egress' ? selection.allocation.addresses.get(object.metadata.name) : undefined;
    const holder = address === undefined ? undefined : holders.get(address);
    if (holder === undefined ? !writesOthers : holder.node !== node) continue;
    const status = statusOf(object, egress);
    if (status !== undefined) statuses.set(objectKey(object), status);
  }
  return statuses;
}
