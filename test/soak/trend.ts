/** Whether a figure rises: the slope of the line through its samples. */
export interface Sample {
  /** ms. */
  readonly at: number;
  readonly value: number;
}

/** Least squares, value per ms; 0 of fewer than two moments. */
export function slope(samples: readonly Sample[]): number {
  const mean = (of: (sample: Sample) => number): number => samples.reduce((sum, sample) => sum + of(sample), 0) / samples.length;
  const [at, value] = [mean((sample) => sample.at), mean((sample) => sample.value)];
  const spread = samples.reduce((sum, sample) => sum + (sample.at - at) ** 2, 0);
  return spread === 0 || samples.length < 2 ? 0 : samples.reduce((sum, sample) => sum + (sample.at - at) * (sample.value - value), 0) / spread;
}
