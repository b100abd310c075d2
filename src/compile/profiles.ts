/** Compiles profiles: which pairs a peer can be in, and the regions of each pair. */
import type { AddressClasses } from './classes.js';
import { CLASS_NONE_6, localCondition, pairKey, type DeclaredAddresses, type LabelInfo, type PaintedProfile, type Profile, type Side } from './compiled.js';
import { meets, type FlatRules } from './flat-rules.js';
import type { HashedIds } from './hash.js';
import { PairPainter, type PaintOptions } from './pair-painter.js';
import { PeerIndex } from './peer-index.js';
import type { Ranges } from './ranges.js';
import { UNDERLYING, type Segments } from './regions.js';
import type { SourcePortClasses } from './source-ports.js';

export interface CompileLimits {
  /** Above this many local addresses, or this many profile x class combinations, only declared addresses get a profile. */
  readonly maxLocals?: number;
  readonly maxCombinations?: number;
}

export interface CompileOptions extends CompileLimits, PaintOptions {
  /** Members of a set as ranges. */
  readonly ranges: (members: readonly string[]) => Ranges;
}

export interface SideContext {
  readonly flat: FlatRules;
  readonly classes: AddressClasses;
  readonly sourcePorts: SourcePortClasses | undefined;
  readonly regions: Map<number, Segments>;
  readonly labels: Map<number, LabelInfo>;
  readonly ids: HashedIds;
  readonly options: CompileOptions;
  readonly declared: DeclaredAddresses;
  readonly painted: {
    readonly bases: Map<number, Uint32Array>;
    readonly pairs: Map<number, Uint32Array>;
    readonly profiles: Map<number, PaintedProfile>;
  };
}

/** Compiles profiles on demand; profiles and pairs are numbered by content. */
export class ProfileBuilder {
  readonly profiles = new Map<number, Profile>();
  private readonly byMembers = new Map<string, number>();
  private readonly painter: PairPainter;

  constructor(
    private readonly side: Side,
    private readonly positions: readonly number[],
    private readonly context: SideContext,
  ) {
    this.painter = new PairPainter(side, context.flat, context.options, context.labels);
  }

  /** `members`: ascending indexes of the sets the local address is in, of those that matter here. */
  profile(members: readonly number[]): number {
    const key = members.join();
    const known = this.byMembers.get(key);
    if (known !== undefined) return known;
    const { flat, ids, painted } = this.context;
    const id = ids.id(`profile ${this.side} ${names(flat, members)}`);
    this.byMembers.set(key, id);
    const index = new PeerIndex(positionsFor(members, this.positions, flat, this.side), flat, this.side);
    const pairIds = new Map<string, number>();
    this.profiles.set(id, this.compile(id, index, pairIds));
    painted.profiles.set(id, { members, relevant: index.relevant, pairIds });
    return id;
  }

  /** Number of a profile compiled before; undefined when it was not. */
  known(members: readonly number[]): number | undefined {
    return this.byMembers.get(members.join());
  }

  private compile(id: number, index: PeerIndex, pairIds: Map<string, number>): Profile {
    const { flat, classes, sourcePorts } = this.context;
    const pairOf = this.pairs(id, index, this.sameBase(id, index), pairIds);
    const families: readonly (0 | 4 | 6)[] = flat.hasFamily ? [4, 6] : [0];
    const [first = 0, second = first] = families;
    const default4 = pairOf([], first, 0);
    const default6 = pairOf([], second, 0);
    const pairs = new Map<number, number>();
    const ports = portClasses(sourcePorts);
    for (const [classNumber, members] of classes.members) {
      const reduced = members.filter((set) => index.relevant.has(set));
      if (reduced.length === 0) continue;
      const family = classes.families.get(classNumber) ?? 0;
      for (const port of ports) {
        const pair = pairOf(reduced, family, port);
        if (!isEmpty(this.context.regions.get(pair))) pairs.set(pairKey(classNumber, port), pair);
      }
    }
    // Peers in no set, where their pair cannot be a constant: class 0, told apart by family only where rules do.
    for (const port of ports) {
      for (const family of families) pairs.set(pairKey(family === 6 ? CLASS_NONE_6 : 0, port), pairOf([], family, port));
    }
    return { id, layered: index.layered, default4, default6, pairs };
  }

