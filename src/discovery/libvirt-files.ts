/** The directory of libvirt's domain status files, watched (inotify) and looked at now and then: it may come later, and events may be lost. */
import { watch, type FSWatcher } from 'node:fs';
import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { AgentError } from '../model/errors.js';

/** What of the host's files is needed to find virtual machines. */
export interface DomainFiles {
  /** Names of status files, each with what it is a version of, which changes with its content; undefined when there is no such directory. Rejects when it cannot be read. */
  list(): Promise<ReadonlyMap<string, string> | undefined>;
  /** The whole text; undefined when the file is gone. Rejects when it cannot be read, or is too long. */
  read(name: string): Promise<string | undefined>;
  /** Called after something changed, or may have. Does nothing while there is no such directory. Returns the end of it; `onEnd` is called when it ends by itself. */
  watch(listener: () => void, onEnd: () => void): (() => void) | undefined;
}

/** A machine with hundreds of devices has some 100 kB. */
const MOST_BYTES = 4 << 20;

export class LibvirtDirectory implements DomainFiles {
  constructor(private readonly path: string) {}

  async list(): Promise<ReadonlyMap<string, string> | undefined> {
    let names: readonly string[];
    try {
      names = await readdir(this.path);
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined;
      throw error;
    }
    const versions = new Map<string, string>();
    for (const name of names.filter((each) => each.endsWith('.xml') && !each.startsWith('.')).toSorted()) {
      const version = await this.withFile(name, async (handle) => {
        const { ino, size, mtimeNs } = await handle.stat({ bigint: true });
        return `${ino} ${size} ${mtimeNs}`;
      });
      if (version !== undefined) versions.set(name, version);
    }
    return versions;
  }

  async read(name: string): Promise<string | undefined> {
    return this.withFile(name, async (handle) => {
      const { size } = await handle.stat();
      if (size > MOST_BYTES) throw new AgentError('E_LIMIT', `a status file has at most ${MOST_BYTES} bytes`);
      return handle.readFile('utf8');
    });
  }

  watch(listener: () => void, onEnd: () => void): (() => void) | undefined {
    let watcher: FSWatcher;
    try {
      watcher = watch(this.path, { persistent: false });
    } catch {
      return undefined;
    }
    const end = (): void => {
      watcher.removeAllListeners();
      watcher.on('error', () => undefined);
      watcher.close();
    };
    watcher.on('change', (event, name) => {
      // The directory itself went: another of its name is another directory.
      if (event === 'rename' && name !== null && this.path.endsWith(`/${name.toString()}`)) {
        end();
        onEnd();
      } else listener();
    });
    watcher.on('error', () => {
      end();
      onEnd();
    });
    return end;
  }

  private async withFile<Result>(name: string, use: (handle: Awaited<ReturnType<typeof open>>) => Promise<Result>): Promise<Result | undefined> {
    let handle: Awaited<ReturnType<typeof open>>;
    try {
      handle = await open(join(this.path, name), 'r');
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined;
      throw error;
    }
    try {
      return await use(handle);
    } finally {
      await handle.close();
    }
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error ? Reflect.get(error, 'code') : undefined;
}
