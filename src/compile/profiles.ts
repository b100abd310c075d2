/** Compiles profiles: which pairs a peer can be in, and the regions of each pair. */
import { AgentError } from '../model/errors.js';
import type { Action, RuleAction } from '../model/rule.js';
import type { AddressClasses } from './classes.js';
import {
  CLASS_NONE_6, labelKey, localCondition, pairKey, peerCondition, type CompiledTable, type DeclaredAddresses, type LabelInfo, type Profile, type Side,
} from './compiled.js';
import { meets, type FlatRules } from './flat-rules.js';
import type { HashedIds } from './hash.js';
import type { Ranges } from './ranges.js';
import { merge, NOBODY, paint, paintSections, sparse, touching, translate, UNDERLYING, type Segments } from './regions.js';
import type { RuleSerials } from './rule-serials.js';
import type { SourcePortClasses } from './source-ports.js';

export interface CompileLimits {
  /** Above this many local addresses, or this many profile x class combinations, only declared addresses get a profile. */
  readonly maxLocals?: number;
  readonly maxCombinations?: number;
}

export interface CompileOptions extends CompileLimits {
  /** Gives label ids to keys. */
  readonly labelId: (key: string) => number;
  /** A compilation whose address classes hold still where it was made of the very same sets. */
  readonly before?: CompiledTable | undefined;
  /** Numbers that are equal for rules that paint alike; without them every region is painted anew. */
  readonly serials?: RuleSerials;
  /** Members of a set as ranges. */
  readonly ranges: (members: readonly string[]) => Ranges;
}

export interface SideContext {
  /** Rule serials by position; empty where they were not asked for. */
  readonly serials: Uint32Array;
  readonly flat: FlatRules;
  readonly classes: AddressClasses;
  readonly sourcePorts: SourcePortClasses | undefined;
  readonly regions: Map<number, Segments>;
  readonly labels: Map<number, LabelInfo>;
  readonly ids: HashedIds;
  readonly options: CompileOptions;
  readonly declared: DeclaredAddresses;
  readonly painted: { readonly bases: Map<number, Uint32Array>; readonly pairs: Map<number, Uint32Array> };
}

/** Compiles profiles on demand; profiles and pairs are numbered by content. */
export class ProfileBuilder {
  readonly profiles = new Map<number, Profile>();
  private readonly byMembers = new Map<string, number>();
  /** By position of the rule: a label wins many regions, its key is made once. */
  private readonly labelIds = new Map<number, number>();

  constructor(
    private readonly side: Side,
    private readonly positions: readonly number[],
    private readonly context: SideContext,
  ) {}

  /** `members`: ascending indexes of the sets the local address is in, of those that matter here. */
  profile(members: readonly number[]): number {
    const key = members.join();
    const known = this.byMembers.get(key);
    if (known !== undefined) return known;
    const { flat, ids } = this.context;
    const id = ids.id(`profile ${this.side} ${names(flat, members)}`);
    this.byMembers.set(key, id);
    const positions = this.positions.filter((position) => {
      const rule = flat.rules[position];
      return rule !== undefined && meets(localCondition(rule, this.side), members);
    });
    this.profiles.set(id, this.compile(id, positions));
    return id;
  }

  /** Number of a profile compiled before; undefined when it was not. */
  known(members: readonly number[]): number | undefined {
    return this.byMembers.get(members.join());
  }

  private compile(id: number, positions: readonly number[]): Profile {
    const { flat, classes, sourcePorts } = this.context;
    const index = new PeerIndex(positions, flat, this.side);
    const base = this.sameBase(id, index);
    const families: readonly (0 | 4 | 6)[] = flat.hasFamily ? [4, 6] : [0];
    const pairOf = this.pairs(id, index, base);

    const [first = 0, second = first] = families;
    const default4 = pairOf([], first, 0);
    const default6 = pairOf([], second, 0);
    const pairs = new Map<number, number>();
    const portClasses = sourcePorts === undefined ? [0] : [0, ...sourcePorts.members.keys()];
    for (const [classNumber, members] of classes.members) {
      const reduced = members.filter((set) => index.relevant.has(set));
      if (reduced.length === 0) continue;
      const family = classes.families.get(classNumber) ?? 0;
      for (const port of portClasses) {
        const pair = pairOf(reduced, family, port);
        if (!isEmpty(this.context.regions.get(pair))) pairs.set(pairKey(classNumber, port), pair);
      }
    }
    // Peers in no set, where their pair cannot be a constant: class 0, told apart by family only where rules do.
    for (const port of portClasses) {
      for (const family of families) pairs.set(pairKey(family === 6 ? CLASS_NONE_6 : 0, port), pairOf([], family, port));
    }
    return { id, layered: index.layered, default4, default6, pairs };
  }

