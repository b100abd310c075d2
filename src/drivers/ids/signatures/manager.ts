import { basename, join } from 'node:path';
import type { SignatureSelection } from '../../../model/signature.js';
import type { BundleView, SignatureChangeView, SignatureFaultView, SignatureFilter, SignaturesView } from '../../../model/views.js';
import { describeError, isAgentError } from '../../../model/errors.js';
import type { Clock } from '../../../platform/clock.js';
import type { Logger } from '../../../platform/logger.js';
import type { EngineState, ReloadResult } from '../engine.js';
import type { EngineRules } from '../engine-config.js';
import { sleep } from '../../../platform/sleep.js';
import { unpackBundle } from './bundle.js';
import type { BundleUpdates, TakenBundle } from './bundle-updates.js';
import type { EngineTest, TestResult } from './engine-test.js';
import type { BuiltSet, Ingredients, SetBuilder } from './set-builder.js';
import { readSetRecord, writeSetRecord, type SetRecord } from './set-record.js';
import { listSignatures } from './signature-list.js';
import type { InForce, VersionStore } from './version-store.js';

/** The part of the engine that is needed here. */
export interface ReloadableEngine {
  /** Resolves when it is not starting: it has its rules, or will read them anew. */
  settled(signal: AbortSignal): Promise<EngineState>;
  reload(signal?: AbortSignal): Promise<ReloadResult>;
}
export interface ManagerParts {
  readonly store: VersionStore;
  readonly builder: SetBuilder;
  readonly test: Pick<EngineTest, 'run'>;
  readonly engine: ReloadableEngine;
  /** undefined: no bundle is configured, and one that was in force before is let go. */
  readonly updates: BundleUpdates | undefined;
  readonly directory: string;
  /** So many signatures may be refused by the engine; the rest comes into force then. */
  readonly allowedFailures: number;
  readonly clock: Clock;
  readonly log: Logger;
}
export interface SignatureStatus {
  readonly directory: string;
  /** undefined until the first set is in force. */
  readonly set: Pick<SetRecord, 'loaded' | 'failed' | 'skipped' | 'testedAt'> | undefined;
  readonly bundle: BundleView | undefined;
  /** The newest signatures that are not in force, or not all of them. */
  readonly refused: Refusal | undefined;
  /** Fetches of the bundle since the start, by result. */
  readonly fetches: ReadonlyMap<string, number>;
}
export interface Refusal { readonly at: string; readonly what: string; readonly reason: string; readonly faults: SignatureFaultView[] }

/** A change, and whether the engine has it already: one that does not run reads it when it starts. */
export interface Applied extends SignatureChangeView { readonly reloaded: boolean }

interface Plan extends Omit<Ingredients, 'manifest'> {
  readonly what: string;
  readonly version: string | undefined;
  readonly previous: string | undefined;
  readonly allowedFailures: number;
}

const FIRST: Plan = { what: 'the first signatures', local: 'read', selection: {}, version: undefined, previous: undefined, allowedFailures: Number.POSITIVE_INFINITY };
const LOOK_AGAIN_MS = 5_000;
/** Half a gigabyte to a slow disk. */
const UNPACK_LIMIT_MS = 300_000;
const SHOWN_FAULTS = 100;
const LOGGED_FAULTS = 10;

/**
 * Which signatures the engine has: the bundle's, the directory's and the agent's own, tested together before they come into force. One change at a
 * time; a change that fails at any step leaves what is in force. Nothing here rejects for what the engine, the network or an archive does.
 */
export class SignatureManager {
  readonly #parts: ManagerParts;
  #record: SetRecord | undefined;
  #load: EngineRules | undefined;
  #sha256: string | undefined;
  #refused: Refusal | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #stopping = new AbortController();

  constructor(parts: ManagerParts) {
    this.#parts = parts;
  }

  /** What the engine shall load; undefined where no set was ever made, and it reads the directory itself. */
  get load(): EngineRules | undefined {
    return this.#load;
  }

  /**
   * Before the engine starts: reads what is in force. Where nothing is, the first set is made; signatures that the engine refuses are left out of it,
   * for without it nothing would be inspected. Never rejects.
   */
  async open(signal: AbortSignal): Promise<void> {
    const { store, log } = this.#parts;
    this.#stopping = new AbortController();
    try {
      await store.open();
      await this.#adoptRecord();
    } catch (error) {
      log.error('ids.signatures.unreadable', { reason: describeError(error) });
    }
    if (this.#record !== undefined) return;
    await this.#inTurn(() => this.#apply(FIRST, this.#signal(signal), false));
  }

  /** Once the engine is being started: takes up what changed while the agent was away, and keeps the bundle up to date. Returns at once. */
  start(signal: AbortSignal): void {
    const { updates, log } = this.#parts;
    this.#takeUp(signal).catch((error: unknown) => log.warn('ids.signatures.failed', { reason: describeError(error) }));
    updates?.start(this.#signal(signal), {
      kept: () => this.#parts.store.inForce?.version !== undefined,
      update: (explicit) => this.#update(explicit, signal),
    });
  }

