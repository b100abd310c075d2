/**
 * Makes the flows of one bridge equal to a target: one atomic bundle a change. Owns the flows with our cookie, meters of our numbers,
 * and the labels of connections in our zone; touches nothing else. Stopping leaves everything enforced; only cleanup() removes it.
 */
import type { LabelInfo } from '../../compile/compiled.js';
import { AgentError } from '../../model/errors.js';
import type { Clock } from '../../platform/clock.js';
import type { Logger } from '../../platform/logger.js';
import { Comparison, category, objectOf, wireKey } from './adopt.js';
import { encodeMatch } from './openflow/match.js';
import { matchFields } from './pipeline/flow.js';
import { layer2Flows } from './pipeline/layer2-flows.js';
import { FlowBundle } from './flow-bundle.js';
import { KnownLabels } from './known-labels.js';
import { deleteByCookie, encodeFlowMod } from './openflow/flow-mod.js';
import type { FlowEntry, FlowFilter } from './openflow/flow-stats.js';
import { CopyMeters, copyMeters } from './copy-meters.js';
import { encodeMeterMod, type Meter } from './openflow/meters.js';
import { buildPortStatsRequest, readPortStats } from './openflow/ports.js';
import type { OpenFlowVersion } from './openflow/constants.js';
import { keepsConnections } from './pipeline/label-flows.js';
import { diversionObject } from './pipeline/copy-flows.js';
import { ANSWER_METER } from './pipeline/learn-flows.js';
import { OTHER_METER, UNKNOWN_PORT } from './pipeline/port-flows.js';
import { wireTable, type Placement } from './pipeline/placement.js';
import { CATEGORY, cookie, COOKIE_MAGIC, COOKIE_MASK, TABLE } from './pipeline/stages.js';
import { allFlows, flowImage, imageSourceOf, NOTHING, plan, tableNumbers, type Actual, type PlanOptions } from './plan.js';
import { targetLabels } from '../../compile/target.js';
import { EMPTY_OVS_TARGET, type BridgePorts, type OvsTarget } from './target.js';

/** One connection to the switch. All reject with AgentError E_KERNEL, retryable, when it is gone. */
export interface SwitchSession {
  readonly version: OpenFlowVersion;
  readonly ports: BridgePorts;
  readonly place: Placement;
  /** All or nothing. They are copied as they come. */
  bundle(messages: Iterable<Uint8Array>): Promise<void>;
  /** Resolves with the number of flows. Tables by our numbers, in the filter and in the flows. */
  dump(filter: FlowFilter, use: (flow: FlowEntry) => void): Promise<number>;
  /** What cannot be in a bundle; resolves when the switch has done all of it. Refusals reject, and say nothing of the others. */
  send(...messages: readonly Uint8Array[]): Promise<void>;
  /** A multipart request; `use` gets each part of the answer. */
  read(message: Uint8Array, use: (part: Uint8Array) => void): Promise<void>;
}

export interface OvsDriverOptions {
  /** Rejects with E_KERNEL, retryable, while there is none. Another object than last time = another connection. */
  readonly session: () => SwitchSession;
  readonly clock: Clock;
  readonly log: Logger;
  /** Name of the bridge, for messages. */
  readonly bridge: string;
  readonly controller: number;
  /** The datapath's tracker tells SCTP associations apart: the kernel's does. False where it is not known. */
  readonly tracksSctp: () => boolean;
  /** Resolves at the end of the round in which the switch next looks at every cached flow (ovs-vswitchd's revalidator/wait). */
  readonly nextRound: () => Promise<void>;
}

export interface Applied {
  readonly changed: boolean;
  /** Flows written. */
  readonly elements: number;
  /** Rules whose connections are judged again. */
  readonly lost: number;
}

export interface FlowCounter {
  readonly packets: bigint;
  readonly bytes: bigint;
}

export interface DivertedCounter extends FlowCounter {
  /** Copies that a limit did not let pass. */
  readonly capped: bigint;
}

