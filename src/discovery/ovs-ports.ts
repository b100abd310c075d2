/**
 * Attachments of the switch's ports, by what those who made the ports wrote on them: a source of desired state beside the others. What
 * was last read is kept in the state directory: while the switch's database cannot be read, and over restarts, filters stay.
 */
import { describeError } from '../model/errors.js';
import { objectKey, type AttachmentObject, type DesiredObject } from '../model/objects.js';
import type { Clock } from '../platform/clock.js';
import type { Logger } from '../platform/logger.js';
import { bindPorts, declaredOf, type Bound, type Declared, type WorkloadPort } from './port-attachments.js';
import type { NamedPort } from './port-names.js';

/** The switch's database, as far as it is needed here. */
export interface PortFeed {
  /** Ports of our bridge that are workloads', sorted by name; undefined while that cannot be told. */
  workloadPorts(): readonly WorkloadPort[] | undefined;
  /** Called after each change; returns the unsubscribe function. */
  onChange(listener: () => void): () => void;
}

export interface OvsPortsOptions {
  readonly feed: PortFeed;
  /** Objects of the other sources, those that win first. Called often; the same maps while nothing changed. */
  readonly declared: () => readonly ReadonlyMap<string, DesiredObject>[];
  /** One file of the state directory; read() gives undefined when nothing was stored yet. */
  readonly store: { read(): string | undefined; write(text: string): Promise<void> };
  readonly clock: Clock;
  readonly log: Logger;
}

export interface DiscoverySnapshot {
  readonly objects: ReadonlyMap<string, DesiredObject>;
  readonly manifests: ReadonlyMap<string, unknown>;
  /** Always empty: nobody's document was refused. See `problems`. */
  readonly errors: readonly { readonly object: string; readonly path: string; readonly message: string }[];
  readonly revision: number;
}

/** start() waits no longer for the first reading. */
const FIRST_READING_MS = 1_000;
const WRITE_AGAIN_MS = 5_000;

interface Stored {
  readonly ports: readonly WorkloadPort[];
  readonly names: readonly NamedPort[];
}

export class OvsPorts {
  readonly type = 'ovs';
  private ports: readonly WorkloadPort[] = [];
  private bound: Bound = { attachments: [], names: [], problems: [] };
  private seen: { readonly ports: readonly WorkloadPort[]; readonly declared: readonly ReadonlyMap<string, DesiredObject>[] } | undefined;
  private current: DiscoverySnapshot = { objects: new Map(), manifests: new Map(), errors: [], revision: 0 };
  private readonly indexes = new WeakMap<ReadonlyMap<string, DesiredObject>, Declared>();
  private readonly listeners = new Set<() => void>();
  private stored: string | undefined;
  private writing: Promise<void> | undefined;
  private storeProblem: string | undefined;
  private readonly ending = new AbortController();
  private unsubscribe: () => void = () => undefined;

  constructor(private readonly options: OvsPortsOptions) {}

  get synced(): boolean {
    return this.current.revision > 0;
  }

  /** Ports that have no filter though they are somebody's, and what else is not as it should be. */
  get problems(): readonly string[] {
    return [...this.bound.problems, ...(this.storeProblem === undefined ? [] : [this.storeProblem])];
  }

  /** Begins with what was stored; resolves after the first reading of the switch, or without it when that takes long. Twice does nothing more. */
  async start(signal: AbortSignal): Promise<void> {
    if (this.synced) return;
    this.load();
    this.refresh();
    let read: () => void = () => undefined;
    const first = new Promise<void>((resolve) => {
      read = resolve;
    });
    const cancel = this.options.clock.after(FIRST_READING_MS, read);
    signal.addEventListener('abort', read, { once: true });
    this.unsubscribe = this.options.feed.onChange(() => {
      if (this.look()) read();
    });
    if (this.look()) read();
    await first;
    cancel();
    signal.removeEventListener('abort', read);
  }

  /** Resolves when what is known is stored, or could not be. */
  async stop(): Promise<void> {
    this.unsubscribe();
    this.ending.abort();
    await this.writing;
  }

  snapshot(): DiscoverySnapshot {
    if (this.synced) this.refresh();
    return this.current;
  }

