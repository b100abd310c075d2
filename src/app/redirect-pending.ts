/** Why traffic cannot be redirected by the nftables datapath. Pure. */
import type { Filter } from '../model/filter.js';
import type { TrafficControlObject } from '../model/objects.js';
import type { Link } from '../native/binding.js';

export interface RedirectSurroundings {
  readonly links: ReadonlyMap<string, Link>;
  /** Linux bridge of an interface. */
  readonly bridgeOf: (interfaceName: string) => string | undefined;
  /** Why the kernel refused the way back. */
  readonly refusal: string | undefined;
}

/** Undefined when it can. `filters`: those that the control selects; what one of them lacks holds up all, so that nobody believes that everything is inspected. */
export function redirectPending(control: TrafficControlObject, filters: readonly Filter[], { links, bridgeOf, refusal }: RedirectSurroundings): string | undefined {
  const ports = [control.target, ...(control.returnPort === undefined ? [] : [control.returnPort])];
  for (const { type, name } of ports) {
    if (type !== 'device' && type !== 'internal') return `a tunnel (${type}) gives nothing back on the nftables datapath`;
    const link = links.get(name);
    if (link === undefined) return `device ${name} does not exist`;
    // What somebody redirects to a device that is down goes nowhere, as on a switch. A policy says itself what shall become of its traffic then.
    if (!link.up && control.inspection !== undefined) return `device ${name} is down`;
  }
  for (const filter of filters) {
    const why = filterPending(filter, ports.flatMap(({ name }) => links.get(name) ?? []), links.get(filter.interface), bridgeOf);
    if (why !== undefined) return why;
  }
  return refusal;
}

function filterPending(filter: Filter, devices: readonly Link[], link: Link | undefined, bridgeOf: RedirectSurroundings['bridgeOf']): string | undefined {
  const name = filter.interface;
  if (filter.workload.kind === 'Node') return `the traffic of node ${filter.workload.name} itself is not redirected by the nftables datapath`;
  if (bridgeOf(name) !== undefined) return `${name} is a port of Linux bridge ${bridgeOf(name)}, where traffic is not redirected`;
  if (filter.mac === '') return `${name}: its workload's MAC address is not known (Attachment spec.mac): frames that come back could not be told apart`;
  if (link === undefined) return undefined;
  if (devices.some(({ index }) => index === link.index)) return `${name} itself is the device`;
  const narrow = devices.find(({ mtu }) => mtu < link.mtu);
  return narrow === undefined ? undefined : `device ${narrow.name} has MTU ${narrow.mtu}, ${name} ${link.mtu}: larger frames would be lost`;
}