const WHOLE_COOKIE = 0xffff_ffff_ffff_ffffn;
const OURS: FlowFilter = { cookie: COOKIE_MAGIC << 48n, cookieMask: COOKIE_MASK };
/** Reports to the agent a second and port; what exceeds it is counted by the meter, not sent. */
const REPORT_RATE = 1000;
const REPORT_BURST = 2000;
const ROUND_PAUSE_MS = 2;

export class OvsDriver {
  private actual: Actual = NOTHING;
  private wanted: OvsTarget = EMPTY_OVS_TARGET;
  /** The connection whose switch has `actual`; undefined = to be read again. */
  private known: SwitchSession | undefined;
  private meters = new Set<number>();
  private readonly copyMeters = new CopyMeters();

  constructor(private readonly options: OvsDriverOptions) {}

  get labels(): ReadonlyMap<number, LabelInfo> {
    return new Map([...this.actual.labels].map(([id, { label }]) => [id, label]));
  }

  /** Label ids that the switch holds and the keys they were given for: they must keep them. Call before compiling. */
  async readLabels(): Promise<ReadonlyMap<number, string>> {
    const labels = new KnownLabels();
    await this.options.session().dump(OURS, (entry) => labels.seen(entry));
    return labels.keys;
  }

  /** Makes the target true; writes nothing when it already is. On failure the switch keeps what it had, and the next call reads it. */
  async apply(target: OvsTarget): Promise<Applied> {
    const session = this.options.session();
    this.wanted = target;
    if (this.known !== session) return this.takeOver(session, target);
    return this.change(session, this.actual, target);
  }

  private async change(session: SwitchSession, from: Actual, target: OvsTarget): Promise<Applied> {
    const bundle = new FlowBundle(session.version, session.place);
    const { next, lost } = plan(from, target, session.ports, this.planOptions(session), bundle);
    await this.commit(session, bundle.size, bundle.messages(), next);
    return { changed: bundle.size > 0, elements: bundle.size, lost: lost.size };
  }

  /** First apply on a connection: compares all flows, writes what differs. */
  private async takeOver(session: SwitchSession, target: OvsTarget): Promise<Applied> {
    this.known = undefined;
    this.meters = new Set();
    const entries = new KnownLabels();
    const found = await session.dump({ ...OURS }, (entry) => entries.seen(entry));
    // A bridge without flows of ours: nothing to compare.
    if (found === 0) {
      const applied = await this.change(session, { ...NOTHING, stamp: this.actual.stamp }, target);
      this.options.log.info('ovs.built', { bridge: this.options.bridge, added: applied.elements });
      return applied;
    }
    const numbers = tableNumbers(target, new Map());
    const image = flowImage(target, session.ports, numbers, this.planOptions(session));
    const { now } = this.planOptions(session);
    const newest = Math.max(0, this.actual.stamp, ...entries.stamps.values());
    // As if all labels had kept their stamps ...
    const kept: Actual = {
      target, numbers, image, imageSource: imageSourceOf(target, session.ports, numbers, this.planOptions(session)), stamp: newest,
      labels: new Map([...targetLabels(target)].map(([id, label]) => [id, { label, stamp: entries.stamps.get(id) ?? Math.max(now, newest + 1) }])),
    };
    const compare = async (state: Actual): Promise<ReturnType<Comparison['difference']>> => {
      const comparison = new Comparison(session.version, session.place);
      allFlows(state, comparison);
      await session.dump(OURS, (entry) => comparison.seen(entry));
      return comparison.difference();
    };
    let difference = await compare(kept);
    let state = kept;
    let lost = 0;
    if (difference.removals.length > 0 || difference.missing.length > 0) {
      // ... but connections may have been admitted by what the switch has instead: those of the tables that differ are judged again.
      const suspect = suspectLabels(kept, difference.cookies);
      const stamp = Math.max(now, newest + 1);
      lost = suspect.size;
      state = { ...kept, stamp, labels: new Map([...kept.labels].map(([id, stamped]) => [id, suspect.has(id) ? { ...stamped, stamp } : stamped])) };
      difference = await compare(state);
    }
    const bundle = new FlowBundle(session.version, session.place);
    for (const flow of difference.missing) bundle.add(flow);
    const changes = difference.removals.length + bundle.size;
    await this.commit(session, changes, concatenated(difference.removals, bundle.messages()), state);
    this.options.log.info(changes === 0 ? 'ovs.adopted' : 'ovs.rebuilt', {
      bridge: this.options.bridge, removed: difference.removals.length, added: difference.missing.length, rulesJudgedAgain: lost,
    });
    return { changed: changes > 0, elements: changes, lost };
  }

