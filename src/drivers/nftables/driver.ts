/**
 * Makes a table of the kernel equal to a target, `inet dfw` or the one of another dialect: one netlink transaction a change, two where a filter gets a new table.
 * Owns that table and the label words 2 and 3 of connections; touches nothing else. Stopping leaves everything enforced; only cleanup() removes it.
 */
import { NOT_APPLICABLE_ID } from '../../compile/label-ids.js';
import type { LabelInfo } from '../../compile/compiled.js';
import { AgentError, describeError } from '../../model/errors.js';
import type { NftSocket, Segment } from '../../native/binding.js';
import type { Logger } from '../../platform/logger.js';
import { adopt, idOf } from './adopt.js';
import { AttributeWriter } from './attributes.js';
import { SETS } from './base-layout.js';
import type { Dialect } from './dialect.js';
import { deleteTable, newTable } from './image.js';
import { INET } from './inet-layout.js';
import { mend } from './mend.js';
import { NOTHING, plan, rebuild, settle, type Actual, type Plan, type PlanOptions } from './plan.js';
import { TableReader } from './reader.js';
import { EMPTY_TARGET, type Target } from '../../compile/target.js';

/** What a sweep must clear: words that hold one of `ids`, or a value that is no id of `known`. */
export interface Sweep {
  readonly ids: ReadonlySet<number>;
  readonly known: ReadonlySet<number>;
  /** When the sweep began, on the driver's own count of losses. */
  readonly began: number;
}

export interface DriverOptions {
  readonly socket: NftSocket;
  readonly log: Logger;
  readonly logGroup: number;
  /** Which table this is; default: `inet dfw`. */
  readonly dialect?: Dialect;
  /** Called with the generation of each of our commits. */
  readonly onCommit?: (generation: number) => void;
}

export interface Applied {
  readonly changed: boolean;
  readonly elements: number;
  /** Rules whose connections are judged again. */
  readonly lost: number;
  /** A sweep is due: see pendingSweep(). */
  readonly sweepDue: boolean;
  readonly bytes: number;
}

export interface RuleCounters {
  readonly packets: bigint;
  readonly bytes: bigint;
}

export class NftablesDriver {
  private actual: Actual = NOTHING;
  private known = false;
  private generation = -1;
  private losses = 0;
  /** For every id to be swept: which loss put it there last. */
  private readonly lostAt = new Map<number, number>();
  private readonly reader: TableReader;
  private readonly options: PlanOptions;
  private readonly dialect: Dialect;

  constructor(private readonly deps: DriverOptions) {
    this.dialect = deps.dialect ?? INET;
    this.reader = new TableReader(deps.socket, this.dialect.name);
    this.options = { dialect: this.dialect, logGroup: deps.logGroup, always: [NOT_APPLICABLE_ID] };
  }

  /** Label ids that the kernel holds and the keys they were given for: they must keep them. Call before compiling. */
  async readLabels(): Promise<ReadonlyMap<number, string>> {
    const elements = await this.reader.verdicts(SETS.ids);
    return new Map(elements.map((element) => [idOf(element.key), element.comment]));
  }

  get labels(): ReadonlyMap<number, LabelInfo> {
    return this.actual.labels;
  }

  get target(): Target {
    return this.actual.target;
  }

  /**
   * Makes the target true. Writes nothing when it already is. On failure the kernel keeps what it had, and the next call
   * starts by reading it.
   * @throws AgentError E_KERNEL, retryable.
   */
  async apply(target: Target): Promise<Applied> {
    if (!this.known) return this.takeOver(target);
    const prepared = preparation(this.actual, target);
    if (prepared === undefined) return this.commit(plan(this.actual, target, this.options));
    const first = await this.commit(plan(this.actual, prepared, this.options));
    const second = await this.commit(plan(this.actual, target, this.options));
    return { ...second, changed: true, elements: first.elements + second.elements, bytes: first.bytes + second.bytes };
  }

