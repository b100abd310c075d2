import type { AlertView } from '../../model/views.js';
import type { Courier } from './courier.js';
import type { AlertKind, AlertSink, SinkStatus } from './sink.js';

/** A sink behind a Courier; `text` is how it writes an alert. */
export class CourierSink implements AlertSink {
  constructor(private readonly courier: Courier, private readonly text: (alert: AlertView, kind: AlertKind) => string) {}

  async start(signal: AbortSignal): Promise<void> {
    this.courier.start(signal);
  }

  offer(alert: AlertView, kind: AlertKind): void {
    this.courier.offer(this.text(alert, kind));
  }

  reopen(): void {
    // No file.
  }

  async stop(): Promise<void> {
    await this.courier.stop();
  }

  status(): SinkStatus {
    return this.courier.status();
  }
}