  /** The switch's changes come by themselves; nothing is waited for. */
  async sync(_signal: AbortSignal): Promise<void> {
    this.look();
    return Promise.resolve();
  }

  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => {
      this.listeners.delete(listener);
    };
  }

  /** False while the switch cannot tell: then everything stays. */
  private look(): boolean {
    const ports = this.options.feed.workloadPorts();
    if (ports === undefined) return false;
    if (JSON.stringify(ports) !== JSON.stringify(this.ports)) this.ports = ports;
    const { revision } = this.current;
    this.refresh();
    if (this.current.revision !== revision) for (const listener of this.listeners) listener();
    return true;
  }

  /** Costs nothing while neither ports nor other sources changed. */
  private refresh(): void {
    const declared = this.options.declared();
    const { ports, seen } = this;
    if (seen?.ports === ports && seen.declared.length === declared.length && declared.every((objects, index) => objects === seen.declared[index])) return;
    this.seen = { ports, declared };
    this.bound = bindPorts(ports, declared.map((objects) => this.indexOf(objects)), this.bound.names);
    this.publish(this.bound.attachments);
    this.save();
  }

  private indexOf(objects: ReadonlyMap<string, DesiredObject>): Declared {
    const known = this.indexes.get(objects);
    if (known !== undefined) return known;
    const index = declaredOf(objects);
    this.indexes.set(objects, index);
    return index;
  }

  private publish(attachments: readonly AttachmentObject[]): void {
    const before = this.current;
    const objects = new Map(attachments.map((attachment): [string, DesiredObject] => {
      const key = objectKey(attachment);
      const known = before.objects.get(key);
      return [key, known !== undefined && JSON.stringify(known) === JSON.stringify(attachment) ? known : attachment];
    }));
    const same = objects.size === before.objects.size && [...objects].every(([key, object]) => before.objects.get(key) === object);
    if (same && before.revision > 0) return;
    this.current = { objects, manifests: new Map(attachments.map((attachment) => [objectKey(attachment), manifestOf(attachment)])), errors: [], revision: before.revision + 1 };
    if (before.revision > 0) this.options.log.info('discovery.ports', { attachments: objects.size, problems: this.bound.problems.length });
  }

  private load(): void {
    try {
      this.stored = this.options.store.read();
      const stored = this.stored === undefined ? undefined : readStored(this.stored);
      this.ports = stored?.ports ?? [];
      this.bound = { ...this.bound, names: stored?.names ?? [] };
    } catch (error) {
      // Without it filters come back as soon as the switch's database is read.
      this.storeProblem = `the stored ports cannot be read: ${describeError(error)}`;
      this.options.log.error('discovery.unreadable', { error: describeError(error) });
    }
  }

  /** In the background, one after the other; a failure is said and tried again. */
  private save(): void {
    this.writing ??= this.write().finally(() => {
      this.writing = undefined;
      // What changed after the last comparison.
      if (!this.ending.signal.aborted && this.text() !== this.stored) this.save();
    });
  }

  private text(): string {
    return storedText({ ports: this.ports, names: this.bound.names });
  }

  private async write(): Promise<void> {
    for (;;) {
      const text = this.text();
      if (text === this.stored) return;
      try {
        await this.options.store.write(text);
        this.stored = text;
        this.storeProblem = undefined;
      } catch (error) {
        this.storeProblem = `the ports found are not stored: ${describeError(error)}`;
        this.options.log.warn('discovery.not_stored', { error: describeError(error) });
        if (this.ending.signal.aborted) return;
        await this.pause(WRITE_AGAIN_MS);
      }
    }
  }

  private async pause(ms: number): Promise<void> {
    const { signal } = this.ending;
    await new Promise<void>((resolve) => {
      const cancel = this.options.clock.after(ms, resolve);
      signal.addEventListener('abort', () => {
        cancel();
        resolve();
      }, { once: true });
    });
  }
}

function manifestOf({ metadata: { name }, workload, vnic, interface: port, mac, addresses }: AttachmentObject): unknown {
  return {
    apiVersion: 'dfw.dev/v1', kind: 'Attachment', metadata: { name },
    spec: { workload, vnic, interface: port, ...(mac === undefined ? {} : { mac }), ...(addresses.length === 0 ? {} : { addresses }) },
  };
}

/** Of the form of the file. Another number = another version's, not read. */
const FORM = 1;

const storedText = ({ ports, names }: Stored): string => `${JSON.stringify({ form: FORM, ports, names })}\n`;

/** Throws when it is no JSON or of another form. Written by ourselves: entries need no second check beyond their shape. */
function readStored(text: string): Stored {
  const value: unknown = JSON.parse(text);
  if (typeof value !== 'object' || value === null || !('form' in value) || value.form !== FORM || !('ports' in value) || !('names' in value)) throw new Error('another form');
  const { ports, names } = value;
  if (!Array.isArray(ports) || !Array.isArray(names) || !ports.every(isPort) || !names.every(isName)) throw new Error('damaged');
  return { ports, names };
}

function isPort(value: unknown): value is WorkloadPort {
  return typeof value === 'object' && value !== null && 'name' in value && typeof value.name === 'string' && 'addresses' in value && Array.isArray(value.addresses)
    && 'workload' in value && typeof value.workload === 'object' && value.workload !== null && 'kind' in value.workload;
}

function isName(value: unknown): value is NamedPort {
  return typeof value === 'object' && value !== null && ['port', 'identity', 'attachment'].every((field) => typeof Reflect.get(value, field) === 'string');
}
