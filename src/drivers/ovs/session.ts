/**
 * Keeps one OpenFlow connection to the bridge alive: connects again with growing pauses, knows the bridge's ports, and tells when
 * somebody else changed flows of ours. What was asked of a connection that ended is rejected; nothing is asked twice.
 */
import { AgentError, describeError, isAgentError } from '../../model/errors.js';
import type { Clock } from '../../platform/clock.js';
import type { Logger } from '../../platform/logger.js';
import { sleep } from '../../platform/sleep.js';
import { OpenFlowConnection } from './openflow/connection.js';
import { buildPortDescRequest, PORT_CONFIG, PORT_STATE, readPortDesc, type Port, type PortStatus } from './openflow/ports.js';
import { encodeGetConfig, encodeSetConfig, encodeSetControllerId, encodeSetPacketInFormat, readConfig } from './openflow/messages.js';
import { buildAggregateRequest, readAggregate, type FlowFilter } from './openflow/flow-stats.js';
import { MONITOR_FLAG, type FlowUpdate } from './openflow/flow-events.js';
import type { PacketIn } from './openflow/packets.js';
import type { SwitchSession } from './driver.js';
import { category } from './adopt.js';
import { wireTable, type Placement } from './pipeline/placement.js';
import { CATEGORY, COOKIE_MAGIC } from './pipeline/stages.js';

export interface BridgeOptions {
  /** The bridge's management socket. */
  readonly path: string;
  readonly bridge: string;
  readonly controller: number;
  readonly place: Placement;
  readonly clock: Clock;
  readonly log: Logger;
  /** There is a new connection, ports changed, or flows of ours: another apply is due. */
  readonly onDue: (reason: 'connected' | 'ports' | 'flows') => void;
  /** This number is no longer the port that it was. */
  readonly onGone: (port: number) => void;
  readonly onPacket: (packet: PacketIn) => void;
}

interface KnownPort {
  readonly number: number;
  /** Of its device. */
  readonly mac: string;
}

const FIRST_PAUSE_MS = 100;
const LAST_PAUSE_MS = 5_000;
/** A switch that hangs must not be taken for one that works for longer than this. */
const ECHO_INTERVAL_MS = 2_000;
const ECHO_TIMEOUT_MS = 10_000;
const MONITOR = 1;
const NO_MAC = '00:00:00:00:00:00';

export class BridgeConnection {
  private connection: OpenFlowConnection | undefined;
  private current: SwitchSession | undefined;
  private readonly ports = new Map<string, KnownPort>();
  private reason = 'not connected yet';
  private quiet = 0;

  constructor(private readonly options: BridgeOptions) {}

  /** Connects, and again whenever the connection ends, until the signal fires. Resolves at once. */
  start(signal: AbortSignal): void {
    void this.run(signal);
  }

  /** @throws AgentError E_UNREACHABLE, retryable: no connection, and why. */
  session(): SwitchSession {
    if (this.current !== undefined && this.connection?.open === true) return this.current;
    throw new AgentError('E_UNREACHABLE', `bridge ${this.options.bridge}: ${this.reason}`, { object: this.options.bridge, retryable: true });
  }

  get state(): { readonly connected: boolean; readonly reason: string; readonly ports: number } {
    return { connected: this.connection?.open === true && this.current !== undefined, reason: this.reason, ports: this.ports.size };
  }

  /** How many flows the bridge has that the filter takes. Rejects as session() does, and when the connection ends or the signal fires. */
  async flowCount(filter: FlowFilter, signal: AbortSignal): Promise<number> {
    const { version } = this.session();
    let flows = 0;
    await this.connection?.multipart(buildAggregateRequest(version, filter), (part) => {
      flows = readAggregate(part, version).flows;
    }, signal);
    return flows;
  }

  has(port: string): boolean {
    return this.ports.has(port);
  }

  portNamed(name: string): number | undefined {
    return this.ports.get(name)?.number;
  }

  nameOf(number: number): string | undefined {
    for (const [name, port] of this.ports) if (port.number === number) return name;
    return undefined;
  }

  /** Messages that nobody waits for, such as packet-outs; dropped while there is no connection. */
  send(encode: (version: SwitchSession['version']) => Uint8Array): void {
    const { connection } = this;
    if (connection?.open === true) connection.send(encode(connection.version));
  }

  private async run(signal: AbortSignal): Promise<void> {
    const { clock, log, bridge } = this.options;
    let pause = FIRST_PAUSE_MS;
    while (!signal.aborted) {
      try {
        const { ended } = await this.connect(signal);
        pause = FIRST_PAUSE_MS;
        this.reason = (await ended).message;
        log.warn('ovs.disconnected', { bridge, error: this.reason });
      } catch (error) {
        if (this.reason !== describeError(error)) log.warn('ovs.connect_failed', { bridge, error: describeError(error) });
        this.reason = describeError(error);
      }
      this.current = undefined;
      if (signal.aborted) return;
      await sleep(clock, pause, signal);
      pause = Math.min(pause * 2, LAST_PAUSE_MS);
    }
  }

