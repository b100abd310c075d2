/** What the switch's database says of the switch and of our bridge; empty while it has not been read, as last heard while it is away. */
import { describeError } from '../../model/errors.js';
import type { Clock } from '../../platform/clock.js';
import type { Logger } from '../../platform/logger.js';
import { SWITCH_COLUMNS, SWITCH_DATABASE } from './columns.js';
import { OvsdbClient } from './ovsdb/client.js';
import type { Operation, OperationResult } from './ovsdb/operations.js';
import { bridgeFacts, bridgePorts, switchFacts, type BridgeFacts, type BridgePort, type SwitchFacts } from './ports.js';

export interface SwitchDatabaseOptions {
  /** "unix:PATH", "tcp:HOST:PORT". */
  readonly endpoint: string;
  readonly bridge: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** A number from 0 up to 1. */
  readonly random: () => number;
  /** Rows changed; also once after the first reading. */
  readonly onChange: () => void;
}

export class SwitchDatabase {
  private readonly client: OvsdbClient;
  private why = 'not connected yet';

  constructor(private readonly options: SwitchDatabaseOptions) {
    const { endpoint, clock, log, random, onChange } = options;
    this.client = new OvsdbClient({
      endpoint, database: SWITCH_DATABASE, selection: SWITCH_COLUMNS, clock, log, random,
      listener: {
        changed: () => onChange(),
        synchronized: () => {
          this.why = '';
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

  /** Of our bridge, sorted by name. */
  get ports(): readonly BridgePort[] {
    return bridgePorts(this.client.replica, this.options.bridge);
  }

  transact(operations: readonly Operation[]): Promise<readonly OperationResult[]> {
    return this.client.transact(operations);
  }

  private fail(error: unknown): void {
    this.why = describeError(error);
  }
}
