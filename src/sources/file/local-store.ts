/**
 * Objects that the agent itself keeps (`agentctl apply`, `attach`): one manifest file each in a directory that a FileSource reads.
 * Files are written whole or not at all and survive a crash (written aside, fsync, rename, fsync of the directory).
 */
import { createHash } from 'node:crypto';
import { mkdir, open, readFile, rename, rm, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { DesiredObject } from '../../model/objects.js';
import { AgentError } from '../../model/errors.js';
import { objectKey } from '../../model/objects.js';
import { parseRulesText } from '../../model/rules-text.js';
import { identityOf } from '../../model/identity.js';
import { Decoder } from '../manifests/decode.js';
import { errorCodeOf } from './listing.js';
import { objectsOfRulesText, type ParsedObject } from './parse-file.js';

/** Larger manifests are written as JSON (which is YAML too): a hundred times faster to write and read. */
const YAML_BYTES = 64 * 1024;
/** NAME_MAX (linux/limits.h) less the ending and the name of the file written aside. */
const FILE_NAME_LENGTH = 200;

export type PutResult = 'created' | 'configured' | 'unchanged';

export class LocalStore {
  readonly #directory: string;
  #decoder: Decoder | undefined;
  #writes: Promise<unknown> = Promise.resolve();

  /** `directory` is created when the first object is stored. */
  constructor(directory: string) {
    this.#directory = directory;
  }

  /** One parsed document → the object it means. Throws E_INVALID or E_LIMIT with the path of the first problem. */
  validate(document: unknown): DesiredObject {
    this.#decoder ??= new Decoder();
    const decoded = this.#decoder.decode(document);
    if ('object' in decoded) return decoded.object;
    const [problem] = decoded.problems;
    const identity = identityOf(document);
    throw new AgentError(problem?.code ?? 'E_INVALID', problem?.message ?? 'refused', {
      ...(identity === undefined ? {} : { object: objectKey({ kind: identity.kind, metadata: identity }) }),
      path: problem?.path ?? '',
    });
  }

  /** The text of a *.rules file → the objects it means, each with a manifest for put(). Throws E_PARSE with the first bad line. */
  validateRulesText(text: string, name: string): ParsedObject[] {
    const parsed = parseRulesText(text);
    const [problem] = parsed.problems;
    if (problem !== undefined) throw new AgentError('E_PARSE', problem.message, { object: name, path: `line ${problem.line}` });
    return objectsOfRulesText(parsed);
  }

  /** Stores a document, replacing an earlier version of the same object. Throws as validate(), or E_IO. */
  async put(document: unknown): Promise<PutResult> {
    const key = objectKey(this.validate(document));
    return this.#exclusively(async () => this.#write(this.#pathOf(key), manifestText(document)));
  }

  /** True when the object was stored here. */
  async remove(kind: string, namespace: string | undefined, name: string): Promise<boolean> {
    const path = this.#pathOf(objectKey({ kind, metadata: { name, ...(namespace === undefined ? {} : { namespace }) } }));
    return this.#exclusively(async () => {
      try {
        await unlink(path);
        await this.#syncDirectory();
        return true;
      } catch (error) {
        if (errorCodeOf(error) === 'ENOENT') return false;
        throw ioError(path, error);
      }
    });
  }

  /** Calls take turns, so that two writers of one object cannot mix. */
  async #exclusively<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#writes.then(work);
    // The next call waits for this one to end, however it ends; the caller of this one sees the failure.
    this.#writes = mine.catch(() => undefined);
    return mine;
  }

  async #write(path: string, text: string): Promise<PutResult> {
    const aside = join(this.#directory, `.${createHash('sha256').update(path).digest('hex').slice(0, 16)}.tmp`);
    try {
      const earlier = await readFile(path, 'utf8').catch((error: unknown) => {
        if (errorCodeOf(error) === 'ENOENT') return undefined;
        throw error;
      });
      if (earlier === text) return 'unchanged';
      await mkdir(this.#directory, { recursive: true, mode: 0o750 });
      const file = await open(aside, 'w', 0o640);
      try {
        await file.writeFile(text);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(aside, path);
      await this.#syncDirectory();
      return earlier === undefined ? 'created' : 'configured';
    } catch (error) {
      await rm(aside, { force: true });
      throw ioError(path, error);
    }
  }

  async #syncDirectory(): Promise<void> {
    const directory = await open(this.#directory, 'r');
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  }

  /** `RuleTable_domain-c25.yaml`; long names are cut and made unique by a hash. */
  #pathOf(key: string): string {
    const plain = key.replaceAll('/', '_').replace(/[^A-Za-z0-9._:-]/g, '_');
    // A slash in the name of a table or set must not meet the name that has _ there.
    const exact = plain.length <= FILE_NAME_LENGTH && /^[A-Za-z0-9._:/-]*$/.test(key) && !/^(?:RuleTable|AddressSet)\/.*\//.test(key);
    const name = exact ? plain : `${plain.slice(0, FILE_NAME_LENGTH - 17)}_${createHash('sha256').update(key).digest('hex').slice(0, 16)}`;
    return join(this.#directory, `${name}.yaml`);
  }
}

function manifestText(document: unknown): string {
  const json = JSON.stringify(document, undefined, 2);
  return json.length > YAML_BYTES ? `${json}\n` : stringify(document, { lineWidth: 0, aliasDuplicateObjects: false });
}

function ioError(path: string, cause: unknown): AgentError {
  return new AgentError('E_IO', `cannot be written (${errorCodeOf(cause)})`, { object: path, cause, retryable: true });
}
