/** Flows of one compiled rule table: all of them, or what differs from the compilation before. */
import type { IntervalClasses } from '../../../compile/classes.js';
import {
  CLASS_NONE_6, hostDelta, repaintedPairs, type CompiledSide, type CompiledTable, type HostMove, type Profile, type Side,
} from '../../../compile/compiled.js';
import type { Key6 } from '../../../compile/key6.js';
import { equalSegments, UNDERLYING, type Segments } from '../../../compile/regions.js';
import { prefixes4, prefixes6 } from './address-cover.js';
import { goTo, register, set, type Flow, type FlowSink, type MatchValues } from './flow.js';
import { hostSink, type HostPattern, type HostSink } from './host-flows.js';
import { coverServices, portShape, type ServiceMatch } from './service-cover.js';
import { CATEGORY, cookie, REGISTER, SIDE } from './stages.js';

const SIDES = ['in', 'out'] as const;
type Family = 4 | 6;
const FAMILIES = [4, 6] as const;
const ETH_TYPE = { 4: 0x0800, 6: 0x86dd } as const;

/** Of address flows: a host wins over the prefix around it, a declared address over the guard. */
const PRIORITY = { host: 200, prefix: 100, guardHost: 60, guardPrefix: 50, otherwise: 10 } as const;

/**
 * Changes from `before` to `after` for rule table `number` (undefined: nothing in the switch; nothing wanted). What is removed and what is
 * added never have the same match in the same table and priority but where the actions differ: then the addition comes last and replaces.
 */
export function ruleFlowChanges(number: number, before: CompiledTable | undefined, after: CompiledTable | undefined, sink: FlowSink): void {
  if (before === after) return;
  const flows = new RuleFlows(number, sink);
  const delta = before === undefined || after === undefined ? undefined : hostDelta(before, after);
  if (delta !== undefined && before !== undefined && after !== undefined && sameFamilies(before, after)) {
    for (const side of SIDES) {
      const { guarded } = after.sides[side];
      flows.moves(side, delta.locals[side].hosts4, delta.locals[side].hosts6, 'local');
      if (peersMatter(after.sides[side])) flows.moves(side, delta.hosts4, delta.hosts6, 'peer');
      if (guarded.size > 0) flows.guardMoves(side, guarded, delta.hosts4, delta.hosts6);
    }
    return;
  }
  for (const side of SIDES) {
    flows.locals(side, before?.sides[side], after?.sides[side]);
    flows.guards(side, before, after);
    flows.peers(side, before, after);
    flows.sourcePorts(side, before, after);
    flows.pairs(side, before?.sides[side], after?.sides[side], before?.sourcePorts !== undefined, after?.sourcePorts !== undefined);
    flows.regions(side, before, after);
  }
}

/** Some profile tells peers apart by address. */
function peersMatter({ profiles }: CompiledSide): boolean {
  for (const profile of profiles.values()) {
    for (const key of profile.pairs.keys()) if (!isNone(key % 0x1_0000_0000)) return true;
  }
  return false;
}

function isNone(classNumber: number): boolean {
  return classNumber === 0 || classNumber === CLASS_NONE_6;
}

/** Families of which the table's sets have addresses: pairs of other peers need no flows for them. */
function hasFamily({ classes }: CompiledTable, family: Family): boolean {
  return family === 4 ? classes.hosts4.size > 0 || classes.intervals4.first.length > 0 : classes.hosts6.size > 0 || classes.intervals6.first.length > 0;
}

function sameFamilies(a: CompiledTable, b: CompiledTable): boolean {
  return FAMILIES.every((family) => hasFamily(a, family) === hasFamily(b, family));
}

/** What an address is looked up for. */
type Purpose = 'local' | 'peer' | 'guard';

const NO_MAP: ReadonlyMap<never, number> = new Map<never, number>();
const NO_INTERVALS = { first: [], last: [], classes: [] } as const;

