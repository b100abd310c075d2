/**
 * The pure half of the driver: from what the switch has to what it shall have, as flows removed and flows added.
 *
 * Rules in force and connections: a connection goes on unasked while the words of its label, and their stamps, are those of rules in
 * force. A rule that lost packets, or whose filter got another table, gets another stamp with the change that takes effect, so its
 * connections are judged again on their next packet, and get the rule's label anew if it still admits them. Stamps only grow: a
 * rule that comes back after years has no old connections.
 */
import { lostLabels } from '../../compile/lost-labels.js';
import { targetLabels, type Target } from '../../compile/target.js';
import { hash32 } from '../../model/text-hash.js';
import { copyMeters } from './copy-meters.js';
import { baseFlows } from './pipeline/base-flows.js';
import type { Flow, FlowSink } from './pipeline/flow.js';
import { keepsConnections, labelFlows, type Stamped } from './pipeline/label-flows.js';
import { layer2Flows } from './pipeline/layer2-flows.js';
import { tunnelFlows } from './pipeline/tunnel-flows.js';
import { sctpFlows } from './pipeline/sctp-flows.js';
import { controllerFlows, filterFlows, floodFlows, knownPortFlows, learningFlows, LOCAL, localFlows, reportFlows, returnFlows, type BridgePort, type PortDiversion } from './pipeline/port-flows.js';
import type { PortCopy } from './pipeline/copy-flows.js';
import { ENTER } from './pipeline/placement.js';
import { ruleFlowChanges } from './pipeline/rule-flows.js';
import { TABLE } from './pipeline/stages.js';
import type { BridgePorts, CopyTarget, Diversion, OvsTarget } from './target.js';

/** Flows by table, priority and match, each with all of itself as text. */
export type FlowImage = ReadonlyMap<string, { readonly flow: Flow; readonly text: string }>;

export interface Actual {
  readonly target: Target;
  /** Number of each rule table in the switch, by key. Never 0. */
  readonly numbers: ReadonlyMap<string, number>;
  readonly labels: ReadonlyMap<number, Stamped>;
  /** Flows of filters and ports, and those that are always there. */
  readonly image: FlowImage;
  /** All that `image` is made of: it is made anew when this differs. */
  readonly imageSource: string;
  /** The newest stamp ever given. */
  readonly stamp: number;
}

export const NOTHING: Actual = { target: { filters: new Map(), tables: new Map() }, numbers: new Map(), labels: new Map(), image: new Map(), imageSource: '', stamp: 0 };

export interface PlanOptions {
  /** Connections of the switch by which it reports packets to us. */
  readonly controller: number;
  /** Seconds since 1970. */
  readonly now: number;
  /** Others forward, and have flows on the bridge; see placement.ts. */
  readonly beside: boolean;
  /** The datapath's tracker tells SCTP associations apart. */
  readonly tracksSctp: boolean;
}

export interface Plan {
  readonly next: Actual;
  /** Labels whose connections are judged again. */
  readonly lost: ReadonlySet<number>;
}

/** Flows that change go to `sink`, which must let all removals take effect before the additions. */
export function plan(actual: Actual, target: OvsTarget, ports: BridgePorts, options: PlanOptions, sink: FlowSink): Plan {
  const lost = new Set([...lostLabels(actual.target, target)].filter((id) => actual.labels.has(id)));
  const stamp = Math.max(actual.stamp + 1, options.now);
  const numbers = tableNumbers(target, actual.numbers);
  const labels = stampedLabels(actual.labels, target, lost, stamp);
  const imageSource = imageSourceOf(target, ports, numbers, options);
  const image = imageSource === actual.imageSource ? actual.image : flowImage(target, ports, numbers, options);
  for (const [key, compiled] of actual.target.tables) ruleFlowChanges(actual.numbers.get(key) ?? 0, compiled, target.tables.get(key), sink);
  for (const [key, compiled] of target.tables) if (!actual.target.tables.has(key)) ruleFlowChanges(numbers.get(key) ?? 0, undefined, compiled, sink);
  labelChanges(actual.labels, labels, sink);
  if (image !== actual.image) imageChanges(actual.image, image, sink);
  const stampUsed = [...labels.values()].some((label) => label.stamp === stamp);
  return { next: { target, numbers, labels, image, imageSource, stamp: stampUsed ? stamp : actual.stamp }, lost };
}

function imageChanges(before: FlowImage, after: FlowImage, sink: FlowSink): void {
  for (const [key, { flow }] of before) if (!after.has(key)) sink.remove(flow);
  for (const [key, { flow, text }] of after) if (before.get(key)?.text !== text) sink.add(flow);
}

/** All flows of a state. */
export function allFlows(state: Actual, sink: FlowSink): void {
  for (const { flow } of state.image.values()) sink.add(flow);
  for (const label of state.labels.values()) for (const flow of labelFlows(label)) sink.add(flow);
  for (const [key, compiled] of state.target.tables) ruleFlowChanges(state.numbers.get(key) ?? 0, undefined, compiled, sink);
}

/** Numbers by content, so that a restarted agent finds them again; those that are in use keep theirs. */
export function tableNumbers({ tables }: Target, known: ReadonlyMap<string, number>): Map<string, number> {
  const numbers = new Map([...known].filter(([key]) => tables.has(key)));
  const taken = new Set(numbers.values());
  for (const key of [...tables.keys()].sort()) {
    if (numbers.has(key)) continue;
    let number = hash32(key) >>> 0;
    while (number === 0 || taken.has(number)) number = (number + 1) >>> 0;
    taken.add(number);
    numbers.set(key, number);
  }
  return numbers;
}

