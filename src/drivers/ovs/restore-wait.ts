/**
 * A switch that starts with other_config:flow-restore-wait forwards only what its cache knows (the kernel's datapath keeps it over a restart
 * of ovs-vswitchd), until its flows are there and somebody takes the word away.
 */
import type { Logger } from '../../platform/logger.js';
import { mutateRows, setJson, type Operation, type OperationResult } from './ovsdb/operations.js';
import { WAIT, type SwitchFacts } from './ports.js';

export interface RestoreWaitOptions {
  readonly database: { readonly facts: SwitchFacts | undefined; transact(operations: readonly Operation[]): Promise<readonly OperationResult[]> };
  readonly log: Logger;
  /** The agent may end the wait. False: whoever made it wait does, with the flows of all bridges in mind. */
  readonly ends: boolean;
}

export class RestoreWait {
  constructor(private readonly options: RestoreWaitOptions) {}

  get waiting(): boolean {
    return this.options.database.facts?.waitsForFlows === true;
  }

  /** All flows of ours are there. True when the wait was ended by this call. Rejects with the database's error: the switch waits on. */
  async complete(): Promise<boolean> {
    const { database, log, ends } = this.options;
    if (!ends || !this.waiting) return false;
    await database.transact([mutateRows('Open_vSwitch', [], [['other_config', 'delete', setJson([WAIT])]])]);
    log.info('ovs.restore_wait_ended', {});
    return true;
  }
}