class RuleFlows {
  private readonly sink: HostSink;
  private readonly patterns = new Map<string, HostPattern>();

  constructor(private readonly number: number, sink: FlowSink) {
    this.sink = hostSink(sink);
  }

  // ---- Addresses ----------------------------------------------------------------------------------------------------

  locals(side: Side, before: CompiledSide | undefined, after: CompiledSide | undefined): void {
    this.hosts(side, 'local', 4, before?.locals4 ?? NO_MAP, after?.locals4 ?? NO_MAP);
    this.hosts(side, 'local', 6, before?.locals6 ?? NO_MAP, after?.locals6 ?? NO_MAP);
    this.intervals4(side, 'local', before?.localIntervals4 ?? NO_INTERVALS, after?.localIntervals4 ?? NO_INTERVALS);
    this.intervals6(side, 'local', before?.localIntervals6 ?? NO_INTERVALS, after?.localIntervals6 ?? NO_INTERVALS);
    if (before?.defaultProfile === after?.defaultProfile) return;
    const flow = (standard: number): Flow => ({
      table: SIDE[side].local, priority: PRIORITY.otherwise, cookie: cookie(CATEGORY.regions, this.number),
      match: this.table(side), actions: [set(REGISTER.profile, standard), goTo(SIDE[side].peer)],
    });
    if (before !== undefined && after === undefined) this.sink.remove(flow(before.defaultProfile));
    if (after !== undefined) this.sink.add(flow(after.defaultProfile));
  }

  peers(side: Side, before: CompiledTable | undefined, after: CompiledTable | undefined): void {
    const old = before !== undefined && peersMatter(before.sides[side]) ? before.classes : undefined;
    const fresh = after !== undefined && peersMatter(after.sides[side]) ? after.classes : undefined;
    if (old === fresh) return;
    this.hosts(side, 'peer', 4, old?.hosts4 ?? NO_MAP, fresh?.hosts4 ?? NO_MAP);
    this.hosts(side, 'peer', 6, old?.hosts6 ?? NO_MAP, fresh?.hosts6 ?? NO_MAP);
    this.intervals4(side, 'peer', old?.intervals4 ?? NO_INTERVALS, fresh?.intervals4 ?? NO_INTERVALS);
    this.intervals6(side, 'peer', old?.intervals6 ?? NO_INTERVALS, fresh?.intervals6 ?? NO_INTERVALS);
  }

  /** Addresses of guarded classes in the local place: refused, but for those that have a profile. */
  guards(side: Side, before: CompiledTable | undefined, after: CompiledTable | undefined): void {
    const old = before?.sides[side].guarded ?? new Set<number>();
    const fresh = after?.sides[side].guarded ?? new Set<number>();
    if ((old.size === 0 && fresh.size === 0) || (before?.classes === after?.classes && old === fresh)) return;
    const only = <K>(map: ReadonlyMap<K, number> | undefined, guarded: ReadonlySet<number>): ReadonlyMap<K, number> =>
      new Map([...(map ?? [])].flatMap(([key, id]): [K, number][] => (guarded.has(id) ? [[key, 1]] : [])));
    const ranges = <T>(list: IntervalClasses<T> | undefined, guarded: ReadonlySet<number>): IntervalClasses<T> => {
      const kept = (list?.classes ?? []).flatMap((id, index) => (guarded.has(id) ? [index] : []));
      return {
        first: kept.flatMap((index) => list?.first[index] ?? []), last: kept.flatMap((index) => list?.last[index] ?? []), classes: kept.map(() => 1),
      };
    };
    this.hosts(side, 'guard', 4, only(before?.classes.hosts4, old), only(after?.classes.hosts4, fresh));
    this.hosts(side, 'guard', 6, only(before?.classes.hosts6, old), only(after?.classes.hosts6, fresh));
    this.intervals4(side, 'guard', ranges(before?.classes.intervals4, old), ranges(after?.classes.intervals4, fresh));
    this.intervals6(side, 'guard', ranges(before?.classes.intervals6, old), ranges(after?.classes.intervals6, fresh));
  }