  /** Notes the profile's base rules; true when the compilation before had the same. */
  private sameBase(profile: number, index: PeerIndex): boolean {
    const { options, painted } = this.context;
    const serials = this.painter.baseSerials(index);
    painted.bases.set(profile, serials);
    return options.serials !== undefined && equalWords(options.before?.painted.bases.get(profile), serials);
  }

  private pairs(
    profile: number, index: PeerIndex, sameBase: boolean, known: Map<string, number>,
  ): (members: readonly number[], family: 0 | 4 | 6, port: number) => number {
    const { flat, ids, regions, sourcePorts } = this.context;
    return (members, family, port) => {
      const lists = listsOf(sourcePorts, port, index);
      const key = pairText(members, family, lists);
      const found = known.get(key);
      if (found !== undefined) return found;
      const text = lists.map((list) => JSON.stringify(flat.sourcePorts[list])).sort().join();
      const id = ids.id(`pair ${profile} ${names(flat, members)} ${family} ${text}`);
      known.set(key, id);
      regions.set(id, this.paintPair(id, index, members, family, lists, sameBase));
      return id;
    };
  }

  private paintPair(id: number, index: PeerIndex, members: readonly number[], family: 0 | 4 | 6, lists: readonly number[], sameBase: boolean): Segments {
    const { options, painted } = this.context;
    const specific = index.specific(members, family, lists);
    const made = this.painter.pairSerials(index, specific, members.length > 0);
    painted.pairs.set(id, made);
    const before = sameBase ? options.before?.regions.get(id) : undefined;
    if (before !== undefined && equalWords(options.before?.painted.pairs.get(id), made)) {
      this.painter.keepLabels(before, this.positions);
      return before;
    }
    return this.painter.paint(index, specific, members.length > 0);
  }
}

/** Those of the side's rules that can match where the local address is in exactly these sets. */
export function positionsFor(members: readonly number[], positions: readonly number[], flat: FlatRules, side: Side): number[] {
  return positions.filter((position) => {
    const rule = flat.rules[position];
    return rule !== undefined && meets(localCondition(rule, side), members);
  });
}

/** Source port classes that pairs are told apart by. */
export function portClasses(sourcePorts: SourcePortClasses | undefined): readonly number[] {
  return sourcePorts === undefined ? [0] : [0, ...sourcePorts.members.keys()];
}

/** The source port lists that this class of ports is in and that some rule of the profile asks for. */
export function listsOf(sourcePorts: SourcePortClasses | undefined, port: number, index: PeerIndex): readonly number[] {
  return (sourcePorts?.members.get(port) ?? []).filter((list) => index.sourcePorts.has(list));
}

/** What tells pairs of one profile apart. */
export function pairText(members: readonly number[], family: 0 | 4 | 6, lists: readonly number[]): string {
  return `${members.join()}|${family}|${lists.join()}`;
}

/** A peer that decides nothing otherwise than peers in no set. */
export function isEmpty(regions: Segments | undefined): boolean {
  return regions !== undefined && regions.winners.length === 1 && regions.winners[0] === UNDERLYING;
}

function equalWords(a: Uint32Array | undefined, b: Uint32Array): boolean {
  if (a === undefined || a.length !== b.length) return false;
  for (let i = 0; i < a.length; i += 1) if (a[i] !== b[i]) return false;
  return true;
}

function names(flat: FlatRules, members: readonly number[]): string {
  return members.map((set) => flat.setKeys[set] ?? '').sort().join('\n');
}
