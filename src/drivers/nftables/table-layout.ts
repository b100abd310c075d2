/**
 * Chains of one compiled rule table (why so: docs/adr/0005-listable-encoding.md). A classifying rule finds the packet's pair:
 *
 *   default profile   peer address in K..K+3 -> h4|i4|h6|i6 -> R0..R3 = {0, class, pair in, pair out}; K = R2 (in) or R3 (out)
 *   other profiles    R1..R4  something of 16 bytes that nft knows (the label, or the header)
 *   and source ports  peer        -> h4|i4|h6|i6 -> R0..R3 = {0, class, ...}
 *                     source port -> s -> R2..R5 = {0, source port class, 0, 0}
 *                     local       -> local map -> R4 = profile; or a constant
 *                     R1..R4 = {class, 0, source port class, profile} -> p -> R0..R3 = {0, pair, 0, 0}; K = R1
 *
 * and with it the winner of the packet's protocol and port:
 *
 *   K..K+3 = {pair, protocol, port, 0} -> x, else {pair, protocol, block of ports, 1} -> x, else {pair, protocol, port, any} -> r
 *     -> {0, label id, 0, action code}
 *     so that the id falls on the stage's word of the label in R8..R11, and the action code behind it
 *   ct label |= R8..R11; count the id; action code -> verdict
 *
 * Every register that nft sees read was loaded before with something it knows: otherwise the administrator's nft would crash
 * on listing. There is one chain of rules per side, mode and kind of protocol, whatever the number of rules: the kernel walks
 * chains by every path to them when it validates a transaction.
 */
import { CLASS_NONE_6, type CompiledSide, type CompiledTable, type Side } from '../../compile/compiled.js';
import { ACTION_REGISTER, CHAIN, LABEL, LABEL_REGISTER, SETS } from './base-layout.js';
import type { Dialect } from './dialect.js';
import {
  big32, counter, ct, drop, goTo, immediate, inSet, lookup, mask, meta, payload, setCt, verdictMap, type Expression,
} from './expressions.js';
import { rule, type ChainImage, type RuleImage, type SetImage } from './image.js';
import { CT, META, PAYLOAD } from './kernel.js';
import { BLOCK_BITS } from './region-split.js';
import { GUARD_PROFILE, LEVEL, peersMatter, usedSets, type Family, type TableSets } from './table-sets.js';

/** By conntrack tuple (both directions of a connection alike, after NAT), or by the packet's own headers. */
export type Mode = 'connection' | 'packet';
type Variant = 'port' | 'icmp' | 'plain';

export function entryChain(prefix: string, side: Side, mode: Mode): string {
  return `${prefix}_${mode === 'packet' ? 'packet_' : ''}${side}`;
}

/** Some rule asks for an ICMP type. */
export function asksForTypes(compiled: CompiledTable): boolean {
  return compiled.flat.rules.some(({ rule: { icmp } }) => icmp !== undefined);
}

/** Chains in an order in which every chain comes after those it goes to. */
export function tableChains(dialect: Dialect, prefix: string, sets: TableSets, compiled: CompiledTable): ChainImage[] {
  const hasIcmp = asksForTypes(compiled);
  const used = new Set(usedSets(sets, compiled).map((set) => set.name));
  return (['in', 'out'] as const).flatMap((side) =>
    (['connection', 'packet'] as const).flatMap((mode) => new Stage(dialect, prefix, sets, used, compiled, side, mode).chains(hasIcmp)));
}

class Stage {
  private readonly compiledSide: CompiledSide;

  constructor(
    private readonly dialect: Dialect,
    private readonly prefix: string,
    private readonly sets: TableSets,
    private readonly used: ReadonlySet<string>,
    private readonly compiled: CompiledTable,
    private readonly side: Side,
    private readonly mode: Mode,
  ) {
    this.compiledSide = compiled.sides[side];
  }

  chains(hasIcmp: boolean): ChainImage[] {
    const name = entryChain(this.prefix, this.side, this.mode);
    const chains: ChainImage[] = [];
    const entry: RuleImage[] = [];
    const branch = (protocols: SetImage, variant: Variant): void => {
      const chain = { name: `${name}_${variant}`, rules: this.classify(variant) };
      chains.push(chain);
      entry.push(rule(variant === 'icmp' ? 'type and code' : 'ports', this.protocol(0), inSet(protocols.name, 0), goTo(chain.name)));
    };
    // Where no rule asks for a type, ICMP needs no chain of its own.
    if (hasIcmp) branch(SETS.icmpProtocols, 'icmp');
    if (this.mode === 'packet') branch(SETS.portProtocols, 'port');
    entry.push(...this.classify(this.mode === 'packet' ? 'plain' : 'port'));
    return [...chains, { name, rules: entry }];
  }