  /** Ends tests and fetches; resolves when none is under way. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#parts.updates?.stop();
    await this.#turn;
  }

  /** The directory as it is now. */
  reload(): Promise<Applied> {
    const { store, allowedFailures } = this.#parts;
    return this.#change(() => ({
      what: `the directory ${this.#parts.directory}`, local: 'read', selection: this.#selection, version: store.inForce?.version, previous: store.inForce?.previous, allowedFailures,
    }));
  }

  /** Fetches the bundle now. */
  async update(): Promise<SignatureChangeView> {
    const { updates } = this.#parts;
    if (updates === undefined) return this.#failed('no bundle is configured: set ids.bundle');
    return this.#update(true, this.#stopping.signal);
  }

  /** The version of the bundle before this one; once more: this one again. */
  async rollback(): Promise<SignatureChangeView> {
    const { store, allowedFailures } = this.#parts;
    if (store.inForce?.previous === undefined) return this.#failed('there is no version before');
    return this.#change(() => {
      const { version, previous } = store.inForce ?? {};
      return { what: `version ${previous ?? ''} of the bundle`, local: this.#kept, selection: this.#selection, version: previous, previous: version, allowedFailures };
    });
  }

  /** Puts a selection in force, for the bundle and the directory; {} is everything. The one in force stays over a restart. */
  async select(selection: SignatureSelection): Promise<SignatureChangeView> {
    const { store, allowedFailures } = this.#parts;
    if (JSON.stringify(selection) === JSON.stringify(this.#selection)) return this.#unchanged('the selection is in force');
    return this.#change(() => ({
      what: 'the selection', local: this.#kept, selection, version: store.inForce?.version, previous: store.inForce?.previous, allowedFailures,
    }));
  }

  status(): SignatureStatus {
    const { store, updates, directory } = this.#parts;
    const { version, previous } = store.inForce ?? {};
    const bundle = updates === undefined ? undefined : {
      ...updates.view(),
      ...(version === undefined ? {} : { version }), ...(this.#sha256 === undefined ? {} : { sha256: this.#sha256 }), ...(previous === undefined ? {} : { previous }),
    };
    return { directory, set: this.#record, bundle, refused: this.#refused, fetches: updates?.fetches ?? new Map() };
  }

  /** The signatures of the set in force, in the order of its files. */
  async list(filter: SignatureFilter): Promise<SignaturesView> {
    const { store } = this.#parts;
    for (;;) {
      const set = store.inForce?.set;
      if (set === undefined || this.#record === undefined) return { signatures: [] };
      const signatures = await listSignatures(store, set, this.#record, this.#load?.classificationFile, filter);
      // Another set may have taken its place, and its files, meanwhile.
      if (store.inForce?.set === set) return { signatures };
    }
  }

  get #selection(): SignatureSelection {
    return this.#record?.selection ?? {};
  }

  get #kept(): Ingredients['local'] {
    const set = this.#parts.store.inForce?.set;
    return set === undefined ? 'read' : { set };
  }

  #signal(signal: AbortSignal): AbortSignal {
    return AbortSignal.any([signal, this.#stopping.signal]);
  }

  /** A directory, own file or configuration that is not as it was when the set in force was made. */
  async #takeUp(signal: AbortSignal): Promise<void> {
    const { builder, store, updates } = this.#parts;
    if (this.#record === undefined) {
      await this.#firstAfterAll(this.#signal(signal));
      return;
    }
    const bundleGone = updates === undefined && store.inForce?.version !== undefined;
    if (!bundleGone && await builder.localHash() === this.#record.localHash) return;
    await this.#inTurn(() => this.#apply({
      what: 'what changed while the agent was away', local: 'read', selection: this.#selection, allowedFailures: this.#parts.allowedFailures,
      ...(bundleGone ? { version: undefined, previous: undefined } : { version: store.inForce?.version, previous: store.inForce?.previous }),
    }, this.#signal(signal)));
  }

  /** There was no engine to test the first set with: as soon as there is one. */
  async #firstAfterAll(signal: AbortSignal): Promise<void> {
    const { engine, clock } = this.#parts;
    while (!signal.aborted && this.#record === undefined) {
      if ((await engine.settled(signal)) === 'running') {
        await this.#inTurn(async () => (this.#record === undefined ? this.#apply(FIRST, signal) : undefined));
        return;
      }
      await sleep(clock, LOOK_AGAIN_MS, signal);
    }
  }

  #change(plan: () => Plan): Promise<Applied> {
    return this.#inTurn(() => this.#apply(plan(), this.#stopping.signal));
  }

  /** Fetch, unpack, test, put in force. */
  async #update(explicit: boolean, signal: AbortSignal): Promise<SignatureChangeView> {
    const { store, updates, allowedFailures } = this.#parts;
    if (updates === undefined) return this.#unchanged('');
    return this.#inTurn(async () => {
      const limited = this.#signal(signal);
      const change = await updates.attempt(explicit, limited, async (bundle: TakenBundle) => {
        const { version, previous } = store.inForce ?? {};
        for (const kept of [version, previous]) {
          if (kept === undefined || (await store.manifest(kept))?.sha256 !== bundle.sha256) continue;
          return this.#unchanged(kept === version ? `version ${kept} is in force` : `version ${kept} is the one before; ids rollback puts it in force`);
        }
        const adopted = await this.#unpacked(bundle, limited);
        if (typeof adopted !== 'string') return adopted;
        return await this.#apply({ what: `version ${adopted} of the bundle`, local: this.#kept, selection: this.#selection, version: adopted, previous: version, allowedFailures }, limited);
      });
      await this.#sweep();
      return change;
    });
  }

  /** The version that a bundle became, or why it did not. Rejects for what may be otherwise the next time: a full disk. */
  async #unpacked({ archive, incoming, sha256, source }: TakenBundle, signal: AbortSignal): Promise<string | Applied> {
    try {
      const limited = AbortSignal.any([signal, AbortSignal.timeout(UNPACK_LIMIT_MS)]);
      const { version, ruleFiles, classificationFile, referenceFile } = await unpackBundle(archive, basename(source), join(incoming, 'files'), limited);
      return await this.#parts.store.adopt(incoming, version, {
        sha256, source, takenAt: this.#now(), ruleFiles,
        ...(classificationFile === undefined ? {} : { classificationFile }), ...(referenceFile === undefined ? {} : { referenceFile }),
      });
    } catch (error) {
      if (!isAgentError(error) || error.retryable) throw error;
      return this.#refuse('the bundle', describeError(error), []);
    }
  }

  /** Builds a set, tests it, commits it and has the engine read it; `reload` false where no engine runs yet. */
  async #apply(plan: Plan, signal: AbortSignal, reload = true): Promise<Applied> {
    const { store, builder, engine, log } = this.#parts;
    try {
      const manifest = plan.version === undefined ? undefined : await store.manifest(plan.version);
      const built = await builder.build({ manifest, local: plan.local, selection: plan.selection });
      const { result, left } = await this.#tested(built, plan.allowedFailures, signal);
      if (!result.passed) return this.#refuse(plan.what, result.reason === '' ? `${String(result.failed)} signatures refused by the engine` : result.reason, this.#named(built, result.faults));
      const faults = this.#named(built, left);
      await writeSetRecord(store, built.set, {
        files: built.files, localHash: built.localHash, selection: plan.selection, testedAt: this.#now(), loaded: result.loaded, failed: left.length, skipped: result.skipped,
      });
      if (reload) await engine.settled(signal);
      const before = store.inForce;
      await store.commit({ set: built.set, ...(plan.version === undefined ? {} : { version: plan.version }), ...(plan.previous === undefined ? {} : { previous: plan.previous }) });
      await this.#adoptRecord();
      const answer = reload ? await this.#reloaded(signal) : undefined;
      if (answer?.refused === true) return await this.#goBack(plan.what, before, answer.detail);
      this.#refused = faults.length === 0 ? undefined : this.#refusal(plan.what, `${String(faults.length)} signatures refused by the engine, the others are in force`, faults);
      const detail = this.#detail(answer, result, left.length);
      log.info('ids.signatures.in-force', { what: plan.what, version: plan.version, loaded: result.loaded, failed: left.length, skipped: result.skipped, detail });
      return { outcome: 'changed', reloaded: answer?.reloaded ?? true, detail, ...this.#version, faults: faults.slice(0, SHOWN_FAULTS) };
    } catch (error) {
      if (signal.aborted) return this.#failed('cancelled: the agent stops');
      return this.#refuse(plan.what, describeError(error), []);
    } finally {
      await this.#sweep();
    }
  }

  async #sweep(): Promise<void> {
    await this.#parts.store.sweep().catch((error: unknown) => this.#parts.log.warn('ids.signatures.leavings', { reason: describeError(error) }));
  }

  /** An engine that was just starting may have read the configuration before what is in force now. */
  async #reloaded(signal: AbortSignal): Promise<ReloadResult> {
    const { engine } = this.#parts;
    const answer = await engine.reload(signal);
    if (answer.reloaded || answer.refused === true || (await engine.settled(signal)) !== 'running') return answer;
    return engine.reload(signal);
  }

  /** Tests; where some signatures may fail and do, they are commented out, and the rest must pass alone. */
  async #tested(built: BuiltSet, allowed: number, signal: AbortSignal): Promise<{ result: TestResult; left: readonly SignatureFaultView[] }> {
    const { test, builder } = this.#parts;
    const result = await test.run(built.load, signal);
    if (result.passed || result.failed === 0 || result.failed > allowed) return { result, left: [] };
    await builder.prune(built, result.faults);
    return { result: await test.run(built.load, signal), left: result.faults };
  }

  /** The engine would not have what it passed in the test: it goes on with the set it had, and so do we. */
  async #goBack(what: string, before: InForce | undefined, reason: string): Promise<Applied> {
    if (before !== undefined) {
      await this.#parts.store.commit(before);
      await this.#adoptRecord();
    }
    return this.#refuse(what, reason, []);
  }

  #detail(answer: ReloadResult | undefined, result: TestResult, left: number): string {
    const refused = left === 0 ? '' : `, ${String(left)} refused`;
    const expected = `${String(result.loaded)} signatures in force${refused}`;
    if (answer === undefined || answer.rules === undefined) return answer?.detail ?? expected;
    const { loaded, failed } = answer.rules;
    if (loaded === result.loaded && failed === 0) return expected;
    const detail = `${String(loaded)} signatures in force${refused}: the test had ${String(result.loaded)}`;
    this.#parts.log.warn('ids.signatures.mismatch', { loaded, failed, tested: result.loaded });
    return detail;
  }

  /** With names that users know instead of paths in the set. */
  #named({ set, files }: BuiltSet, faults: readonly SignatureFaultView[]): SignatureFaultView[] {
    const at = this.#parts.store.setDirectory(set);
    const origins = new Map(files.map(({ path, origin }) => [join(at, path), origin]));
    return faults.map((fault) => ({ ...fault, file: origins.get(fault.file) ?? fault.file }));
  }

  #refuse(what: string, reason: string, faults: readonly SignatureFaultView[]): Applied {
    this.#refused = this.#refusal(what, reason, faults);
    return { ...this.#failed(`${what}: ${reason}; what was in force stays`), faults: faults.slice(0, SHOWN_FAULTS) };
  }

  #refusal(what: string, reason: string, faults: readonly SignatureFaultView[]): Refusal {
    this.#parts.log.warn('ids.signatures.refused', { what, reason, signatures: faults.slice(0, LOGGED_FAULTS).map(faultText) });
    return { at: this.#now(), what, reason, faults: faults.slice(0, SHOWN_FAULTS) };
  }

  #unchanged(detail: string): Applied {
    return { outcome: 'unchanged', reloaded: false, detail, ...this.#version, faults: [] };
  }

  #failed(detail: string): Applied {
    return { ...this.#unchanged(detail), outcome: 'failed' };
  }

  get #version(): { version?: string } {
    const version = this.#parts.store.inForce?.version;
    return version === undefined ? {} : { version };
  }

  /** Reads what belongs to the set in force. */
  async #adoptRecord(): Promise<void> {
    const { store, builder } = this.#parts;
    const { inForce } = store;
    this.#record = inForce === undefined ? undefined : await readSetRecord(store, inForce.set);
    this.#load = inForce === undefined || this.#record === undefined ? undefined : await builder.load(inForce.set, this.#record);
    this.#sha256 = inForce?.version === undefined ? undefined : (await store.manifest(inForce.version))?.sha256;
  }

  #now(): string {
    return new Date(this.#parts.clock.now()).toISOString();
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(work);
    this.#turn = mine.catch(() => undefined);
    return mine;
  }
}

/** One line of a log or a status. */
export function faultText({ file, line, sid, reason }: SignatureFaultView): string {
  return `${file}${line === 0 ? '' : `:${String(line)}`}${sid === undefined ? '' : ` sid ${String(sid)}`}: ${reason}`;
}
