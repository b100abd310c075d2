/** What is said about repeated measurements. */
export interface Summary {
  readonly count: number;
  readonly median: number;
  readonly p10: number;
  readonly p90: number;
  readonly p99: number;
}

/** Nearest-rank percentile of at least one value. */
export function percentile(values: readonly number[], fraction: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const value = sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(fraction * sorted.length) - 1))];
  if (value === undefined) throw new Error('a percentile of no measurements');
  return value;
}

export function median(values: readonly number[]): number {
  const low = percentile(values, 0.5);
  return values.length % 2 === 1 ? low : (low + percentile(values, 0.5 + 1 / values.length)) / 2;
}

export function summarize(values: readonly number[]): Summary {
  return {
    count: values.length, median: median(values), p10: percentile(values, 0.1), p90: percentile(values, 0.9), p99: percentile(values, 0.99),
  };
}
