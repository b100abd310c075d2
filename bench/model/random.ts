/** Seeded random numbers (mulberry32): every run measures the same rules and packets. */
export class Random {
  constructor(private state: number) {}

  /** Integer in [low, high]. */
  int(low: number, high: number): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let value = this.state;
    value = Math.imul(value ^ (value >>> 15), value | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return low + Math.floor((((value ^ (value >>> 14)) >>> 0) / 4_294_967_296) * (high - low + 1));
  }

  pick<T>(values: readonly T[]): T {
    const value = values[this.int(0, values.length - 1)];
    if (value === undefined) throw new Error('nothing to pick from');
    return value;
  }

  /** Distinct integers in [low, high], ascending. */
  distinct(count: number, low: number, high: number): number[] {
    const found = new Set<number>();
    while (found.size < count) found.add(this.int(low, high));
    return [...found].sort((a, b) => a - b);
  }
}
