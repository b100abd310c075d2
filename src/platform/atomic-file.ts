import { randomUUID } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { AgentError, describeError } from '../model/errors.js';

export interface AtomicWriteOptions {
  /** Permission bits of the file; default 0600. */
  readonly mode?: number;
}

/**
 * Replaces a file as a whole: a reader, and a machine that loses power, sees the old contents or the new, never a part.
 * Written beside it, synced, renamed over it, and the directory synced. E_IO when any step fails; then the old file stands
 * and nothing is left beside it. The directory must exist. Two writers at once: the last rename wins.
 */
export async function writeFileAtomic(file: string, contents: string | Uint8Array, options: AtomicWriteOptions = {}): Promise<void> {
  const directory = path.dirname(file);
  const temporary = path.join(directory, `.${path.basename(file)}.${randomUUID()}`);
  try {
    const handle = await open(temporary, 'wx', options.mode ?? 0o600);
    try {
      await handle.writeFile(contents);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, file);
    await syncDirectory(directory);
  } catch (error) {
    await rm(temporary, { force: true });
    throw new AgentError('E_IO', `cannot be written: ${describeError(error)}`, { object: file, retryable: true, cause: error });
  }
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
