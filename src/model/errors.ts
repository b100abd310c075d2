/**
 * The agent's errors. Every error that crosses a module boundary carries a stable code, the object it concerns and
 * whether the same call may succeed later. "Absent" is never an error (it is `undefined`); "could not read" always is.
 */
export const ERROR_CODES = [
  'E_CONFIG', // configuration refused
  'E_PARSE', // a document is not YAML/JSON/rules text
  'E_INVALID', // a document parses but breaks its schema or a rule of the model
  'E_CONFLICT', // two objects claim one name, interface or id
  'E_HELD', // valid, but refers to something that does not exist (yet)
  'E_LIMIT', // over a published limit; the message names it
  'E_NOT_FOUND', // the caller named an object that does not exist
  'E_KERNEL', // the kernel refused or failed a request
  'E_NATIVE', // the native addon is missing or broken
  'E_IO', // a file or socket could not be read or written
  'E_UNREACHABLE', // the agent's socket does not answer
  'E_DENIED', // the peer may not do this
  'E_USAGE', // wrong use of a command
  'E_CANCELLED', // the caller's AbortSignal fired
  'E_INTERNAL', // a bug: an invariant does not hold
] as const;
export type ErrorCode = (typeof ERROR_CODES)[number];

export interface AgentErrorOptions {
  /** What the error is about: a file, "RuleTable/domain-c25", a filter name, "nf_tables". */
  readonly object?: string;
  /** Place inside the object: a JSON path ("spec.rules[3].ports[0]") or "line 12". */
  readonly path?: string;
  /** True when the same call may succeed later without anybody changing the input. Default false. */
  readonly retryable?: boolean;
  readonly cause?: unknown;
  /** Further facts for logs; no secrets. */
  readonly context?: Readonly<Record<string, unknown>>;
}

export class AgentError extends Error {
  override readonly name = 'AgentError';
  readonly code: ErrorCode;
  readonly object: string | undefined;
  readonly path: string | undefined;
  readonly retryable: boolean;
  readonly context: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, options: AgentErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.object = options.object;
    this.path = options.path;
    this.retryable = options.retryable ?? false;
    this.context = options.context ?? {};
  }
}

export function isAgentError(error: unknown, code?: ErrorCode): error is AgentError {
  return error instanceof AgentError && (code === undefined || error.code === code);
}

/** One line for people: message, and the object and place where known. Never throws, whatever was thrown. */
export function describeError(error: unknown): string {
  if (error instanceof AgentError) {
    const place = [error.object, error.path].filter((part) => part !== undefined).join(': ');
    return place === '' ? error.message : `${place}: ${error.message}`;
  }
  return error instanceof Error ? error.message : String(error);
}
