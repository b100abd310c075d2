/**
 * Leases over a store that can compare and swap. No clock of the store and none of another node counts (etcd's own leases can end early: a leader that was held up
 * revokes what others renewed, before 3.4.29 and 3.5.11; times in Lease objects are of the clock of who wrote them).
 *
 * A holder has one *session*, a record that it writes again with every claim; entries name the session by its random id. An entry lives as long as its
 * session does, which ends for good when its record is removed. Who wants an entry of another removes the record of that session, after it has
 * itself seen it unchanged for its time, and only if it still is the version it saw.
 *
 * Hence the promise of a claim: the session's record was written after the call began; whoever removes it has seen that version, so waited for its
 * time from then on. If it was removed before, the write fails, and with the session all entries are gone. How many entries
 * a holder has does not matter: a renewal is one write.
 */
import { randomUUID } from 'node:crypto';
import { AgentError } from '../../model/errors.js';
import { fieldsOf } from '../../model/identity.js';
import type { LeaseSnapshot, LeaseStore } from '../../model/lease-store.js';
import type { Clock } from '../../platform/clock.js';
import type { EgressLeases, LeaseEntry } from './leases.js';

export interface SessionLeasesOptions {
  readonly store: LeaseStore;
  /** Who claims here: all claims are in this name. */
  readonly holder: string;
  readonly clock: Clock;
  /** [0, 1) */
  readonly random: () => number;
}

interface SessionRecord { readonly holder: string; readonly session: string; readonly ttlMs: number; readonly beat: number }
interface Session extends SessionRecord { readonly version: string }
interface Entry extends LeaseEntry { readonly session: string; readonly version: string }
interface Known {
  /** By holder. */
  readonly sessions: ReadonlyMap<string, Session>;
  /** By key. */
  readonly entries: ReadonlyMap<string, Entry>;
}

const SESSION = 'sessions/';
const ENTRY = 'keys/';
/** A claim that others overtake so often that it cannot get through says so. */
const TRIES = 5;
/** Sessions that were silent for so many of their times are cleared away, wanted or not. */
const DEAD_TIMES = 20;
/** Cleared away at once. */
const SWEPT = 20;

export class SessionLeases implements EgressLeases {
  private mine: Session | undefined;
  /** Whether the session that stands there is gone on with: that of the process before this one. */
  private adopting = true;
  private writing: Promise<Session> | undefined;
  private next: Promise<Session> | undefined;
  private known: Known | undefined;
  /** Holder → the version of its session that was seen last, and since when. */
  private seen = new Map<string, { readonly version: string; readonly sinceMs: number; readonly ttlMs: number }>();
  private position = { history: '', revision: 0 };
  /** Nothing is taken before: who holds it may not know yet that the store is another one. */
  private settledAt = -Infinity;
  private readonly listeners = new Set<() => void>();
  private cancelTimer: () => void = () => undefined;

  constructor(private readonly options: SessionLeasesOptions) {}

  async list(): Promise<readonly LeaseEntry[]> {
    const known = await this.look(0);
    return [...known.entries.values()].filter((entry) => this.alive(entry, known)).map(plain);
  }

  async claim(entry: LeaseEntry, ttlMs: number): Promise<LeaseEntry> {
    const { holder, store } = this.options;
    if (entry.holder !== holder) throw new AgentError('E_INTERNAL', 'claims in the name of another', { object: entry.key });
    const { session } = await this.renew(ttlMs);
    const text = JSON.stringify({ ...entry, session });
    for (let tries = 0; tries < TRIES; tries += 1) {
      // What is known of an entry of this session stays true while the session goes on.
      const known = tries === 0 && this.known?.entries.get(entry.key)?.session === session ? this.known : await this.look(ttlMs);
      const standing = known.entries.get(entry.key);
      if (standing?.session === session && standing.value === entry.value) return entry;
      if (standing !== undefined && standing.session !== session) {
        if (this.alive(standing, known)) return plain(standing);
        this.requireSettled(entry.key);
        if (!(await this.end(standing, known))) continue;
      } else if (standing === undefined) this.requireSettled(entry.key);
      const version = await store.write(ENTRY + entry.key, text, standing?.version);
      if (version === undefined) continue;
      this.know({ sessions: this.known?.sessions ?? known.sessions, entries: new Map(this.known?.entries ?? known.entries).set(entry.key, { ...entry, session, version }) });
      return entry;
    }
    throw new AgentError('E_CONFLICT', 'others are always faster', { object: entry.key, retryable: true });
  }