  /**
   * Resolves when no packet is treated by flows of before the last change any more: the switch caches what flows make of packets, and
   * looks through its cache after each change, in its own time. One round may have begun before the change; the second has not.
   */
  async settled(): Promise<void> {
    const session = this.options.session();
    for (let round = 0; round < 2; round += 1) {
      const ended = this.options.nextRound();
      // A change of no consequence makes a round begin at once, not within half a second.
      const command = round === 0 ? 'add' : 'delete_strict';
      const nobody = { table: wireTable(TABLE.MACS, session.place), priority: 1, cookie: cookie(CATEGORY.learned, 1), match: encodeMatch([{ field: 'reg5', value: 0xffff_ffff }], session.version) };
      await new Promise<void>((resolve) => this.options.clock.after(ROUND_PAUSE_MS, resolve));
      await session.send(encodeFlowMod({ command, ...nobody }, session.version));
      await ended;
    }
  }

  /** Has somebody else changed our flows? Compares all of them. */
  async drifted(): Promise<string | undefined> {
    const session = this.known;
    if (session === undefined) return undefined;
    const compared = this.actual;
    const comparison = new Comparison(session.version, session.place);
    allFlows(compared, comparison);
    await session.dump(OURS, (entry) => comparison.seen(entry));
    // A change of our own came in between: what was read is neither the old state nor the new.
    if (this.actual !== compared || this.known !== session) return undefined;
    const { removals, missing } = comparison.difference();
    if (removals.length === 0 && missing.length === 0) return undefined;
    this.known = undefined;
    return `${missing.length} flows missing or changed, ${removals.length} unknown`;
  }

  /** Packets that each label's rule decided anew, by its flows' counters. */
  async ruleCounters(): Promise<Map<number, FlowCounter>> {
    const counters = new Map<number, FlowCounter>();
    for (const table of [TABLE.OUT_VERDICT, TABLE.IN_VERDICT]) {
      await this.options.session().dump({ ...OURS, table }, (entry) => {
        if (category(entry.cookie) === CATEGORY.labels) add(counters, objectOf(entry.cookie), entry.counters);
      });
    }
    return counters;
  }

  /** What each filter judged and accepted, by filter number. */
  async filterCounters(): Promise<Map<number, Record<'in' | 'out', { judged: FlowCounter; accepted: FlowCounter }>>> {
    const tables = { out: { judged: TABLE.OUT_FILTER, accepted: TABLE.OUT_ACCEPTED }, in: { judged: TABLE.IN_FILTER, accepted: TABLE.IN_ACCEPTED } } as const;
    const found = new Map<number, Record<'in' | 'out', { judged: FlowCounter; accepted: FlowCounter }>>();
    const none = { packets: 0n, bytes: 0n };
    for (const side of ['in', 'out'] as const) {
      for (const what of ['judged', 'accepted'] as const) {
        await this.options.session().dump({ ...OURS, table: tables[side][what] }, (entry) => {
          if (category(entry.cookie) !== CATEGORY.filter) return;
          const number = objectOf(entry.cookie);
          const known = found.get(number) ?? { in: { judged: none, accepted: none }, out: { judged: none, accepted: none } };
          known[side][what] = entry.counters;
          found.set(number, { in: { ...known.in }, out: { ...known.out } });
        });
      }
    }
    // What SpoofGuard drops was judged, and not accepted.
    await this.options.session().dump({ ...OURS, table: TABLE.SPOOF }, ({ cookie: given, counters, instructions }) => {
      const known = found.get(objectOf(given));
      if (category(given) !== CATEGORY.filter || instructions.length > 0 || known === undefined) return;
      const { packets, bytes } = known.out.judged;
      known.out.judged = { packets: packets + counters.packets, bytes: bytes + counters.bytes };
    });
    return found;
  }

