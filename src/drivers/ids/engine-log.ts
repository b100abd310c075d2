import type { Clock } from '../../platform/clock.js';
import type { Logger } from '../../platform/logger.js';

/** One line of Suricata's JSON console log; lines that are not JSON (a loader's complaint, a crash) are errors. */
export interface EngineMessage {
  readonly level: 'error' | 'warn' | 'info';
  readonly message: string;
}

export function parseEngineLine(line: string): EngineMessage | undefined {
  if (line.trim() === '') return undefined;
  let record: unknown;
  try {
    record = JSON.parse(line);
  } catch {
    return { level: 'error', message: line };
  }
  if (typeof record !== 'object' || record === null || !('engine' in record)) return { level: 'error', message: line };
  const engine: unknown = record.engine;
  const message = typeof engine === 'object' && engine !== null && 'message' in engine ? String(engine.message) : line;
  const level = 'log_level' in record ? String(record.log_level).toLowerCase() : '';
  if (['emergency', 'alert', 'critical', 'error'].includes(level)) return { level: 'error', message };
  return { level: level === 'warning' ? 'warn' : 'info', message };
}

const WINDOW_MS = 60_000;
const LINES_A_WINDOW = 50;
const LONGEST_MESSAGE = 500;

/** Passes the engine's messages on to the agent's log, at most 50 a minute (a broken rule set complains once a rule), and remembers the last error. */
export class EngineLog {
  #windowStart = 0;
  #inWindow = 0;
  #suppressed = 0;
  #lastError = '';

  constructor(private readonly log: Logger, private readonly clock: Clock) {}

  /** Message of the last error since reset(), "" when there was none. */
  get lastError(): string {
    return this.#lastError;
  }

  reset(): void {
    this.#lastError = '';
  }

  line(text: string): void {
    const parsed = parseEngineLine(text);
    if (parsed === undefined) return;
    const message = parsed.message.slice(0, LONGEST_MESSAGE);
    if (parsed.level === 'error') this.#lastError = message;
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
}