  moves(side: Side, hosts4: readonly HostMove<number>[], hosts6: readonly HostMove<Key6>[], purpose: Purpose): void {
    for (const { address, from, to } of hosts4) this.move(side, purpose, 4, address, from, to);
    for (const { address, from, to } of hosts6) this.move(side, purpose, 6, address, from, to);
  }

  guardMoves(side: Side, guarded: ReadonlySet<number>, hosts4: readonly HostMove<number>[], hosts6: readonly HostMove<Key6>[]): void {
    const flag = (id: number): number => (guarded.has(id) ? 1 : 0);
    for (const { address, from, to } of hosts4) this.move(side, 'guard', 4, address, flag(from), flag(to));
    for (const { address, from, to } of hosts6) this.move(side, 'guard', 6, address, flag(from), flag(to));
  }

  private hosts<K extends number | Key6>(side: Side, purpose: Purpose, family: Family, before: ReadonlyMap<K, number>, after: ReadonlyMap<K, number>): void {
    if (before === after) return;
    const { sink } = this;
    const pattern = this.pattern(side, purpose, family);
    for (const [address, value] of before) if (value !== 0 && !after.has(address)) sink.removeHost(pattern, address);
    for (const [address, value] of after) {
      if (value !== 0 && before.get(address) !== value) sink.addHost(pattern, address, value);
      else if (value === 0 && (before.get(address) ?? 0) !== 0) sink.removeHost(pattern, address);
    }
  }

  /** 0 = no flow. */
  private move(side: Side, purpose: Purpose, family: Family, address: number | Key6, from: number, to: number): void {
    if (from === to) return;
    const pattern = this.pattern(side, purpose, family);
    if (to === 0) this.sink.removeHost(pattern, address);
    else this.sink.addHost(pattern, address, to);
  }

  private pattern(side: Side, purpose: Purpose, family: Family): HostPattern {
    const key = `${side} ${purpose} ${family}`;
    let pattern = this.patterns.get(key);
    if (pattern === undefined) {
      const bits = family === 4 ? 32 : 128;
      pattern = { family, valued: purpose !== 'guard', flow: (address, value) => this.address(side, purpose, family, address, bits, value) };
      this.patterns.set(key, pattern);
    }
    return pattern;
  }

  private intervals4(side: Side, purpose: Purpose, before: IntervalClasses<number>, after: IntervalClasses<number>): void {
    this.intervals(side, purpose, 4, before, after, prefixes4);
  }

  private intervals6(side: Side, purpose: Purpose, before: IntervalClasses<Key6>, after: IntervalClasses<Key6>): void {
    this.intervals(side, purpose, 6, before, after, prefixes6);
  }

  private intervals<T extends number | Key6>(
    side: Side, purpose: Purpose, family: Family, before: IntervalClasses<T>, after: IntervalClasses<T>,
    prefixes: (first: T, last: T) => readonly { readonly address: T; readonly bits: number }[],
  ): void {
    if (before === after) return;
    const entries = (list: IntervalClasses<T>): Map<string, number> => {
      const map = new Map<string, number>();
      list.first.forEach((first, index) => map.set(`${first}\n${list.last[index]}\n${list.classes[index]}`, index));
      return map;
    };
    const old = entries(before);
    const fresh = entries(after);
    // One prefix may end with one interval and begin with another: then it is replaced, not removed.
    const gone = new Map<string, () => void>();
    const each = (list: IntervalClasses<T>, index: number, visit: (address: T, bits: number, value: number) => void): void => {
      const first = list.first[index];
      const last = list.last[index];
      if (first === undefined || last === undefined) return;
      for (const { address, bits } of prefixes(first, last)) visit(address, bits, list.classes[index] ?? 0);
    };
    for (const [text, index] of old) {
      if (fresh.has(text)) continue;
      each(before, index, (address, bits, value) => {
        gone.set(`${address}/${bits}`, () => this.sink.remove(this.address(side, purpose, family, address, bits, value, true)));
      });
    }
    for (const [text, index] of fresh) {
      if (old.has(text)) continue;
      each(after, index, (address, bits, value) => {
        gone.delete(`${address}/${bits}`);
        this.sink.add(this.address(side, purpose, family, address, bits, value, true));
      });
    }
    for (const remove of gone.values()) remove();
  }