  /** First apply, or after a failure or foreign change: adopts an equal table, replaces any other. */
  async takeOver(target: Target): Promise<Applied> {
    this.generation = await this.deps.socket.generation();
    const { actual, difference } = await adopt(this.reader, target, this.options, 'all');
    if (actual !== undefined) {
      this.actual = actual;
      this.known = true;
      this.deps.log.info('nftables.adopted', { table: this.dialect.title, tables: actual.tables.size, filters: actual.filters.size, probation: actual.probation.size, retired: actual.retired.size });
      return { changed: false, elements: 0, lost: 0, sweepDue: this.sweepDue, bytes: 0 };
    }
    const kernel = await this.readLabels();
    const fresh = plan(NOTHING, target, this.options).next;
    const retired = new Map<number, LabelInfo>();
    for (const [id, key] of kernel) {
      if (!fresh.labels.has(id)) retired.set(id, { id, key, table: '', ruleId: 0, side: 'in', action: 'drop', log: false, stateless: false });
    }
    // Ids that connections may carry under rules nobody can compare any more.
    const suspect = new Set([...kernel.keys(), ...this.actual.live, ...this.actual.probation]);
    const rebuilt = rebuild(target, this.options, suspect, retired);
    // What somebody else changed while we watched is made anew, whatever else they may have changed.
    const mended = this.actual.present ? undefined : await this.mended(rebuilt);
    this.deps.log.info(mended === undefined ? 'nftables.rebuild' : 'nftables.mended', { table: this.dialect.title, difference });
    return mended ?? this.commit(rebuilt);
  }

  /** What a new table would bring, without one: packets under way would find its maps empty. Undefined: there is nothing that could be mended. */
  private async mended({ next, summary, lost }: Plan): Promise<Applied | undefined> {
    try {
      const mending = await mend(this.reader, next, this.options);
      if (mending === undefined) return undefined;
      let bytes = 0;
      for (const segments of mending.batches) bytes += await this.transact(segments);
      // Before it is relied on: nothing else says what the kernel made of it.
      const { actual, difference } = await adopt(this.reader, next.target, this.options, 'all');
      if (actual === undefined) throw new AgentError('E_KERNEL', `nf_tables has something else after mending: ${difference}`, { object: this.dialect.title, retryable: true });
      this.actual = actual;
      this.known = true;
      if (lost.size > 0) {
        this.losses += 1;
        for (const id of lost) this.lostAt.set(id, this.losses);
      }
      return { changed: true, elements: mending.elements, lost: summary.lost, sweepDue: this.sweepDue, bytes };
    } catch (error) {
      this.deps.log.warn('nftables.not-mended', { table: this.dialect.title, error: describeError(error) });
      return undefined;
    }
  }

  get sweepDue(): boolean {
    return this.actual.probation.size > 0 || this.actual.retired.size > 0 || this.actual.refused.size > 0 || this.actual.idle.size > 0;
  }

  /** What is to be swept now; undefined when nothing is. */
  pendingSweep(): Sweep | undefined {
    const ids = new Set([...this.actual.probation, ...this.actual.retired, ...this.actual.refused]);
    return ids.size === 0 && this.actual.idle.size === 0 ? undefined : { ids, known: new Set([...this.actual.labels.keys(), ...this.options.always]), began: this.losses };
  }

  /** After the words of that sweep were cleared: its rules are in force again, but for those that lost something meanwhile. */
  async settle(sweep: Sweep): Promise<Applied> {
    const swept = new Set([...sweep.ids].filter((id) => (this.lostAt.get(id) ?? 0) <= sweep.began));
    for (const id of swept) this.lostAt.delete(id);
    return this.commit(settle(this.actual, swept, this.options));
  }

  /**
   * Has somebody else changed our table? Cheap while nobody changes anything in nf_tables. `depth` 'all' compares every
   * element, 'structure' what costs little.
   */
  async drifted(depth: 'structure' | 'all'): Promise<string | undefined> {
    if (!this.known) return undefined;
    const generation = await this.deps.socket.generation();
    if (generation === this.generation && depth === 'structure') return undefined;
    const compared = this.actual;
    const { actual, difference } = await adopt(this.reader, compared.target, this.options, depth, compared.idle);
    // A change of our own came in between: what was read is neither the old state nor the new.
    if (this.actual !== compared) return undefined;
    if (actual === undefined) {
      this.known = false;
      return difference;
    }
    this.generation = generation;
    return undefined;
  }