  /** Resolves when connected, with what resolves when the connection ends. */
  private async connect(signal: AbortSignal): Promise<{ readonly ended: Promise<AgentError> }> {
    const { clock, log, path, controller, onDue, onPacket, bridge, place } = this.options;
    let end: (reason: AgentError) => void = () => undefined;
    const ended = new Promise<AgentError>((resolve) => {
      end = resolve;
    });
    const connection = new OpenFlowConnection({
      path, clock, log, echoIntervalMs: ECHO_INTERVAL_MS, echoTimeoutMs: ECHO_TIMEOUT_MS,
      events: {
        closed: (reason) => end(reason),
        portStatus: (status) => this.portStatus(status),
        packetIn: onPacket,
        flowUpdate: (update) => this.flowUpdate(update),
        refused: (error) => log.debug('ovs.refused', { bridge, error: error.name }),
      },
    });
    const onAbort = (): void => end(new AgentError('E_CANCELLED', 'stopping', { object: bridge }));
    signal.addEventListener('abort', onAbort, { once: true });
    void ended.then(() => signal.removeEventListener('abort', onAbort));
    let version: SwitchSession['version'];
    let before: ReadonlyMap<string, KnownPort> = new Map();
    try {
      version = await connection.start(signal);
      // How fragments are treated is the administrator's; only packets shall be reported whole.
      const { flags } = readConfig((await connection.request(encodeGetConfig(version))).bytes);
      await connection.sequence([encodeSetControllerId(controller, version), encodeSetPacketInFormat(version), encodeSetConfig({ flags, missSendLength: 0xffff }, version)]);
      before = new Map(this.ports);
      this.ports.clear();
      await connection.multipart(buildPortDescRequest(version), (part) => readPortDesc(part, (port) => this.note(port)));
      await connection.monitorFlows({ id: MONITOR, flags: MONITOR_FLAG.ADD | MONITOR_FLAG.REMOVED | MONITOR_FLAG.MODIFY });
    } catch (error) {
      await connection.stop();
      const reason = isAgentError(error) ? error : new AgentError('E_UNREACHABLE', describeError(error), { object: bridge, retryable: true, cause: error });
      end(reason);
      throw reason;
    }
    this.connection = connection;
    this.reason = '';
    this.current = {
      version,
      ports: this.ports,
      place,
      bundle: async (messages) => {
        await connection.bundle(messages);
      },
      dump: ({ table, ...rest }, use) => connection.dumpFlows(table === undefined ? rest : { ...rest, table: wireTable(table, place) }, use, undefined, place.first),
      send: async (...messages) => {
        await connection.sequence(messages);
      },
      read: (message, use) => connection.multipart(message, use),
    };
    log.info('ovs.connected', { bridge, version, ports: this.ports.size });
    for (const [name, port] of before) this.compare(port, this.ports.get(name));
    onDue('connected');
    return { ended };
  }

  private note(port: Port): void {
    // The userspace datapath keeps the port of a device that is gone, and goes on with it when it comes back.
    if (port.mac === NO_MAC && (port.config & PORT_CONFIG.DOWN) !== 0 && (port.state & PORT_STATE.LINK_DOWN) !== 0) {
      this.ports.delete(port.name);
      return;
    }
    // Ports are numbered in 16 bits (LOCAL is 0xfffe there); others are not ports that anything is forwarded to.
    this.ports.set(port.name, { number: port.number & 0xffff, mac: port.mac });
  }

  private portStatus({ reason, port }: PortStatus): void {
    const before = this.ports.get(port.name);
    if (reason === 'delete') {
      if (before?.number === (port.number & 0xffff)) this.ports.delete(port.name);
    } else this.note(port);
    const now = this.ports.get(port.name);
    if (!this.compare(before, now)) this.options.onDue('ports');
  }

  /** True when the port is what it was. */
  private compare(before: KnownPort | undefined, now: KnownPort | undefined): boolean {
    if (before?.number === now?.number && before?.mac === now?.mac) return true;
    if (before !== undefined) this.options.onGone(before.number);
    return false;
  }

  /** Changes of this very connection come abbreviated and are no news. */
  private flowUpdate(update: FlowUpdate): void {
    if (update.event === 'own' || update.event === 'paused' || update.event === 'initial') return;
    // Of others' flows, and of those that the switch learns, it is no business of ours; after 'resumed' nobody knows.
    if ('cookie' in update && (update.cookie >> 48n !== COOKIE_MAGIC || category(update.cookie) === CATEGORY.learned)) return;
    this.quiet += 1;
    if (this.quiet > 1) return;
    // A change is seldom alone.
    this.options.clock.after(50, () => {
      this.quiet = 0;
      this.options.onDue('flows');
    });
  }
}
