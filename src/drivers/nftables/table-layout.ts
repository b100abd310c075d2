/**
 * Chains and sets of one compiled rule table (research/nft-listing.md section 2). Registers in a classifying rule:
 *
 *   R1 peer address -> h4|i4|h6|i6 -> R0..R3 = {0, class, 0, 0}
 *   [source port -> s -> R2..R5 = {0, source port class, 0, 0}]     R4 = profile
 *   R1..R4 = {class, 0, source port class, profile} -> pair -> R0..R3 = {0, pair, 0, 0}
 *   R2 = protocol, R3 = port; R1..R4 = {pair, protocol, port, any} -> r -> {0, label id, 0, 0} at the stage's label word
 *   ct label |= R6..R9;  label id -> act -> verdict
 *
 * Every register that is part of a key was loaded with something nft knows before a lookup overwrote it: otherwise the
 * administrator's nft would crash on listing.
 */
import { CLASS_NONE_6, type CompiledSide, type CompiledTable, type Profile, type Side } from '../../compile/table.js';
import { CHAIN, LABEL_REGISTER, SETS } from './base-layout.js';
import {
  big32, byte, counter, ct, drop, equal, goTo, immediate, lookup, meta, payload, setCt, verdictMap, type Expression,
} from './expressions.js';
import { rule, type ChainImage, type RuleImage, type SetImage } from './image.js';
import { CT, FAMILY, META, PAYLOAD, TYPE } from './kernel.js';

/** By conntrack tuple (both directions of a connection alike, after NAT), or by the packet's own headers. */
export type Mode = 'connection' | 'packet';
type Variant = 'port' | 'icmp' | 'plain';
type Family = 4 | 6;

/** Profile numbers that mean "is a guarded local address". */
export const GUARD_PROFILE = { in: 0xfffffff1, out: 0xfffffff2 } as const;

const PROTOCOLS_WITH_PORTS = [6, 17, 33, 132, 136];

export interface TableSets {
  readonly hosts: Readonly<Record<Family, SetImage>>;
  readonly intervals: Readonly<Record<Family, SetImage>>;
  readonly sourcePorts: SetImage;
  readonly pairs: SetImage;
  readonly regions: SetImage;
  readonly locals: Readonly<Record<Side, Readonly<Record<Mode, LocalSets>>>>;
}
export interface LocalSets {
  readonly hosts: Readonly<Record<Family, SetImage>>;
  readonly intervals: Readonly<Record<Family, SetImage>>;
}

export function tableSets(prefix: string): TableSets {
  const data = (name: string, keyType: number, keyLength: number, interval: boolean): SetImage => ({
    name: `${prefix}_${name}`, keyType, keyLength, interval, data: 16, counter: false, size: 0,
  });
  const local = (name: string): LocalSets => {
    const verdicts = (suffix: string, family: Family, interval: boolean): SetImage => ({
      name: `${prefix}_${name}_${suffix}`, keyType: family === 4 ? TYPE.ipv4 : TYPE.ipv6, keyLength: family === 4 ? 4 : 16,
      interval, data: 'verdict', counter: false, size: 0,
    });
    return {
      hosts: { 4: verdicts('h4', 4, false), 6: verdicts('h6', 6, false) },
      intervals: { 4: verdicts('i4', 4, true), 6: verdicts('i6', 6, true) },
    };
  };
  return {
    hosts: { 4: data('h4', TYPE.ipv4, 4, false), 6: data('h6', TYPE.ipv6, 16, false) },
    intervals: { 4: data('i4', TYPE.ipv4, 4, true), 6: data('i6', TYPE.ipv6, 16, true) },
    sourcePorts: data('s', TYPE.service, 2, true),
    pairs: data('p', TYPE.ipv6, 16, false),
    regions: data('r', TYPE.ipv6, 16, true),
    locals: {
      in: { connection: local('li'), packet: local('lip') },
      out: { connection: local('lo'), packet: local('lop') },
    },
  };
}

export function entryChain(prefix: string, side: Side, mode: Mode): string {
  return `${prefix}_${mode === 'packet' ? 'packet_' : ''}${side}`;
}

export function profileChain(prefix: string, side: Side, mode: Mode, profile: number, compiled: CompiledSide): string {
  const entry = entryChain(prefix, side, mode);
  return profile === compiled.defaultProfile ? `${entry}_d` : `${entry}_${profile.toString(16).padStart(8, '0')}`;
}