  /** Another table of the agent was committed: when nobody else came in between, there is nothing to look for. */
  committedElsewhere(generation: number): void {
    if (generation === this.generation + 1) this.generation = generation;
  }

  /** Packets that each label's rule decided anew (first packets of connections, and each refused packet). */
  async ruleCounters(): Promise<Map<number, RuleCounters>> {
    const elements = await this.reader.verdicts(SETS.ids);
    return new Map(elements.map(({ key, packets, bytes }) => [idOf(key), { packets, bytes }]));
  }

  /** Counters of rules by chain, in order; see base-layout and pieces for what they count. */
  chainCounters(): Promise<Map<string, (RuleCounters | undefined)[]>> {
    return this.reader.counters();
  }

  /** The table may have been changed under another dialect: what is in force is not known any more. */
  forget(): void {
    this.known = false;
  }

  /** The table is another dialect's now: this one has nothing in force. */
  release(): void {
    this.known = false;
    this.actual = NOTHING;
    this.lostAt.clear();
  }

  /** Does the kernel have this dialect's base chains, whatever else? */
  async holdsRules(): Promise<boolean> {
    const chains = await this.reader.chains();
    return this.dialect.chains.every(({ name }) => chains.has(name));
  }

  /** Removes the table. The only thing that ends enforcement. */
  async cleanup(): Promise<void> {
    const writer = new AttributeWriter();
    newTable(writer, this.dialect.name);
    deleteTable(writer, this.dialect.name);
    await this.transact([{ kind: 'raw', bytes: writer.finish() }]);
    this.actual = { ...NOTHING, target: EMPTY_TARGET };
    this.known = false;
  }

  private async commit(change: Plan): Promise<Applied> {
    if (change.lost.size > 0) {
      this.losses += 1;
      for (const id of change.lost) this.lostAt.set(id, this.losses);
    }
    if (change.segments.length === 0) {
      this.actual = change.next;
      this.known = true;
      return { changed: false, elements: 0, lost: change.summary.lost, sweepDue: this.sweepDue, bytes: 0 };
    }
    const bytes = await this.transact(change.segments);
    this.actual = change.next;
    this.known = true;
    this.deps.log.debug('nftables.committed', { ...change.summary, bytes });
    return { changed: true, elements: change.summary.elements, lost: change.summary.lost, sweepDue: this.sweepDue, bytes };
  }

  private async transact(segments: readonly Segment[]): Promise<number> {
    let result;
    try {
      result = await this.deps.socket.transact(segments);
    } catch (error) {
      this.known = false;
      throw new AgentError('E_KERNEL', `nf_tables batch could not be sent: ${error instanceof Error ? error.message : String(error)}`, {
        object: this.dialect.title, retryable: true, cause: error,
      });
    }
    if (!result.committed) {
      this.known = false;
      const first = result.errors[0];
      throw new AgentError('E_KERNEL', `nf_tables refused the change: ${first?.code ?? 'unknown error'}`, {
        object: this.dialect.title, retryable: true, context: { errors: result.errors.slice(0, 5) },
      });
    }
    this.generation = result.generation;
    this.deps.onCommit?.(result.generation);
    return result.bytes;
  }
}

/**
 * What is in force, and beside it the tables that filters are about to get; undefined when none gets a new one. Kernels that keep
 * interval sets as sorted arrays publish an array after the rules of the same commit: filters may go to a table once it is complete.
 * Until the second commit nothing is enforced otherwise; should it never come, the next apply begins from here.
 */
function preparation(actual: Actual, target: Target): Target | undefined {
  const fresh = [...target.tables].filter(([key]) => !actual.tables.has(key));
  const names = new Set(fresh.map(([key]) => key));
  const switches = [...target.filters].some(([name, { table }]) => table !== undefined && names.has(table) && actual.target.filters.has(name));
  return switches ? { ...actual.target, tables: new Map([...actual.target.tables, ...fresh]) } : undefined;
}
