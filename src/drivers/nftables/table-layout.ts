/**
 * Chains and sets of one compiled rule table (why so: docs/adr/0005-listable-encoding.md). Registers in a classifying rule:
 *
 *   R1..R4     something of 16 bytes that nft knows (the label, or the header): what it believes the keys below to be
 *   peer       -> h4|i4|h6|i6 -> R0..R3 = {0, class, 0, 0}
 *   source port (tables with such rules) -> s -> R2..R5 = {0, source port class, 0, 0}
 *   local      -> local map -> R4 = profile; or a constant
 *   R1..R4 = {class, 0, source port class, profile} -> p -> R0..R3 = {0, pair, 0, 0}
 *   R2 = protocol, R3 = port; R1..R4 = {pair, protocol, port, any} -> r -> {0, label id, 0, action code}
 *     so that the id falls on the stage's word of the label in R6..R9, and the action code behind the label
 *   ct label |= R6..R9; count the id; action code -> verdict
 *
 * Every register that nft sees read was loaded before with something it knows: otherwise the administrator's nft would crash
 * on listing. There is one chain of rules per side, mode and kind of protocol, whatever the number of rules: the kernel walks
 * chains by every path to them when it validates a transaction.
 */
import { CLASS_NONE_6, type CompiledSide, type CompiledTable, type Side } from '../../compile/compiled.js';
import { ACTION_REGISTER, CHAIN, LABEL_REGISTER, SETS } from './base-layout.js';
import {
  big32, byte, counter, ct, drop, equal, goTo, immediate, inSet, lookup, meta, payload, setCt, verdictMap, type Expression,
} from './expressions.js';
import { rule, type ChainImage, type RuleImage, type SetImage } from './image.js';
import { CT, FAMILY, META, PAYLOAD, TYPE } from './kernel.js';

/** By conntrack tuple (both directions of a connection alike, after NAT), or by the packet's own headers. */
export type Mode = 'connection' | 'packet';
type Variant = 'port' | 'icmp' | 'plain';
type Family = 4 | 6;

/** Profile numbers that mean "is a guarded local address". */
export const GUARD_PROFILE = { in: 0xfffffff1, out: 0xfffffff2 } as const;

export interface AddressMaps {
  readonly hosts: Readonly<Record<Family, SetImage>>;
  readonly intervals: Readonly<Record<Family, SetImage>>;
}
export interface TableSets extends AddressMaps {
  readonly sourcePorts: SetImage;
  readonly pairs: SetImage;
  readonly regions: SetImage;
  readonly locals: Readonly<Record<Side, AddressMaps>>;
}

export function tableSets(prefix: string): TableSets {
  const data = (name: string, keyType: number, keyLength: number, interval: boolean): SetImage => ({
    name: `${prefix}_${name}`, keyType, keyLength, interval, data: 16, counter: false, size: 0,
  });
  const maps = (name: string): AddressMaps => ({
    hosts: { 4: data(`${name}h4`, TYPE.ipv4, 4, false), 6: data(`${name}h6`, TYPE.ipv6, 16, false) },
    intervals: { 4: data(`${name}i4`, TYPE.ipv4, 4, true), 6: data(`${name}i6`, TYPE.ipv6, 16, true) },
  });
  return {
    ...maps(''),
    sourcePorts: data('s', TYPE.service, 2, true),
    pairs: data('p', TYPE.ipv6, 16, false),
    regions: data('r', TYPE.ipv6, 16, true),
    locals: { in: maps('in_'), out: maps('out_') },
  };
}

export function entryChain(prefix: string, side: Side, mode: Mode): string {
  return `${prefix}_${mode === 'packet' ? 'packet_' : ''}${side}`;
}

