/** inotify watches on a changing set of directories. A watch that fails is dropped; the periodic rescan covers for it. */
import { watch, type FSWatcher } from 'node:fs';
import { describeError } from '../../model/errors.js';

export interface WatchedDirectory {
  readonly path: string;
  /** Tells a directory from another one that took its name. */
  readonly inode: string;
  /** Events about names that this does not accept are ignored. Default: none. */
  readonly accepts?: (name: string) => boolean;
}

export class Watches {
  readonly #active = new Map<string, { readonly inode: string; readonly watcher: FSWatcher }>();
  readonly #onEvent: () => void;
  readonly #onFailure: (path: string, reason: string) => void;
  readonly #failed = new Set<string>();

  constructor(onEvent: () => void, onFailure: (path: string, reason: string) => void) {
    this.#onEvent = onEvent;
    this.#onFailure = onFailure;
  }

  /** Watches exactly these. Returns true when a watch was added: what changed before it is unknown. */
  update(directories: readonly WatchedDirectory[]): boolean {
    const wanted = new Map(directories.map((directory) => [directory.path, directory]));
    for (const [path, { inode }] of this.#active) if (wanted.get(path)?.inode !== inode) this.#drop(path);
    let added = false;
    for (const directory of wanted.values()) if (!this.#active.has(directory.path) && this.#add(directory)) added = true;
    return added;
  }

  close(): void {
    for (const path of this.#active.keys()) this.#drop(path);
  }

  #add({ path, inode, accepts }: WatchedDirectory): boolean {
    try {
      const watcher = watch(path, { persistent: false }, (_event, name) => {
        if (accepts === undefined || name === null || accepts(name)) this.#onEvent();
      });
      watcher.on('error', (error) => {
        this.#drop(path);
        this.#fail(path, error);
      });
      this.#active.set(path, { inode, watcher });
      this.#failed.delete(path);
      return true;
    } catch (error) {
      this.#fail(path, error);
      return false;
    }
  }

  /** Said once per path, until a watch on it succeeds. */
  #fail(path: string, error: unknown): void {
    if (this.#failed.has(path)) return;
    this.#failed.add(path);
    this.#onFailure(path, describeError(error));
  }

  #drop(path: string): void {
    this.#active.get(path)?.watcher.close();
    this.#active.delete(path);
  }
}
