/**
 * The last good content of each file, kept over restarts: a document that is bad when the agent starts must not take out of
 * force what was in force before. One JSON file for each manifest file, written whole or not at all.
 */
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describeError } from '../../model/errors.js';
import { objectKey } from '../../model/objects.js';
import { writeFileAtomic } from '../../platform/atomic-file.js';
import type { Logger } from '../../platform/logger.js';
import { Decoder } from '../manifests/decode.js';
import type { FileState, InForce } from './file-state.js';

/** Larger files are recorded only while a bad version of them must be held off: writing costs as much as reading did. */
const ALWAYS_BELOW_BYTES = 4 * 1024 * 1024;

interface RecordedObject {
  readonly origin: string;
  readonly position: string;
  readonly manifest: unknown;
}

export class LastGood {
  #decoder: Decoder | undefined;

  constructor(private readonly directory: string, private readonly log: Logger) {}

  /** What the file held when it was last good; undefined when nothing (readable) is recorded. */
  async load(label: string): Promise<FileState | undefined> {
    let recorded: unknown;
    try {
      recorded = JSON.parse(await readFile(this.#pathOf(label), 'utf8'));
    } catch (error) {
      // Absent for every new file; a damaged record is as good as none.
      this.log.debug('source.no-last-good', { object: label, reason: describeError(error) });
      return undefined;
    }
    if (!Array.isArray(recorded)) return undefined;
    const objects = recorded.flatMap((entry: unknown) => this.#decode(entry));
    return objects.length === 0 ? undefined : { objects, problems: [] };
  }

  /** Records the file's state; a failure is said and costs only this record. */
  async save(label: string, size: number, state: FileState): Promise<void> {
    if (size > ALWAYS_BELOW_BYTES && !state.objects.some(([, entry]) => entry.kept)) return this.forget(label);
    const recorded = state.objects.map(([, { origin, position, manifest }]): RecordedObject => ({ origin, position, manifest }));
    try {
      await mkdir(this.directory, { recursive: true, mode: 0o750 });
      await writeFileAtomic(this.#pathOf(label), JSON.stringify(recorded));
    } catch (error) {
      this.log.warn('source.last-good-unwritten', { object: label, reason: describeError(error) });
    }
  }

  async forget(label: string): Promise<void> {
    await rm(this.#pathOf(label), { force: true });
  }

  /** Removes the records of files that are not among these: a file that was taken away while the agent was down stays away. */
  async keepOnly(labels: readonly string[]): Promise<void> {
    const wanted = new Set(labels.map((label) => nameOf(label)));
    let names: string[];
    try {
      names = await readdir(this.directory);
    } catch {
      return; // no record was ever written
    }
    for (const name of names) if (!wanted.has(name)) await rm(join(this.directory, name), { force: true });
  }

  #decode(entry: unknown): (readonly [string, InForce])[] {
    if (typeof entry !== 'object' || entry === null || !('manifest' in entry) || !('origin' in entry) || !('position' in entry)) return [];
    const { manifest, origin, position } = entry;
    if (typeof origin !== 'string' || typeof position !== 'string') return [];
    this.#decoder ??= new Decoder();
    const decoded = this.#decoder.decode(manifest);
    if (!('object' in decoded)) return [];
    return [[objectKey(decoded.object), { object: decoded.object, manifest, origin, position, kept: true }]];
  }

  #pathOf(label: string): string {
    return join(this.directory, nameOf(label));
  }
}

function nameOf(label: string): string {
  return `${createHash('sha256').update(label).digest('hex').slice(0, 32)}.json`;
}
