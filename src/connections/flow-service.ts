/** The connection-tracker table as the agent shows it: flows of filters, with the rules that admitted them. */
import { NOT_APPLICABLE_ID } from '../compile/label-ids.js';
import type { LabelInfo } from '../compile/compiled.js';
import type { Filter } from '../model/filter.js';
import { protocolToText } from '../model/protocols.js';
import type { PolicyReference } from '../model/rule.js';
import type { FlowCounts, FlowStream, FlowView } from '../model/views.js';
import type { FlowFormat, FlowQuery, FlowRecord, FlowTable } from '../native/binding.js';

export interface FlowScope {
  /** Undefined = every connection of every filter. */
  readonly filter: Filter | undefined;
  /** Only those of this user-visible rule. */
  readonly ruleId: number | undefined;
}

export class FlowService {
  constructor(
    private readonly table: FlowTable,
    private readonly labels: () => ReadonlyMap<number, LabelInfo>,
    /** The policy that a rule came from. */
    private readonly policyOf: (table: string, ruleId: number) => PolicyReference | undefined,
  ) {}

  /** Counts first, then the flows as they are read: never all of them in memory. */
  async stream(scope: FlowScope, kind: 'text' | 'json', signal: AbortSignal): Promise<FlowStream> {
    await this.table.refresh?.();
    const queue = new ChunkQueue();
    const query = this.query(scope);
    if (query === undefined) queue.close();
    else {
      const finish = this.table.stream(query, this.format(scope, kind), async (chunk) => {
        if (signal.aborted) throw new Error('cancelled by the client');
        await queue.push(chunk, signal);
      });
      finish.then(() => queue.close(), (error: unknown) => queue.fail(error));
    }
    return { counts: this.counts(scope), chunks: queue };
  }

  private counts(scope: FlowScope): FlowCounts {
    const active = scope.filter === undefined ? this.table.stats().flows : this.table.countByAddress(scope.filter.addresses);
    return { active, inactive: 0, drop: 0 };
  }

  async connections(filter: Filter | undefined): Promise<number> {
    await this.table.refresh?.();
    return this.counts({ filter, ruleId: undefined }).active;
  }

  /** Few flows as objects. */
  async list(scope: FlowScope, limit: number): Promise<FlowView[]> {
    const query = this.query(scope);
    if (query === undefined) return [];
    const records = await this.table.query({ ...query, limit });
    return records.flatMap((record) => this.view(record, scope));
  }

  private query(scope: FlowScope): FlowQuery | undefined {
    const ids = scope.ruleId === undefined ? undefined : [...this.labels().values()].filter((label) => label.ruleId === scope.ruleId).map((label) => label.id);
    if (ids !== undefined && ids.length === 0) return undefined;
    if (scope.filter !== undefined && scope.filter.addresses.length === 0) return undefined;
    return {
      ...(scope.filter === undefined ? {} : { addresses: scope.filter.addresses }),
      ...(ids === undefined ? {} : { ruleIds: Uint32Array.from(ids) }),
    };
  }

  private format(scope: FlowScope, kind: 'text' | 'json'): FlowFormat {
    const labels = [...this.labels().values()];
    return {
      kind,
      labelIds: Uint32Array.from(labels, (label) => label.id),
      ruleIds: Uint32Array.from(labels, (label) => label.ruleId),
      ...(kind === 'json' ? { policies: this.policies(labels) } : {}),
      ...(scope.filter === undefined ? {} : { localAddresses: scope.filter.addresses }),
    };
  }

  /** Both sides of a rule share its text. */
  private policies(labels: readonly LabelInfo[]): NonNullable<FlowFormat['policies']> {
    const encoder = new TextEncoder();
    const texts: Uint8Array[] = [];
    const known = new Map<PolicyReference, readonly [number, number]>();
    let length = 0;
    const spans = new Uint32Array(labels.length * 2);
    for (const [index, { table, ruleId }] of labels.entries()) {
      const policy = this.policyOf(table, ruleId);
      if (policy === undefined) continue;
      let span = known.get(policy);
      if (span === undefined) {
        const text = encoder.encode(JSON.stringify(policy));
        span = [length, length + text.length];
        known.set(policy, span);
        texts.push(text);
        length += text.length;
      }
      spans.set(span, index * 2);
    }
    return { text: Buffer.concat(texts), spans };
  }

