/** One line of a benchmark's answer: what was measured, beside its peer of the same run. */
import { median, percentile, summarize, type Summary } from './statistics.js';

export interface Goal {
  readonly kind: 'at most' | 'at least';
  readonly value: number;
  /** What the goal is about: the ratio to the peer, or the median or 99th percentile itself. */
  readonly of: 'ratio' | 'median' | 'p99';
}

export interface Row {
  readonly measure: string;
  readonly unit: string;
  readonly ours: Summary;
  readonly peer?: Summary & { readonly name: string };
  /** ours / peer: `median` of the rounds' own ratios where each round measured both, else of the medians. */
  readonly ratio?: { readonly median: number; readonly p10: number; readonly p90: number };
  readonly goals: readonly (Goal & { readonly met: boolean })[];
}

export interface RowInput {
  readonly measure: string;
  readonly unit: string;
  readonly ours: readonly number[];
  readonly peer?: { readonly name: string; readonly values: readonly number[] };
  readonly goals?: readonly Goal[];
}

/** Where ours and the peer have as many values, the n-th of both are one round: its ratio does not feel the machine's other load. */
export function row(input: RowInput): Row {
  const ours = summarize(input.ours);
  const peer = input.peer === undefined ? undefined : { ...summarize(input.peer.values), name: input.peer.name };
  const ratio = input.peer === undefined ? undefined : ratios(input.ours, input.peer.values);
  const goals = (input.goals ?? []).map((goal) => {
    const value = goal.of === 'ratio' ? (ratio?.median ?? Number.NaN) : ours[goal.of];
    return { ...goal, met: goal.kind === 'at most' ? value <= goal.value : value >= goal.value };
  });
  return { measure: input.measure, unit: input.unit, ours, goals, ...(peer === undefined ? {} : { peer }), ...(ratio === undefined ? {} : { ratio }) };
}

function ratios(ours: readonly number[], peer: readonly number[]): { median: number; p10: number; p90: number } {
  if (ours.length === peer.length) {
    const each = ours.map((value, index) => value / (peer[index] ?? Number.NaN));
    return { median: median(each), p10: percentile(each, 0.1), p90: percentile(each, 0.9) };
  }
  const by = median(peer);
  return { median: median(ours) / by, p10: percentile(ours, 0.1) / by, p90: percentile(ours, 0.9) / by };
}