  private address(side: Side, purpose: Purpose, family: Family, address: number | Key6, bits: number, value: number, interval = false): Flow {
    const stage = SIDE[side];
    // The source is the peer of the `in` side and the local end of the `out` side.
    const isSource = (side === 'in') === (purpose === 'peer');
    const field = family === 4 ? (isSource ? 'ip_src' : 'ip_dst') : isSource ? 'ipv6_src' : 'ipv6_dst';
    const match: MatchValues = { ...this.table(side), eth_type: ETH_TYPE[family] };
    if (bits > 0) match[field] = { address, bits };
    const where = purpose === 'peer' ? stage.peer : stage.local;
    const [host, prefix] = purpose === 'guard' ? [PRIORITY.guardHost, PRIORITY.guardPrefix] : [PRIORITY.host, PRIORITY.prefix];
    return {
      table: where, priority: interval ? prefix : host, cookie: cookie(CATEGORY.addresses, this.number), match,
      actions: purpose === 'guard' ? [] : purpose === 'peer' ? [set(REGISTER.class, value), goTo(stage.sourcePort)] : [set(REGISTER.profile, value), goTo(stage.peer)],
    };
  }

  private table(side: Side): MatchValues {
    return { [register(side === 'out' ? REGISTER.fromRules : REGISTER.toRules)]: this.number };
  }

  // ---- Source ports, pairs --------------------------------------------------------------------------------------------

  sourcePorts(side: Side, before: CompiledTable | undefined, after: CompiledTable | undefined): void {
    const old = before?.sourcePorts;
    const fresh = after?.sourcePorts;
    if (old === fresh || (JSON.stringify(old?.starts) === JSON.stringify(fresh?.starts) && JSON.stringify(old?.classes) === JSON.stringify(fresh?.classes))) return;
    for (const [classes, op] of [[old, 'remove'], [fresh, 'add']] as const) {
      classes?.starts.forEach((start, index) => {
        const value = classes.classes[index] ?? 0;
        if (value === 0) return;
        for (const { address, bits } of prefixes4(start, (classes.starts[index + 1] ?? 0x10000) - 1)) {
          for (const family of FAMILIES) for (const [protocol, field] of SOURCE_PORT_FIELDS) {
            this.sink[op]({
              table: SIDE[side].sourcePort, priority: PRIORITY.prefix, cookie: cookie(CATEGORY.regions, this.number),
              match: { ...this.table(side), eth_type: ETH_TYPE[family], ip_proto: protocol, [field]: { address, bits: bits - 16, of: 16 } },
              actions: [set(REGISTER.sourcePortClass, value), goTo(SIDE[side].pair)],
            });
          }
        }
      });
    }
  }

  pairs(side: Side, before: CompiledSide | undefined, after: CompiledSide | undefined, oldPorts: boolean, freshPorts: boolean): void {
    if (before === after) return;
    for (const [id, profile] of before?.profiles ?? []) {
      const now = after?.profiles.get(id);
      if (now === profile && oldPorts === freshPorts) continue;
      const kept = now === undefined ? new Map<string, unknown>() : pairFlows(now, freshPorts);
      for (const [key, flow] of pairFlows(profile, oldPorts)) if (!kept.has(key)) this.sink.remove(this.pair(side, id, flow));
    }
    for (const [id, profile] of after?.profiles ?? []) {
      const was = before?.profiles.get(id);
      if (was === profile && oldPorts === freshPorts) continue;
      const had = was === undefined ? new Map<string, PairFlow>() : pairFlows(was, oldPorts);
      for (const [key, flow] of pairFlows(profile, freshPorts)) {
        const old = had.get(key);
        if (old?.pair !== flow.pair || old.standard !== flow.standard) this.sink.add(this.pair(side, id, flow));
      }
    }
  }

