import { open, readFile, type FileHandle } from 'node:fs/promises';
import { describeError } from '../../model/errors.js';
import type { AlertView } from '../../model/views.js';
import { writeFileAtomic } from '../../platform/atomic-file.js';
import type { Logger } from '../../platform/logger.js';
import type { PositionStore, TailPosition } from './tail-position.js';
import { parsePosition } from './tail-position.js';

/** Of a window, as it is kept: `openedAt` and `lastMs` are ms since the epoch. */
export interface KeptWindow { readonly key: string; readonly openedAt: number }
export interface KeptAlert {
  readonly view: AlertView;
  /** Absent: it stands for itself. */
  readonly window?: KeptWindow;
}
export type JournalEntry =
  | ({ readonly type: 'alert' } & KeptAlert)
  /** The window of this alert counts so many now. */
  | { readonly type: 'count'; readonly id: string; readonly count: number; readonly lastMs: number }
  /** Its window is over, its summary is given out. */
  | { readonly type: 'end'; readonly id: string };

export interface RestoredAlert {
  /** With the count that was reached. */
  readonly view: AlertView;
  /** Present: it was open. */
  readonly window?: KeptWindow & { readonly count: number; readonly lastMs: number };
}

/** Bytes after which the file is written anew, and what then goes into it at most. */
const LARGEST_FILE = 16 * 1024 * 1024;
const FRESH_FILE = 8 * 1024 * 1024;
/** Lines made in one go: a line takes some microseconds. */
const SLICE = 500;

/**
 * The alerts that were given out, and how far eve.json was read for them, in one file that grows by whole entries. An entry is the lines of
 * one append and ends in a line with the place in eve.json: what a crash cut off is not an entry, and its alerts are read again. So
 * every alert is either here and behind the place, or not here and before it: none is given out twice, none is left out. Newest alerts
 * of up to 8 MiB survive a rewrite. A disk that refuses costs survival, not alerts: it is said, and tried again with the next entry.
 */
export class AlertJournal implements PositionStore {
  #position: TailPosition | undefined;
  #file: FileHandle | undefined;
  #size = 0;
  #reason = '';
  #kept: () => Iterable<RestoredAlert> = () => [];
  #turn: Promise<void> = Promise.resolve();

  constructor(
    private readonly path: string,
    /** Where the place was kept before there was a journal. */
    private readonly earlier: PositionStore,
    private readonly log: Logger,
  ) {}

  /** Why alerts would not survive a restart now; "" when they would. */
  get reason(): string {
    return this.#reason;
  }

  get bytes(): number {
    return this.#size;
  }

  /** Reads what is there, oldest first, and cuts off what is no entry. A file that cannot be read is none. `kept`: what a rewrite keeps, newest first. */
  async restore(kept: () => Iterable<RestoredAlert>): Promise<RestoredAlert[]> {
    this.#kept = kept;
    let content: Buffer;
    try {
      content = await readFile(this.path);
    } catch (error) {
      if (!isAbsent(error)) this.#failed(error);
      return [];
    }
    const { alerts, position, length } = parseJournal(content);
    this.#position = position;
    this.#size = length;
    if (length < content.length) {
      this.log.warn('ids.journal.cut', { path: this.path, bytes: content.length - length });
      await this.#exclusively(async () => (await this.#open()).truncate(length));
    }
    return alerts;
  }

  async load(): Promise<TailPosition | undefined> {
    return this.#position ?? this.earlier.load();
  }

  /** Resolves when the kernel has it; never rejects, see `reason`. */
  async save(position: TailPosition): Promise<void> {
    await this.append([], position);
  }

  /** `position` absent: the one before. Resolves when the kernel has it; never rejects, see `reason`. */
  async append(entries: readonly JournalEntry[], position?: TailPosition): Promise<void> {
    const lines = entries.map((entry) => `${JSON.stringify(entry)}\n`).join('');
    await this.#exclusively(async () => {
      // Before the entry: what it says is not among the kept ones yet.
      if (this.#size > LARGEST_FILE) await this.#rewrite();
      this.#position = position ?? this.#position;
      const bytes = Buffer.from(`${lines}${JSON.stringify({ type: 'place', position: this.#position ?? null })}\n`);
      const file = await this.#open();
      // At a place of our own: what an interrupted write left behind is written over.
      await file.write(bytes, 0, bytes.length, this.#size);
      this.#size += bytes.length;
    });
  }

