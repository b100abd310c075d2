/**
 * Desired state from the Kubernetes API: every kind that the decoder reads, listed and watched. See docs/kubernetes.md.
 *
 * Nothing is published before every kind is completely read (or certainly not installed). Where the API server is away at start, the last
 * complete state that was stored is; and while it is away later, all stays as it was read. `troubles` says what is wrong and since when.
 */
import { setMaxListeners } from 'node:events';
import { AgentError, describeError } from '../../model/errors.js';
import type { Clock } from '../../platform/clock.js';
import type { Logger } from '../../platform/logger.js';
import type { Source, SourceSnapshot, SourceTrouble } from '../source.js';
import type { ApiClient } from './api-client.js';
import { Backoff } from './backoff.js';
import { ClusterState } from './cluster-state.js';
import { discover } from './discovery.js';
import { InlineListReader, type ListReader } from './list-reader.js';
import { DEFAULT_TIMES, Reflector, type ReflectorTimes } from './reflector.js';
import type { Judgement } from './resource-state.js';
import { watchedKinds, type ServedResource, type WatchedKind } from './resources.js';
import { ServerHistory } from './server-history.js';
import { StateJournal } from './state-journal.js';
import { troublesOf } from './troubles.js';

export interface KubernetesTimes extends ReflectorTimes {
  /** Definitions that are not installed are looked for so often. */
  readonly discoveryMs: number;
  /** A kind that the server no longer has keeps its objects for so long: definitions come late when a server starts. */
  readonly absentMs: number;
  /** With a stored state, start() waits so long for a server that answers at all. */
  readonly answerMs: number;
  /** With a stored state, start() waits so long for a server that answers. */
  readonly startMs: number;
}

export const KUBERNETES_TIMES: KubernetesTimes = { ...DEFAULT_TIMES, discoveryMs: 30_000, absentMs: 30_000, answerMs: 3_000, startMs: 10_000 };

/** So often a publication waits for what came while the rest was recorded. */
const MOST_TURNS = 5;

export interface KubernetesSourceOptions {
  readonly client: ApiClient & { warnings(): string[]; close(): Promise<void> };
  /** Of namespaced kinds, only objects in these. Empty: all. */
  readonly namespaces: readonly string[];
  /** Name of this host, as Node objects have it. */
  readonly node: string;
  /** Where the last complete state is kept; absent: nowhere. */
  readonly stateFile?: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly random: () => number;
  /** Takes long lists apart. */
  readonly lists: ListReader;
  readonly times?: Partial<KubernetesTimes>;
  /** What became of each object of our own kinds as it arrived, and where its status can be written. */
  readonly onJudged?: (judgement: Judgement, resource: ServedResource) => void;
  /** Before the client is closed. */
  readonly onStop?: () => Promise<void>;
}

interface Followed {
  readonly resource: ServedResource;
  readonly reflectors: readonly Reflector[];
}

export class KubernetesSource implements Source {
  readonly type = 'kubernetes';
  private readonly kinds: readonly WatchedKind[] = watchedKinds();
  private readonly times: KubernetesTimes;
  private readonly state: ClusterState;
  private readonly journal: StateJournal | undefined;
  private readonly firstPages = new InlineListReader();
  private readonly history = new ServerHistory(() => this.eachReflector((reflector) => reflector.lookAgain()));
  private readonly followed = new Map<string, Followed>();
  /** Kinds that the server does not have, and since when (monotonic). */
  private readonly absent = new Map<string, number>();
  private discovered = false;
  private looking: Promise<unknown> = Promise.resolve();
  /** Somebody asked to look again while that was under way. */
  private again = false;
  private discoveryTrouble: { readonly message: string; readonly since: number } | undefined;
  private storedAt: number | undefined;
  private startedAt = 0;
  private published = false;
  private complete = false;
  private readonly warned = new Map<string, number>();
  private readonly listeners = new Set<() => void>();
  private readonly ending = new AbortController();
  private running: Promise<void> | undefined;
  private wake: (() => void) | undefined;
  private cancelPublish: (() => void) | undefined;
  /** How often what was to be published has waited for more to be recorded. */
  private turns = 0;
  private onPublished: (() => void) | undefined;
  private detach = (): void => undefined;
  private starting: Promise<unknown> = Promise.resolve();