  private pair(side: Side, profile: number, { match, priority, pair, standard }: PairFlow): Flow {
    return {
      table: SIDE[side].pair, priority, cookie: cookie(CATEGORY.regions, this.number),
      match: { ...this.table(side), [register(REGISTER.profile)]: profile, ...match },
      actions: [set(REGISTER.pair, pair), set(REGISTER.defaultPair, standard), goTo(SIDE[side].region)],
    };
  }

  // ---- Regions ------------------------------------------------------------------------------------------------------

  regions(side: Side, before: CompiledTable | undefined, after: CompiledTable | undefined): void {
    const old = regionUses(before, side);
    const fresh = regionUses(after, side);
    const repainted = before === undefined || after === undefined || !sameFamilies(before, after) ? undefined : repaintedPairs(before, after);
    const unchanged = (pair: number): boolean => repainted !== undefined && !repainted.has(pair) && old.has(pair) && fresh.has(pair);
    for (const [pair, use] of old) {
      if (unchanged(pair)) continue;
      const now = fresh.get(pair);
      if (now !== undefined && sameUse(use, now)) continue;
      const kept = now === undefined ? undefined : this.services(side, pair, now);
      for (const [key, flow] of this.services(side, pair, use)) if (kept?.has(key) !== true) this.sink.remove(flow);
    }
    for (const [pair, use] of fresh) {
      if (unchanged(pair)) continue;
      const was = old.get(pair);
      if (was !== undefined && sameUse(was, use)) continue;
      const had = was === undefined ? undefined : this.services(side, pair, was);
      for (const [key, flow] of this.services(side, pair, use)) if (had?.get(key)?.winner !== flow.winner) this.sink.add(flow);
    }
  }

  private services(side: Side, pair: number, { segments, standard, families, open }: RegionUse): Map<string, ServiceFlow> {
    const stage = SIDE[side];
    const flows = new Map<string, ServiceFlow>();
    for (const service of coverServices(segments, open)) {
      for (const family of FAMILIES) {
        if ((families & (family === 4 ? 1 : 2)) === 0) continue;
        const match = serviceMatch(family, service);
        if (match === undefined) continue;
        const priority = PRIORITY.otherwise + (service.protocol === undefined ? 0 : 1 + service.bits);
        flows.set(`${family} ${service.protocol ?? 'any'} ${service.port} ${service.bits}`, {
          table: standard ? stage.standard : stage.region, priority, cookie: cookie(CATEGORY.regions, this.number), winner: service.winner,
          match: { ...this.table(side), [register(standard ? REGISTER.defaultPair : REGISTER.pair)]: pair, ...match },
          actions: service.winner === UNDERLYING ? [goTo(stage.standard)] : [set(REGISTER.label, service.winner), goTo(stage.verdict)],
        });
      }
    }
    return flows;
  }
}

interface ServiceFlow extends Flow {
  readonly winner: number;
}

const SOURCE_PORT_FIELDS = [[6, 'tcp_src'], [17, 'udp_src'], [132, 'sctp_src']] as const;
const PORT_FIELD: ReadonlyMap<number, 'tcp_dst' | 'udp_dst' | 'sctp_dst'> = new Map([[6, 'tcp_dst'], [17, 'udp_dst'], [132, 'sctp_dst']]);