  async close(): Promise<void> {
    await this.#exclusively(async () => {
      const file = this.#file;
      this.#file = undefined;
      await file?.close();
    });
  }

  async #rewrite(): Promise<void> {
    const chosen: string[] = [];
    let size = 0;
    for (const { view, window } of this.#kept()) {
      const lines = linesOf(view, window);
      size += Buffer.byteLength(lines);
      if (size > FRESH_FILE) break;
      chosen.push(lines);
      if (chosen.length % SLICE === 0) await new Promise<void>((resolve) => setImmediate(resolve));
    }
    chosen.reverse().push(`${JSON.stringify({ type: 'place', position: this.#position ?? null })}\n`);
    const text = chosen.join('');
    await writeFileAtomic(this.path, text, { mode: 0o640 });
    const old = this.#file;
    this.#file = undefined;
    await old?.close();
    this.#size = Buffer.byteLength(text);
  }

  async #open(): Promise<FileHandle> {
    if (this.#file === undefined) {
      try {
        this.#file = await open(this.path, 'r+');
      } catch (error) {
        if (!isAbsent(error)) throw error;
        this.#file = await open(this.path, 'wx+', 0o640);
        this.#size = 0;
      }
    }
    return this.#file;
  }

  /** One after the other; a failure is remembered and said once. */
  async #exclusively(work: () => Promise<void>): Promise<void> {
    const mine = this.#turn.then(async () => {
      try {
        await work();
        this.#reason = '';
      } catch (error) {
        this.#failed(error);
      }
    });
    this.#turn = mine;
    await mine;
  }

  #failed(error: unknown): void {
    const reason = describeError(error);
    if (reason !== this.#reason) this.log.warn('ids.journal.unwritable', { path: this.path, reason });
    this.#reason = reason;
  }
}

function linesOf(view: AlertView, window: RestoredAlert['window']): string {
  const entries: JournalEntry[] = [{ type: 'alert', view, ...(window === undefined ? {} : { window: { key: window.key, openedAt: window.openedAt } }) }];
  if (window !== undefined) entries.push({ type: 'count', id: view.id, count: window.count, lastMs: window.lastMs });
  return entries.map((entry) => `${JSON.stringify(entry)}\n`).join('');
}

const NEWLINE = 0x0a;

/** What whole entries say; `length`: bytes of them. Lines that are not understood inside of them are left out. */
export function parseJournal(content: Buffer): { readonly alerts: RestoredAlert[]; readonly position: TailPosition | undefined; readonly length: number } {
  const alerts = new Map<string, RestoredAlert>();
  let position: TailPosition | undefined;
  let length = 0;
  let waiting: object[] = [];
  for (let from = 0, to = content.indexOf(NEWLINE); to !== -1; from = to + 1, to = content.indexOf(NEWLINE, from)) {
    const line = parseLine(content.toString('utf8', from, to));
    if (line === undefined) continue;
    if (Reflect.get(line, 'type') !== 'place') {
      waiting.push(line);
      continue;
    }
    for (const entry of waiting) take(alerts, entry);
    waiting = [];
    length = to + 1;
    position = parsePosition(JSON.stringify(Reflect.get(line, 'position') ?? null)) ?? position;
  }
  return { alerts: [...alerts.values()], position, length };
}

function take(alerts: Map<string, RestoredAlert>, entry: object): void {
  const type: unknown = Reflect.get(entry, 'type');
  if (type === 'alert') {
    const view: unknown = Reflect.get(entry, 'view');
    const window: unknown = Reflect.get(entry, 'window');
    if (!isView(view)) return;
    alerts.set(view.id, { view, ...(isWindow(window) ? { window: { ...window, count: view.count ?? 1, lastMs: Date.parse(view.last ?? view.timestamp) } } : {}) });
    return;
  }
  const id: unknown = Reflect.get(entry, 'id');
  const known = typeof id === 'string' ? alerts.get(id) : undefined;
  if (known === undefined) return;
  if (type === 'end') {
    alerts.set(known.view.id, { view: known.view });
    return;
  }
  const count: unknown = Reflect.get(entry, 'count');
  const lastMs: unknown = Reflect.get(entry, 'lastMs');
  if (type !== 'count' || typeof count !== 'number' || typeof lastMs !== 'number' || !(Math.abs(lastMs) <= 8.64e15)) return;
  const view: AlertView = { ...known.view, count, last: new Date(lastMs).toISOString() };
  alerts.set(view.id, { view, ...(known.window === undefined ? {} : { window: { ...known.window, count, lastMs } }) });
}

function parseLine(line: string): object | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    // A line that a full disk or a crash tore; the others stand.
    return undefined;
  }
}

/** Written by this program: what has the parts that everything else relies on is whole. */
function isView(value: unknown): value is AlertView {
  if (typeof value !== 'object' || value === null) return false;
  const text = (key: string): boolean => typeof Reflect.get(value, key) === 'string';
  const end = (key: string): boolean => {
    const endpoint: unknown = Reflect.get(value, key);
    return typeof endpoint === 'object' && endpoint !== null && typeof Reflect.get(endpoint, 'address') === 'string' && typeof Reflect.get(endpoint, 'port') === 'number';
  };
  return ['id', 'timestamp', 'signature', 'category', 'action', 'protocol'].every(text) && end('source') && end('destination')
    && typeof Reflect.get(value, 'signatureId') === 'number' && typeof Reflect.get(value, 'severity') === 'number' && !Number.isNaN(Date.parse(String(Reflect.get(value, 'timestamp'))));
}

function isWindow(value: unknown): value is KeptWindow {
  return typeof value === 'object' && value !== null && typeof Reflect.get(value, 'key') === 'string' && typeof Reflect.get(value, 'openedAt') === 'number';
}

function isAbsent(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}