  constructor(private readonly options: KubernetesSourceOptions) {
    const { namespaces, node, stateFile, clock, log, onJudged } = options;
    this.times = { ...KUBERNETES_TIMES, ...options.times };
    this.state = new ClusterState({
      kinds: this.kinds, namespaces, node, onChange: (key) => this.journal?.note(key),
      ...(onJudged === undefined ? {} : { onJudged: (judgement: Judgement) => this.judged(judgement) }),
    });
    this.journal = stateFile === undefined ? undefined : new StateJournal({
      file: stateFile, read: (key) => this.state.stored(key), keys: () => this.state.keys(), clock, log,
    });
  }

  /** Everything was read from the API server by this run. */
  get synced(): boolean {
    return this.complete;
  }

  get troubles(): readonly SourceTrouble[] {
    const { clock, client } = this.options;
    const since = (reason: string): number => {
      const at = this.warned.get(reason) ?? clock.now();
      this.warned.set(reason, at);
      return at;
    };
    const warnings = client.warnings();
    for (const reason of this.warned.keys()) if (!warnings.includes(reason)) this.warned.delete(reason);
    return [
      ...(!this.complete && this.published && this.storedAt !== undefined
        ? [{ reason: `not everything was read since the start; in force is what was stored at ${new Date(this.storedAt).toISOString()}`, since: this.startedAt }] : []),
      ...troublesOf([
        ...(this.discoveryTrouble === undefined ? [] : [{ resource: 'API discovery', ...this.discoveryTrouble }]),
        ...[...this.followed.values()].flatMap(({ resource, reflectors }) =>
          reflectors.flatMap(({ problem }) => (problem === undefined ? [] : [{ resource: resource.plural, message: problem.error.message, since: problem.since }]))),
      ]),
      ...this.missingBuiltIns(),
      ...warnings.map((reason) => ({ reason, since: since(reason) })),
      ...(this.journal?.problem === undefined ? [] : [this.journal.problem]),
    ];
  }