/** Undefined: no packet of this family is so. */
function serviceMatch(family: Family, { protocol, port, bits }: ServiceMatch): MatchValues | undefined {
  const match: MatchValues = { eth_type: ETH_TYPE[family] };
  if (protocol === undefined) return match;
  match.ip_proto = protocol;
  if (bits === 0) return match;
  if (portShape(protocol) === 'types') {
    // The other family's ICMP has no type that could be matched.
    if ((protocol === 1) !== (family === 4)) return undefined;
    match[family === 4 ? 'icmp_type' : 'icmpv6_type'] = port >>> 8;
    if (bits > 8) match[family === 4 ? 'icmp_code' : 'icmpv6_code'] = port & 0xff;
    return match;
  }
  const field = PORT_FIELD.get(protocol);
  if (field !== undefined) match[field] = { address: port, bits, of: 16 };
  return match;
}

interface PairFlow {
  readonly match: MatchValues;
  readonly priority: number;
  readonly pair: number;
  readonly standard: number;
}

/** How the packets of one profile get their pair: by class and source port class, by source port class, by family. Keyed by match. */
function pairFlows(profile: Profile, byPort: boolean): Map<string, PairFlow> {
  const flows = new Map<string, PairFlow>();
  const split = profile.default4 !== profile.default6;
  for (const [key, pair] of profile.pairs) {
    const classNumber = key % 0x1_0000_0000;
    const port = Math.floor(key / 0x1_0000_0000);
    if (isNone(classNumber) && (port === 0 || pair === profile.default4 || pair === profile.default6)) continue;
    // What the pair leaves open is decided as for peers in no set, of the packet's family.
    for (const family of split ? FAMILIES : ([4] as const)) {
      if (split && isNone(classNumber) && (classNumber === 0) !== (family === 4)) continue;
      const match: MatchValues = isNone(classNumber) ? {} : { [register(REGISTER.class)]: classNumber };
      if (split) match.eth_type = ETH_TYPE[family];
      if (byPort) match[register(REGISTER.sourcePortClass)] = port;
      flows.set(`${classNumber} ${byPort ? port : ''} ${split ? family : ''}`, {
        match, priority: isNone(classNumber) ? 20 : 30, pair, standard: family === 4 ? profile.default4 : profile.default6,
      });
    }
  }
  for (const family of split ? FAMILIES : ([4] as const)) {
    flows.set(`standard ${split ? family : ''}`, {
      match: split ? { eth_type: ETH_TYPE[family] } : {}, priority: PRIORITY.otherwise, pair: 0, standard: family === 4 ? profile.default4 : profile.default6,
    });
  }
  return flows;
}

interface RegionUse {
  readonly segments: Segments;
  /** Stands in the table of default pairs. */
  readonly standard: boolean;
  /** Bit 0: IPv4, bit 1: IPv6. */
  readonly families: number;
  readonly open: number | undefined;
}

function sameUse(a: RegionUse, b: RegionUse): boolean {
  return a.standard === b.standard && a.families === b.families && a.open === b.open && equalSegments(a.segments, b.segments);
}

/** The pairs of a side that are looked up, and by which packets. A pair is never both a default and another. */
function regionUses(compiled: CompiledTable | undefined, side: Side): Map<number, RegionUse> {
  const uses = new Map<number, RegionUse>();
  if (compiled === undefined) return uses;
  const note = (pair: number, standard: boolean, families: number, layered: boolean): void => {
    const segments = compiled.regions.get(pair);
    if (segments === undefined) return;
    const known = uses.get(pair);
    uses.set(pair, { segments, standard, families: families | (known?.families ?? 0), open: layered && !standard ? UNDERLYING : undefined });
  };
  const held = (hasFamily(compiled, 4) ? 1 : 0) | (hasFamily(compiled, 6) ? 2 : 0);
  for (const profile of compiled.sides[side].profiles.values()) {
    const { default4, default6, layered } = profile;
    note(default4, true, default4 === default6 ? 3 : 1, layered);
    note(default6, true, default4 === default6 ? 3 : 2, layered);
    for (const [key, pair] of profile.pairs) {
      if (pair === default4 || pair === default6) continue;
      note(pair, false, isNone(key % 0x1_0000_0000) ? 3 : held, layered);
    }
  }
  return uses;
}
