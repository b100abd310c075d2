/** Between etcd's messages, as plain objects without defaults (platform/protobuf.ts), and what etcd.ts calls them. */
import { AgentError } from '../../../model/errors.js';
import { fieldsOf } from '../../../model/identity.js';
import type { Condition, KeyEvent, KeyRange, KeyValue, Position, RangeQuery, WatchRequest, Write } from './etcd.js';

const EQUAL = 0;
const MOD = 2;
const LEASE = 4;
const DELETE = 1;
const EMPTY = new Uint8Array(0);

export const keyBytes = (key: string): Buffer => Buffer.from(key, 'latin1');

const rangeFields = ({ from, to }: KeyRange): object => ({ key: keyBytes(from), rangeEnd: keyBytes(to) });

export function rangeRequest({ range, revision, limit }: RangeQuery): object {
  return { ...rangeFields(range), ...(revision === undefined ? {} : { revision }), ...(limit === undefined ? {} : { limit }) };
}

export function watchCreation({ range, from }: WatchRequest): object {
  return { createRequest: { ...rangeFields(range), startRevision: from, progressNotify: true, fragment: true } };
}

export function txnRequest(conditions: readonly Condition[], writes: readonly Write[]): object {
  return {
    compare: conditions.map((condition) => ({
      result: EQUAL, key: keyBytes(condition.key), ...('lease' in condition ? { target: LEASE, lease: condition.lease } : { target: MOD, modRevision: condition.revision }),
    })),
    success: writes.map((write) => (write.value === undefined
      ? { requestDeleteRange: { key: keyBytes(write.key) } }
      : { requestPut: { key: keyBytes(write.key), value: write.value, ...(write.lease === undefined ? {} : { lease: write.lease }) } })),
    failure: [],
  };
}

export function positionOf(answer: unknown): Position {
  const header = fieldsOf(fieldsOf(answer)?.['header']);
  if (header === undefined) throw new AgentError('E_UNREACHABLE', 'an answer without a header', { object: 'etcd', retryable: true });
  return { cluster: textIn(header, 'clusterId'), revision: numberIn(header, 'revision') };
}

export function keyValues(answer: unknown): KeyValue[] {
  return listIn(answer, 'kvs').map((kv) => keyValue(kv));
}

export function keyEvents(answer: unknown): KeyEvent[] {
  return listIn(answer, 'events').map((event) => {
    const { value, ...rest } = keyValue(fieldsOf(event)?.['kv']);
    return { ...rest, value: numberIn(event, 'type') === DELETE ? undefined : value };
  });
}

export function numberIn(message: unknown, field: string): number {
  const value = fieldsOf(message)?.[field];
  return typeof value === 'number' ? value : 0;
}

export function textIn(message: unknown, field: string): string {
  const value = fieldsOf(message)?.[field];
  return typeof value === 'string' ? value : '';
}

export function isTrue(message: unknown, field: string): boolean {
  return fieldsOf(message)?.[field] === true;
}

function keyValue(message: unknown): KeyValue {
  const { key, value } = fieldsOf(message) ?? {};
  return {
    key: key instanceof Uint8Array ? Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1') : '',
    value: value instanceof Uint8Array ? value : EMPTY, modRevision: numberIn(message, 'modRevision'), lease: numberIn(message, 'lease'),
  };
}

function listIn(message: unknown, field: string): readonly unknown[] {
  const value = fieldsOf(message)?.[field];
  return Array.isArray(value) ? value : [];
}