  snapshot(): SourceSnapshot {
    return this.state.snapshot();
  }

  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => {
      this.listeners.delete(listener);
    };
  }

  /**
   * Resolves when everything was read, or, after `answerMs` or `startMs`, when there is a stored state. Without one it waits for the API
   * server as long as that takes. Rejects with E_CANCELLED only.
   */
  async start(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.options;
    const abort = (): void => {
      this.stop().catch((error: unknown) => log.error('source.stop-failed', { reason: describeError(error) }));
    };
    signal.addEventListener('abort', abort, { once: true });
    this.detach = () => signal.removeEventListener('abort', abort);
    this.startedAt = clock.now();
    // Each request under way listens, and discovery asks for all groups at once: that is no leak to be warned of.
    setMaxListeners(0, this.ending.signal);
    const ready = new Promise<void>((resolve) => {
      this.onPublished = resolve;
    });
    const restoring = this.restore();
    this.starting = restoring;
    await restoring;
    if (this.ending.signal.aborted) throw new AgentError('E_CANCELLED', 'the source was stopped');
    this.running = this.follow();
    const { answerMs, startMs } = this.times;
    const waits = this.storedAt === undefined ? [] : [
      clock.after(answerMs, () => {
        if (!this.discovered) this.publish(true);
      }),
      clock.after(startMs, () => this.publish(true)),
    ];
    const ended = new Promise<void>((resolve) => this.ending.signal.addEventListener('abort', () => resolve(), { once: true }));
    await Promise.race([ready, ended]);
    for (const cancel of waits) cancel();
    if (this.ending.signal.aborted) throw new AgentError('E_CANCELLED', 'the source was stopped');
  }

  async stop(): Promise<void> {
    this.detach();
    this.ending.abort();
    this.wake?.();
    this.cancelPublish?.();
    await this.starting;
    await Promise.all([...this.followed.values()].flatMap(({ reflectors }) => reflectors.map(async (reflector) => reflector.stop())));
    await this.running;
    await this.journal?.stop();
    await this.options.onStop?.();
    await this.options.lists.close();
    await this.options.client.close();
  }

  /** Lists everything again. Rejects with what keeps it from that. */
  async sync(signal: AbortSignal): Promise<void> {
    const work = async (): Promise<void> => {
      await this.look();
      await Promise.all([...this.followed.values()].flatMap(({ reflectors }) => reflectors.map(async (reflector) => reflector.relist())));
      await this.journal?.record();
      this.publish(false);
    };
    const aborted = new Promise<never>((_resolve, reject) => {
      signal.addEventListener('abort', () => reject(new AgentError('E_CANCELLED', 'the caller gave up waiting for the API server')), { once: true });
    });
    await Promise.race([work(), aborted]);
  }

  private async restore(): Promise<void> {
    const { log } = this.options;
    let restored = 0;
    let lost = 0;
    this.storedAt = await this.journal?.load((entry) => {
      if (this.state.restore(entry)) restored++;
      else lost++;
    });
    if (this.storedAt !== undefined) log.info('kubernetes.restored', { objects: restored, lost, storedAt: new Date(this.storedAt).toISOString() });
  }

  /** Looks for what the server has, for ever. */
  private async follow(): Promise<void> {
    const { clock, log, random } = this.options;
    const backoff = new Backoff({ firstMs: this.times.firstPauseMs, lastMs: this.times.lastPauseMs, random });
    while (!this.ending.signal.aborted) {
      let pause: number;
      try {
        await this.look();
        backoff.reset();
        pause = this.nextLookMs() * (0.75 + random() / 2);
      } catch (error) {
        if (this.ending.signal.aborted) return;
        const message = error instanceof AgentError ? error.message : describeError(error);
        if (this.discoveryTrouble?.message !== message) log.warn('kubernetes.discovery_failed', { reason: describeError(error) });
        this.discoveryTrouble = { message, since: this.discoveryTrouble?.since ?? clock.now() };
        pause = backoff.next();
      }
      await new Promise<void>((resolve) => {
        const cancel = clock.after(pause, resolve);
        this.wake = () => {
          cancel();
          resolve();
        };
        if (this.ending.signal.aborted || this.again) this.wake();
      });
      this.again = false;
    }
  }

  private nextLookMs(): number {
    const { discoveryMs, absentMs } = this.times;
    const leaving = this.kinds.some((watched) => this.absent.has(watched.kind) && (this.followed.has(watched.kind) || this.holds(watched)));
    if (leaving) return Math.min(discoveryMs, absentMs);
    // Nothing to be found, but versions that come and go.
    return this.absent.size === 0 ? discoveryMs * 10 : discoveryMs;
  }

  /** One after the other. */
  private async look(): Promise<void> {
    const mine = this.looking.then(async () => this.lookOnce());
    this.looking = mine.catch(() => undefined);
    return mine;
  }

  private async lookOnce(): Promise<void> {
    const { client, log, clock } = this.options;
    const { resources } = await discover(client, this.kinds, this.ending.signal);
    if (this.ending.signal.aborted) throw new AgentError('E_CANCELLED', 'the source was stopped');
    this.discoveryTrouble = undefined;
    for (const watched of this.kinds) {
      const resource = resources.get(watched.kind);
      const known = this.followed.get(watched.kind);
      if (resource !== undefined) {
        this.absent.delete(watched.kind);
        if (known?.resource.apiVersion === resource.apiVersion && known.resource.plural === resource.plural) continue;
        await this.unfollow(watched.kind);
        log.info('kubernetes.watching', { kind: watched.kind, apiVersion: resource.apiVersion });
        this.state.useVersion(watched, resource.apiVersion);
        this.followed.set(watched.kind, this.followResource(resource));
        continue;
      }
      const since = this.absent.get(watched.kind) ?? clock.monotonic();
      this.absent.set(watched.kind, since);
      if (known === undefined && !this.holds(watched)) continue;
      if (clock.monotonic() - since < this.times.absentMs) continue;
      log.warn('kubernetes.kind_gone', { kind: watched.kind });
      await this.unfollow(watched.kind);
      if (!watched.builtIn) for (const namespace of this.state.scopes(watched)) this.state.resource(watched.kind, namespace)?.clear();
    }
    this.discovered = true;
    this.progress();
  }

  private followResource(resource: ServedResource): Followed {
    const { client, clock, log, random } = this.options;
    const reflectors = this.state.scopes(resource.watched).flatMap((namespace) => {
      const sink = this.state.resource(resource.watched.kind, namespace);
      if (sink === undefined) return [];
      return [new Reflector({
        client, resource, ...(namespace === undefined ? {} : { namespace }), sink, clock, log, random, times: this.times, history: this.history, lists: this.options.lists, firstPages: this.firstPages,
        onMissing: () => this.lookSoon(),
        onProgress: () => this.progress(),
        onRecovered: () => this.recovered(),
      })];
    });
    for (const reflector of reflectors) reflector.start();
    return { resource, reflectors };
  }

  private async unfollow(kind: string): Promise<void> {
    const known = this.followed.get(kind);
    this.followed.delete(kind);
    await Promise.all((known?.reflectors ?? []).map(async (reflector) => reflector.stop()));
  }

  private lookSoon(): void {
    this.again = true;
    this.wake?.();
  }

  private recovered(): void {
    if (this.discoveryTrouble !== undefined) this.lookSoon();
    this.eachReflector((reflector) => reflector.tryNow());
  }

  private eachReflector(action: (reflector: Reflector) => void): void {
    for (const { reflectors } of this.followed.values()) for (const reflector of reflectors) action(reflector);
  }

  /** Changes that come together are published together. */
  private progress(): void {
    if (this.ending.signal.aborted) return;
    this.cancelPublish ??= this.options.clock.after(0, () => {
      const recording = this.journal?.record();
      if (recording === undefined) {
        this.cancelPublish = undefined;
        this.publish(false);
        return;
      }
      // Before anybody enforces it: who dies here must not come back with what was before, should the API server be away then.
      void recording.then(() => {
        this.cancelPublish = undefined;
        // More may have come meanwhile, and would be published with it; but what never ends must not hold back the rest.
        if (this.journal?.pending === true && this.turns < MOST_TURNS) {
          this.turns += 1;
          this.progress();
          return;
        }
        this.turns = 0;
        this.publish(false);
      });
    });
  }

  /** `stored`: what was stored is in force until something else is known. */
  private publish(stored: boolean): void {
    if (this.ending.signal.aborted) return;
    const wasComplete = this.complete;
    this.complete ||= this.isComplete();
    if (!this.complete && !this.published && !stored) return;
    if (this.complete && !wasComplete) this.journal?.begin();
    const first = !this.published;
    this.published = true;
    if (!this.state.publish(first || this.complete !== wasComplete)) return;
    const { revision, errors } = this.state.snapshot();
    if (first || this.complete !== wasComplete) {
      this.options.log.info('source.loaded', { type: this.type, objects: this.state.size, errors: errors.length, revision, stored: !this.complete, ms: this.options.clock.now() - this.startedAt });
    }
    this.onPublished?.();
    for (const listener of this.listeners) {
      try {
        listener();
      } catch (error) {
        this.options.log.error('source.listener-failed', { reason: describeError(error) });
      }
    }
  }

  private isComplete(): boolean {
    if (!this.discovered) return false;
    return this.kinds.every((watched) => {
      const followed = this.followed.get(watched.kind);
      if (followed !== undefined) return followed.reflectors.every((reflector) => reflector.synced);
      return !watched.builtIn && !this.holds(watched);
    });
  }

  private holds(watched: WatchedKind): boolean {
    return this.state.scopes(watched).some((namespace) => (this.state.resource(watched.kind, namespace)?.size ?? 0) > 0);
  }

  private missingBuiltIns(): SourceTrouble[] {
    const missing = this.kinds.filter(({ kind, builtIn }) => builtIn && this.absent.has(kind)).map(({ kind }) => kind);
    return missing.length === 0 ? [] : [{ reason: `the API server does not have ${missing.join(', ')}`, since: this.startedAt }];
  }

  /** Names of the cluster's Nodes, sorted. */
  nodeNames(): string[] {
    return this.state.names('Node');
  }

  /** As the server has a kind that is watched. */
  served(kind: string): ServedResource | undefined {
    return this.followed.get(kind)?.resource;
  }

  private judged(judgement: Judgement): void {
    const [kind = ''] = judgement.key.split('/', 1);
    const resource = this.served(kind);
    if (resource !== undefined) this.options.onJudged?.(judgement, resource);
  }
}