/** Sets that this compilation needs. One that would be empty is not made, and no rule looks into it. */
export function usedSets(sets: TableSets, compiled: CompiledTable): SetImage[] {
  const { classes, sides } = compiled;
  const used: SetImage[] = [sets.regions];
  const use = (maps: AddressMaps, sizes: Readonly<Record<'hosts4' | 'hosts6' | 'intervals4' | 'intervals6', number>>): void => {
    if (sizes.hosts4 > 0) used.push(maps.hosts[4]);
    if (sizes.hosts6 > 0) used.push(maps.hosts[6]);
    if (sizes.intervals4 > 0) used.push(maps.intervals[4]);
    if (sizes.intervals6 > 0) used.push(maps.intervals[6]);
  };
  if (needsPairs(compiled)) {
    used.push(sets.pairs);
    use(sets, { hosts4: classes.hosts4.size, hosts6: classes.hosts6.size, intervals4: classes.intervals4.first.length, intervals6: classes.intervals6.first.length });
  }
  if (compiled.sourcePorts !== undefined) used.push(sets.sourcePorts);
  for (const side of ['in', 'out'] as const) {
    const { locals4, locals6, localIntervals4, localIntervals6 } = sides[side];
    use(sets.locals[side], { hosts4: locals4.size, hosts6: locals6.size, intervals4: localIntervals4.first.length, intervals6: localIntervals6.first.length });
  }
  return used;
}

function needsPairs(compiled: CompiledTable): boolean {
  return (['in', 'out'] as const).some((side) => {
    const { profiles, guarded } = compiled.sides[side];
    return guarded.size > 0 || profiles.size > 1 || compiled.sourcePorts !== undefined || peersMatter(compiled.sides[side]);
  });
}

/** Some profile tells peers apart by address. */
function peersMatter({ profiles }: CompiledSide): boolean {
  for (const profile of profiles.values()) {
    for (const key of profile.pairs.keys()) {
      const classNumber = key % 0x1_0000_0000;
      if (classNumber !== 0 && classNumber !== CLASS_NONE_6) return true;
    }
  }
  return false;
}

/** Chains in an order in which every chain comes after those it goes to. */
export function tableChains(prefix: string, sets: TableSets, compiled: CompiledTable): ChainImage[] {
  const hasIcmp = compiled.flat.rules.some(({ rule: { icmp } }) => icmp !== undefined);
  return (['in', 'out'] as const).flatMap((side) =>
    (['connection', 'packet'] as const).flatMap((mode) => new Stage(prefix, sets, compiled, side, mode).chains(hasIcmp)));
}

class Stage {
  private readonly compiledSide: CompiledSide;
  private readonly used: ReadonlySet<string>;

  constructor(
    private readonly prefix: string,
    private readonly sets: TableSets,
    private readonly compiled: CompiledTable,
    private readonly side: Side,
    private readonly mode: Mode,
  ) {
    this.compiledSide = compiled.sides[side];
    this.used = new Set(usedSets(sets, compiled).map((entry) => entry.name));
  }

