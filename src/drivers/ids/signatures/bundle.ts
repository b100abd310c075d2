import { open, readFile, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { AgentError, describeError } from '../../../model/errors.js';
import { BUNDLE_LIMITS, BundleEntries, type BundleLimits } from './bundle-entries.js';
import { unpackTar } from './bundle-tar.js';
import { unpackZip } from './bundle-zip.js';

export interface UnpackedBundle {
  /** What its file `version` or `version.txt` says; undefined where there is none that can be a name. */
  readonly version: string | undefined;
  /** Paths of its rule files below the directory, in order of name. */
  readonly ruleFiles: readonly string[];
  /** Paths of the tables that it brings, the one nearest to the root of each. */
  readonly classificationFile: string | undefined;
  readonly referenceFile: string | undefined;
}

const VERSION = /^[A-Za-z0-9][\w.+-]{0,63}$/;

/**
 * Unpacks a bundle, tar.gz or zip by its first bytes, into an empty directory: rule files, classification.config, reference.config and
 * the version; all else in it is passed over. Rejects with E_INVALID or E_LIMIT (object: `name`, path: the entry) when it is damaged, tries to reach
 * outside, is encrypted, grows beyond the limits or has no rule file; E_IO when it cannot be read or written. Then the directory may hold part of it.
 */
export async function unpackBundle(archive: string, name: string, directory: string, signal: AbortSignal, limits: BundleLimits = BUNDLE_LIMITS): Promise<UnpackedBundle> {
  const format = await formatOf(archive, name);
  const { size } = await stat(archive);
  const entries = new BundleEntries(name, size, directory, limits);
  await (format === 'zip' ? unpackZip : unpackTar)(archive, entries, signal);
  const ruleFiles = entries.files.filter((file) => file.endsWith('.rules')).toSorted();
  if (ruleFiles.length === 0) throw new AgentError('E_INVALID', 'the bundle is refused: it holds no *.rules file', { object: name });
  return {
    version: await versionOf(directory, entries.files),
    ruleFiles,
    classificationFile: nearestRoot(entries.files, 'classification.config'),
    referenceFile: nearestRoot(entries.files, 'reference.config'),
  };
}

async function formatOf(archive: string, name: string): Promise<'zip' | 'tar.gz'> {
  const start = Buffer.alloc(4);
  try {
    const file = await open(archive, 'r');
    try {
      await file.read(start, 0, 4, 0);
    } finally {
      await file.close();
    }
  } catch (error) {
    throw new AgentError('E_IO', `the bundle cannot be read: ${describeError(error)}`, { object: name, retryable: true, cause: error });
  }
  // RFC 1952, 2.3.1; APPNOTE.TXT, 4.3.7 (and 4.3.16: an empty archive).
  if (start[0] === 0x1f && start[1] === 0x8b) return 'tar.gz';
  if (start.toString('latin1').startsWith('PK')) return 'zip';
  throw new AgentError('E_INVALID', 'the bundle is refused: it is neither tar.gz nor zip', { object: name });
}

async function versionOf(directory: string, files: readonly string[]): Promise<string | undefined> {
  const file = nearestRoot(files, 'version') ?? nearestRoot(files, 'version.txt');
  if (file === undefined) return undefined;
  const [first = ''] = (await readFile(join(directory, file), 'utf8')).slice(0, 1_000).split('\n');
  return VERSION.test(first.trim()) ? first.trim() : undefined;
}

function nearestRoot(files: readonly string[], name: string): string | undefined {
  const depth = (file: string): number => file.split('/').length;
  return files.filter((file) => basename(file) === name).toSorted((a, b) => depth(a) - depth(b) || a.localeCompare(b))[0];
}
