/**
 * Records of leases as Lease objects (coordination.k8s.io/v1) of one namespace. A record's version is the object's resourceVersion; all that counts of it stands in
 * annotations. `spec` is for people: its times are of the clock of who wrote them.
 */
import { createHash } from 'node:crypto';
import { AgentError } from '../../model/errors.js';
import { fieldsOf } from '../../model/identity.js';
import type { LeaseRecord, LeaseSnapshot, LeaseStore } from '../../model/lease-store.js';
import type { Clock } from '../../platform/clock.js';
import type { ApiClient, ApiRequest } from './api-client.js';

export interface LeaseObjectsOptions {
  readonly client: ApiClient;
  readonly namespace: string;
  /** Of each request. */
  readonly timeoutMs: number;
  readonly clock: Clock;
}

const NAME = 'dfw.dev/lease';
const TEXT = 'dfw.dev/record';
const HISTORY = 'kubernetes';

export class LeaseObjects implements LeaseStore {
  constructor(private readonly options: LeaseObjectsOptions) {}

  async read(): Promise<LeaseSnapshot> {
    // Without a resourceVersion: as the majority of etcd has it now.
    const list = fieldsOf(await this.ask({ path: this.path() }));
    const items = list?.['items'];
    const revision = versionOf(list);
    if (!Array.isArray(items) || revision === '') throw new AgentError('E_PARSE', 'the answer is no list', { object: this.path(), retryable: true });
    return { history: HISTORY, revision: /^\d{1,15}$/.test(revision) ? Number(revision) : 0, records: items.flatMap((item) => recordOf(item) ?? []) };
  }

  async write(name: string, text: string, version: string | undefined): Promise<string | undefined> {
    const { namespace, clock } = this.options;
    const time = `${new Date(clock.now()).toISOString().slice(0, -1)}000Z`;
    const body = {
      apiVersion: 'coordination.k8s.io/v1', kind: 'Lease',
      metadata: { name: objectName(name), namespace, annotations: { [NAME]: name, [TEXT]: text }, ...(version === undefined ? {} : { resourceVersion: version }) },
      spec: { holderIdentity: holderOf(text), renewTime: time },
    };
    const answer = await this.unlessChanged({ ...(version === undefined ? { method: 'POST', path: this.path() } : { method: 'PUT', path: this.path(name) }), body });
    if (answer === undefined) return undefined;
    const written = versionOf(answer);
    if (written === '') throw new AgentError('E_PARSE', 'the answer has no resourceVersion', { object: this.path(name), retryable: true });
    return written;
  }

  async remove(name: string, version: string): Promise<boolean> {
    const body = { apiVersion: 'v1', kind: 'DeleteOptions', preconditions: { resourceVersion: version } };
    return await this.unlessChanged({ method: 'DELETE', path: this.path(name), body }) !== undefined;
  }

  /** Nothing tells: a watch on objects that are written all the time would cost more than looking. */
  onChange(): () => void {
    return () => undefined;
  }

  /** undefined: another version is there, or none. */
  private async unlessChanged(asked: Omit<ApiRequest, 'signal'>): Promise<unknown> {
    try {
      return await this.ask(asked);
    } catch (error) {
      // To a POST, 404 says that there is no such namespace.
      if (error instanceof AgentError && (error.code === 'E_CONFLICT' || (error.code === 'E_NOT_FOUND' && asked.method !== 'POST'))) return undefined;
      throw error;
    }
  }

  private async ask(asked: Omit<ApiRequest, 'signal'>): Promise<unknown> {
    const { client, clock, timeoutMs } = this.options;
    const late = new AbortController();
    const cancel = clock.after(timeoutMs, () => late.abort());
    try {
      return await client.json({ ...asked, signal: late.signal });
    } catch (error) {
      if (late.signal.aborted) throw new AgentError('E_UNREACHABLE', 'the API server does not answer in time', { object: asked.path, retryable: true, cause: error });
      throw error;
    } finally {
      cancel();
    }
  }

  private path(name?: string): string {
    return `/apis/coordination.k8s.io/v1/namespaces/${encodeURIComponent(this.options.namespace)}/leases${name === undefined ? '' : `/${objectName(name)}`}`;
  }
}

/** Names of objects have few characters (RFC 1123); what the record is called stands inside. */
function objectName(name: string): string {
  return `${name.split('/', 1)[0]}-${createHash('sha256').update(name).digest('hex').slice(0, 40)}`;
}

function recordOf(item: unknown): LeaseRecord | undefined {
  const annotations = fieldsOf(fieldsOf(fieldsOf(item)?.['metadata'])?.['annotations']);
  const name = annotations?.[NAME];
  const text = annotations?.[TEXT];
  return typeof name === 'string' && typeof text === 'string' ? { name, text, version: versionOf(item) } : undefined;
}

function versionOf(object: unknown): string {
  const version = fieldsOf(fieldsOf(object)?.['metadata'])?.['resourceVersion'];
  return typeof version === 'string' ? version : '';
}

function holderOf(text: string): string {
  const { holder } = fieldsOf(JSON.parse(text)) ?? {};
  return typeof holder === 'string' && holder !== '' ? holder : 'unknown';
}
