/**
 * Behind which interface of this host a pod is, by what the kernel knows: the route to its address, and where that leads to a Linux bridge, the
 * neighbour that has the address and the port behind which the bridge learned it. Pure; what is not clear is said, never guessed.
 */
import { quote } from '../model/quote.js';

export interface LocalPod {
  readonly namespace: string;
  readonly name: string;
  /** Canonical hosts; at least one. */
  readonly addresses: readonly string[];
}

/** As the kernel's answers come (native/binding.ts). */
export interface PodWay {
  readonly kind: 'direct' | 'gateway' | 'several' | 'local' | 'none';
  readonly interfaceIndex: number;
  readonly prefixLength: number;
}
export interface PodNeighbour {
  readonly interfaceIndex: number;
  readonly address: string;
  readonly mac: string;
}
export interface PodPort {
  readonly bridgeIndex: number;
  readonly interfaceIndex: number;
  readonly mac: string;
}
export interface HostLink {
  readonly index: number;
  readonly name: string;
  readonly mac: string;
  readonly kind: string;
  readonly master: number;
}

export interface HostView {
  /** By address. */
  readonly ways: ReadonlyMap<string, PodWay>;
  readonly neighbours: readonly PodNeighbour[];
  readonly ports: readonly PodPort[];
  readonly links: readonly HostLink[];
}

export interface PodPlace {
  readonly namespace: string;
  readonly name: string;
  readonly addresses: readonly string[];
  readonly interface: string;
  /** Of that interface itself, not of the pod: with `interfaceMac` it tells it from another that gets the name later. */
  readonly interfaceIndex: number;
  readonly interfaceMac: string;
  /** Of the pod's end; absent while no neighbour entry tells it. */
  readonly mac?: string;
}

export interface Placed {
  readonly places: readonly PodPlace[];
  /** Pods without a filter, and why. */
  readonly problems: readonly string[];
}

/** Interfaces whose other end is one workload. */
const WORKLOAD_KINDS: ReadonlySet<string> = new Set(['veth', 'netkit', 'tun']);

interface Found {
  readonly link: HostLink;
  readonly mac: string | undefined;
}
type Answer =
  | { readonly found: Found }
  /** `open`: it may still turn out, and what was known before may stand. */
  | { readonly reason: string; readonly open: boolean };

/**
 * `known`: the places before these. One stands while its interface is there, its pod has the same addresses and nothing says otherwise: entries of
 * neighbours and bridges end when a pod is silent.
 */
export function placePods(pods: readonly LocalPod[], view: HostView, known: readonly PodPlace[]): Placed {
  const links = new Map(view.links.map((link) => [link.index, link]));
  const before = new Map(known.map((place) => [keyOf(place), place]));
  const places: PodPlace[] = [];
  const problems: string[] = [];
  const users = new Map<string, string[]>();
  for (const pod of pods) {
    const place = placeOf(pod, view, links, before.get(keyOf(pod)));
    if (typeof place === 'string') {
      problems.push(`pod ${nameOf(pod)} has no filter: ${place}`);
      continue;
    }
    places.push(place);
    users.set(place.interface, [...(users.get(place.interface) ?? []), nameOf(pod)]);
  }
  for (const [name, several] of users) {
    if (several.length > 1) problems.push(`interface ${quote(name)} has no filter: more than one pod is behind it: ${several.join(', ')}`);
  }
  return { places: places.filter((place) => users.get(place.interface)?.length === 1), problems };
}

const keyOf = ({ namespace, name }: { readonly namespace: string; readonly name: string }): string => `${namespace}/${name}`;
const nameOf = keyOf;