  chains(hasIcmp: boolean): ChainImage[] {
    const name = entryChain(this.prefix, this.side, this.mode);
    const chains: ChainImage[] = [];
    const entry: RuleImage[] = [];
    const branch = (protocols: SetImage, variant: Variant): void => {
      const chain = { name: `${name}_${variant}`, rules: this.classify(variant) };
      chains.push(chain);
      entry.push(rule(variant === 'icmp' ? 'type and code' : 'ports', meta(META.l4proto, 0), inSet(protocols.name, 0), goTo(chain.name)));
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
        'undeclared address of a set', ...isFamily(family), this.backdrop(), this.address(family, 'local'), lookup(map.name, ADDRESS, 0),
        immediate(4, big32(GUARD_PROFILE[this.side])), lookup(this.sets.pairs.name, 1, 5), goTo(CHAIN.guard),
      )));
  }

  private classify(variant: Variant): RuleImage[] {
    const { profiles, defaultProfile } = this.compiledSide;
    const standard = profiles.get(defaultProfile);
    if (standard === undefined) return [rule('no rules', counter, drop)];
    const rules: RuleImage[] = [];
    if (profiles.size > 1) {
      for (const family of [4, 6] as const) for (const local of this.locals(family)) rules.push(...this.byPeer(variant, family, local));
    }
    rules.push(...this.guard());
    for (const family of [4, 6] as const) rules.push(...this.byPeer(variant, family, undefined));
    if (!this.pairsForAll(variant)) {
      const families: readonly (0 | Family)[] = standard.default4 === standard.default6 ? [0] : [4, 6];
      for (const family of families) {
        rules.push(rule(
          'rule table, all other peers', ...(family === 0 ? [] : isFamily(family)),
          immediate(1, sixteen(big32(family === 6 ? standard.default6 : standard.default4))), ...this.decide(variant),
        ));
      }
    }
    rules.push(rule('never reached: every region is covered', counter, drop));
    return rules;
  }

  /** Where profiles or source ports matter, peers in no set have a pair too; else theirs is a constant. */
  private pairsForAll(variant: Variant): boolean {
    return this.compiledSide.profiles.size > 1 || (this.compiled.sourcePorts !== undefined && variant === 'port');
  }

  /** `local`: the map that finds this end's profile; undefined = the default profile. */
  private byPeer(variant: Variant, family: Family, local: SetImage | undefined): RuleImage[] {
    const rules: RuleImage[] = [];
    const bySourcePort = this.compiled.sourcePorts !== undefined && variant === 'port';
    const standard = this.compiledSide.profiles.get(this.compiledSide.defaultProfile);
    const end = [...(bySourcePort ? this.sourcePort() : []), ...this.profile(family, local), lookup(this.sets.pairs.name, 1, 0), ...this.decide(variant)];
    const what = local === undefined ? '' : `, this end by ${local.interval ? 'prefix' : 'host'}`;
    for (const map of peersMatter(this.compiledSide) ? [this.sets.hosts[family], this.sets.intervals[family]] : []) {
      if (!this.used.has(map.name)) continue;
      rules.push(rule(
        `rule table, peers by ${map.interval ? 'prefix' : 'host'}${what}`,
        ...isFamily(family), this.backdrop(), this.address(family, 'peer'), lookup(map.name, ADDRESS, 0), ...end,
      ));
    }
    if (this.pairsForAll(variant)) {
      const none = family === 6 && standard?.default4 !== standard?.default6 ? CLASS_NONE_6 : 0;
      rules.push(rule(`rule table, other peers${what}`, ...isFamily(family), immediate(1, sixteen(big32(none))), ...end));
    }
    return rules;
  }

  /** Maps from local addresses to profiles, in order of lookup. */
  private locals(family: Family): SetImage[] {
    const maps = this.sets.locals[this.side];
    return [maps.hosts[family], maps.intervals[family]].filter((map) => this.used.has(map.name));
  }

  private profile(family: Family, local: SetImage | undefined): readonly Expression[] {
    return local === undefined ? [immediate(4, big32(this.compiledSide.defaultProfile))] : [this.address(family, 'local'), lookup(local.name, ADDRESS, 4)];
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
  private address(family: Family, end: 'peer' | 'local'): Expression {
    const isSource = (this.side === 'in') === (end === 'peer');
    if (this.mode === 'connection') return ct(family === 4 ? CT.sourceIp : CT.sourceIp6, ADDRESS, isSource ? 0 : 1);
    return family === 4
      ? payload(PAYLOAD.network, isSource ? 12 : 16, 4, ADDRESS)
      : payload(PAYLOAD.network, isSource ? 8 : 24, 16, ADDRESS);
  }

  private port(variant: Variant): Expression {
    if (variant === 'plain') return immediate(3, big32(0));
    if (this.mode === 'packet') return payload(PAYLOAD.transport, variant === 'icmp' ? 0 : 2, 2, 3);
    return variant === 'icmp' ? ct(CT.protoDestination, 3, 0) : ct(CT.protoSource, 3, 1);
  }

  /** From {pair, ?, ?, any} in R1..R4 to the verdict. */
  private decide(variant: Variant): readonly Expression[] {
    const key = [meta(META.l4proto, 2), this.port(variant)];
    const word = LABEL_REGISTER[this.side];
    const action = ACTION_REGISTER[this.side];
    const known = [meta(META.mark, word), meta(META.mark, action), lookup(this.sets.regions.name, 1, word - 1)];
    if (this.mode === 'packet') return [...key, ...known, inSet(SETS.ids.name, word), verdictMap(SETS.packetVerdicts.name, action)];
    return [...key, ct(CT.labels, 6), ...known, setCt(CT.labels, 6), inSet(SETS.ids.name, word), verdictMap(SETS.verdicts.name, action)];
  }
}

/** R12..R15: addresses and source ports, on their way to a lookup. */
const ADDRESS = 12;

function sixteen(word: Uint8Array): Uint8Array {
  const data = new Uint8Array(16);
  data.set(word);
  return data;
}

function isFamily(family: Family): readonly Expression[] {
  return [meta(META.nfproto, ADDRESS), equal(ADDRESS, byte(family === 4 ? FAMILY.ipv4 : FAMILY.ipv6))];
}
