/**
 * Keeps the status of objects of others' kinds as this node says it is: looks at what the source has seen, and writes where that differs. Conditions
 * of others stay. Whoever decides that it is this node's to write sees to it that no other node says otherwise.
 */
import { AgentError, describeError } from '../../model/errors.js';
import { fieldsOf } from '../../model/identity.js';
import type { Status, StatusCondition } from '../../model/status.js';
import type { Clock } from '../../platform/clock.js';
import type { Logger } from '../../platform/logger.js';
import { TokenBucket } from '../../platform/token-bucket.js';
import type { ApiClient } from './api-client.js';
import { collectionPath, type ServedResource } from './resources.js';

export interface StatusPatchesOptions {
  readonly client: ApiClient;
  /** Manifest of an object of this source as it was seen last; undefined: not one of its. */
  readonly seen: (key: string) => unknown;
  /** As the server has the kind; undefined: it does not. */
  readonly served: (kind: string) => ServedResource | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  readonly times?: Partial<PatchTimes>;
}
export interface PatchTimes {
  /** Between two looks. */
  readonly everyMs: number;
  /** After a write that failed. */
  readonly failedMs: number;
  /** After one that was not permitted. */
  readonly deniedMs: number;
}

const TIMES: PatchTimes = { everyMs: 1_000, failedMs: 5_000, deniedMs: 600_000 };
const PER_SECOND = 5;
const BURST = 20;

export class StatusPatches {
  private readonly bucket = new TokenBucket(PER_SECOND, BURST);
  private readonly times: PatchTimes;
  /** Key → what was seen and written: a server that keeps less than it is given is told once. */
  private readonly written = new Map<string, string>();
  private notBefore = -Infinity;
  private failing = '';

  constructor(private readonly options: StatusPatchesOptions) {
    this.times = { ...TIMES, ...options.times };
  }

  /** Asks for the statuses (by object key) again and again, until the signal fires. */
  start(wanted: () => ReadonlyMap<string, Status>, signal: AbortSignal): void {
    const { clock, log } = this.options;
    let cancel = (): void => undefined;
    const again = (): void => {
      if (signal.aborted) return;
      cancel = clock.after(this.times.everyMs, () => {
        this.look(wanted(), signal).catch((error: unknown) => log.error('kubernetes.statuses_failed', { reason: describeError(error) })).finally(again);
      });
    };
    signal.addEventListener('abort', () => cancel(), { once: true });
    again();
  }

  private async look(wanted: ReadonlyMap<string, Status>, signal: AbortSignal): Promise<void> {
    const { seen, clock } = this.options;
    for (const key of this.written.keys()) if (!wanted.has(key)) this.written.delete(key);
    for (const [key, status] of wanted) {
      const manifest = fieldsOf(seen(key));
      if (manifest === undefined) continue;
      const before = fieldsOf(manifest['status']) ?? {};
      const patch = patchOf(before, status, new Date(clock.now()).toISOString());
      if (patch === undefined) continue;
      const what = JSON.stringify([before, status]);
      if (this.written.get(key) === what) continue;
      const now = clock.monotonic();
      if (signal.aborted || now < this.notBefore || !this.bucket.take(now)) return;
      if (await this.write(key, patch, signal)) this.written.set(key, what);
    }
  }

  /** True: there is no more to do, whether or not it could be written. */
  private async write(key: string, status: object, signal: AbortSignal): Promise<boolean> {
    const { client, served, clock, log } = this.options;
    const [kind = '', name = ''] = key.split('/');
    const resource = served(kind);
    if (resource?.hasStatus !== true) return resource !== undefined;
    const path = `${collectionPath(resource)}/${encodeURIComponent(name)}/status`;
    try {
      await client.json({ method: 'PATCH', path, contentType: 'application/merge-patch+json', signal, body: { status } });
      this.failing = '';
      return true;
    } catch (error) {
      // It is gone.
      if (signal.aborted || (error instanceof AgentError && error.code === 'E_NOT_FOUND')) return true;
      const reason = describeError(error);
      if (this.failing !== reason) log.warn('kubernetes.status_unwritten', { object: key, reason });
      this.failing = reason;
      this.notBefore = clock.monotonic() + (error instanceof AgentError && error.code === 'E_DENIED' ? this.times.deniedMs : this.times.failedMs);
      return false;
    }
  }
}

/** The merge patch (RFC 7386) that makes `before` say what is wanted; undefined: it does. */
function patchOf(before: Readonly<Record<string, unknown>>, { conditions = [], ...fields }: Status, now: string): object | undefined {
  const listed = Array.isArray(before['conditions']) ? (before['conditions'] as readonly unknown[]) : [];
  const types = new Set(conditions.map(({ type }) => type));
  const others = listed.filter((each) => !types.has(String(fieldsOf(each)?.['type'])));
  const ours = conditions.map((condition) => conditionOf(condition, fieldsOf(listed.find((each) => fieldsOf(each)?.['type'] === condition.type)), now));
  const wanted: Record<string, unknown> = { ...fields, ...(conditions.length === 0 ? {} : { conditions: [...others, ...ours] }) };
  const differing = Object.entries(wanted).filter(([name, value]) => !equal(before[name] ?? null, value));
  return differing.length === 0 ? undefined : Object.fromEntries(differing);
}

/** As metav1.Condition has them; `lastTransitionTime` stays while the status is the same. */
function conditionOf({ type, status, message = '' }: StatusCondition, before: Readonly<Record<string, unknown>> | undefined, now: string): object {
  const since = before?.['lastTransitionTime'];
  return { type, status, reason: status === 'True' ? 'Done' : 'Pending', message, lastTransitionTime: before?.['status'] === status && typeof since === 'string' ? since : now };
}

/** Of JSON, whatever the order of fields. */
function equal(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((each, index) => equal(each, b[index]));
  const [left, right] = [fieldsOf(a), fieldsOf(b)];
  if (left === undefined || right === undefined) return false;
  const names = new Set([...Object.keys(left), ...Object.keys(right)]);
  return [...names].every((name) => equal(left[name], right[name]));
}
