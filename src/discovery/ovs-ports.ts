/**
 * Attachments of the switch's ports, by what those who made the ports wrote on them: a source of desired state beside the others. What
 * was last read is kept in the state directory: while the switch's database cannot be read, and over restarts, filters stay.
 */
import type { DesiredObject } from '../model/objects.js';
import type { Clock } from '../platform/clock.js';
import type { Logger } from '../platform/logger.js';
import { FoundObjects, type DiscoverySnapshot } from './found-objects.js';
import { KeptText, type TextStore } from './kept-text.js';
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
  readonly store: TextStore;
  readonly clock: Clock;
  readonly log: Logger;
}

/** start() waits no longer for the first reading. */
const FIRST_READING_MS = 1_000;

interface Stored {
  readonly ports: readonly WorkloadPort[];
  readonly names: readonly NamedPort[];
}

export class OvsPorts {
  readonly type = 'ovs';
  private ports: readonly WorkloadPort[] = [];
  private bound: Bound = { attachments: [], names: [], problems: [] };
  private seen: { readonly ports: readonly WorkloadPort[]; readonly declared: readonly ReadonlyMap<string, DesiredObject>[] } | undefined;
  private readonly found = new FoundObjects();
  private readonly indexes = new WeakMap<ReadonlyMap<string, DesiredObject>, Declared>();
  private readonly kept: KeptText;
  private unsubscribe: (() => void) | undefined;

  constructor(private readonly options: OvsPortsOptions) {
    const { store, clock, log } = options;
    this.kept = new KeptText({ store, clock, log, what: 'ports', text: () => storedText({ ports: this.ports, names: this.bound.names }) });
  }

  get synced(): boolean {
    return this.found.synced;
  }

  /** Ports that have no filter though they are somebody's, and what else is not as it should be. */
  get problems(): readonly string[] {
    return [...this.bound.problems, ...(this.kept.problem === undefined ? [] : [this.kept.problem])];
  }

  /** Begins with what was stored; resolves after the first reading of the switch, or without it when that takes long. Twice does nothing more. */
  async start(signal: AbortSignal): Promise<void> {
    if (this.unsubscribe !== undefined) return;
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
    this.unsubscribe?.();
    await this.kept.stop();
  }

  snapshot(): DiscoverySnapshot {
    if (this.synced) this.refresh();
    return this.found.snapshot();
  }

  /** The switch's changes come by themselves; nothing is waited for. Before start() nothing: what was stored is not known yet. */
  async sync(_signal: AbortSignal): Promise<void> {
    if (this.unsubscribe !== undefined) this.look();
    return Promise.resolve();
  }

  onChange(listener: () => void): () => void {
    return this.found.onChange(listener);
  }

  /** False while the switch cannot tell: then everything stays. */
  private look(): boolean {
    const ports = this.options.feed.workloadPorts();
    if (ports === undefined) return false;
    if (JSON.stringify(ports) !== JSON.stringify(this.ports)) this.ports = ports;
    const { revision } = this.found.snapshot();
    this.refresh();
    if (this.found.snapshot().revision !== revision) this.found.tell();
    return true;
  }

  /** Costs nothing while neither ports nor other sources changed. */
  private refresh(): void {
    const declared = this.options.declared();
    const { ports, seen } = this;
    if (seen?.ports === ports && seen.declared.length === declared.length && declared.every((objects, index) => objects === seen.declared[index])) return;
    this.seen = { ports, declared };
    this.bound = bindPorts(ports, declared.map((objects) => this.indexOf(objects)), this.bound.names);
    const first = !this.found.synced;
    if (this.found.publish(this.bound.attachments) && !first) {
      this.options.log.info('discovery.ports', { attachments: this.bound.attachments.length, problems: this.bound.problems.length });
    }
    this.kept.save();
  }

  private indexOf(objects: ReadonlyMap<string, DesiredObject>): Declared {
    const known = this.indexes.get(objects);
    if (known !== undefined) return known;
    const index = declaredOf(objects);
    this.indexes.set(objects, index);
    return index;
  }

  private load(): void {
    // Without it filters come back as soon as the switch's database is read.
    const stored = this.kept.load(readStored);
    this.ports = stored?.ports ?? [];
    this.bound = { ...this.bound, names: stored?.names ?? [] };
  }
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
