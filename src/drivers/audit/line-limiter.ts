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
  tokens: number;
  filledAt: number;
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
      bucket = { rule, tokens: this.limits.burst, filledAt: nowMs, suppressed: 0 };
      this.#buckets.set(key, bucket);
    }
    this.#refill(bucket, nowMs);
    if (bucket.tokens >= 1) {
      bucket.tokens -= 1;
      return true;
    }
    bucket.suppressed += 1;
    return false;
  }

  /** What was left out since the last call, one element a rule; buckets that are full again are given up. */
  report(nowMs: number): Suppressed[] {
    const found: Suppressed[] = [];
    for (const [key, bucket] of this.#buckets) {
      this.#refill(bucket, nowMs);
      if (bucket.suppressed > 0) found.push({ rule: bucket.rule, lines: bucket.suppressed });
      bucket.suppressed = 0;
      if (bucket.tokens >= this.limits.burst) this.#buckets.delete(key);
    }
    return found;
  }

  /** Rules that have a bucket. */
  get size(): number {
    return this.#buckets.size;
  }

  #refill(bucket: Bucket, nowMs: number): void {
    // A clock that was set back must not take tokens away.
    const elapsed = Math.max(0, nowMs - bucket.filledAt);
    bucket.tokens = Math.min(this.limits.burst, bucket.tokens + (elapsed * this.limits.rate) / 1000);
    bucket.filledAt = nowMs;
  }
}
