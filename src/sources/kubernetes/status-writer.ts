/**
 * Tells in the API what became of objects of our own kinds: the condition `Accepted` in their status, and an Event where one is refused.
 *
 * All agents of a cluster come to the same verdict on an object, and one of them writes it: each waits its turn, in an order of the nodes
 * that differs from object to object, and who sees the condition written (the object is watched) writes nothing. Writes are limited in
 * rate; one that conflicts is left to whoever was faster. What cannot be written is said in the log, and costs nothing else.
 */
import { createHash } from 'node:crypto';
import { AgentError, describeError } from '../../model/errors.js';
import { fieldsOf } from '../../model/identity.js';
import type { Clock } from '../../platform/clock.js';
import type { Logger } from '../../platform/logger.js';
import { TokenBucket } from '../../platform/token-bucket.js';
import type { ApiClient } from './api-client.js';
import type { Judgement } from './resource-state.js';
import { collectionPath, type ServedResource } from './resources.js';

export interface StatusWriterOptions {
  readonly client: ApiClient;
  readonly node: string;
  /** Names of all nodes, sorted; asked for now and then. */
  readonly nodes: () => readonly string[];
  readonly clock: Clock;
  readonly log: Logger;
  readonly random: () => number;
  readonly times?: Partial<StatusTimes>;
}

export interface StatusTimes {
  /** Between the turns of two nodes. */
  readonly turnMs: number;
  /** The last turn. */
  readonly longestMs: number;
  /** After a write that was not permitted. */
  readonly deniedMs: number;
}

export interface Condition {
  readonly type: string;
  readonly status: 'True' | 'False';
  readonly reason: string;
  readonly message: string;
  readonly observedGeneration: number;
  readonly lastTransitionTime: string;
}

export const STATUS_TIMES: StatusTimes = { turnMs: 2_000, longestMs: 300_000, deniedMs: 600_000 };
const ACCEPTED = 'Accepted';
const PER_SECOND = 5;
const BURST = 20;
const MAX_MESSAGE = 1_024;
/** Of Node names. */
const NODES_FRESH_MS = 60_000;
/** Who must write that much has other troubles. */
const MAX_WAITING = 20_000;

interface Waiting {
  readonly judgement: Judgement;
  readonly resource: ServedResource;
  readonly due: number;
}

export class StatusWriter {
  private readonly waiting = new Map<string, Waiting>();
  private readonly bucket = new TokenBucket(PER_SECOND, BURST);
  private readonly ending = new AbortController();
  private readonly times: StatusTimes;
  private deniedUntil = -Infinity;
  private cancel: (() => void) | undefined;
  private timerDue = Infinity;
  private working: Promise<void> | undefined;
  private order: { readonly index: number; readonly count: number; readonly until: number } | undefined;

  constructor(private readonly options: StatusWriterOptions) {
    this.times = { ...STATUS_TIMES, ...options.times };
  }

  /** An object arrived, and this is what it is. Called for each version of it; an earlier one need not be told any more. */
  judged(judgement: Judgement, resource: ServedResource): void {
    const { clock } = this.options;
    if (!resource.hasStatus || isTold(judgement)) {
      this.waiting.delete(judgement.key);
      return;
    }
    const known = this.waiting.get(judgement.key);
    // Whoever changes it often does not put our turn off.
    const due = known?.due ?? clock.monotonic() + this.turnOf(judgement.key);
    if (known === undefined && this.waiting.size >= MAX_WAITING) return;
    this.waiting.set(judgement.key, { judgement, resource, due });
    this.schedule(due);
  }

  async stop(): Promise<void> {
    this.ending.abort();
    this.cancel?.();
    this.waiting.clear();
    await this.working;
  }

  private turnOf(key: string): number {
    const { clock, node, nodes, random } = this.options;
    if (this.order === undefined || clock.monotonic() > this.order.until) {
      const all = nodes();
      const index = all.indexOf(node);
      this.order = { index: index < 0 ? all.length : index, count: Math.max(1, all.length), until: clock.monotonic() + NODES_FRESH_MS };
    }
    const { index, count } = this.order;
    const first = createHash('sha256').update(key).digest().readUInt32BE(0) % count;
    const rank = index >= count ? count : (index - first + count) % count;
    return Math.min(this.times.longestMs, (rank + random() / 2) * this.times.turnMs);
  }

  private schedule(due: number): void {
    if (due >= this.timerDue || this.ending.signal.aborted) return;
    this.cancel?.();
    this.timerDue = due;
    this.cancel = this.options.clock.after(Math.max(0, due - this.options.clock.monotonic()), () => {
      this.timerDue = Infinity;
      this.cancel = undefined;
      this.working ??= this.work().finally(() => {
        this.working = undefined;
      });
    });
  }

