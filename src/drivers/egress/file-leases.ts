/**
 * Leases in a directory, for agents on one machine (tests, and hosts in network namespaces): their clock is the machine's monotonic one. Every
 * change of a key is a new file KEY.N, made complete beside it and put in place by link(2), which fails when another was first: compare and
 * swap without a lock that a stopped process could keep.
 */
import { randomUUID } from 'node:crypto';
import { link, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AgentError, describeError } from '../../model/errors.js';
import type { EgressLeases, LeaseEntry } from './leases.js';

export interface FileLeasesOptions {
  /** Made when it is absent. */
  readonly directory: string;
  /** CLOCK_MONOTONIC of the machine, ms. */
  readonly now: () => number;
}

interface Version extends LeaseEntry {
  readonly until: number;
}
interface Place { readonly file: string; readonly key: string; readonly version: number }

/** A claim that others overtake so often that it cannot get through says so. */
const TRIES = 20;

export class FileLeases implements EgressLeases {
  constructor(private readonly options: FileLeasesOptions) {}

  async list(): Promise<readonly LeaseEntry[]> {
    return this.guarded(async () => {
      const newest = new Map<string, Place>();
      for (const place of await this.places()) {
        const known = newest.get(place.key);
        if (known === undefined || place.version > known.version) newest.set(place.key, place);
      }
      const versions = await Promise.all([...newest.values()].map(async ({ key }) => (await this.newest(key)).entry));
      return versions.flatMap((entry) => (entry === undefined || !this.alive(entry) ? [] : [plain(entry)]));
    });
  }

  async claim(entry: LeaseEntry, ttlMs: number): Promise<LeaseEntry> {
    // Read first: whatever takes its time afterwards, the lease ends early, not late.
    const until = this.options.now() + ttlMs;
    return this.guarded(async () => {
      await mkdir(this.options.directory, { recursive: true });
      for (let tries = 0; tries < TRIES; tries += 1) {
        const { version, entry: known } = await this.newest(entry.key);
        if (known !== undefined && this.alive(known) && known.holder !== entry.holder) return plain(known);
        if (await this.put({ ...entry, until }, version)) return entry;
      }
      throw new AgentError('E_IO', 'others are always faster', { object: entry.key, retryable: true });
    });
  }

  async release(key: string, holder: string): Promise<void> {
    await this.guarded(async () => {
      const { version, entry } = await this.newest(key);
      if (entry?.holder === holder) await this.put({ ...entry, until: 0 }, version);
    });
  }

  onChange(): () => void {
    // Nobody tells: whoever wants to know looks often.
    return () => undefined;
  }

  private alive({ until }: Version): boolean {
    return until > this.options.now();
  }

  /** Puts the version behind `version` in place; false when another was first. */
  private async put(entry: Version, version: number): Promise<boolean> {
    const { directory } = this.options;
    const temporary = join(directory, `.${randomUUID()}`);
    try {
      await writeFile(temporary, JSON.stringify(entry));
      await link(temporary, join(directory, fileName(entry.key, version + 1)));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
      throw error;
    } finally {
      await rm(temporary, { force: true });
    }
    // Who was stopped for long may find its place free again, because it was cleared away: only the newest counts.
    const { version: latest } = await this.newest(entry.key);
    if (latest > version + 1) {
      if (latest > version + 2) await rm(join(directory, fileName(entry.key, version + 1)), { force: true });
      return false;
    }
    // Two versions are kept: who is reading the one before still can.
    await rm(join(directory, fileName(entry.key, version - 1)), { force: true });
    return true;
  }

  private async newest(key: string): Promise<{ readonly version: number; readonly entry?: Version }> {
    for (let tries = 0; ; tries += 1) {
      const version = (await this.places()).filter((place) => place.key === key).reduce((highest, place) => Math.max(highest, place.version), 0);
      if (version === 0) return { version };
      try {
        return { version, entry: JSON.parse(await readFile(join(this.options.directory, fileName(key, version)), 'utf8')) as Version };
      } catch (error) {
        // Replaced twice since it was listed.
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || tries >= TRIES) throw error;
      }
    }
  }

  private async places(): Promise<Place[]> {
    const files = await readdir(this.options.directory).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    });
    return files.flatMap((file): Place[] => {
      const [, encoded = '', version = ''] = /^([^.].*)\.(\d+)$/.exec(file) ?? [];
      return version === '' ? [] : [{ file, key: decodeURIComponent(encoded), version: Number(version) }];
    });
  }

  private async guarded<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof AgentError) throw error;
      throw new AgentError('E_IO', `leases: ${describeError(error)}`, { object: this.options.directory, retryable: true, cause: error });
    }
  }
}

function plain({ key, holder, value }: Version): LeaseEntry {
  return { key, holder, value };
}

function fileName(key: string, version: number): string {
  return `${encodeURIComponent(key)}.${version}`;
}
