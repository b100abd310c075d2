/** AgentError over gRPC: a status code for any client, and a trailer with all of it for ours. */
import { Metadata, status } from '@grpc/grpc-js';
import { AgentError, describeError, ERROR_CODES, isAgentError } from '../model/errors.js';
import type { AgentErrorOptions, ErrorCode } from '../model/errors.js';
import { flag, message, oneOf, optional, text, textList } from './codec.js';
import type { Schema } from './schema.js';

export const ERROR_TRAILER = 'dfw-error-bin';

/** HTTP/2 trailers are header blocks: kept far below the 64 KiB that peers accept. */
const MESSAGE_LIMIT = 8_000;
const NEAREST_LIMIT = 16;

const STATUS: Readonly<Record<ErrorCode, status>> = {
  E_CONFIG: status.FAILED_PRECONDITION,
  E_PARSE: status.INVALID_ARGUMENT,
  E_INVALID: status.INVALID_ARGUMENT,
  E_CONFLICT: status.ALREADY_EXISTS,
  E_HELD: status.FAILED_PRECONDITION,
  E_LIMIT: status.RESOURCE_EXHAUSTED,
  E_NOT_FOUND: status.NOT_FOUND,
  E_KERNEL: status.INTERNAL,
  E_NATIVE: status.UNIMPLEMENTED,
  E_IO: status.ABORTED,
  E_UNREACHABLE: status.UNAVAILABLE,
  E_DENIED: status.PERMISSION_DENIED,
  E_USAGE: status.INVALID_ARGUMENT,
  E_CANCELLED: status.CANCELLED,
  E_INTERNAL: status.INTERNAL,
};

interface Detail { code: ErrorCode; message: string; object?: string; path?: string; retryable: boolean; nearest?: string[] }
const detail = message<Detail>({
  code: oneOf(...ERROR_CODES), message: text, object: optional(text), path: optional(text), retryable: flag, nearest: optional(textList),
});

export interface WireError { code: status; details: string; metadata: Metadata }

/** Anything thrown by the agent; what is no AgentError is a bug and goes out as E_INTERNAL. */
export function toWireError(thrown: unknown, schema: Schema): WireError {
  const error = isAgentError(thrown) ? thrown : new AgentError('E_INTERNAL', describeError(thrown));
  const nearest = textsOf(error.context['nearest']);
  const value: Detail = {
    code: error.code,
    message: clip(error.message),
    retryable: error.retryable,
    ...(error.object === undefined ? {} : { object: clip(error.object) }),
    ...(error.path === undefined ? {} : { path: clip(error.path) }),
    ...(nearest === undefined ? {} : { nearest: nearest.slice(0, NEAREST_LIMIT).map(clip) }),
  };
  const metadata = new Metadata();
  const encoded = detail.encode(value);
  if (typeof encoded === 'object' && encoded !== null) metadata.set(ERROR_TRAILER, schema.message('ErrorDetail').serialize(encoded));
  return { code: STATUS[error.code], details: printable(clip(describeError(error))), metadata };
}

/** The AgentError of a failed call; a failure of the transport itself becomes E_UNREACHABLE or E_CANCELLED. */
export function fromWireError(thrown: unknown, schema: Schema, socketPath: string): AgentError {
  if (isAgentError(thrown)) return thrown;
  const trailer = thrown instanceof Error ? trailerOf(Reflect.get(thrown, 'metadata')) : undefined;
  if (trailer !== undefined) return decodeDetail(trailer, schema, thrown);
  const code: unknown = thrown instanceof Error ? Reflect.get(thrown, 'code') : undefined;
  if (code === status.CANCELLED) return new AgentError('E_CANCELLED', 'the call was cancelled', { cause: thrown });
  if (code === status.UNAVAILABLE || code === status.DEADLINE_EXCEEDED) {
    return new AgentError('E_UNREACHABLE', 'the agent closed the connection before it answered', { object: socketPath, retryable: true, cause: thrown });
  }
  if (code === status.UNIMPLEMENTED) {
    return new AgentError('E_INVALID', 'this agent does not know the request; agentctl and dfw-agent differ in version', { cause: thrown });
  }
  const details: unknown = thrown instanceof Error ? Reflect.get(thrown, 'details') : undefined;
  return new AgentError('E_INTERNAL', typeof details === 'string' && details !== '' ? details : describeError(thrown), { cause: thrown });
}

function decodeDetail(trailer: Buffer, schema: Schema, cause: unknown): AgentError {
  const value = detail.decode(schema.message('ErrorDetail').parse(trailer), '');
  const options: AgentErrorOptions = {
    retryable: value.retryable,
    cause,
    ...(value.object === undefined ? {} : { object: value.object }),
    ...(value.path === undefined ? {} : { path: value.path }),
    ...(value.nearest === undefined ? {} : { context: { nearest: value.nearest } }),
  };
  return new AgentError(value.code, value.message, options);
}

function trailerOf(metadata: unknown): Buffer | undefined {
  if (!(metadata instanceof Metadata)) return undefined;
  const [value] = metadata.get(ERROR_TRAILER);
  return Buffer.isBuffer(value) ? value : undefined;
}

function textsOf(value: unknown): string[] | undefined {
  if (!Array.isArray(value)) return undefined;
  return value.filter((item): item is string => typeof item === 'string');
}

function clip(value: string): string {
  return value.length <= MESSAGE_LIMIT ? value : `${value.slice(0, MESSAGE_LIMIT)}...`;
}

/** gRPC percent-encodes the status message; control characters are dropped so that one error stays one line. */
function printable(value: string): string {
  return value.replaceAll(/\p{Cc}+/gu, ' ');
}
