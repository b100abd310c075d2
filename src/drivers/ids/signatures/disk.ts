import { constants } from 'node:fs';
import { copyFile, mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { writeFileAtomic } from '../../../platform/atomic-file.js';

/** The file operations of the store, so that a test can end the agent before each of them. Paths are absolute. */
export interface Disk {
  makeDirectory(path: string): Promise<void>;
  /** Names in a directory; none when there is no such directory. */
  list(path: string): Promise<string[]>;
  /** undefined when there is no such file. */
  read(path: string): Promise<Buffer | undefined>;
  /** A new file, on the disk when it resolves. */
  write(path: string, pieces: readonly Uint8Array[]): Promise<void>;
  copy(from: string, to: string): Promise<void>;
  /** Replaces a file in one step. */
  replace(path: string, text: string): Promise<void>;
  /** Gives a directory its name, on the disk when it resolves. */
  move(from: string, to: string): Promise<void>;
  remove(path: string): Promise<void>;
}

export class NodeDisk implements Disk {
  async makeDirectory(path: string): Promise<void> {
    await mkdir(path, { recursive: true, mode: 0o750 });
  }

  async list(path: string): Promise<string[]> {
    try {
      return (await readdir(path)).toSorted();
    } catch (error) {
      if (isMissing(error)) return [];
      throw error;
    }
  }

  async read(path: string): Promise<Buffer | undefined> {
    try {
      return await readFile(path);
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  async write(path: string, pieces: readonly Uint8Array[]): Promise<void> {
    const file = await open(path, 'wx', 0o640);
    try {
      // writev(2) takes 1,024 pieces at a time.
      for (let at = 0; at < pieces.length; at += MOST_PIECES) await file.writev(pieces.slice(at, at + MOST_PIECES).map((piece) => piece));
      await file.sync();
    } finally {
      await file.close();
    }
  }

  async copy(from: string, to: string): Promise<void> {
    await copyFile(from, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
    await sync(to);
  }

  async replace(path: string, text: string): Promise<void> {
    await writeFileAtomic(path, text, { mode: 0o640 });
  }

  async move(from: string, to: string): Promise<void> {
    await rename(from, to);
    await sync(dirname(to));
  }

  async remove(path: string): Promise<void> {
    await rm(path, { recursive: true, force: true });
  }
}

const MOST_PIECES = 1_000;

async function sync(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}
