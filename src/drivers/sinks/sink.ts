/** Where alerts go. A sink that hangs, is slow or is gone costs its own alerts only: offer() never waits and never throws. */
import type { LabelSelector } from '../../model/metadata.js';
import { selectorMatches } from '../../model/selector.js';
import type { AlertView } from '../../model/views.js';

/** `summary`: the alert again, at the end of its window, with the count of those like it. */
export type AlertKind = 'alert' | 'summary';

export interface AlertSink {
  /** Begins to deliver; twice does nothing more. */
  start(signal: AbortSignal): Promise<void>;
  /** Takes the alert, or drops and counts it. */
  offer(alert: AlertView, kind: AlertKind): void;
  /** After a rotation by rename; sinks without a file do nothing. */
  reopen(): void;
  /** Delivers what waits for a second at most; the rest is dropped and counted. */
  stop(): Promise<void>;
  status(): SinkStatus;
}

export interface SinkStatus {
  readonly working: boolean;
  /** Why not; "" when all is well. */
  readonly reason: string;
  /** Alerts that the other side, or the kernel on the way there, has taken. */
  readonly sent: number;
  /** Attempts that failed, each of one alert or a batch; what failed is tried again. */
  readonly failed: number;
  /** Alerts given up: the queue was full, or the other side refused them for good. */
  readonly dropped: number;
  readonly pending: number;
}

export interface SinkSelection {
  /** Least severe level wanted; 1 is the most severe. Absent = all. */
  readonly severity?: number;
  /** Labels of the workload; alerts of no workload are not selected then. Absent = all. */
  readonly selector?: LabelSelector;
}

export function isFor({ severity, selector }: SinkSelection, alert: AlertView): boolean {
  if (severity !== undefined && alert.severity > severity) return false;
  return selector === undefined || (alert.workload !== undefined && selectorMatches(selector, alert.labels ?? {}));
}

/** One JSON object: the alert as `getalerts -o json` has it, where it comes from and what it is. */
export function alertRecord(alert: AlertView, kind: AlertKind, node: string): Record<string, unknown> {
  return { ...alert, count: alert.count ?? 1, last: alert.last ?? alert.timestamp, event: kind, node };
}

/** In ASCII: everything else escaped, so that no transport can hurt it. */
export function asciiJson(value: unknown): string {
  return JSON.stringify(value).replace(/[\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