/** Is the set needed by this compilation? Sets that would be empty are not made, and no rule looks into them. */
export function usedSets(sets: TableSets, compiled: CompiledTable): SetImage[] {
  const used: SetImage[] = [sets.regions];
  if (hasPairs(compiled)) {
    used.push(sets.pairs);
    if (compiled.classes.hosts4.size > 0) used.push(sets.hosts[4]);
    if (compiled.classes.hosts6.size > 0) used.push(sets.hosts[6]);
    if (compiled.classes.intervals4.first.length > 0) used.push(sets.intervals[4]);
    if (compiled.classes.intervals6.first.length > 0) used.push(sets.intervals[6]);
  }
  if (compiled.sourcePorts !== undefined) used.push(sets.sourcePorts);
  for (const side of ['in', 'out'] as const) {
    for (const mode of ['connection', 'packet'] as const) {
      const locals = sets.locals[side][mode];
      const { locals4, locals6, localIntervals4, localIntervals6 } = compiled.sides[side];
      if (locals4.size > 0) used.push(locals.hosts[4]);
      if (locals6.size > 0) used.push(locals.hosts[6]);
      if (localIntervals4.first.length > 0) used.push(locals.intervals[4]);
      if (localIntervals6.first.length > 0) used.push(locals.intervals[6]);
    }
  }
  return used;
}

function hasPairs(compiled: CompiledTable): boolean {
  return (['in', 'out'] as const).some((side) => {
    const { profiles, guarded } = compiled.sides[side];
    return guarded.size > 0 || [...profiles.values()].some((profile) => profile.pairs.size > 0);
  });
}