/** Or why there is none. */
function placeOf(pod: LocalPod, view: HostView, links: ReadonlyMap<number, HostLink>, before: PodPlace | undefined): PodPlace | string {
  const answers = pod.addresses.map((address) => answerFor(address, view, links));
  const found = answers.flatMap((answer) => ('found' in answer ? [answer.found] : []));
  const [first] = found;
  const names = [...new Set(found.map(({ link }) => link.name))];
  if (names.length > 1) return `its addresses are behind ${names.sort().join(' and ')}`;
  const closed = answers.find((answer): answer is Extract<Answer, { reason: string }> => 'reason' in answer && !answer.open);
  if (closed !== undefined) return closed.reason;
  const kept = before !== undefined && sameAddresses(before, pod) && isSame(before, links.get(before.interfaceIndex)) ? before : undefined;
  if (first === undefined) {
    if (kept !== undefined) return kept;
    const [answer] = answers;
    return answer !== undefined && 'reason' in answer ? answer.reason : 'it has no address';
  }
  const macs = [...new Set(found.flatMap(({ mac }) => mac ?? []))];
  const mac = macs.length === 1 ? macs[0] : macs.length === 0 && kept?.interfaceIndex === first.link.index ? kept.mac : undefined;
  const { link } = first;
  return {
    namespace: pod.namespace, name: pod.name, addresses: pod.addresses, interface: link.name, interfaceIndex: link.index, interfaceMac: link.mac,
    ...(mac === undefined ? {} : { mac }),
  };
}

function answerFor(address: string, { ways, neighbours, ports }: HostView, links: ReadonlyMap<number, HostLink>): Answer {
  const way = ways.get(address);
  if (way === undefined || way.kind === 'none') return { reason: `there is no route to ${address}`, open: true };
  if (way.kind === 'local') return { reason: `${address} is an address of this host`, open: false };
  if (way.kind === 'several') return { reason: `there is more than one way to ${address}`, open: false };
  const link = links.get(way.interfaceIndex);
  if (link === undefined) return { reason: `the interface of the route to ${address} is not there`, open: true };
  if (way.kind === 'gateway') return { reason: `${address} is reached by another host, over ${link.name}`, open: false };
  const macs = [...new Set(neighbours.filter((entry) => entry.interfaceIndex === link.index && entry.address === address).map(({ mac }) => mac))];
  const [mac, another] = macs;
  if (link.kind === 'bridge') {
    if (mac === undefined || another !== undefined) return { reason: `no neighbour on ${link.name} is known to have ${address} yet`, open: true };
    return portOf(link, mac, ports, links);
  }
  if (!WORKLOAD_KINDS.has(link.kind)) return { reason: `the route to ${address} leads to ${link.name}, which is no interface of one workload`, open: false };
  const full = address.includes(':') ? 128 : 32;
  // What stands behind a route to more than the pod is more than the pod.
  if (way.prefixLength !== full) return { reason: `${link.name} has a route to more than ${address} (/${way.prefixLength})`, open: false };
  return { found: { link, mac: another === undefined ? mac : undefined } };
}

function portOf(bridge: HostLink, mac: string, ports: readonly PodPort[], links: ReadonlyMap<number, HostLink>): Answer {
  const indexes = [...new Set(ports.filter((port) => port.bridgeIndex === bridge.index && port.mac === mac).map(({ interfaceIndex }) => interfaceIndex))];
  const [index, another] = indexes;
  if (index === undefined) return { reason: `${bridge.name} has not learned behind which port ${mac} is`, open: true };
  if (another !== undefined) return { reason: `${bridge.name} has ${mac} behind more than one port`, open: false };
  const link = links.get(index);
  if (link === undefined) return { reason: `the port of ${bridge.name} behind which ${mac} is is not there`, open: true };
  if (!WORKLOAD_KINDS.has(link.kind)) return { reason: `${mac} is behind ${link.name} of ${bridge.name}, which is no interface of one workload`, open: false };
  return { found: { link, mac } };
}

function isSame(place: PodPlace, link: HostLink | undefined): boolean {
  return link !== undefined && link.name === place.interface && link.mac === place.interfaceMac;
}

function sameAddresses({ addresses }: PodPlace, pod: LocalPod): boolean {
  return addresses.length === pod.addresses.length && addresses.every((address) => pod.addresses.includes(address));
}
