/** What lies at the source's path now: manifest files with their signatures, and the directories to watch. */
import type { BigIntStats } from 'node:fs';
import { lstat, readdir, realpath, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { isManifestName } from './parse-file.js';

export interface ListedFile {
  readonly path: string;
  /** `manifests/web.yaml`: for people, and the order of the files. */
  readonly label: string;
  /** Changes whenever the content may have changed. Undefined when the file cannot be used; `problem` says why. */
  readonly signature?: string;
  readonly size: number;
  readonly modifiedMs: number;
  readonly problem?: string;
}

export interface Listing {
  /** Why the path itself could not be read; then nothing is known about the files. `missing` when it does not exist. */
  readonly problem?: { readonly missing: boolean; readonly message: string; readonly cause: unknown };
  /** Sorted by label. */
  readonly files: readonly ListedFile[];
  readonly directories: readonly { readonly path: string; readonly inode: string }[];
  /** Directories below the path that could not be read, by label: their files are unknown, not gone. */
  readonly unreadable: readonly { readonly label: string; readonly message: string }[];
}

const MAX_DEPTH = 16;
/** Files looked at together. */
const CONCURRENCY = 64;

export function errorCodeOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error && typeof error.code === 'string' ? error.code : '';
}

const isMissing = (error: unknown): boolean => ['ENOENT', 'ENOTDIR'].includes(errorCodeOf(error));

/** Follows symbolic links, as ConfigMap volumes need; hidden names (`..data`, editors' files) are not manifests. Rejects never. */
export async function listManifests(path: string): Promise<Listing> {
  const files: ListedFile[] = [];
  const directories: { path: string; inode: string }[] = [];
  const unreadable: { label: string; message: string }[] = [];
  const visited = new Set<string>();

  const walk = async (directory: string, label: string, depth: number): Promise<void> => {
    const real = await realpath(directory);
    if (visited.has(real)) return;
    visited.add(real);
    directories.push({ path: directory, inode: inodeOf(await stat(directory, { bigint: true })) });
    const entries = await readdir(directory, { withFileTypes: true });
    const names = entries.filter((entry) => !entry.name.startsWith('.') && (isManifestName(entry.name) || entry.isDirectory() || entry.isSymbolicLink()));
    for (let from = 0; from < names.length; from += CONCURRENCY) {
      await Promise.all(names.slice(from, from + CONCURRENCY).map(async ({ name }) => visit(join(directory, name), `${label}/${name}`, name, depth)));
    }
  };

  const visit = async (full: string, label: string, name: string, depth: number): Promise<void> => {
    let found: BigIntStats;
    try {
      found = await stat(full, { bigint: true });
    } catch (error) {
      // A link that points to nothing is a mistake; a name that went since the directory was read is just gone.
      if (isManifestName(name) && (await exists(full))) {
        files.push({ path: full, label, size: 0, modifiedMs: 0, problem: `cannot be read (${errorCodeOf(error)})` });
      }
      return;
    }
    if (found.isDirectory()) {
      if (depth >= MAX_DEPTH) unreadable.push({ label, message: `is nested deeper than ${MAX_DEPTH} directories` });
      else {
        await walk(full, label, depth + 1).catch((error: unknown) => {
          if (!isMissing(error)) unreadable.push({ label, message: `cannot be read (${errorCodeOf(error)})` });
        });
      }
    } else if (isManifestName(name)) {
      files.push(listed(full, label, found));
    }
  };

  try {
    const root = await stat(path, { bigint: true });
    if (root.isDirectory()) await walk(path, basename(path), 0);
    else files.push(listed(path, basename(path), root));
  } catch (error) {
    const missing = isMissing(error);
    return { problem: { missing, message: missing ? 'does not exist' : `cannot be read (${errorCodeOf(error)})`, cause: error }, files: [], directories: [], unreadable: [] };
  }
  files.sort((a, b) => (a.label < b.label ? -1 : a.label > b.label ? 1 : 0));
  return { files, directories, unreadable };
}

async function exists(path: string): Promise<boolean> {
  return lstat(path).then(() => true, (error: unknown) => !isMissing(error));
}

function inodeOf(found: BigIntStats): string {
  return `${found.dev}:${found.ino}`;
}

function listed(path: string, label: string, found: BigIntStats): ListedFile {
  const size = Number(found.size);
  const modifiedMs = Number(found.mtimeNs / 1_000_000n);
  if (!found.isFile()) return { path, label, size, modifiedMs, problem: 'is not a regular file' };
  return { path, label, signature: `${inodeOf(found)}:${found.size}:${found.mtimeNs}:${found.ctimeNs}`, size, modifiedMs };
}
