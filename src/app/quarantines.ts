/**
 * Workloads of this host that are cut off for a time, by an alert's response or by hand. What cuts them is compiled before everything else
 * (compile/quarantine.ts). Kept in the state directory: a restart changes nothing, and what ran out meanwhile ends then.
 */
import { sameWorkload, type World } from '../compile/world.js';
import type { EffectiveTable } from '../compile/effective.js';
import { quarantineTable, type QuarantineAllowance } from '../compile/quarantine.js';
import { AgentError, describeError } from '../model/errors.js';
import type { Filter } from '../model/filter.js';
import { nearest } from '../model/nearest.js';
import type { WorkloadReference } from '../model/objects.js';
import type { QuarantineView } from '../model/views.js';
import type { Clock } from '../platform/clock.js';
import type { Logger } from '../platform/logger.js';

export interface QuarantineEvent {
  readonly event: 'begin' | 'extend' | 'release' | 'end';
  readonly workload: WorkloadReference;
  /** ms since the epoch. */
  readonly untilMs: number;
  readonly by: string;
  readonly reason: string;
  readonly alertId?: string;
}

export interface QuarantinesOptions {
  /** One file of the state directory; read() gives undefined when nothing was stored yet. */
  readonly store: { read(): string | undefined; write(text: string): Promise<void> };
  readonly allow: readonly QuarantineAllowance[];
  /** Numbers of rules, as RuleNumbers gives them. */
  readonly number: (key: string) => number;
  /** Of what is in force. */
  readonly world: () => Pick<World, 'filters'> | undefined;
  readonly failOpen: boolean;
  readonly clock: Clock;
  readonly log: Logger;
  /** The audit trail. */
  readonly onEvent: (event: QuarantineEvent) => void;
  /** What is compiled changed. */
  readonly onChange: () => void;
}

export interface QuarantineRequest {
  readonly workload: WorkloadReference;
  readonly untilMs: number;
  readonly by: string;
  readonly reason: string;
  readonly alertId?: string;
}

interface Quarantine extends QuarantineRequest {
  readonly sinceMs: number;
}

/** A clock that was set is noticed after this long. */
const LOOK_AGAIN_MS = 30_000;
const LONGEST_REASON = 500;

export class Quarantines {
  private readonly entries = new Map<string, Quarantine>();
  private readonly tablesByName = new Map<string, EffectiveTable>();
  private cancelTimer = (): void => undefined;
  private stopped = false;
  private writing: Promise<void> = Promise.resolve();

  constructor(private readonly options: QuarantinesOptions) {}

  /** Before the first apply. @throws AgentError E_IO when what is stored is damaged: to start without it would open what is cut off. */
  load(): void {
    const text = this.options.store.read();
    for (const entry of text === undefined ? [] : parse(text)) this.put(nameOf(entry.workload), entry);
    if (this.removeOld()) void this.save();
    this.schedule();
  }

  stop(): void {
    this.stopped = true;
    this.cancelTimer();
  }

  /** For Compiler: the same object as long as the quarantine stands. */
  tables(filter: Filter, alone: boolean): readonly EffectiveTable[] {
    // Nothing else is in force there: closed, it is cut off anyway, and a table of its own would open what `allow` names.
    if (alone && !this.options.failOpen) return [];
    const name = nameOf(filter.workload);
    const table = this.tablesByName.get(name);
    return table === undefined ? [] : [table];
  }

  /**
   * Begins one, or lets one that stands last until the later of both times. Resolves when it is stored; onChange was called, and who needs it
   * enforced flushes. @throws AgentError E_NOT_FOUND: the workload has no filter here; E_INVALID: a node, or a time that is over.
   */
  async add(request: QuarantineRequest): Promise<QuarantineView> {
    const { workload } = request;
    const name = nameOf(workload);
    if (workload.kind === 'Node') throw new AgentError('E_INVALID', 'a node cannot be put into quarantine: its agent would be cut off, too', { object: name });
    const filters = this.options.world()?.filters ?? [];
    if (!filters.some((filter) => sameWorkload(filter.workload, workload))) {
      const near = nearest(name, filters.map((filter) => nameOf(filter.workload)));
      throw new AgentError('E_NOT_FOUND', `${name} has no filter on this host`, { object: name, context: { nearest: near === undefined ? [] : [near] } });
    }
    const now = this.options.clock.now();
    if (request.untilMs <= now) throw new AgentError('E_INVALID', 'the quarantine would be over already', { object: name });
    const known = this.entries.get(name);
    const entry: Quarantine = known === undefined
      ? { ...request, reason: request.reason.slice(0, LONGEST_REASON), sinceMs: now }
      : { ...known, untilMs: Math.max(known.untilMs, request.untilMs) };
    this.put(name, entry);
    this.say(known === undefined ? 'begin' : 'extend', entry, request);
    this.schedule();
    if (known === undefined) this.options.onChange();
    await this.save();
    return this.view(name, entry);
  }