/** Chains in an order in which every chain comes after those it goes to. */
export function tableChains(prefix: string, sets: TableSets, compiled: CompiledTable): ChainImage[] {
  const chains: ChainImage[] = [];
  for (const side of ['in', 'out'] as const) {
    for (const mode of ['connection', 'packet'] as const) {
      const stage = new Stage(prefix, sets, compiled, side, mode);
      for (const profile of compiled.sides[side].profiles.values()) chains.push(...stage.profileChains(profile));
      chains.push(stage.entry());
    }
  }
  return chains;
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

  /** Local address -> profile chain; the rest goes to the default profile. */
  entry(): ChainImage {
    const locals = this.sets.locals[this.side][this.mode];
    const rules: RuleImage[] = [];
    for (const family of [4, 6] as const) {
      for (const [map, what] of [[locals.hosts[family], 'host'], [locals.intervals[family], 'prefix']] as const) {
        if (!this.used.has(map.name)) continue;
        rules.push(rule(`rules by this end's address, ${what}`, ...isFamily(family), this.address(family, 'local'), verdictMap(map.name, 1)));
      }
    }
    if (this.compiledSide.guarded.size > 0) {
      for (const family of [4, 6] as const) {
        for (const map of [this.sets.hosts[family], this.sets.intervals[family]]) {
          if (!this.used.has(map.name)) continue;
          rules.push(rule(
            'undeclared address of a set', ...this.classOf(family, 'local', map),
            immediate(4, big32(GUARD_PROFILE[this.side])), lookup(this.sets.pairs.name, 1, 5), goTo(CHAIN.guard),
          ));
        }
      }
    }
    rules.push(rule('all other rules', goTo(profileChain(this.prefix, this.side, this.mode, this.compiledSide.defaultProfile, this.compiledSide))));
    return { name: entryChain(this.prefix, this.side, this.mode), rules };
  }

  profileChains(profile: Profile): ChainImage[] {
    const name = profileChain(this.prefix, this.side, this.mode, profile.id, this.compiledSide);
    const icmp = { name: `${name}_icmp`, rules: this.classify(profile, 'icmp') };
    const toIcmp = [1, 58].map((protocol) => rule('type and code', meta(META.l4proto, 0), equal(0, byte(protocol)), goTo(icmp.name)));
    if (this.mode === 'connection') return [icmp, { name, rules: [...toIcmp, ...this.classify(profile, 'port')] }];
    const port = { name: `${name}_port`, rules: this.classify(profile, 'port') };
    const toPort = PROTOCOLS_WITH_PORTS.map((protocol) => rule('ports', meta(META.l4proto, 0), equal(0, byte(protocol)), goTo(port.name)));
    return [icmp, port, { name, rules: [...toIcmp, ...toPort, ...this.classify(profile, 'plain')] }];
  }

  private classify(profile: Profile, variant: Variant): RuleImage[] {
    const rules: RuleImage[] = [];
    const bySourcePort = this.compiled.sourcePorts !== undefined && variant === 'port';
    if (profile.pairs.size > 0) {
      for (const family of [4, 6] as const) {
        if (variant === 'icmp' && !this.hasPeers(family)) continue;
        for (const [map, what] of [[this.sets.hosts[family], 'host'], [this.sets.intervals[family], 'prefix']] as const) {
          if (!this.used.has(map.name)) continue;
          rules.push(rule(
            `rule table, peers by ${what}`, ...this.classOf(family, 'peer', map), ...(bySourcePort ? this.sourcePort() : []),
            ...this.pair(profile), ...this.decide(variant),
          ));
        }
      }
    }
    const families: readonly Family[] = profile.default4 === profile.default6 ? [4] : [4, 6];
    for (const family of bySourcePort && profile.pairs.size > 0 ? ([4, 6] as const) : []) {
      rules.push(rule(
        'rule table, other peers by source port', ...isFamily(family), ...SHADOWS, immediate(1, big32(family === 6 && profile.default4 !== profile.default6 ? CLASS_NONE_6 : 0)),
        ...this.sourcePort(), ...this.pair(profile), ...this.decide(variant),
      ));
    }
    for (const family of families) {
      rules.push(rule(
        'rule table, all other peers', ...(families.length > 1 ? isFamily(family) : [meta(META.nfproto, 4)]),
        immediate(1, big32(family === 4 ? profile.default4 : profile.default6)), ...this.decide(variant),
      ));
    }
    rules.push(rule('never reached: every region is covered', counter, drop));
    return rules;
  }

  private hasPeers(family: Family): boolean {
    return this.used.has(this.sets.hosts[family].name) || this.used.has(this.sets.intervals[family].name);
  }

  private classOf(family: Family, end: 'peer' | 'local', map: SetImage): readonly Expression[] {
    return [...isFamily(family), ...(family === 4 ? SHADOWS : []), this.address(family, end), lookup(map.name, 1, 0)];
  }

  private pair(profile: Profile): readonly Expression[] {
    return [immediate(4, big32(profile.id)), lookup(this.sets.pairs.name, 1, 0)];
  }

  private sourcePort(): readonly Expression[] {
    const load = this.mode === 'connection' ? ct(CT.protoSource, 10, 0) : payload(PAYLOAD.transport, 0, 2, 10);
    // The zero is loaded again because nft must find something it knows in R2.
    return [load, lookup(this.sets.sourcePorts.name, 10, 2), immediate(2, big32(0))];
  }

  /** The source is the peer of the `in` side and the local end of the `out` side. Destinations are taken after DNAT. */
  private address(family: Family, end: 'peer' | 'local'): Expression {
    const isSource = (this.side === 'in') === (end === 'peer');
    if (this.mode === 'connection') return ct(family === 4 ? CT.sourceIp : CT.sourceIp6, 1, isSource ? 0 : 1);
    return family === 4
      ? payload(PAYLOAD.network, isSource ? 12 : 16, 4, 1)
      : payload(PAYLOAD.network, isSource ? 8 : 24, 16, 1);
  }

  private port(variant: Variant): Expression {
    if (variant === 'plain') return immediate(3, big32(0));
    if (this.mode === 'packet') return payload(PAYLOAD.transport, variant === 'icmp' ? 0 : 2, 2, 3);
    return variant === 'icmp' ? ct(CT.protoDestination, 3, 0) : ct(CT.protoSource, 3, 1);
  }

  /** From {pair, ?, ?, any} in R1..R4 to the verdict. */
  private decide(variant: Variant): readonly Expression[] {
    const key = [meta(META.l4proto, 2), this.port(variant)];
    const { name } = this.sets.regions;
    if (this.mode === 'packet') return [...key, meta(META.mark, 8), lookup(name, 1, 7), verdictMap(SETS.packetAct.name, 8)];
    const word = LABEL_REGISTER[this.side];
    return [...key, ct(CT.labels, 6), meta(META.mark, word), lookup(name, 1, word - 1), setCt(CT.labels, 6), verdictMap(SETS.act.name, word)];
  }
}

/** What nft believes to be in R2 and R3 when a 16-byte key is read from R1. */
const SHADOWS: readonly Expression[] = [meta(META.l4proto, 2), meta(META.mark, 3)];

function isFamily(family: Family): readonly Expression[] {
  return [meta(META.nfproto, 4), equal(4, byte(family === 4 ? FAMILY.ipv4 : FAMILY.ipv6))];
}