  /** Notes the profile's base rules; true when the compilation before had the same. */
  private sameBase(profile: number, index: PeerIndex): boolean {
    const { options, painted } = this.context;
    if (options.serials === undefined) return false;
    const serials = this.serialsOf(index.anyone);
    painted.bases.set(profile, serials);
    return equalWords(options.before?.painted.bases.get(profile), serials);
  }

  private serialsOf(positions: ArrayLike<number>): Uint32Array {
    const { serials } = this.context;
    return Uint32Array.from(positions, (position) => serials[position] ?? 0);
  }

  private pairs(profile: number, index: PeerIndex, sameBase: boolean): (members: readonly number[], family: 0 | 4 | 6, port: number) => number {
    const { flat, ids, regions, sourcePorts } = this.context;
    const known = new Map<string, number>();
    return (members, family, port) => {
      const lists = (sourcePorts?.members.get(port) ?? []).filter((list) => index.sourcePorts.has(list));
      const key = `${members.join()}|${family}|${lists.join()}`;
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
    const { flat, options, painted } = this.context;
    const specific = index.specific(members, family, lists);
    if (options.serials !== undefined) {
      const { serials } = this.context;
      const made = new Uint32Array(specific.length * 2 + 1);
      made[0] = members.length > 0 && index.layered ? 1 : 0;
      index.ranks(specific, made, specific.length + 1);
      for (let i = 0; i < specific.length; i += 1) made[i + 1] = serials[specific[i] ?? 0] ?? 0;
      painted.pairs.set(id, made);
      const before = sameBase ? options.before?.regions.get(id) : undefined;
      if (before !== undefined && equalWords(options.before?.painted.pairs.get(id), made)) {
        this.keepLabels(before);
        return before;
      }
    }
    if (flat.hasPass) return this.paintPassing(index, specific, members.length > 0);
    const base = index.base(flat);
    const label = (winner: number): number => this.label(winner);
    if (members.length > 0 && index.layered) return sparse(paint(specific, flat.intervals), base, label);
    return translate(specific.length === 0 ? base : merge(base, paint(specific, flat.intervals)), label);
  }

  /**
   * Sections have to be painted apart where a rule may hand over to the next one. A peer that a rule passes on may be decided as peers in
   * no set are; that is written down, as a host that leaves something open is looked up again by the prefix around it, where the rule
   * that passes may be missing.
   */
  private paintPassing(index: PeerIndex, specific: Uint32Array, known: boolean): Segments {
    const { flat } = this.context;
    const label = (winner: number): number => this.label(winner);
    const all = new Uint32Array(index.anyone.length + specific.length);
    all.set(index.anyone);
    all.set(specific, index.anyone.length);
    const painted = paintAll(all.sort(), flat);
    return known && index.layered ? touching(painted, paint(specific, flat.intervals), label) : translate(painted, label);
  }

  /** Labels of regions that are taken over. */
  private keepLabels(regions: Segments): void {
    for (const id of regions.winners) {
      if (id === UNDERLYING || this.context.labels.has(id)) continue;
      const position = this.positionOf(id);
      if (position !== undefined) this.label(position);
    }
  }

  private byLabel: Map<number, number> | undefined;

  /** Position of (one of) the rules behind a label id. */
  private positionOf(id: number): number | undefined {
    this.byLabel ??= new Map([...this.positions, NOBODY].filter((position) => this.context.flat.rules[position]?.rule.action !== 'pass').map((position) => [this.labelIdOf(position), position]));
    return this.byLabel.get(id);
  }

  private labelIdOf(position: number): number {
    const rule = position === NOBODY ? undefined : this.context.flat.rules[position];
    return this.context.options.labelId(labelKey(rule?.table ?? '', rule?.rule.id ?? 0, this.side));
  }

  private label(position: number): number {
    const known = this.labelIds.get(position);
    if (known !== undefined) return known;
    const id = this.makeLabel(position);
    this.labelIds.set(position, id);
    return id;
  }

  private makeLabel(position: number): number {
    const { flat, labels, options } = this.context;
    const rule = position === NOBODY ? undefined : flat.rules[position];
    const table = rule?.table ?? '';
    const ruleId = rule?.rule.id ?? 0;
    const key = labelKey(table, ruleId, this.side);
    const id = options.labelId(key);
    if (!labels.has(id)) {
      const fresh: LabelInfo = {
        id, key, table, ruleId, side: this.side,
        action: verdictOf(rule?.rule.action ?? 'accept'),
        log: rule?.rule.log ?? false,
        stateless: rule?.rule.stateless ?? false,
        ...(rule?.rule.tag === undefined ? {} : { tag: rule.rule.tag }),
      };
      const old = options.before?.labels.get(id);
      // The same object where nothing changed: comparing labels is then comparing references.
      labels.set(id, old !== undefined && sameLabel(old, fresh) ? old : fresh);
    }
    return id;
  }
}

/** The action of a rule that wins: one that passes never does. */
function verdictOf(action: RuleAction): Action {
  if (action === 'pass') throw new AgentError('E_INTERNAL', 'a rule that passes decides nothing');
  return action;
}

function paintAll(positions: Uint32Array, { rules, intervals }: FlatRules): Segments {
  return paintSections(positions, intervals, (position) => rules[position]?.section ?? 0, (position) => rules[position]?.rule.action === 'pass');
}

/** A peer that decides nothing otherwise than peers in no set. */
function isEmpty(regions: Segments | undefined): boolean {
  return regions !== undefined && regions.winners.length === 1 && regions.winners[0] === UNDERLYING;
}

function sameLabel(a: LabelInfo, b: LabelInfo): boolean {
  return a.key === b.key && a.action === b.action && a.log === b.log && a.stateless === b.stateless && a.tag === b.tag;
}

function equalWords(a: Uint32Array | undefined, b: Uint32Array): boolean {
  if (a === undefined || a.length !== b.length) return false;
  for (let i = 0; i < a.length; i += 1) if (a[i] !== b[i]) return false;
  return true;
}

function names(flat: FlatRules, members: readonly number[]): string {
  return members.map((set) => flat.setKeys[set] ?? '').sort().join('\n');
}

/** Positions of a profile's rules by what they ask of the peer. */
class PeerIndex {
  /** Sets some rule asks for. */
  readonly relevant = new Set<number>();
  /** Source port lists some rule asks for. */
  readonly sourcePorts = new Set<number>();
  readonly anyone: number[] = [];
  private readonly bySet = new Map<number, number[]>();
  /** Negated, family-restricted or source-port rules: tested one by one. */
  private readonly conditional: number[] = [];
  private painted: Segments | undefined;