  async release(key: string, holder: string): Promise<void> {
    for (let tries = 0; tries < TRIES; tries += 1) {
      const known = await this.look(0);
      const standing = known.entries.get(key);
      if (standing?.holder !== holder || await this.options.store.remove(ENTRY + key, standing.version)) {
        const entries = new Map(this.known?.entries ?? known.entries);
        if (entries.get(key)?.version === standing?.version) entries.delete(key);
        this.know({ sessions: this.known?.sessions ?? known.sessions, entries });
        return;
      }
    }
    throw new AgentError('E_CONFLICT', 'others are always faster', { object: key, retryable: true });
  }

  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    const forget = this.options.store.onChange(listener);
    return () => {
      forget();
      this.listeners.delete(listener);
      if (this.listeners.size === 0) this.cancelTimer();
    };
  }

  /** Resolves after the session was written by a call to the store that began after this one. */
  private async renew(ttlMs: number): Promise<Session> {
    // A write that is under way may have been done before this call: it promises nothing to it. All that come until then share the next.
    this.next ??= (this.writing ?? Promise.resolve()).then(() => undefined, () => undefined).then(async () => {
      this.next = undefined;
      this.writing = this.beat(ttlMs);
      return this.writing;
    });
    return this.next;
  }

  private async beat(ttlMs: number): Promise<Session> {
    const { store, holder } = this.options;
    for (let tries = 0; tries < TRIES; tries += 1) {
      let standing: Session | undefined = this.mine;
      if (standing === undefined || tries > 0) {
        standing = (await this.look(ttlMs)).sessions.get(holder);
        // The same session: written by a call whose answer got lost.
        const ours = standing !== undefined && (this.mine === undefined ? this.adopting && standing.session !== '' : standing.session === this.mine.session);
        this.mine = ours ? standing : undefined;
      }
      const { session, beat } = this.mine ?? { session: randomUUID(), beat: 0 };
      const record: SessionRecord = { holder, session, ttlMs, beat: beat + 1 };
      const version = await store.write(SESSION + holder, JSON.stringify(record), standing?.version);
      if (version === undefined) continue;
      this.mine = { ...record, version };
      this.adopting = false;
      this.sweep().catch(() => undefined);
      return this.mine;
    }
    throw new AgentError('E_CONFLICT', 'somebody else writes the session of this node', { object: SESSION + holder, retryable: true });
  }

  /** The session of an entry that is not alive has ended for good; false when it is not so any more. */
  private async end({ holder, session }: Entry, known: Known): Promise<boolean> {
    const standing = known.sessions.get(holder);
    return standing?.session !== session || this.options.store.remove(SESSION + holder, standing.version);
  }

  private alive({ holder, session }: Entry, { sessions }: Known): boolean {
    const standing = sessions.get(holder);
    return standing?.session === session && this.silentAt(holder) > this.options.clock.monotonic();
  }

  /** When the time of a session is over, if nothing more is heard of it. */
  private silentAt(holder: string, times = 1): number {
    const seen = this.seen.get(holder);
    return seen === undefined ? Infinity : seen.sinceMs + seen.ttlMs * times;
  }

  private requireSettled(key: string): void {
    const left = this.settledAt - this.options.clock.monotonic();
    if (left > 0) throw new AgentError('E_CONFLICT', `the store is another one than it was, or an older one: nothing is taken for ${Math.ceil(left)} ms`, { object: key, retryable: true });
  }

  private async look(ttlMs: number): Promise<Known> {
    const { clock } = this.options;
    const asked = this.position;
    const snapshot = await this.options.store.read();
    const { history, revision } = snapshot;
    const known = parsed(snapshot);
    const now = clock.monotonic();
    if (asked.history !== '' && (history !== asked.history || revision < asked.revision)) {
      const longest = Math.max(ttlMs, ...[...known.sessions.values(), ...(this.mine === undefined ? [] : [this.mine])].map((session) => session.ttlMs));
      this.settledAt = Math.max(this.settledAt, now + longest);
      // What it says of this session is not what became of it.
      this.mine = undefined;
      this.adopting = false;
    } else if (this.position.history === history && revision < this.position.revision) {
      // Of two questions under way the later one was answered first.
      return known;
    }
    this.position = { history, revision };
    // From when it is here: it was written before that.
    this.seen = new Map([...known.sessions].map(([holder, { version, ttlMs: time }]) => {
      const before = this.seen.get(holder);
      return [holder, before?.version === version ? before : { version, sinceMs: now, ttlMs: time }];
    }));
    this.know(known);
    return known;
  }

  private know(known: Known): void {
    this.known = known;
    this.cancelTimer();
    this.cancelTimer = () => undefined;
    if (this.listeners.size === 0) return;
    const now = this.options.clock.monotonic();
    const next = Math.min(...[...known.sessions.keys()].map((holder) => this.silentAt(holder)).filter((at) => at > now));
    if (next === Infinity) return;
    this.cancelTimer = this.options.clock.after(Math.ceil(next - now), () => {
      for (const listener of this.listeners) listener();
    });
  }

  /** Removes what dead holders left. One of all nodes does, by chance: entries without a session are free anyway. */
  private async sweep(): Promise<void> {
    const { known, options: { store, random, clock } } = this;
    if (known === undefined || random() * known.sessions.size >= 1) return;
    const now = clock.monotonic();
    const dead = [...known.sessions.values()].filter(({ holder }) => this.silentAt(holder, DEAD_TIMES) <= now);
    const orphans = [...known.entries.values()].filter(({ holder, session }) => known.sessions.get(holder)?.session !== session && session !== this.mine?.session);
    for (const { holder, version } of dead.slice(0, SWEPT)) await store.remove(SESSION + holder, version);
    for (const { key, version } of orphans.slice(0, SWEPT)) await store.remove(ENTRY + key, version);
  }
}

/** What cannot be read is not there to be lived by, but keeps its place: a version is needed to write there. */
function parsed({ records }: LeaseSnapshot): Known {
  const sessions = new Map<string, Session>();
  const entries = new Map<string, Entry>();
  for (const { name, text, version } of records) {
    const fields = fieldsOf(json(text)) ?? {};
    const textOf = (field: string): string => (typeof fields[field] === 'string' ? fields[field] : '');
    const numberOf = (field: string): number => (typeof fields[field] === 'number' && Number.isFinite(fields[field]) ? fields[field] : 0);
    const session = textOf('session');
    if (name.startsWith(SESSION)) {
      const holder = name.slice(SESSION.length);
      sessions.set(holder, { holder, session, ttlMs: numberOf('ttlMs'), beat: numberOf('beat'), version });
    } else if (name.startsWith(ENTRY)) {
      const key = name.slice(ENTRY.length);
      entries.set(key, { key, holder: textOf('holder'), value: textOf('value'), session, version });
    }
  }
  return { sessions, entries };
}

function json(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return value;
  } catch {
    return undefined;
  }
}

function plain({ key, holder, value }: LeaseEntry): LeaseEntry {
  return { key, holder, value };
}