  /** What the flows of a TrafficControl took: copies, and what was redirected. What its limit did not let pass is not among them. */
  async diverted(control: string): Promise<DivertedCounter> {
    const session = this.options.session();
    const meters = copyMeters(this.wanted.frames.values()).get(control);
    if (meters !== undefined) return this.limited(session, meters);
    const counters = new Map<string, FlowCounter>();
    await session.dump({ cookie: cookie(CATEGORY.diversions, diversionObject(control)), cookieMask: WHOLE_COOKIE }, (entry) => add(counters, control, entry.counters));
    return { ...(counters.get(control) ?? { packets: 0n, bytes: 0n }), capped: 0n };
  }

  /** Copies pass one meter after the other; each counts what it sees, and what it drops. */
  private async limited(session: SwitchSession, meters: readonly Meter[]): Promise<DivertedCounter> {
    const stats = await this.copyMeters.stats(session);
    const counter = { packets: 0n, bytes: 0n, capped: 0n };
    for (const { id } of meters) {
      const { packets, bytes, bands } = stats.get(id) ?? { packets: 0n, bytes: 0n, bands: [] };
      const [dropped = { packets: 0n, bytes: 0n }] = bands;
      counter.packets = packets - dropped.packets;
      counter.bytes = bytes - dropped.bytes;
      counter.capped += dropped.packets;
    }
    return counter;
  }

  /** Packets that a port had no room for; undefined: it is no port, or nobody counts them. */
  async dropped(port: string): Promise<bigint | undefined> {
    const session = this.options.session();
    const number = session.ports.get(port)?.number;
    if (number === undefined) return undefined;
    let found: bigint | undefined;
    await session.read(buildPortStatsRequest(session.version, number), (part) => readPortStats(part, (stats) => {
      if ((stats.port & 0xffff) === number) found = stats.txDropped;
    }));
    return found;
  }

  /** Frames by "in|out TABLE/RULE" of the layer 2 rules of a filter. */
  async layer2Counters(filter: number): Promise<Map<string, FlowCounter>> {
    const session = this.options.session();
    const rules = new Map<string, string>();
    const [name] = [...this.wanted.filters].find(([, { number }]) => number === filter) ?? [];
    const bindings = (name === undefined ? undefined : this.wanted.frames.get(name)?.layer2) ?? [];
    for (const side of ['in', 'out'] as const) {
      for (const flow of layer2Flows(filter, side, bindings)) {
        if (flow.rule !== undefined) rules.set(wireKey(flow.table, flow.priority, encodeMatch(matchFields(flow.match), session.version)), `${side} ${flow.rule.table}/${flow.rule.id}`);
      }
    }
    const counters = new Map<string, FlowCounter>();
    for (const table of rules.size === 0 ? [] : [TABLE.OUT_L2, TABLE.IN_L2]) {
      await session.dump({ ...OURS, table }, (entry) => {
        const rule = rules.get(wireKey(entry.table, entry.priority, entry.match));
        if (rule !== undefined) add(counters, rule, entry.counters);
      });
    }
    return counters;
  }

  /** Somebody else changed flows of ours: the next apply compares all of them. */
  distrust(): void {
    this.known = undefined;
  }