  /** One view a side that has a rule; with a filter, its side only. */
  view(record: FlowRecord, scope: FlowScope): FlowView[] {
    const labels = this.labels();
    const local = scope.filter === undefined ? undefined : new Set(scope.filter.addresses);
    const sides: { direction: 'in' | 'out'; id: number }[] = [];
    if (record.ruleIdIn !== 0 && record.ruleIdIn !== NOT_APPLICABLE_ID && local?.has(record.destination) !== false) sides.push({ direction: 'in', id: record.ruleIdIn });
    if (record.ruleIdOut !== 0 && record.ruleIdOut !== NOT_APPLICABLE_ID && local?.has(record.source) !== false) sides.push({ direction: 'out', id: record.ruleIdOut });
    return sides
      .map(({ direction, id }) => ({ direction, label: labels.get(id) }))
      .filter(({ label }) => scope.ruleId === undefined || label?.ruleId === scope.ruleId)
      .map(({ direction, label }): FlowView => ({
        id: flowId(record),
        state: label !== undefined && label.action !== 'accept' ? 'Drop' : 'Active',
        protocol: protocolToText(record.protocol),
        ethertype: record.family === 4 ? '0800' : '86dd',
        direction,
        ruleId: label?.ruleId ?? 0,
        ...policyIn(label === undefined ? undefined : this.policyOf(label.table, label.ruleId)),
        source: { address: record.source, port: record.sourcePort },
        destination: { address: record.destination, port: record.destinationPort },
        ageSeconds: record.startMs === 0 ? 0 : Math.max(0, Math.round((Date.now() - record.startMs) / 1000)),
        timeoutSeconds: record.timeoutSeconds,
        tcpState: TCP_STATES[record.tcpState] ?? '',
        bytes: record.bytes,
        packets: record.packets,
      }));
  }
}

/** As getflows prints it. */
export function flowId({ id }: Pick<FlowRecord, 'id'>): string {
  return `${id.toString(16).padStart(8, '0')}00000000`;
}

function policyIn(policy: PolicyReference | undefined): { policy?: PolicyReference } {
  return policy === undefined ? {} : { policy };
}

/** TCP_CONNTRACK_* of include/uapi/linux/netfilter/nf_conntrack_tcp.h. */
export const TCP_STATES: readonly string[] = ['', 'SYN_SENT', 'SYN_RECV', 'EST', 'FIN_WAIT', 'CLOSE_WAIT', 'LAST_ACK', 'TIME_WAIT', 'CLOSE', 'SYN_SENT2'];

/** Hands chunks from a producer to one consumer, holding at most one: the producer waits. */
class ChunkQueue implements AsyncIterable<Uint8Array> {
  private waiting: Uint8Array | undefined;
  private taken: (() => void) | undefined;
  private arrived: (() => void) | undefined;
  private closed = false;
  private error: unknown;

  async push(chunk: Uint8Array, signal: AbortSignal): Promise<void> {
    this.waiting = chunk;
    this.arrived?.();
    await new Promise<void>((resolve) => {
      const done = (): void => {
        signal.removeEventListener('abort', done);
        resolve();
      };
      this.taken = done;
      signal.addEventListener('abort', done);
    });
  }

  close(): void {
    this.closed = true;
    this.arrived?.();
  }

  fail(error: unknown): void {
    this.error = error;
    this.close();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (;;) {
      const chunk = this.waiting;
      if (chunk !== undefined) {
        this.waiting = undefined;
        yield chunk;
        this.taken?.();
      } else if (this.closed) {
        if (this.error instanceof Error) throw this.error;
        if (this.error !== undefined) throw new Error('flows could not be read', { cause: this.error });
        return;
      } else {
        await new Promise<void>((resolve) => {
          this.arrived = resolve;
        });
      }
    }
  }
}
