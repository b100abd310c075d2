import type { AlertView } from '../../model/views.js';
import { isFor, type AlertKind, type AlertSink, type SinkSelection, type SinkStatus } from './sink.js';

export interface NamedSink {
  /** Unique. */
  readonly name: string;
  readonly selection: SinkSelection;
  readonly sink: AlertSink;
}

/** All sinks: each gets the alerts that it selects, whatever happens to the others. */
export class AlertSinks {
  constructor(private readonly sinks: readonly NamedSink[]) {}

  async start(signal: AbortSignal): Promise<void> {
    for (const { sink } of this.sinks) await sink.start(signal);
  }

  offer(alert: AlertView, kind: AlertKind): void {
    for (const { selection, sink } of this.sinks) if (isFor(selection, alert)) sink.offer(alert, kind);
  }

  reopen(): void {
    for (const { sink } of this.sinks) sink.reopen();
  }

  async stop(): Promise<void> {
    await Promise.all(this.sinks.map(({ sink }) => sink.stop()));
  }

  status(): ({ readonly name: string } & SinkStatus)[] {
    return this.sinks.map(({ name, sink }) => ({ name, ...sink.status() }));
  }
}