  constructor(positions: readonly number[], private readonly flat: FlatRules, private readonly side: Side) {
    for (const position of positions) {
      const rule = flat.rules[position];
      if (rule === undefined) continue;
      const peer = peerCondition(rule, side);
      for (const set of peer.sets) this.relevant.add(set);
      if (rule.sourcePorts >= 0) this.sourcePorts.add(rule.sourcePorts);
      if (peer.not || rule.rule.family !== undefined || rule.sourcePorts >= 0) this.conditional.push(position);
      else if (peer.any) this.anyone.push(position);
      else for (const set of peer.sets) this.list(set).push(position);
    }
  }

  get layered(): boolean {
    return this.conditional.length === 0;
  }

  /** The rules that match every peer, painted once. */
  base(flat: FlatRules): Segments {
    this.painted ??= flat.hasPass ? paintAll(Uint32Array.from(this.anyone), flat) : paint(this.anyone, flat.intervals);
    return this.painted;
  }

  /** For each position, how many rules that match every peer come before it; written to `out` from `at` on. */
  ranks(positions: Uint32Array, out: Uint32Array, at: number): void {
    let rank = 0;
    for (let i = 0; i < positions.length; i += 1) {
      while (rank < this.anyone.length && (this.anyone[rank] ?? 0) < (positions[i] ?? 0)) rank += 1;
      out[at + i] = rank;
    }
  }

  /** Ascending positions of the other rules that match this peer. */
  specific(members: readonly number[], family: 0 | 4 | 6, lists: readonly number[]): Uint32Array {
    const found: number[] = [];
    for (const set of members) for (const position of this.bySet.get(set) ?? []) found.push(position);
    for (const position of this.conditional) {
      const rule = this.flat.rules[position];
      if (rule === undefined) continue;
      if (rule.rule.family !== undefined && rule.rule.family !== family) continue;
      if (rule.sourcePorts >= 0 && !lists.includes(rule.sourcePorts)) continue;
      if (meets(peerCondition(rule, this.side), members)) found.push(position);
    }
    return Uint32Array.from(found).sort();
  }

  private list(set: number): number[] {
    const known = this.bySet.get(set);
    if (known !== undefined) return known;
    const fresh: number[] = [];
    this.bySet.set(set, fresh);
    return fresh;
  }
}
