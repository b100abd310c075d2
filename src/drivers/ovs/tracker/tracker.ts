import { AgentError, isAgentError } from '../../../model/errors.js';
import { tupleText, type ConnectionTable, type TrackedConnection } from './connection-table.js';
import { ConnectionDumpParser } from './dump-parser.js';
import type { UnixctlClient } from './unixctl.js';

export interface ConnectionDump {
  readonly connections: ConnectionTable;
  /** Lines that could not be read, to be logged. */
  readonly malformed: number;
}

/** "netdev@ovs-netdev" is the one userspace datapath of a switch, "system@ovs-system" the kernel's (ovs-vswitchd(8), dpctl). */
export type Datapath = 'netdev@ovs-netdev' | 'system@ovs-system';

const DUMP_MS = 60_000;

/**
 * The connections of a datapath, through ovs-vswitchd. What the userspace tracker (OVS 3.1) has not: packet and byte counters, start
 * times, ids of connections and events; its connections are found by dumping, and only whole tuples can be ended. While it writes a dump the
 * switch answers nothing else and learns no new flows (some 3 µs a connection: 0.36 s for 120,000): dump seldom, and by zone.
 * Errors are those of UnixctlClient.
 */
export class ConnectionTracker {
  constructor(
    private readonly control: UnixctlClient,
    private readonly datapath: Datapath,
  ) {}

  /** All connections, or those of a zone. Empty also when the datapath is not there (no bridge uses it yet). */
  async dump(zone?: number, signal?: AbortSignal): Promise<ConnectionDump> {
    const parser = new ConnectionDumpParser();
    const parameters = ['-m', '-s', this.datapath, ...(zone === undefined ? [] : [`zone=${zone}`])];
    try {
      await this.control.stream('dpctl/dump-conntrack', parameters, (bytes) => parser.push(bytes), { timeoutMs: DUMP_MS, ...(signal === undefined ? {} : { signal }) });
    } catch (error) {
      if (!isAbsent(error)) throw error;
    }
    return { connections: parser.end(), malformed: parser.malformed };
  }

  /** How many there are, over all zones; 0 when the datapath is not there. Costs the switch nothing. */
  async count(): Promise<number> {
    try {
      const text = await this.control.call('dpctl/ct-get-nconns', [this.datapath]);
      const count = Number(text.trim());
      if (Number.isInteger(count) && text.trim() !== '') return count;
      throw new AgentError('E_PARSE', 'the number of connections is none', { object: 'ovs-vswitchd' });
    } catch (error) {
      if (isAbsent(error)) return 0;
      throw error;
    }
  }

  /** Ends one connection: its next packet begins a new one. Ends none when it has gone already. */
  async end(connection: TrackedConnection): Promise<void> {
    try {
      await this.flush([`zone=${connection.zone}`, tupleText(connection)]);
    } catch (error) {
      if (!isAgentError(error, 'E_INVALID') || !/No such file or directory/.test(error.message)) throw error;
    }
  }

  /** Ends all connections of a zone. */
  async endZone(zone: number): Promise<void> {
    await this.flush([`zone=${zone}`]);
  }

  /** OVS 3.1 takes no datapath beside a zone (it reads the name as a tuple and refuses); without a name it takes the only one there is. */
  private async flush(parameters: readonly string[]): Promise<void> {
    try {
      await this.control.call('dpctl/flush-conntrack', [this.datapath, ...parameters]);
    } catch (error) {
      if (!isAgentError(error, 'E_INVALID') || !/missing value|invalid arguments/.test(error.message)) throw error;
      const datapaths = (await this.control.call('dpctl/dump-dps', [])).trim().split('\n');
      if (datapaths.length !== 1 || datapaths[0] !== this.datapath) throw error;
      await this.control.call('dpctl/flush-conntrack', parameters);
    }
  }
}

const isAbsent = (error: unknown): boolean => isAgentError(error, 'E_INVALID') && /opening datapath|No such device|datapath not found/i.test(error.message);
