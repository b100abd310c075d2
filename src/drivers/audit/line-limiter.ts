import { TokenBucket } from '../../platform/token-bucket.js';

export interface RuleKey {
  readonly table: string;
  readonly ruleId: number;
}
export interface Suppressed {
  readonly rule: RuleKey;
  readonly lines: number;
}
export interface LineLimits {
  /** Lines a second and rule in the long run. */
  readonly rate: number;
  /** Lines a rule may write at once. */
  readonly burst: number;
}

interface Bucket {
  readonly rule: RuleKey;
  readonly lines: TokenBucket;
  /** Lines left out since the last report. */
  suppressed: number;
}

/** One token bucket a rule; only rules that were written lately have one, so memory follows the traffic, not the rule tables. */
export class LineLimiter {
  readonly #buckets = new Map<string, Bucket>();

  constructor(private readonly limits: LineLimits) {}

  /** True when the rule may write a line now; otherwise the line is counted as suppressed. */
  admit(rule: RuleKey, nowMs: number): boolean {
    const key = `${rule.table}/${String(rule.ruleId)}`;
    let bucket = this.#buckets.get(key);
    if (bucket === undefined) {
      bucket = { rule, lines: new TokenBucket(this.limits.rate, this.limits.burst), suppressed: 0 };
      this.#buckets.set(key, bucket);
    }
    if (bucket.lines.take(nowMs)) return true;
    bucket.suppressed += 1;
    return false;
  }

  /** What was left out since the last call, one element a rule; buckets that are full again are given up. */
  report(nowMs: number): Suppressed[] {
    const found: Suppressed[] = [];
    for (const [key, bucket] of this.#buckets) {
      if (bucket.suppressed > 0) found.push({ rule: bucket.rule, lines: bucket.suppressed });
      bucket.suppressed = 0;
      if (bucket.lines.isFull(nowMs)) this.#buckets.delete(key);
    }
    return found;
  }

  /** Rules that have a bucket. */
  get size(): number {
    return this.#buckets.size;
  }
}
