/**
 * What is kept of signatures: two unpacked versions of the bundle, and the set of rule files that the engine loads. One small file, replaced
 * in one step, names what is in force; everything it does not name is leavings, removed by sweep(). Below the directory:
 *
 *   VERSION/                     a version of the bundle, as it was unpacked; .manifest.json beside its files
 *   .sets/N/                     a set: .set.json, raw/ what it was made of, rules/ what the engine loads
 *   .in-force.json               names set, version and the version before
 *   .incoming/                   what is being fetched and unpacked
 *   .fetched.json                what came of the last fetch (bundle-updates.ts)
 */
import { join } from 'node:path';
import { AgentError, describeError } from '../../../model/errors.js';
import type { Disk } from './disk.js';

export interface BundleManifest {
  readonly version: string;
  readonly sha256: string;
  readonly source: string;
  /** ISO time. */
  readonly takenAt: string;
  readonly ruleFiles: readonly string[];
  readonly classificationFile?: string;
  readonly referenceFile?: string;
}
export interface InForce {
  /** Number of the set. */
  readonly set: number;
  /** Version of the bundle; absent while there is none. */
  readonly version?: string;
  /** The version before: what a rollback leads to. */
  readonly previous?: string;
}

const IN_FORCE = '.in-force.json';
const MANIFEST = '.manifest.json';
const SETS = '.sets';
const INCOMING = '.incoming';
export const FETCHED = '.fetched.json';

export class VersionStore {
  #inForce: InForce | undefined;

  constructor(readonly directory: string, readonly disk: Disk) {}

  /** Reads what is in force and removes leavings. E_IO when the directory cannot be used. A damaged record counts as none: what it named is made anew. */
  async open(): Promise<void> {
    await this.#io('cannot be used', async () => {
      await this.disk.makeDirectory(join(this.directory, SETS));
      const recorded = parseInForce(await this.disk.read(join(this.directory, IN_FORCE)));
      const complete = recorded !== undefined && (await this.disk.read(join(this.setDirectory(recorded.set), '.set.json'))) !== undefined;
      this.#inForce = complete ? await this.#withVersions(recorded) : undefined;
    });
    await this.sweep();
  }

  get inForce(): InForce | undefined {
    return this.#inForce;
  }

  setDirectory(set: number): string {
    return join(this.directory, SETS, String(set));
  }

  versionDirectory(version: string): string {
    return join(this.directory, version);
  }

  /** undefined when there is no such version. */
  async manifest(version: string): Promise<BundleManifest | undefined> {
    return parseManifest(await this.disk.read(join(this.versionDirectory(version), MANIFEST)));
  }

  /** An empty directory for an archive and what is unpacked from it; what an earlier one held is gone. */
  async incoming(): Promise<string> {
    const directory = join(this.directory, INCOMING);
    await this.#io('cannot be made', async () => {
      await this.disk.remove(directory);
      await this.disk.makeDirectory(join(directory, 'files'));
    });
    return directory;
  }

  /**
   * Gives an unpacked bundle (in `incoming`/files) its place. Its version is `named`, else the first digits of its sha256; where a kept version of other
   * contents has that name already, the digits are added to it. It is not in force before commit(), and sweep() removes it until then.
   */
  async adopt(incoming: string, named: string | undefined, manifest: Omit<BundleManifest, 'version'>): Promise<string> {
    const digits = manifest.sha256.slice(0, 12);
    const kept = [this.#inForce?.version, this.#inForce?.previous];
    const version = named === undefined ? digits : kept.includes(named) ? `${named}+${digits}` : named;
    const files = join(incoming, 'files');
    await this.#io('cannot be kept', async () => {
      await this.disk.write(join(files, MANIFEST), [Buffer.from(`${JSON.stringify({ version, ...manifest })}\n`)]);
      // Leavings of a version that did not come into force.
      if (!kept.includes(version)) await this.disk.remove(this.versionDirectory(version));
      await this.disk.move(files, this.versionDirectory(version));
    });
    return version;
  }

  /** A number for a new set, with an empty directory for it. */
  async newSet(): Promise<number> {
    const used = (await this.disk.list(join(this.directory, SETS))).map(Number).filter(Number.isSafeInteger);
    const set = Math.max(0, ...used) + 1;
    await this.#io('cannot be made', () => this.disk.makeDirectory(this.setDirectory(set)));
    return set;
  }

  /** From here on `inForce` is what is in force, whatever happens. Rejects with E_IO, and then what was in force still is. */
  async commit(inForce: InForce): Promise<void> {
    await this.#io('cannot be written', () => this.disk.replace(join(this.directory, IN_FORCE), `${JSON.stringify(inForce)}\n`));
    this.#inForce = inForce;
  }

  /** Removes every set and version that is not in force or the one before, and what was being fetched. */
  async sweep(): Promise<void> {
    await this.#io('cannot be cleaned', async () => {
      const kept = [this.#inForce?.version, this.#inForce?.previous, SETS, IN_FORCE, FETCHED];
      for (const name of await this.disk.list(this.directory)) {
        if (!kept.includes(name)) await this.disk.remove(join(this.directory, name));
      }
      for (const name of await this.disk.list(join(this.directory, SETS))) {
        if (name !== String(this.#inForce?.set)) await this.disk.remove(join(this.directory, SETS, name));
      }
    });
  }

  /** Without versions whose files are gone. */
  async #withVersions({ set, version, previous }: InForce): Promise<InForce> {
    const there = async (name: string | undefined): Promise<boolean> => name !== undefined && (await this.manifest(name)) !== undefined;
    return {
      set,
      ...(version !== undefined && await there(version) ? { version } : {}),
      ...(previous !== undefined && await there(previous) ? { previous } : {}),
    };
  }

  async #io<T>(what: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw new AgentError('E_IO', `the store of signatures ${what}: ${describeError(error)}`, { object: this.directory, retryable: true, cause: error });
    }
  }
}

/** The keys of a JSON object; undefined for whatever else a file holds. */
export function parseRecord(content: Buffer | undefined): Readonly<Record<string, unknown>> | undefined {
  if (content === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(content.toString('utf8'));
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}

function parseInForce(content: Buffer | undefined): InForce | undefined {
  const record = parseRecord(content);
  const set = record?.['set'];
  if (typeof set !== 'number' || !Number.isSafeInteger(set)) return undefined;
  const { version, previous } = record ?? {};
  return { set, ...(typeof version === 'string' ? { version } : {}), ...(typeof previous === 'string' ? { previous } : {}) };
}

function parseManifest(content: Buffer | undefined): BundleManifest | undefined {
  const record = parseRecord(content);
  const { version, sha256, source, takenAt, ruleFiles, classificationFile, referenceFile } = record ?? {};
  if (typeof version !== 'string' || typeof sha256 !== 'string' || typeof source !== 'string' || typeof takenAt !== 'string' || !isTexts(ruleFiles)) return undefined;
  return {
    version, sha256, source, takenAt, ruleFiles,
    ...(typeof classificationFile === 'string' ? { classificationFile } : {}), ...(typeof referenceFile === 'string' ? { referenceFile } : {}),
  };
}

export function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((each) => typeof each === 'string');
}