function stampedLabels(known: ReadonlyMap<number, Stamped>, target: Target, lost: ReadonlySet<number>, stamp: number): Map<number, Stamped> {
  const labels = new Map<number, Stamped>();
  for (const [id, label] of targetLabels(target)) {
    const before = known.get(id);
    if (before === undefined || lost.has(id)) labels.set(id, { label, stamp });
    else labels.set(id, before.label === label ? before : { label, stamp: keepsConnections(before.label) ? before.stamp : stamp });
  }
  return labels;
}

function labelChanges(before: ReadonlyMap<number, Stamped>, after: ReadonlyMap<number, Stamped>, sink: FlowSink): void {
  for (const [id, known] of before) {
    const now = after.get(id);
    if (now === known) continue;
    const kept = new Map(now === undefined ? [] : labelFlows(now).map((flow) => [flowKey(flow), flowText(flow)]));
    for (const flow of labelFlows(known)) if (!kept.has(flowKey(flow))) sink.remove(flow);
  }
  for (const [id, now] of after) {
    const known = before.get(id);
    if (known === now) continue;
    const had = new Map(known === undefined ? [] : labelFlows(known).map((flow) => [flowKey(flow), flowText(flow)]));
    for (const flow of labelFlows(now)) if (had.get(flowKey(flow)) !== flowText(flow)) sink.add(flow);
  }
}

/** Equal for equal images only. */
export function imageSourceOf({ filters, frames, taps, returns, tunnels }: OvsTarget, ports: BridgePorts, numbers: ReadonlyMap<string, number>, { controller, beside, tracksSctp }: PlanOptions): string {
  return asText([[...filters], [...frames], [...taps], [...returns], tunnels, [...ports], [...numbers], controller, beside, tracksSctp]);
}

/** Everything but rule tables and labels. */
export function flowImage(target: OvsTarget, ports: BridgePorts, numbers: ReadonlyMap<string, number>, options: PlanOptions): Map<string, { flow: Flow; text: string }> {
  const image = new Map<string, { flow: Flow; text: string }>();
  const { beside, tracksSctp } = options;
  const put = (wanted: Flow): void => {
    const flow = beside && wanted.table === TABLE.CLASSIFY ? { ...wanted, actions: [...ENTER, ...wanted.actions] } : wanted;
    image.set(flowKey(flow), { flow, text: flowText(flow) });
  };
  const bridge = [...ports].map(([name, { number }]): BridgePort => ({ number, floods: !target.taps.has(name), declared: (target.frames.get(name)?.mac ?? '') !== '' }));
  const own = [...ports.values()].find(({ number }) => number === LOCAL);
  const failOpen = [...target.filters.values()].every((filter) => filter.failOpen);
  const numberOf = (name: string | undefined): number | undefined => ports.get(name ?? '')?.number;
  // A port that is gone is nowhere, too.
  const redirectsOf = (to: readonly Diversion[] | undefined): PortDiversion[] => (to ?? []).map((diversion) => ({ ...diversion, port: numberOf(diversion.port) ?? 0 }));
  const meters = copyMeters(target.frames.values());
  const returns = [...target.returns].flatMap((name) => numberOf(name) ?? []);
  for (const flow of [...baseFlows(beside), ...(tracksSctp ? [] : sctpFlows()), ...knownPortFlows(bridge, failOpen), ...(beside ? controllerFlows() : [...learningFlows(bridge), ...floodFlows(bridge)]), ...reportFlows(bridge, options.controller), ...returnFlows(returns), ...tunnelFlows(target.tunnels), ...localFlows(own?.mac)]) put(flow);
  for (const [name, filter] of target.filters) {
    const port = ports.get(name);
    if (port === undefined) continue;
    const frames = target.frames.get(name);
    const mirrorsOf = (to: readonly CopyTarget[] | undefined): PortCopy[] => (to ?? []).flatMap((copy): PortCopy[] => {
      const copyPort = numberOf(copy.port);
      // Never without its limit.
      const limits = copy.rateLimit === undefined ? [] : meters.get(copy.control);
      return copyPort === undefined || limits === undefined ? [] : [{ ...copy, port: copyPort, ...(limits.length === 0 ? {} : { meters: limits.map(({ id }) => id) }) }];
    });
    const flows = filterFlows({
      number: filter.number, port: port.number, mac: frames?.mac ?? '', rules: filter.table === undefined ? 0 : (numbers.get(filter.table) ?? 0), failOpen: filter.failOpen,
      mirrors: { in: mirrorsOf(frames?.mirrors.in), out: mirrorsOf(frames?.mirrors.out) },
      addresses: frames?.addresses ?? [], guard: frames?.guard, ...(frames?.strict === true ? { strict: true as const } : {}), ...(frames?.learns === true ? { learnedBy: options.controller } : {}), beside,
      redirects: { in: redirectsOf(frames?.redirects.in), out: redirectsOf(frames?.redirects.out) },
    });
    for (const flow of flows) put(flow);
    for (const side of ['out', 'in'] as const) for (const flow of layer2Flows(filter.number, side, frames?.layer2 ?? [])) put(flow);
  }
  return image;
}

function flowKey({ table, priority, match }: Flow): string {
  return `${table} ${priority} ${asText(match)}`;
}

function flowText({ cookie, actions }: Flow): string {
  return `${cookie} ${asText(actions)}`;
}

function asText(value: unknown): string {
  return JSON.stringify(value, (_, item: unknown) => (typeof item === 'bigint' ? `${item}n` : item instanceof Uint8Array ? [...item].join() : item));
}