  private async work(): Promise<void> {
    const { clock } = this.options;
    let next = Infinity;
    for (const [key, entry] of this.waiting) {
      if (this.ending.signal.aborted) return;
      const now = clock.monotonic();
      if (now < this.deniedUntil) next = Math.min(next, this.deniedUntil);
      else if (entry.due > now) next = Math.min(next, entry.due);
      else if (!this.bucket.take(now)) next = Math.min(next, now + 1_000 / PER_SECOND);
      else {
        this.waiting.delete(key);
        await this.write(entry);
      }
    }
    if (next < Infinity) this.schedule(next);
  }

  private async write({ judgement, resource }: Waiting): Promise<void> {
    const { client, clock, log } = this.options;
    const { item } = judgement;
    const condition = conditionOf(judgement, new Date(clock.now()).toISOString());
    const path = `${collectionPath(resource, item.namespace)}/${encodeURIComponent(item.name)}/status`;
    const others = judgement.told.conditions.filter((each) => fieldsOf(each)?.['type'] !== ACCEPTED);
    try {
      await client.json({
        method: 'PATCH', path, contentType: 'application/merge-patch+json', signal: this.ending.signal,
        // With its version: somebody who was faster wins.
        body: { metadata: { resourceVersion: item.version }, status: { conditions: [...others, condition] } },
      });
      log.debug('kubernetes.status_written', { object: judgement.key, accepted: condition.status });
      if (condition.status === 'False') await this.tell(judgement, resource, condition);
    } catch (error) {
      if (this.ending.signal.aborted) return;
      if (error instanceof AgentError && (error.code === 'E_CONFLICT' || error.code === 'E_NOT_FOUND')) return; // its next version comes, or it is gone
      log.warn('kubernetes.status_unwritten', { object: judgement.key, reason: describeError(error) });
      if (error instanceof AgentError && error.code === 'E_DENIED') this.deniedUntil = clock.monotonic() + this.times.deniedMs;
    }
  }

  /** events.k8s.io/v1 Event. */
  private async tell({ item, told }: Judgement, { apiVersion, watched }: ServedResource, condition: Condition): Promise<void> {
    const { client, clock, node, random } = this.options;
    const namespace = item.namespace ?? 'default';
    const { uid } = told;
    const suffix = `${clock.now().toString(16)}${Math.floor(random() * 0x1_0000).toString(16)}`;
    await client.json({
      method: 'POST', path: `/apis/events.k8s.io/v1/namespaces/${encodeURIComponent(namespace)}/events`, signal: this.ending.signal,
      body: {
        apiVersion: 'events.k8s.io/v1', kind: 'Event', metadata: { name: `${item.name.slice(0, 200)}.${suffix}`, namespace },
        eventTime: new Date(clock.now()).toISOString().replace('Z', '000Z'), type: 'Warning', reason: condition.reason, action: 'Validate', note: condition.message,
        reportingController: 'dfw.dev/agent', reportingInstance: node.slice(0, 128),
        regarding: {
          apiVersion, kind: watched.written, name: item.name, resourceVersion: item.version,
          ...(item.namespace === undefined ? {} : { namespace }), ...(uid === undefined ? {} : { uid }),
        },
      },
    });
  }
}

/** The object says already what would be written. */
function isTold(judgement: Judgement): boolean {
  const now = acceptedOf(judgement);
  const wanted = conditionOf(judgement, '');
  return now?.['status'] === wanted.status && now['message'] === wanted.message && now['observedGeneration'] === wanted.observedGeneration;
}

/** `lastTransitionTime` stays while the status is the same. */
function conditionOf(judgement: Judgement, now: string): Condition {
  const { told: { generation }, problems } = judgement;
  const before = acceptedOf(judgement);
  const status = problems.length === 0 ? 'True' : 'False';
  const since = before?.['lastTransitionTime'];
  return {
    type: ACCEPTED, status, reason: problems.length === 0 ? 'Valid' : 'Invalid',
    message: problems.map(({ path, message }) => (path === '' ? message : `${path}: ${message}`)).join('; ').slice(0, MAX_MESSAGE),
    observedGeneration: generation,
    lastTransitionTime: before?.['status'] === status && typeof since === 'string' ? since : now,
  };
}

function acceptedOf({ told }: Judgement): Readonly<Record<string, unknown>> | undefined {
  return fieldsOf(told.conditions.find((each) => fieldsOf(each)?.['type'] === ACCEPTED));
}
