/** TrafficControls resolved: which filters are copied where. Pure. */
import type { MirrorTarget } from '../drivers/nftables/copy-rules.js';
import type { NetdevFilter } from '../drivers/nftables/netdev-layout.js';
import type { RedirectTarget } from '../drivers/nftables/redirect-layout.js';
import type { EffectiveTable } from '../compile/effective.js';
import { layer2Bindings } from '../compile/layer2.js';
import { compareText, type World } from '../compile/world.js';
import { copyRequest } from '../model/copying.js';
import type { Filter } from '../model/filter.js';
import { objectKey, type PodObject, type TrafficControlObject } from '../model/objects.js';
import { selectorMatches } from '../model/selector.js';
import type { RefusedCopies, TrafficControlView } from '../model/views.js';
import type { Link } from '../native/binding.js';
import { guardOf, type SpoofGuard } from './spoof-guard.js';

export interface ResolvedMirror {
  readonly control: TrafficControlObject;
  readonly filters: readonly Filter[];
  /** Why copies do not flow, or traffic is not redirected: undefined when it does. */
  readonly pending: string | undefined;
  /** What is pending holds the traffic up: nothing passes uninspected. */
  readonly blocked: boolean;
  readonly device: Link | undefined;
}

/** `pending`: why copies cannot flow on this datapath; undefined when they can. `inspecting`: the engine is there; copies are made in any case. */
export function resolveMirrors(
  world: World, links: ReadonlyMap<string, Link>, inspecting: boolean,
  pending: (control: TrafficControlObject, device: Link | undefined, filters: readonly Filter[]) => string | undefined,
): ResolvedMirror[] {
  return world.trafficControls.map((control) => {
    const filters = world.filters.filter((filter) => selects(control, filter, world));
    const device = links.get(control.target.name);
    const inPath = control.inspection?.mode === 'prevent';
    const why = pending(control, device, filters) ?? (inPath && !inspecting ? 'the engine does not inspect now' : undefined);
    const blocked = inPath && why !== undefined && control.inspection.onFailure === 'block';
    return { control, filters, device, pending: why === undefined || !inPath ? why : `${why}; traffic ${blocked ? 'is dropped' : 'passes uninspected'}`, blocked };
  });
}

export function sidesOf(control: TrafficControlObject): readonly ('in' | 'out')[] {
  return control.direction === 'Both' ? ['in', 'out'] : control.direction === 'Ingress' ? ['in'] : ['out'];
}

/** The mirrors of one side of a filter, by name. A device gets one copy of a packet, however many ask for it: of those that lead to the same, one takes each packet (model/copying.ts). */
export function copiesOf(active: readonly ResolvedMirror[], filter: Filter, side: 'in' | 'out'): readonly TrafficControlObject[] {
  return active.filter(({ control, filters }) => control.action === 'Mirror' && filters.includes(filter) && sidesOf(control).includes(side))
    .map(({ control }) => control).sort((a, b) => compareText(a.metadata.name, b.metadata.name));
}

/** For each direction that is copied. `sees`: what the datapath does where the control does not say. */
export function refusedCopies(control: TrafficControlObject, sees: (side: 'in' | 'out') => boolean): NonNullable<TrafficControlView['refused']> {
  const of = (side: 'in' | 'out'): RefusedCopies => control.refused ?? (sees(side) ? 'copied' : 'left-out');
  const sides = sidesOf(control);
  return { ...(sides.includes('in') ? { ingress: of('in') } : {}), ...(sides.includes('out') ? { egress: of('out') } : {}) };
}

/** By name: traffic can go only one way, and the first that matches decides. */
export function redirectsOf(mirrors: readonly ResolvedMirror[], filter: Filter, side: 'in' | 'out'): readonly ResolvedMirror[] {
  return mirrors.filter(({ control, filters }) => control.action === 'Redirect' && filters.includes(filter) && sidesOf(control).includes(side))
    .sort((a, b) => compareText(a.control.metadata.name, b.control.metadata.name));
}

export function matchOf({ match }: TrafficControlObject): Pick<TrafficControlObject, 'match'> {
  return match === undefined ? {} : { match };
}

function selects({ appliedTo }: TrafficControlObject, filter: Filter, world: World): boolean {
  const { podSelector, namespaceSelector, vmSelector, nodeSelector } = appliedTo;
  const { kind } = filter.workload;
  if (kind === 'VirtualMachine') return vmSelector !== undefined && selectorMatches(vmSelector, filter.labels);
  if (kind === 'Node') return nodeSelector !== undefined && selectorMatches(nodeSelector, filter.labels);
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
  world: World, tables: (filter: Filter) => readonly EffectiveTable[], mirrors: readonly ResolvedMirror[], links: ReadonlyMap<string, Link>, spoofGuard: SpoofGuard, learnGroup: number,
): NetdevFilter[] {
  return world.filters.flatMap((filter): NetdevFilter[] => {
    const link = links.get(filter.interface);
    if (link === undefined) return [];
    const active = mirrors.filter(({ pending }) => pending === undefined);
    const targets = (side: 'in' | 'out'): MirrorTarget[] => copiesOf(active, filter, side).flatMap((control): MirrorTarget[] => {
      const device = links.get(control.target.name);
      // Copying a device to itself would never end.
      return device === undefined || device.index === link.index ? [] : [{ ...copyRequest(control), deviceIndex: device.index }];
    });
    const blocked = mirrors.flatMap((mirror) => (mirror.blocked && mirror.filters.includes(filter) ? sidesOf(mirror.control).map((side) => ({ side, ...matchOf(mirror.control) })) : []));
    const redirects = (side: 'in' | 'out'): RedirectTarget[] => redirectsOf(mirrors, filter, side).flatMap(({ control, pending }): RedirectTarget[] => {
      const device = links.get(control.target.name);
      return pending !== undefined || device === undefined ? [] : [{ name: control.metadata.name, deviceIndex: device.index, ...matchOf(control) }];
    });
    return [{
      number: filter.number, interface: filter.interface, interfaceIndex: link.index, mac: filter.mac, blocked,
      redirects: { in: redirects('in'), out: redirects('out') },
      mirrors: { in: targets('in'), out: targets('out') }, layer2: layer2Bindings(tables(filter)), ...guardOf(spoofGuard, filter), ...(spoofGuard.learns(filter) ? { learnGroup } : {}),
    }];
  });
}

/** Filters whose traffic, or copies of it, go to one of the devices. Made anew when the mirrors are. */
export class Inspected {
  private mirrors: readonly ResolvedMirror[] | undefined;
  private filters: ReadonlySet<Filter> = new Set();

  constructor(private readonly devices: readonly string[], private readonly current: () => readonly ResolvedMirror[] | undefined) {}

  get set(): ReadonlySet<Filter> {
    const mirrors = this.current();
    if (mirrors !== this.mirrors) {
      this.mirrors = mirrors;
      this.filters = new Set((mirrors ?? []).flatMap(({ control, filters }) => (this.devices.includes(control.target.name) ? filters : [])));
    }
    return this.filters;
  }
}