  /** @throws AgentError E_NOT_FOUND when there is none of this name. */
  async release(name: string, by: string): Promise<QuarantineView> {
    const entry = this.entries.get(name);
    if (entry === undefined) {
      const near = nearest(name, [...this.entries.keys()]);
      throw new AgentError('E_NOT_FOUND', `${name} is not in quarantine`, { object: name, context: { nearest: near === undefined ? [] : [near] } });
    }
    const view = this.view(name, entry);
    this.remove(name);
    this.say('release', entry, { ...entry, by });
    this.options.onChange();
    await this.save();
    return view;
  }

  /** By name. */
  list(): QuarantineView[] {
    return [...this.entries].map(([name, entry]) => this.view(name, entry)).sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  get size(): number {
    return this.entries.size;
  }

  private endOld(): void {
    if (this.removeOld()) {
      this.options.onChange();
      void this.save();
    }
    this.schedule();
  }

  private removeOld(): boolean {
    const now = this.options.clock.now();
    const over = [...this.entries].filter(([, entry]) => entry.untilMs <= now);
    for (const [name, entry] of over) {
      this.remove(name);
      this.say('end', entry, { ...entry, by: 'time' });
    }
    return over.length > 0;
  }

  /** Its rules get their numbers here: numbers are stored before what they name is programmed. */
  private put(name: string, entry: Quarantine): void {
    this.entries.set(name, entry);
    if (!this.tablesByName.has(name)) this.tablesByName.set(name, quarantineTable(name, this.options.allow, (rule) => this.options.number(`Quarantine ${rule}`)));
  }

  private remove(name: string): void {
    this.entries.delete(name);
    this.tablesByName.delete(name);
  }

  private schedule(): void {
    this.cancelTimer();
    this.cancelTimer = (): void => undefined;
    if (this.entries.size === 0 || this.stopped) return;
    const next = Math.min(...[...this.entries.values()].map(({ untilMs }) => untilMs)) - this.options.clock.now();
    this.cancelTimer = this.options.clock.after(Math.min(Math.max(0, next), LOOK_AGAIN_MS), () => this.endOld());
  }

  /** A disk that refuses costs survival of a restart, not the quarantine. */
  private async save(): Promise<void> {
    const text = `${JSON.stringify([...this.entries.values()])}\n`;
    this.writing = this.writing.then(async () => {
      try {
        await this.options.store.write(text);
      } catch (error) {
        this.options.log.error('quarantine.unwritable', { reason: describeError(error) });
      }
    });
    await this.writing;
  }

  private say(event: QuarantineEvent['event'], { workload, untilMs }: Quarantine, { by, reason, alertId }: Pick<QuarantineRequest, 'by' | 'reason' | 'alertId'>): void {
    this.options.log.warn(`quarantine.${event}`, { workload: nameOf(workload), until: new Date(untilMs).toISOString(), by, reason, ...(alertId === undefined ? {} : { alert: alertId }) });
    this.options.onEvent({ event, workload, untilMs, by, reason, ...(alertId === undefined ? {} : { alertId }) });
  }

  private view(name: string, { workload, sinceMs, untilMs, by, reason, alertId }: Quarantine): QuarantineView {
    return {
      name, workload, filters: (this.options.world()?.filters ?? []).filter((filter) => sameWorkload(filter.workload, workload)).map((filter) => filter.name),
      since: new Date(sinceMs).toISOString(), until: new Date(untilMs).toISOString(), by, reason, ...(alertId === undefined ? {} : { alertId }),
    };
  }
}

/** As `agentctl attach` takes it. */
export function nameOf({ kind, namespace, name }: WorkloadReference): string {
  if (kind === 'Pod') return `${namespace ?? 'default'}/${name}`;
  return `${kind === 'Node' ? 'node' : 'vm'}/${name}`;
}

function parse(text: string): Quarantine[] {
  let stored: unknown;
  try {
    stored = JSON.parse(text);
  } catch (error) {
    throw damaged(describeError(error));
  }
  if (!Array.isArray(stored) || !stored.every(isQuarantine)) throw damaged('no list of quarantines');
  return stored;
}

function damaged(reason: string): AgentError {
  return new AgentError('E_IO', `stored quarantines are damaged: ${reason}; remove the file to end them all`, { object: 'quarantines.json' });
}

function isQuarantine(value: unknown): value is Quarantine {
  if (typeof value !== 'object' || value === null) return false;
  const of = (key: string, type: 'string' | 'number'): boolean => typeof Reflect.get(value, key) === type;
  const workload: unknown = Reflect.get(value, 'workload');
  const kind: unknown = typeof workload === 'object' && workload !== null ? Reflect.get(workload, 'kind') : undefined;
  return of('sinceMs', 'number') && of('untilMs', 'number') && of('by', 'string') && of('reason', 'string')
    && (kind === 'Pod' || kind === 'VirtualMachine') && typeof workload === 'object' && workload !== null && typeof Reflect.get(workload, 'name') === 'string';
}
