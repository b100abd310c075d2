import { pino } from 'pino';
import type { DestinationStream } from 'pino';
import { AgentError, describeError } from '../model/errors.js';
import type { Logger } from './logger.js';

export const LOG_LEVELS = ['error', 'warn', 'info', 'debug'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export interface PinoLoggerOptions {
  readonly level: LogLevel;
  /** Component of lines that no child wrote. */
  readonly component: string;
  /** Where lines go; default: standard output, written in the background, at most 8 MiB waiting (then lines are lost, not the agent's time). */
  readonly destination?: DestinationStream & { flushSync?(): void };
}

/** Names that every line has; a key of the same name is written with "_" behind it. */
const RESERVED = new Set(['level', 'time', 'component', 'event']);

/**
 * Logger over pino: one JSON object per line with `level` (a name), `time` (ISO 8601, UTC), `component`, `event` and the keys.
 * Errors among the keys become {message, code, object, path, cause, stack}; stacks only of errors that are not AgentErrors.
 */
export class PinoLogger implements Logger {
  readonly #pino: pino.Logger;
  readonly #component: string;
  readonly #flush: () => void;

  private constructor(shared: pino.Logger, component: string, flush: () => void) {
    this.#pino = shared;
    this.#component = component;
    this.#flush = flush;
  }

  static create(options: PinoLoggerOptions): PinoLogger {
    const destination = options.destination ?? pino.destination({ dest: 1, sync: false, maxLength: 8 << 20 });
    const logger = pino(
      { level: options.level, base: null, timestamp: pino.stdTimeFunctions.isoTime, formatters: { level: (label) => ({ level: label }) } },
      destination,
    );
    return new PinoLogger(logger, options.component, () => destination.flushSync?.());
  }

  error(event: string, keys?: Readonly<Record<string, unknown>>): void {
    this.#write('error', event, keys);
  }

  warn(event: string, keys?: Readonly<Record<string, unknown>>): void {
    this.#write('warn', event, keys);
  }

  info(event: string, keys?: Readonly<Record<string, unknown>>): void {
    this.#write('info', event, keys);
  }

  debug(event: string, keys?: Readonly<Record<string, unknown>>): void {
    this.#write('debug', event, keys);
  }

  /** Same level and destination, another component; the level stays shared, also when it is set later. */
  child(component: string): PinoLogger {
    return new PinoLogger(this.#pino, component, this.#flush);
  }

  get level(): string {
    return this.#pino.level;
  }

  /** Sets the level of this logger and all its relatives, and says it. E_USAGE when there is no such level; then it stays. */
  setLevel(level: string): string {
    const known = LOG_LEVELS.find((name) => name === level);
    if (known === undefined) throw new AgentError('E_USAGE', `no such level; one of: ${LOG_LEVELS.join(', ')}`, { object: 'log level', context: { level } });
    this.#pino.level = known;
    return known;
  }

  /** Writes out what is waiting; call it last. */
  flush(): void {
    this.#flush();
  }

  #write(level: LogLevel, event: string, keys: Readonly<Record<string, unknown>> = {}): void {
    if (!this.#pino.isLevelEnabled(level)) return;
    const line: Record<string, unknown> = { component: this.#component, event };
    for (const [name, value] of Object.entries(keys)) line[RESERVED.has(name) ? `${name}_` : name] = presentable(value, 0);
    this.#pino[level](line);
  }
}

/** Values as JSON can hold them: errors become objects, big integers text. */
function presentable(value: unknown, depth: number): unknown {
  if (typeof value === 'bigint') return value.toString();
  if (value instanceof Error) return errorObject(value, depth);
  if (value instanceof Map) return presentable(Object.fromEntries(value), depth);
  if (value instanceof Set) return presentable([...value], depth);
  if (depth > 4 || typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map((item) => presentable(item, depth + 1));
  if (Object.getPrototypeOf(value) !== Object.prototype) return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, presentable(item, depth + 1)]));
}

function errorObject(error: Error, depth: number): Record<string, unknown> {
  const cause = error.cause === undefined || depth > 4 ? {} : { cause: error.cause instanceof Error ? errorObject(error.cause, depth + 1) : describeError(error.cause) };
  if (error instanceof AgentError) {
    const { code, message, object, path, retryable, context } = error;
    return { code, message, object, path, ...(retryable ? { retryable } : {}), ...(Object.keys(context).length === 0 ? {} : { context: presentable(context, depth + 1) }), ...cause };
  }
  const code = 'code' in error && typeof error.code === 'string' ? { code: error.code } : {};
  return { name: error.name, message: error.message, ...code, ...cause, stack: error.stack };
}
