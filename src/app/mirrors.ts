/** TrafficControls resolved: which filters are copied where. Pure. */
import type { MirrorTarget, NetdevFilter } from '../drivers/nftables/netdev-layout.js';
import type { EffectiveTable } from '../compile/effective.js';
import { layer2Bindings } from '../compile/layer2.js';
import { compareText, type World } from '../compile/world.js';
import type { Filter } from '../model/filter.js';
import { objectKey, type PodObject, type TrafficControlObject } from '../model/objects.js';
import { selectorMatches } from '../model/selector.js';
import type { Link } from '../native/binding.js';

export interface ResolvedMirror {
  readonly control: TrafficControlObject;
  readonly filters: readonly Filter[];
  /** Why copies do not flow; undefined when they do. */
  readonly pending: string | undefined;
  readonly device: Link | undefined;
}

/** `pending`: why copies cannot flow on this datapath; undefined when they can. */
export function resolveMirrors(
  world: World, links: ReadonlyMap<string, Link>, pending: (control: TrafficControlObject, device: Link | undefined) => string | undefined,
): ResolvedMirror[] {
  return world.trafficControls.map((control) => {
    const filters = world.filters.filter((filter) => selects(control, filter, world));
    const device = links.get(control.target.name);
    return { control, filters, device, pending: pending(control, device) };
  });
}

export function sidesOf(control: TrafficControlObject): readonly ('in' | 'out')[] {
  return control.direction === 'Both' ? ['in', 'out'] : control.direction === 'Ingress' ? ['in'] : ['out'];
}

function selects(control: TrafficControlObject, filter: Filter, world: World): boolean {
  if (filter.workload.kind !== 'Pod') return false;
  const { podSelector, namespaceSelector } = control.appliedTo;
  // Nothing selected is nothing, as in Antrea; an empty selector is everything.
  if (podSelector === undefined && namespaceSelector === undefined) return false;
  const namespace = filter.workload.namespace ?? 'default';
  const pod: PodObject | undefined = world.pods.get(objectKey({ kind: 'Pod', metadata: { namespace, name: filter.workload.name } }));
  if (podSelector !== undefined && !selectorMatches(podSelector, pod?.metadata.labels ?? {})) return false;
  if (podSelector !== undefined && pod === undefined) return false;
  if (namespaceSelector === undefined) return true;
  const labels = { 'kubernetes.io/metadata.name': namespace, ...world.namespaces.get(namespace)?.metadata.labels };
  return selectorMatches(namespaceSelector, labels);
}

/** What table `netdev dfw` shall do for the interfaces that exist. */
export function netdevFilters(
  world: World, tables: (filter: Filter) => readonly EffectiveTable[], mirrors: readonly ResolvedMirror[], links: ReadonlyMap<string, Link>,
): NetdevFilter[] {
  return world.filters.flatMap((filter): NetdevFilter[] => {
    const link = links.get(filter.interface);
    if (link === undefined) return [];
    const targets = mirrors.flatMap((mirror): MirrorTarget[] => {
      const { device, control } = mirror;
      // Copying a device to itself would never end.
      if (device === undefined || mirror.pending !== undefined || device.index === link.index || !mirror.filters.includes(filter)) return [];
      return [{ name: control.metadata.name, deviceIndex: device.index, sides: sidesOf(control) }];
    });
    return [{
      number: filter.number, interface: filter.interface, interfaceIndex: link.index,
      mirrors: targets.sort((a, b) => compareText(a.name, b.name)), layer2: layer2Bindings(tables(filter)),
    }];
  });
}
