/** A profile's rules by what they ask of the peer. */
import { peerCondition, type Side } from './compiled.js';
import { meets, type FlatRule, type FlatRules } from './flat-rules.js';
import { paint, paintSections, type Segments } from './regions.js';

export class PeerIndex {
  /** Sets some rule asks for. */
  readonly relevant = new Set<number>();
  /** Source port lists some rule asks for. */
  readonly sourcePorts = new Set<number>();
  readonly anyone: number[] = [];
  private readonly bySet = new Map<number, number[]>();
  /** Tested one by one. */
  private readonly conditional: number[] = [];
  private painted: Segments | undefined;

  constructor(positions: readonly number[], private readonly flat: FlatRules, private readonly side: Side) {
    for (const position of positions) {
      const rule = flat.rules[position];
      if (rule === undefined) continue;
      const peer = peerCondition(rule, side);
      for (const set of peer.sets) this.relevant.add(set);
      if (rule.sourcePorts >= 0) this.sourcePorts.add(rule.sourcePorts);
      if (isConditional(rule, side)) this.conditional.push(position);
      else if (peer.any) this.anyone.push(position);
      else for (const set of peer.sets) this.list(set).push(position);
    }
  }

  get layered(): boolean {
    return this.conditional.length === 0;
  }

  /** The rules that match every peer, painted once. */
  base(): Segments {
    this.painted ??= paintRules(Uint32Array.from(this.anyone), this.flat);
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

/** First match over these rules, in ascending order. */
export function paintRules(positions: Uint32Array, { rules, intervals, hasPass }: FlatRules): Segments {
  if (!hasPass) return paint(positions, intervals);
  return paintSections(positions, intervals, (position) => rules[position]?.section ?? 0, (position) => rules[position]?.rule.action === 'pass');
}

/** Negated, restricted to a family or to source ports: which peers it matches does not follow from one set. */
export function isConditional(rule: FlatRule, side: Side): boolean {
  return peerCondition(rule, side).not || rule.rule.family !== undefined || rule.sourcePorts >= 0;
}
