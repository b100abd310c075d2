/** Failures of etcd's API as the agent's errors. etcd tells them apart by text (its package rpctypes), gRPC's status is coarser. */
import { status, type ServiceError } from '@grpc/grpc-js';
import { AgentError, describeError, isAgentError, type ErrorCode } from '../../../model/errors.js';
import { HistoryLost } from './etcd.js';

/** What became of a call, and what to do about it. */
export interface Failure {
  readonly error: AgentError;
  /** `endpoint`: another one may answer; `token`: the user has to say again who he is. */
  readonly remedy: 'endpoint' | 'token' | undefined;
}

const PREFIX = 'etcdserver: ';

/** `object`: the endpoint. */
export function failureOf(thrown: unknown, object: string, signal: AbortSignal): Failure {
  if (signal.aborted) return { error: new AgentError('E_CANCELLED', 'the call was cancelled', { object, cause: thrown }), remedy: undefined };
  if (isAgentError(thrown)) return { error: thrown, remedy: thrown.retryable && thrown.code === 'E_UNREACHABLE' ? 'endpoint' : undefined };
  if (!isServiceError(thrown)) return { error: new AgentError('E_UNREACHABLE', describeError(thrown), { object, retryable: true, cause: thrown }), remedy: 'endpoint' };
  const { code, details } = thrown;
  const text = details.startsWith(PREFIX) ? details.slice(PREFIX.length) : details;
  const history = historyLost(text);
  if (history !== undefined) return { error: history, remedy: undefined };
  if (isTokenProblem(text)) return { error: refusal('E_DENIED', text, object, thrown), remedy: 'token' };
  if (code === status.DEADLINE_EXCEEDED) return { error: new AgentError('E_UNREACHABLE', 'no answer in time', { object, retryable: true, cause: thrown }), remedy: 'endpoint' };
  const refused = refusalOf(code, text);
  if (refused !== undefined) return { error: refusal(refused, text, object, thrown), remedy: undefined };
  return { error: unreachable(text, object, thrown), remedy: 'endpoint' };
}

/** What no other endpoint would answer otherwise. */
function refusalOf(code: status, text: string): ErrorCode | undefined {
  if (code === status.PERMISSION_DENIED || code === status.UNAUTHENTICATED) return 'E_DENIED';
  if (code === status.NOT_FOUND) return 'E_NOT_FOUND';
  // Of the message, or of the database; "too many requests" goes by.
  if (code === status.RESOURCE_EXHAUSTED) return /too many requests/.test(text) ? undefined : 'E_LIMIT';
  if (code !== status.INVALID_ARGUMENT && code !== status.FAILED_PRECONDITION) return undefined;
  if (/too large|too many operations/.test(text)) return 'E_LIMIT';
  return /authenticat|password|user|certificate|CommonName/i.test(text) ? 'E_DENIED' : 'E_INVALID';
}

/** Of a watch that the server ended. */
export function cancelledWatch(reason: string, compactRevision: number, object: string): Failure {
  if (compactRevision > 0) return { error: new HistoryLost('compacted', `what changed is compacted up to revision ${compactRevision}`), remedy: undefined };
  const text = reason.startsWith(PREFIX) ? reason.slice(PREFIX.length) : reason;
  const history = historyLost(text);
  if (history !== undefined) return { error: history, remedy: undefined };
  // A watch says so too when the token is no longer known.
  if (/permission denied|token/.test(text)) return { error: refusal('E_DENIED', text, object, undefined), remedy: 'token' };
  return { error: unreachable(text === '' ? 'the watch was ended' : text, object, undefined), remedy: 'endpoint' };
}

function historyLost(text: string): HistoryLost | undefined {
  if (text.includes('required revision has been compacted')) return new HistoryLost('compacted', 'the revision is compacted');
  if (text.includes('required revision is a future revision')) return new HistoryLost('future', 'the store has not come to this revision');
  return undefined;
}

/** Unknown, out of date, or missing since authentication was switched on. */
function isTokenProblem(text: string): boolean {
  return /invalid auth token|revision of auth store is old|user name is empty/.test(text);
}

function refusal(code: ErrorCode, text: string, object: string, cause: unknown): AgentError {
  return new AgentError(code, text, { object, retryable: code === 'E_DENIED', cause });
}

function unreachable(text: string, object: string, cause: unknown): AgentError {
  // gRPC wraps what the connection met, and says it twice.
  const inner = /Last error: (?:Error: )?(.*?)(?:\. Resolution note:.*)?$/s.exec(text)?.[1];
  return new AgentError('E_UNREACHABLE', (inner ?? text).trim(), { object, retryable: true, cause });
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && 'code' in error && typeof error.code === 'number' && 'details' in error && typeof error.details === 'string';
}
