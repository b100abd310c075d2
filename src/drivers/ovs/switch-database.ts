/** What the switch's database says of the switch and of our bridge; empty while it has not been read, as last heard while it is away. */
import { describeError } from '../../model/errors.js';
import type { Clock } from '../../platform/clock.js';
import type { Logger } from '../../platform/logger.js';
import { SWITCH_COLUMNS, SWITCH_DATABASE } from './columns.js';
import { OvsdbClient } from './ovsdb/client.js';
import { ensurePort, removePort } from './own-port.js';
import { bridgeFacts, switchFacts, type BridgeFacts, type SwitchFacts } from './ports.js';

export interface SwitchDatabaseOptions {
  /** "unix:PATH", "tcp:HOST:PORT". */
  readonly endpoint: string;
  readonly bridge: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** A number from 0 up to 1. */
  readonly random: () => number;
  /** A device of the agent's that shall be a port of the bridge while the agent runs; '' = none. It stays one afterwards. */
  readonly device: string;
  /** Rows changed; also once after the first reading. */
  readonly onChange: () => void;
}

export class SwitchDatabase {
  private readonly client: OvsdbClient;
  private why = 'not connected yet';
  private adding = false;

  constructor(private readonly options: SwitchDatabaseOptions) {
    const { endpoint, clock, log, random, onChange } = options;
    this.client = new OvsdbClient({
      endpoint, database: SWITCH_DATABASE, selection: SWITCH_COLUMNS, clock, log, random,
      listener: {
        changed: () => {
          this.addDevice();
          onChange();
        },
        synchronized: () => {
          this.why = '';
          this.addDevice();
          onChange();
        },
        closed: (error) => this.fail(error),
        failed: (error) => this.fail(error),
      },
    });
  }

  /** Connects in the background, for ever, until the signal fires. Throws E_CONFIG for a wrong endpoint. */
  start(signal: AbortSignal): void {
    this.client.start(signal);
  }

  /** Resolves when nothing is open any more. */
  stop(): Promise<void> {
    return this.client.stop();
  }

  /** Why there is no connection; '' while there is one. */
  get reason(): string {
    return this.client.synchronized ? '' : this.why;
  }

  get facts(): SwitchFacts | undefined {
    return switchFacts(this.client.replica);
  }

  /** Undefined also when there is no such bridge. */
  get bridge(): BridgeFacts | undefined {
    return bridgeFacts(this.client.replica, this.options.bridge);
  }

  /** True when the bridge had a port that we made, and has it no more. */
  async removeDevice(): Promise<boolean> {
    const { bridge, device } = this.options;
    // What is removed must not come back.
    this.adding = true;
    return device !== '' && removePort(this.client, bridge, device);
  }

  /** One attempt at a time; what prevented it may be gone with the next change of the database. */
  private addDevice(): void {
    const { bridge, device, log } = this.options;
    if (device === '' || this.adding || !this.client.synchronized || this.bridge === undefined) return;
    this.adding = true;
    ensurePort(this.client, bridge, device)
      .then((made) => (made ? log.info('ovs.port_added', { bridge, device }) : undefined), (error: unknown) => log.warn('ovs.port_not_added', { bridge, device, error: describeError(error) }))
      .finally(() => {
        this.adding = false;
      });
  }

  private fail(error: unknown): void {
    this.why = describeError(error);
  }
}
