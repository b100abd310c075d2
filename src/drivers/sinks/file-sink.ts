import type { AlertView } from '../../model/views.js';
import { LineFile, type OpenAppend } from '../../platform/line-file.js';
import { alertRecord, type AlertKind, type AlertSink, type SinkStatus } from './sink.js';

/** Alerts as JSON lines in a file; rotation by rename and reopen(). */
export class FileSink implements AlertSink {
  readonly #file: LineFile;
  #failed = 0;

  constructor(path: string, private readonly node: string, onState: (reason: string) => void, openFile?: OpenAppend) {
    this.#file = new LineFile(path, openFile, (reason) => {
      if (reason !== '') this.#failed += 1;
      onState(reason);
    });
  }

  async start(): Promise<void> {
    await this.#file.open();
  }

  offer(alert: AlertView, kind: AlertKind): void {
    this.#file.append(`${JSON.stringify(alertRecord(alert, kind, this.node))}\n`);
  }

  reopen(): void {
    this.#file.reopen();
  }

  async stop(): Promise<void> {
    await this.#file.close();
  }

  status(): SinkStatus {
    const { writable, reason, written, lost, pendingLines } = this.#file.status();
    return { working: writable, reason, sent: written, failed: this.#failed, dropped: lost, pending: pendingLines };
  }
}
