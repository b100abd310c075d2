/** Operations of a transaction (RFC 7047, section 5.2) and what the server answers. */
import { AgentError } from '../../../model/errors.js';
import type { ErrorCode } from '../../../model/errors.js';
import type { Json } from './values.js';

export type Operation = { readonly op: string } & { readonly [key: string]: Json };
export type RowJson = Readonly<Record<string, Json>>;
export type Condition = readonly [column: string, test: '<' | '<=' | '==' | '!=' | '>=' | '>' | 'includes' | 'excludes', value: Json];
export type Mutation = readonly [column: string, mutator: '+=' | '-=' | '*=' | '/=' | '%=' | 'insert' | 'delete', value: Json];

export interface OperationResult {
  /** Rows that update, mutate or delete met. */
  readonly count?: number;
  /** Of the inserted row. */
  readonly uuid?: string;
  /** Of select. */
  readonly rows?: readonly Readonly<Record<string, unknown>>[];
}

export const uuidJson = (uuid: string): Json => ['uuid', uuid];
/** A row that an `insert` of the same transaction makes, by the name given there. */
export const namedUuid = (name: string): Json => ['named-uuid', name];
export const setJson = (elements: readonly Json[]): Json => ['set', elements];
export const mapJson = (pairs: Readonly<Record<string, Json>>): Json => ['map', Object.entries(pairs)];
export const byUuid = (uuid: string): readonly Condition[] => [['_uuid', '==', uuidJson(uuid)]];

export const insertRow = (table: string, row: RowJson, name?: string): Operation => ({ op: 'insert', table, row, ...(name === undefined ? {} : { 'uuid-name': name }) });
export const updateRows = (table: string, where: readonly Condition[], row: RowJson): Operation => ({ op: 'update', table, where, row });
export const mutateRows = (table: string, where: readonly Condition[], mutations: readonly Mutation[]): Operation => ({ op: 'mutate', table, where, mutations });
export const deleteRows = (table: string, where: readonly Condition[]): Operation => ({ op: 'delete', table, where });
export const selectRows = (table: string, where: readonly Condition[], columns: readonly string[]): Operation => ({ op: 'select', table, where, columns });
/** What the operations after it take for granted: the transaction fails ("timed out", E_CONFLICT) unless the rows found hold just this. */
export const waitFor = (table: string, where: readonly Condition[], rows: readonly RowJson[], timeoutMs = 0): Operation => ({
  op: 'wait', table, where, columns: [...new Set(rows.flatMap((row) => Object.keys(row)))], until: '==', rows, timeout: timeoutMs,
});
/** A remark in the database's log. */
export const comment = (text: string): Operation => ({ op: 'comment', comment: text });

/** Sets keys of a map column and leaves the others alone. */
export function setKeys(table: string, where: readonly Condition[], column: string, pairs: Readonly<Record<string, string>>): Operation {
  return mutateRows(table, where, [[column, 'delete', setJson(Object.keys(pairs))], [column, 'insert', mapJson(pairs)]]);
}

/** What a server's error means to the caller; `true` = the same transaction may succeed later. Names: RFC 7047, sections 3.1 and 5.2. */
const ERRORS: Readonly<Record<string, readonly [ErrorCode, boolean]>> = {
  'timed out': ['E_CONFLICT', true],
  'not owner': ['E_CONFLICT', true],
  'resources exhausted': ['E_IO', true],
  'I/O error': ['E_IO', true],
  'not leader': ['E_IO', true],
  canceled: ['E_CANCELLED', true],
};

/**
 * One result an operation. Throws when the server refused the transaction, of which nothing holds then: the code tells whether to try again,
 * `context.error` is the server's name of the error ("constraint violation", "referential integrity violation" ...), `path` the operation.
 */
export function readResults(operations: readonly Operation[], reply: unknown): readonly OperationResult[] {
  if (!Array.isArray(reply)) throw new AgentError('E_PARSE', 'the database answered a transaction with no list', { object: 'OVSDB' });
  // An error of the commit itself stands behind the results of all operations.
  const failed = (reply as readonly unknown[]).findIndex((result) => typeof result === 'object' && result !== null && typeof (result as { error?: unknown }).error === 'string');
  if (failed !== -1) throw refusal(operations, failed, reply[failed] as { readonly error: string; readonly details?: unknown });
  if (reply.length < operations.length || reply.slice(0, operations.length).includes(null)) {
    throw new AgentError('E_PARSE', 'the database answered fewer operations than were asked', { object: 'OVSDB' });
  }
  return (reply.slice(0, operations.length) as readonly Readonly<Record<string, unknown>>[]).map((result) => ({
    ...(typeof result['count'] === 'number' ? { count: result['count'] } : {}),
    ...(Array.isArray(result['uuid']) ? { uuid: String(result['uuid'][1]) } : {}),
    ...(Array.isArray(result['rows']) ? { rows: result['rows'] as Readonly<Record<string, unknown>>[] } : {}),
  }));
}

function refusal(operations: readonly Operation[], index: number, result: { readonly error: string; readonly details?: unknown }): AgentError {
  const operation = operations[index];
  const [code, retryable] = ERRORS[result.error] ?? ['E_INVALID', false];
  const details = typeof result.details === 'string' && result.details !== '' ? `: ${result.details}` : '';
  return new AgentError(code, `the switch's database refused the change: ${result.error}${details}`, {
    object: 'OVSDB',
    path: operation === undefined ? 'commit' : `operation ${index} (${operation.op} ${typeof operation['table'] === 'string' ? operation['table'] : ''})`.replace(' )', ')'),
    retryable,
    context: { error: result.error, operation: index },
  });
}
