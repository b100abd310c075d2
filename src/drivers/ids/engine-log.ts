import type { Clock } from '../../platform/clock.js';
import type { Logger } from '../../platform/logger.js';

/** One line of Suricata's JSON console log; lines that are not JSON (a loader's complaint, a crash) are errors. */
export interface EngineMessage {
  readonly level: 'error' | 'warn' | 'info';
  readonly message: string;
  /** Part of the engine that speaks: "af-packet", "detect-parse"; "" when unknown. */
  readonly module: string;
}

/** The engine warns of offloads on every start; its configuration is made for them (see suricata-config.ts). */
const EXPECTED = /offload/i;

export function parseEngineLine(line: string): EngineMessage | undefined {
  if (line.trim() === '') return undefined;
  let record: unknown;
  try {
    record = JSON.parse(line);
  } catch {
    return { level: 'error', message: line, module: '' };
  }
  if (typeof record !== 'object' || record === null || !('engine' in record)) return { level: 'error', message: line, module: '' };
  const engine: unknown = record.engine;
  const message = field(engine, 'message') ?? line;
  const module = field(engine, 'module') ?? '';
  const level = field(record, 'log_level')?.toLowerCase() ?? '';
  if (['emergency', 'alert', 'critical', 'error'].includes(level)) return { level: 'error', message, module };
  return { level: level === 'warning' && !EXPECTED.test(message) ? 'warn' : 'info', message, module };
}

function field(value: unknown, key: string): string | undefined {
  const found: unknown = typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined;
  return typeof found === 'string' ? found : undefined;
}

const WINDOW_MS = 60_000;
const LINES_A_WINDOW = 50;
const LONGEST_MESSAGE = 500;

/** Passes the engine's messages on to the agent's log, at most 50 a minute (a broken rule set complains once a rule), and remembers why it ends. */
export class EngineLog {
  #windowStart = 0;
  #inWindow = 0;
  #suppressed = 0;
  #firstError = '';
  #lastSignatureError = '';

  constructor(private readonly log: Logger, private readonly clock: Clock) {}

  /** First error since reset(), for what follows it is mostly its consequence; "" when there was none. Refused signatures count only where there is nothing else: they end no engine. */
  get cause(): string {
    return this.#firstError === '' ? this.#lastSignatureError : this.#firstError;
  }

  reset(): void {
    this.#firstError = '';
    this.#lastSignatureError = '';
  }

  line(text: string): void {
    const parsed = parseEngineLine(text);
    if (parsed === undefined) return;
    const message = parsed.message.slice(0, LONGEST_MESSAGE);
    if (parsed.level === 'error') this.#remember(message, parsed.module);
    const now = this.clock.now();
    if (now - this.#windowStart >= WINDOW_MS) {
      if (this.#suppressed > 0) this.log.warn('ids.engine.messages-suppressed', { lines: this.#suppressed });
      this.#windowStart = now;
      this.#inWindow = 0;
      this.#suppressed = 0;
    }
    this.#inWindow += 1;
    if (this.#inWindow > LINES_A_WINDOW) this.#suppressed += 1;
    else this.log[parsed.level]('ids.engine.message', { message });
  }

  #remember(message: string, module: string): void {
    if (module.startsWith('detect')) this.#lastSignatureError = message;
    else if (this.#firstError === '') this.#firstError = message;
  }
}