  /** Forgets the addresses that were learned at a port: they are elsewhere now, and its number may become another's. */
  async forgetAddresses(port: number): Promise<void> {
    const session = this.options.session();
    await session.send(...[port, UNKNOWN_PORT].map((object) => encodeFlowMod(deleteByCookie(cookie(CATEGORY.learned, object), WHOLE_COOKIE), session.version)));
  }

  /** Removes our flows. The only thing that ends enforcement; on a bridge in secure mode nothing is forwarded then. */
  async cleanup(): Promise<void> {
    const session = this.options.session();
    await session.bundle([encodeFlowMod(deleteByCookie(COOKIE_MAGIC << 48n, COOKIE_MASK), session.version)]);
    await this.copyMeters.prepare(session, []);
    await this.copyMeters.finish(session, []);
    this.actual = { ...NOTHING, stamp: this.actual.stamp };
    this.known = undefined;
  }

  private planOptions({ place }: SwitchSession): PlanOptions {
    return { controller: this.options.controller, now: Math.floor(this.options.clock.now() / 1000), beside: place.next !== undefined, tracksSctp: this.options.tracksSctp() };
  }

  private async commit(session: SwitchSession, changes: number, messages: Iterable<Uint8Array>, next: Actual): Promise<void> {
    const limits = [...copyMeters(this.wanted.frames.values()).values()].flat();
    await this.copyMeters.prepare(session, limits);
    if (changes > 0) {
      this.known = undefined;
      try {
        await this.makeMeters(session);
        await session.bundle(messages);
      } catch (error) {
        if (error instanceof AgentError) throw error;
        throw new AgentError('E_KERNEL', `the change could not be sent: ${error instanceof Error ? error.message : String(error)}`, {
          object: this.options.bridge, retryable: true, cause: error,
        });
      }
    }
    this.actual = next;
    this.known = session;
    await this.copyMeters.finish(session, limits);
  }

  /** A meter for each port, before a flow names it. */
  private async makeMeters(session: SwitchSession): Promise<void> {
    const missing = [OTHER_METER, ANSWER_METER, ...[...session.ports.values()].map(({ number }) => number)].filter((id) => !this.meters.has(id));
    if (missing.length === 0) return;
    const message = (command: 'add' | 'modify', id: number): Uint8Array =>
      encodeMeterMod(command, { id, unit: 'packets', burst: true, stats: true, bands: [{ rate: REPORT_RATE, burst: REPORT_BURST }] }, session.version);
    try {
      await session.send(...missing.map((id) => message('add', id)));
    } catch {
      // Some are there from an earlier run: make them ours.
      for (const id of missing) await session.send(message('add', id)).catch(() => session.send(message('modify', id)));
    }
    for (const id of missing) this.meters.add(id);
  }
}

function* concatenated(...parts: readonly Iterable<Uint8Array>[]): Generator<Uint8Array, void, undefined> {
  for (const part of parts) yield* part;
}

/** Labels that keep connections, of tables of which some flow differs; all of them where a difference is nobody's table. */
function suspectLabels(state: Actual, cookies: ReadonlySet<bigint>): Set<number> {
  const tables = new Set<number>();
  const labels = new Set<number>();
  let all = false;
  for (const entry of cookies) {
    const kind = category(entry);
    if (kind === CATEGORY.addresses || kind === CATEGORY.regions) tables.add(objectOf(entry));
    else if (kind === CATEGORY.labels) labels.add(objectOf(entry));
    else if (kind === CATEGORY.filter) all = true;
  }
  const suspect = new Set<number>();
  for (const [key, compiled] of state.target.tables) {
    const differs = all || tables.has(state.numbers.get(key) ?? 0);
    for (const label of compiled.labels.values()) if (keepsConnections(label) && (differs || labels.has(label.id))) suspect.add(label.id);
  }
  return suspect;
}

function add<K>(counters: Map<K, FlowCounter>, id: K, { packets, bytes }: FlowCounter): void {
  const known = counters.get(id);
  counters.set(id, { packets: packets + (known?.packets ?? 0n), bytes: bytes + (known?.bytes ?? 0n) });
}
