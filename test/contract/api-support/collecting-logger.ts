import type { Logger } from '../../../src/platform/logger.js';

export interface LogLine { level: 'error' | 'warn' | 'info' | 'debug'; event: string; keys: Readonly<Record<string, unknown>> }

export class CollectingLogger implements Logger {
  readonly lines: LogLine[] = [];

  error(event: string, keys: Readonly<Record<string, unknown>> = {}): void {
    this.lines.push({ level: 'error', event, keys });
  }
  warn(event: string, keys: Readonly<Record<string, unknown>> = {}): void {
    this.lines.push({ level: 'warn', event, keys });
  }
  info(event: string, keys: Readonly<Record<string, unknown>> = {}): void {
    this.lines.push({ level: 'info', event, keys });
  }
  debug(event: string, keys: Readonly<Record<string, unknown>> = {}): void {
    this.lines.push({ level: 'debug', event, keys });
  }
  child(): Logger {
    return this;
  }
  events(level: LogLine['level']): string[] {
    return this.lines.filter((line) => line.level === level).map((line) => line.event);
  }
}