  /** An address of a set in the local place of the packet, for which no profile was compiled. Stands after the declared ones. */
  private guard(): RuleImage[] {
    if (this.compiledSide.guarded.size === 0) return [];
    return ([4, 6] as const).flatMap((family) =>
      [this.sets.hosts[family], this.sets.intervals[family]].filter((map) => this.used.has(map.name)).map((map) => rule(
        'undeclared address of a set', ...this.dialect.isFamily(family, ADDRESS), this.backdrop(), this.address(family, 'local', ADDRESS), lookup(map.name, ADDRESS, 0),
        NO_SOURCE_PORT, immediate(4, big32(GUARD_PROFILE[this.side])), lookup(this.sets.pairs.name, 1, 5), goTo(CHAIN.guard),
      )));
  }

  private classify(variant: Variant): RuleImage[] {
    const { profiles, defaultProfile } = this.compiledSide;
    const standard = profiles.get(defaultProfile);
    if (standard === undefined) return [rule('no rules', counter, drop)];
    const rules: RuleImage[] = [];
    if (profiles.size > 1) {
      for (const family of [4, 6] as const) for (const local of this.locals(family)) rules.push(...this.byPair(variant, family, local));
    }
    rules.push(...this.guard());
    if (this.bySourcePort(variant)) {
      for (const family of [4, 6] as const) rules.push(...this.byPair(variant, family, undefined));
    } else {
      for (const family of [4, 6] as const) rules.push(...this.byPeer(variant, family));
      const families: readonly (0 | Family)[] = standard.default4 === standard.default6 ? [0] : [4, 6];
      for (const family of families) {
        rules.push(...this.decideSplit(
          'rule table, all other peers', variant, false, 1, ...(family === 0 ? [] : this.dialect.isFamily(family, ADDRESS)),
          immediate(1, sixteen(big32(family === 6 ? standard.default6 : standard.default4))),
        ));
      }
    }
    rules.push(rule('never reached: every region is covered', counter, drop));
    return rules;
  }

  private bySourcePort(variant: Variant): boolean {
    return this.compiled.sourcePorts !== undefined && variant === 'port';
  }

  /** Default profile: the pair stands beside the peer's class. */
  private byPeer(variant: Variant, family: Family): RuleImage[] {
    const key = this.side === 'in' ? 2 : 3;
    // Blocks are a short cut, and every rule costs the kernel when it validates: hosts are the usual peers.
    return this.peers(family).flatMap((map) => this.decideSplit(
      `rule table, peers by ${map.interval ? 'prefix' : 'host'}`, variant, !map.interval, key,
      ...this.dialect.isFamily(family, key + 3), this.address(family, 'peer', key), lookup(map.name, key, 0),
    ));
  }

  /** The pair by class, source port class and profile. `local`: the map that finds this end's profile; undefined = the default profile. */
  private byPair(variant: Variant, family: Family, local: SetImage | undefined): RuleImage[] {
    const rules: RuleImage[] = [];
    const standard = this.compiledSide.profiles.get(this.compiledSide.defaultProfile);
    const sourcePort = this.bySourcePort(variant) ? this.sourcePort() : [NO_SOURCE_PORT];
    const pair = [...sourcePort, ...this.profile(family, local), lookup(this.sets.pairs.name, 1, 0)];
    const what = local === undefined ? '' : `, this end by ${local.interval ? 'prefix' : 'host'}`;
    for (const map of this.peers(family)) {
      rules.push(this.decide(
        `rule table, peers by ${map.interval ? 'prefix' : 'host'}${what}`, variant, 1,
        ...this.dialect.isFamily(family, ADDRESS), this.backdrop(), this.address(family, 'peer', ADDRESS), lookup(map.name, ADDRESS, 0), ...pair,
      ));
    }
    const none = family === 6 && standard?.default4 !== standard?.default6 ? CLASS_NONE_6 : 0;
    rules.push(this.decide(`rule table, other peers${what}`, variant, 1, ...this.dialect.isFamily(family, ADDRESS), immediate(1, sixteen(big32(none))), ...pair));
    return rules;
  }

  /** Maps from peers to classes, in order of lookup. */
  private peers(family: Family): SetImage[] {
    if (!peersMatter(this.compiledSide)) return [];
    return [this.sets.hosts[family], this.sets.intervals[family]].filter((map) => this.used.has(map.name));
  }

  /** Maps from local addresses to profiles, in order of lookup. */
  private locals(family: Family): SetImage[] {
    const maps = this.sets.locals[this.side];
    return [maps.hosts[family], maps.intervals[family]].filter((map) => this.used.has(map.name));
  }

