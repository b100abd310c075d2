/** Paints the regions of pairs, and makes the labels that stand in them. One for a compilation and side. */
import { AgentError } from '../model/errors.js';
import type { Action, RuleAction } from '../model/rule.js';
import { labelKey, type CompiledTable, type LabelInfo, type Side } from './compiled.js';
import type { FlatRules } from './flat-rules.js';
import { paintRules, type PeerIndex } from './peer-index.js';
import { merge, NOBODY, paint, sparse, touching, translate, UNDERLYING, type Segments } from './regions.js';
import type { RuleSerials } from './rule-serials.js';

export interface PaintOptions {
  /** Gives label ids to keys. */
  readonly labelId: (key: string) => number;
  /** Before the names of rule tables in label keys: tables of different realms never share a label. */
  readonly realm?: string;
  readonly before?: CompiledTable | undefined;
  /** Numbers that are equal for rules that paint alike; without them every region is painted anew. */
  readonly serials?: RuleSerials;
}

export class PairPainter {
  /** By position of the rule: a label wins many regions, its key is made once. */
  private readonly labelIds = new Map<number, number>();
  /** By position; 0 = not asked for yet. */
  private readonly serialsOf: Uint32Array;

  constructor(
    private readonly side: Side,
    private readonly flat: FlatRules,
    private readonly options: PaintOptions,
    /** Labels of what was painted come here. */
    private readonly labels: Map<number, LabelInfo>,
  ) {
    this.serialsOf = new Uint32Array(options.serials === undefined ? 0 : flat.rules.length);
  }

  /** What the base rules of a profile were made of; empty without serials. */
  baseSerials(index: PeerIndex): Uint32Array {
    return this.options.serials === undefined ? new Uint32Array(0) : Uint32Array.from(index.anyone, (position) => this.serial(position));
  }

  /** What a pair of known peers is made of: see PaintedRules.pairs. Empty without serials. */
  pairSerials(index: PeerIndex, specific: Uint32Array, known: boolean): Uint32Array {
    if (this.options.serials === undefined) return new Uint32Array(0);
    const made = new Uint32Array(specific.length * 2 + 1);
    // How they are painted, see paint().
    made[0] = (known && index.layered ? 1 : 0) + (this.flat.hasPass ? 2 : 0);
    index.ranks(specific, made, specific.length + 1);
    for (let i = 0; i < specific.length; i += 1) made[i + 1] = this.serial(specific[i] ?? 0);
    return made;
  }

  private serial(position: number): number {
    this.serialsOf[position] ||= this.options.serials?.at(this.flat, position) ?? 0;
    return this.serialsOf[position] ?? 0;
  }

  /** Regions of a pair. `known`: its peers are in some set that matters, so that layers can be. */
  paint(index: PeerIndex, specific: Uint32Array, known: boolean): Segments {
    const label = (winner: number): number => this.label(winner);
    if (this.flat.hasPass) {
      // Sections have to be painted apart where a rule may hand over to the next one. A peer that a rule passes on may be decided as
      // peers in no set are; that is written down, as a host that leaves something open is looked up again by the prefix around it,
      // where the rule that passes may be missing.
      const all = new Uint32Array(index.anyone.length + specific.length);
      all.set(index.anyone);
      all.set(specific, index.anyone.length);
      const painted = paintRules(all.sort(), this.flat);
      return known && index.layered ? touching(painted, paint(specific, this.flat.intervals), label) : translate(painted, label);
    }
    const base = index.base();
    if (known && index.layered) return sparse(paint(specific, this.flat.intervals), base, label);
    return translate(specific.length === 0 ? base : merge(base, paint(specific, this.flat.intervals)), label);
  }

  /** Labels of regions that are taken over. `positions`: the side's rules. */
  keepLabels(regions: Segments, positions: readonly number[]): void {
    for (const id of regions.winners) {
      if (id === UNDERLYING || this.labels.has(id)) continue;
      const position = this.positionOf(id, positions);
      if (position !== undefined) this.label(position);
    }
  }

  private byLabel: Map<number, number> | undefined;

  /** Position of (one of) the rules behind a label id. */
  private positionOf(id: number, positions: readonly number[]): number | undefined {
    this.byLabel ??= new Map(
      [...positions, NOBODY].filter((position) => this.flat.rules[position]?.rule.action !== 'pass')
        .map((position) => [this.options.labelId(keyOf(this.flat, position, this.side, this.options.realm)), position]),
    );
    return this.byLabel.get(id);
  }

  private label(position: number): number {
    const known = this.labelIds.get(position);
    if (known !== undefined) return known;
    const info = labelOf(this.flat, position, this.side, this.options);
    this.labelIds.set(position, info.id);
    if (!this.labels.has(info.id)) this.labels.set(info.id, info);
    return info.id;
  }
}

function keyOf({ rules }: FlatRules, position: number, side: Side, realm = ''): string {
  const rule = position === NOBODY ? undefined : rules[position];
  return labelKey(`${realm}${rule?.table ?? ''}`, rule?.rule.id ?? 0, side);
}

/** What the label of the rule at this position says; NOBODY: the default rule. The same object as before where that is the same. */
export function labelOf(flat: FlatRules, position: number, side: Side, { labelId, before, realm }: PaintOptions): LabelInfo {
  const rule = position === NOBODY ? undefined : flat.rules[position];
  const key = keyOf(flat, position, side, realm);
  const id = labelId(key);
  const fresh: LabelInfo = {
    id, key, table: rule?.table ?? '', ruleId: rule?.rule.id ?? 0, side,
    action: verdictOf(rule?.rule.action ?? 'accept'),
    log: rule?.rule.log ?? false,
    stateless: rule?.rule.stateless ?? false,
    ...(rule?.rule.tag === undefined ? {} : { tag: rule.rule.tag }),
  };
  const old = before?.labels.get(id);
  return old !== undefined && sameLabel(old, fresh) ? old : fresh;
}

/** The action of a rule that wins: one that passes never does. */
function verdictOf(action: RuleAction): Action {
  if (action === 'pass') throw new AgentError('E_INTERNAL', 'a rule that passes decides nothing');
  return action;
}

function sameLabel(a: LabelInfo, b: LabelInfo): boolean {
  return a.key === b.key && a.action === b.action && a.log === b.log && a.stateless === b.stateless && a.tag === b.tag;
}
