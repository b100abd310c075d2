/**
 * Table `bridge dfw`, in one of two forms: GUARD while no filter in it has rules, the whole dialect when one has. Going from one to the other is
 * one transaction, so that at no time a filter's interface forwards unjudged.
 *
 * A kernel without connection tracking in family bridge (nf_conntrack_bridge, Linux 5.3) takes only the guard: the filters are then shut, or open
 * by their failure policy, `refusal` says why, and the rules are tried again now and then.
 */
import type { LabelInfo } from '../../compile/compiled.js';
import { EMPTY_TARGET, type Target } from '../../compile/target.js';
import { AgentError, describeError } from '../../model/errors.js';
import type { NftSocket } from '../../native/binding.js';
import type { Clock } from '../../platform/clock.js';
import type { Logger } from '../../platform/logger.js';
import { bridgeDialect, GUARD } from './bridge-layout.js';
import { NftablesDriver, type Applied, type RuleCounters, type Sweep } from './driver.js';
import { closeUnknown } from './unknown-interfaces.js';

export interface BridgeDriverOptions {
  readonly socket: NftSocket;
  readonly log: Logger;
  readonly clock: Clock;
  readonly logGroup: number;
  /** NFLOG group of frames that rules reject. */
  readonly answerGroup: number;
  /** Interfaces, or how their names begin (`veth*`), that are closed while they have no filter. */
  readonly unknown?: readonly string[];
  readonly onCommit: (generation: number) => void;
}

const RETRY_MS = 60_000;

export class BridgeDriver {
  private readonly guard: NftablesDriver;
  private readonly rules: NftablesDriver;
  private current: NftablesDriver | undefined;
  private refused: { readonly why: string; readonly at: number } | undefined;
  private absent = false;

  constructor(private readonly options: BridgeDriverOptions) {
    const { socket, log, logGroup, onCommit, unknown = [] } = options;
    this.guard = new NftablesDriver({ socket, log, logGroup, onCommit, dialect: closeUnknown(GUARD, unknown, 0) });
    this.rules = new NftablesDriver({ socket, log, logGroup, onCommit, dialect: closeUnknown(bridgeDialect(options.answerGroup), unknown, 0) });
  }

  /** Why filters that have rules are shut (or open) all the same; undefined: they are not. */
  get refusal(): string | undefined {
    return this.refused?.why;
  }

  get labels(): ReadonlyMap<number, LabelInfo> {
    return (this.current ?? this.rules).labels;
  }

  readLabels(): Promise<ReadonlyMap<number, string>> {
    return this.rules.readLabels();
  }

  /**
   * As NftablesDriver.apply. Does not reject where the kernel refuses the rules and nothing was in force before: see `refusal`.
   * @throws AgentError E_KERNEL, retryable.
   */
  async apply(target: Target): Promise<Applied> {
    const wanted = [...target.filters.values()].some(({ table }) => table !== undefined);
    if (!wanted) this.refused = undefined;
    if (wanted && (this.refused === undefined || this.options.clock.monotonic() >= this.refused.at + RETRY_MS)) {
      try {
        const applied = await this.by(this.rules, target);
        this.refused = undefined;
        return applied;
      } catch (error) {
        // What is in force stays; only where nothing is, filters must be shut.
        if (this.current === this.rules || (await this.rules.holdsRules())) throw error;
        const why = whyOf(error);
        if (this.refused?.why !== why) this.options.log.error('bridge.refused', { error: describeError(error) });
        this.refused = { why, at: this.options.clock.monotonic() };
      }
    }
    return this.shut(target, wanted);
  }

  pendingSweep(): Sweep | undefined {
    return this.current?.pendingSweep();
  }

  async settle(sweep: Sweep): Promise<void> {
    await this.current?.settle(sweep);
  }

  /** As NftablesDriver.drifted. Rules that were refused differ from what shall be, too, when everything is compared. */
  async drifted(depth: 'structure' | 'all'): Promise<string | undefined> {
    if (this.refused !== undefined && depth === 'all' && this.options.clock.monotonic() >= this.refused.at + RETRY_MS) return 'table bridge dfw lacks the rules that the kernel refused';
    return this.current?.drifted(depth);
  }

  committedElsewhere(generation: number): void {
    this.current?.committedElsewhere(generation);
  }

  async ruleCounters(): Promise<Map<number, RuleCounters>> {
    return this.current === this.rules ? this.rules.ruleCounters() : new Map<number, RuleCounters>();
  }

  async chainCounters(): Promise<Map<string, (RuleCounters | undefined)[]>> {
    return this.current === this.rules ? this.rules.chainCounters() : new Map<string, (RuleCounters | undefined)[]>();
  }

  async cleanup(): Promise<void> {
    if (this.absent) return;
    await this.guard.cleanup();
    this.current = undefined;
  }

  private async by(driver: NftablesDriver, target: Target): Promise<Applied> {
    if (this.current !== driver) driver.forget();
    const applied = await driver.apply(target);
    if (this.current !== driver) this.current?.release();
    this.current = driver;
    return applied;
  }

  private async shut(target: Target, wanted: boolean): Promise<Applied> {
    const filters = new Map([...target.filters].map(([name, filter]) => [name, filter.table === undefined ? filter : { ...filter, table: undefined }]));
    try {
      const applied = await this.by(this.guard, { ...EMPTY_TARGET, filters });
      this.absent = false;
      return applied;
    } catch (error) {
      // No nf_tables for bridges at all: nothing to guard against as long as no filter is there.
      if (wanted) throw error;
      if (!this.absent) this.options.log.warn('bridge.no_guard', { error: describeError(error) });
      this.absent = true;
      return { changed: false, elements: 0, lost: 0, sweepDue: false, bytes: 0 };
    }
  }
}

function whyOf(error: unknown): string {
  const text = error instanceof AgentError ? error.message : String(error);
  return `this kernel has no connection tracking on bridges (nf_conntrack_bridge): ${text}`;
}