  private profile(family: Family, local: SetImage | undefined): readonly Expression[] {
    return local === undefined ? [immediate(4, big32(this.compiledSide.defaultProfile))] : [this.address(family, 'local', ADDRESS), lookup(local.name, ADDRESS, 4)];
  }

  /** Sixteen bytes in R1..R4 that nft knows and that every packet has. */
  private backdrop(): Expression {
    return this.mode === 'connection' ? ct(CT.labels, 1) : payload(PAYLOAD.network, 0, 16, 1);
  }

  private sourcePort(): readonly Expression[] {
    const load = this.mode === 'connection' ? ct(CT.protoSource, ADDRESS, 0) : payload(PAYLOAD.transport, 0, 2, ADDRESS);
    return [load, lookup(this.sets.sourcePorts.name, ADDRESS, 2)];
  }

  /**
   * The source is the peer of the `in` side and the local end of the `out` side. A connection's source is the original
   * direction's source; its destination the reply direction's source: what NAT made of it.
   */
  private address(family: Family, end: 'peer' | 'local', target: number): Expression {
    const isSource = (this.side === 'in') === (end === 'peer');
    if (this.mode === 'connection') return ct(family === 4 ? CT.sourceIp : CT.sourceIp6, target, isSource ? 0 : 1);
    return family === 4
      ? payload(PAYLOAD.network, isSource ? 12 : 16, 4, target)
      : payload(PAYLOAD.network, isSource ? 8 : 24, 16, target);
  }

  private port(variant: Variant, target: number): Expression {
    if (variant === 'plain') return immediate(target, big32(0));
    if (this.mode === 'packet') return payload(PAYLOAD.transport, variant === 'icmp' ? 0 : 2, 2, target);
    return variant === 'icmp' ? ct(CT.protoDestination, target, 0) : ct(CT.protoSource, target, 1);
  }

  /** A rule that `find`s the pair in register `key` (the three after it are loaded with anything), and goes from there to the verdict. */
  private decide(what: string, variant: Variant, key: number, ...find: readonly Expression[]): RuleImage {
    return rule(what, ...find, ...this.service(variant, key), ...this.judge(this.sets.regions, key));
  }

  /** The same for pairs that may be split: by port, by block where `blocks`, by interval. */
  private decideSplit(what: string, variant: Variant, blocks: boolean, key: number, ...find: readonly Expression[]): RuleImage[] {
    const { exact } = this.sets;
    const rules = [this.decide(what, variant, key, ...find)];
    if (!this.used.has(exact.name)) return rules;
    const ask = [...find, ...this.service(variant, key)];
    const judge = (level: number): readonly Expression[] => [immediate(key + 3, big32(level)), ...this.judge(exact, key)];
    if (blocks && variant === 'port') rules.unshift(rule(`${what}, block of ports`, ...ask, mask(key + 2, BLOCK_MASK), ...judge(LEVEL.block)));
    return [rule(`${what}, one port`, ...ask, ...judge(LEVEL.port)), ...rules];
  }

  private service(variant: Variant, key: number): readonly Expression[] {
    return [this.protocol(key + 1), this.port(variant, key + 2)];
  }

  /** That of the connection: an ICMP error belongs to one of another protocol. */
  private protocol(target: number): Expression {
    return this.mode === 'connection' ? this.dialect.connectionProtocol(target) : meta(META.l4proto, target);
  }

  /** From {pair, protocol, port, any} in K..K+3 to the verdict. */
  private judge(regions: SetImage, key: number): readonly Expression[] {
    const word = LABEL_REGISTER[this.side];
    const action = ACTION_REGISTER[this.side];
    const known = [meta(META.mark, word), meta(META.mark, action), lookup(regions.name, key, word - 1)];
    if (this.mode === 'packet') return [...known, inSet(SETS.ids.name, word), verdictMap(SETS.packetVerdicts.name, action)];
    return [ct(CT.labels, LABEL), ...known, setCt(CT.labels, LABEL), inSet(SETS.ids.name, word), verdictMap(SETS.verdicts.name, action)];
  }
}

/** Of a port in network order. */
const BLOCK_MASK = Uint8Array.of((0xffff << BLOCK_BITS) >>> 8 & 0xff, (0xffff << BLOCK_BITS) & 0xff);

/** R12..R15: addresses and source ports, on their way to a lookup. */
const ADDRESS = 12;

/** R2..R3: source port class 0, over what the peer's lookup left there. */
const NO_SOURCE_PORT = immediate(2, new Uint8Array(8));

function sixteen(word: Uint8Array): Uint8Array {
  const data = new Uint8Array(16);
  data.set(word);
  return data;
}
