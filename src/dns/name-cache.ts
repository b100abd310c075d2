/**
 * Which addresses names have, as DNS replies said: an address stands until its TTL is over, `minTtlSeconds` at least. Only
 * names that some pattern in force wants are kept. Names that only wildcards want are limited, least recently answered first
 * out; those that a policy names exactly are not.
 */
import type { Clock } from '../platform/clock.js';
import { isWildcard, matchesPattern } from './pattern.js';
import type { NameAnswer } from './reply.js';

export interface NameCacheOptions {
  readonly clock: Clock;
  readonly minTtlSeconds: number;
  /** The addresses of some name changed without an answer: they expired. */
  readonly onExpired: () => void;
  readonly limits?: NameLimits;
}

export interface NameLimits {
  readonly perWildcard: number;
  readonly allWildcards: number;
}

/** Antrea's limits. */
const LIMITS: NameLimits = { perWildcard: 1024, allWildcards: 10_000 };
/** "Use it for the transaction in progress" (RFC 1035 section 3.2.1) takes a moment. */
const SHORTEST_SECONDS = 1;
/** Longest delay of a timer (2^31 ms) and more than a TTL that means anything. */
const LONGEST_SECONDS = 7 * 24 * 3600;
/** What expires within this time goes together. */
const GRAIN_MS = 200;

export interface CachedName {
  readonly name: string;
  /** `expiresMs`: since 1970. */
  readonly addresses: readonly { readonly address: string; readonly expiresMs: number }[];
}

export class NameCache {
  /** Least recently answered first. Deadlines are monotonic ms. */
  private readonly names = new Map<string, Map<string, number>>();
  private exact = new Set<string>();
  /** Names that each wildcard in force matches, least recently answered first. */
  private wildcards = new Map<string, Set<string>>();
  private readonly limits: NameLimits;
  private cancelTimer: (() => void) | undefined;
  private wakesAt = Infinity;

  constructor(private readonly options: NameCacheOptions) {
    this.limits = options.limits ?? LIMITS;
  }

  get size(): number {
    return this.names.size;
  }

  /** Which names and wildcards are wanted from now on. Names that nothing wants any more stay until they expire. */
  want(patterns: Iterable<string>): void {
    const before = this.wildcards;
    this.exact = new Set();
    this.wildcards = new Map();
    for (const pattern of patterns) {
      if (isWildcard(pattern)) this.wildcards.set(pattern, before.get(pattern) ?? new Set(this.matching(pattern)));
      else this.exact.add(pattern);
    }
  }

  /**
   * Takes in an answer; addresses that it no longer has stand until they expire. True when the addresses of some name changed,
   * so that what depends on them must be brought up to date.
   */
  learn({ name, addresses }: NameAnswer): boolean {
    const wildcards = [...this.wildcards].filter(([pattern]) => matchesPattern(pattern, name));
    if (!this.exact.has(name) && wildcards.length === 0) return false;
    const now = this.options.clock.monotonic();
    const known = this.names.get(name) ?? new Map<string, number>();
    let changed = wildcards.some(([, names]) => !names.has(name));
    for (const { address, ttlSeconds } of addresses) {
      const lives = Math.min(LONGEST_SECONDS, Math.max(ttlSeconds, this.options.minTtlSeconds, SHORTEST_SECONDS));
      changed ||= !known.has(address);
      const deadline = Math.max(known.get(address) ?? 0, now + lives * 1000);
      known.set(address, deadline);
      this.wakeAt(deadline);
    }
    this.names.delete(name);
    this.names.set(name, known);
    for (const [pattern, names] of wildcards) {
      names.delete(name);
      names.add(name);
      if (names.size > this.limits.perWildcard) this.leave(pattern, oldest(names));
    }
    this.limitWildcards();
    return changed;
  }

  /** Addresses of the name, or of all names that the wildcard matches; none when nothing was answered. */
  *addressesOf(pattern: string): Iterable<string> {
    const names = isWildcard(pattern) ? (this.wildcards.get(pattern) ?? this.matching(pattern)) : [pattern];
    const given = new Set<string>();
    for (const name of names) {
      for (const address of this.names.get(name)?.keys() ?? []) {
        if (given.has(address)) continue;
        given.add(address);
        yield address;
      }
    }
  }

  /** All names, least recently answered first. */
  snapshot(): CachedName[] {
    const ahead = this.options.clock.now() - this.options.clock.monotonic();
    return [...this.names].map(([name, addresses]) => ({
      name, addresses: [...addresses].map(([address, deadline]) => ({ address, expiresMs: Math.round(deadline + ahead) })),
    }));
  }

  /** What a snapshot before a restart held, but for what expired since. Before the first want(). */
  restore(names: readonly CachedName[]): void {
    const now = this.options.clock.monotonic();
    const ahead = this.options.clock.now() - now;
    for (const { name, addresses } of names) {
      const left = addresses.map(({ address, expiresMs }): [string, number] => [address, Math.min(expiresMs - ahead, now + LONGEST_SECONDS * 1000)]).filter(([, deadline]) => deadline > now);
      if (left.length === 0) continue;
      this.names.set(name, new Map(left));
      for (const [, deadline] of left) this.wakeAt(deadline);
    }
  }

  close(): void {
    this.cancelTimer?.();
    this.cancelTimer = undefined;
    this.wakesAt = Infinity;
  }

  /** Names that a wildcard not wanted so far stands for. */
  private matching(pattern: string): string[] {
    return [...this.names.keys()].filter((name) => matchesPattern(pattern, name)).slice(-this.limits.perWildcard);
  }

  private limitWildcards(): void {
    // Cheap while there are few names: exact ones may be among them.
    if (this.names.size <= this.limits.allWildcards) return;
    const others = [...this.names.keys()].filter((name) => !this.exact.has(name));
    for (const name of others.slice(0, Math.max(0, others.length - this.limits.allWildcards))) this.forget(name);
  }

  /** A wildcard lets go of a name; one that nothing else wants goes. */
  private leave(pattern: string, name: string | undefined): void {
    if (name === undefined) return;
    this.wildcards.get(pattern)?.delete(name);
    if (!this.exact.has(name) && ![...this.wildcards.values()].some((names) => names.has(name))) this.names.delete(name);
  }

  private forget(name: string): void {
    this.names.delete(name);
    for (const names of this.wildcards.values()) names.delete(name);
  }

  private wakeAt(deadline: number): void {
    if (deadline >= this.wakesAt) return;
    this.close();
    this.wakesAt = deadline;
    const { clock } = this.options;
    this.cancelTimer = clock.after(Math.max(GRAIN_MS, Math.ceil(deadline - clock.monotonic())), () => this.expire());
  }

  private expire(): void {
    this.close();
    const now = this.options.clock.monotonic();
    let changed = false;
    let next = Infinity;
    for (const [name, addresses] of this.names) {
      for (const [address, deadline] of addresses) {
        if (deadline > now) {
          next = Math.min(next, deadline);
          continue;
        }
        addresses.delete(address);
        changed = true;
      }
      if (addresses.size === 0) this.forget(name);
    }
    this.wakeAt(next);
    if (changed) this.options.onExpired();
  }
}

function oldest(names: ReadonlySet<string>): string | undefined {
  for (const name of names) return name;
  return undefined;
}
