/** One OpenFlow connection to a bridge, over its management socket. Connecting again is the caller's job. */
import { createConnection } from 'node:net';
import type { Socket } from 'node:net';
import { AgentError, describeError, isAgentError } from '../../../model/errors.js';
import type { Clock } from '../../../platform/clock.js';
import type { Logger } from '../../../platform/logger.js';
import { sendBundle, sendSequence } from './batches.js';
import type { BatchOptions, BatchWire } from './batches.js';
import { malformed, readU32 } from './bytes.js';
import { MESSAGE, MULTIPART, NICIRA_MESSAGE, OF14, OF15, VENDOR, versionName } from './constants.js';
import type { OpenFlowVersion } from './constants.js';
import { encodeFlowMonitor, readFlowRemoved, readFlowUpdates } from './flow-events.js';
import type { FlowMonitor, FlowRemoved, FlowUpdate } from './flow-events.js';
import { buildFlowRequest, FlowEntry } from './flow-stats.js';
import type { FlowFilter } from './flow-stats.js';
import { MessageSplitter } from './framing.js';
import { KeepAlive } from './keep-alive.js';
import { readMessage, setXid } from './message.js';
import type { Message } from './message.js';
import { encodeBarrier, encodeEchoReply, encodeEchoRequest, encodeHello, readHello } from './messages.js';
import { readMultipart } from './multipart.js';
import { readPacketIn2 } from './packets.js';
import type { PacketIn } from './packets.js';
import { PendingRequests } from './pending.js';
import type { Accept } from './pending.js';
import { readPortStatus } from './ports.js';
import type { PortStatus } from './ports.js';
import { readError, refused } from './switch-errors.js';
import type { SwitchError } from './switch-errors.js';

/** What the switch tells by itself. What a listener throws is logged and goes no further. */
export interface OpenFlowEvents {
  readonly packetIn?: (packet: PacketIn) => void;
  readonly portStatus?: (status: PortStatus) => void;
  readonly flowUpdate?: (update: FlowUpdate) => void;
  readonly flowRemoved?: (removed: FlowRemoved) => void;
  /** A message that nobody waits for was refused, such as a packet-out. */
  readonly refused?: (error: SwitchError) => void;
  /** Once, when an open connection ends by itself; not after stop() or the signal. */
  readonly closed?: (reason: AgentError) => void;
}

export interface OpenFlowOptions {
  /** The bridge's management socket, such as /run/openvswitch/br-int.mgmt. */
  readonly path: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly events?: OpenFlowEvents;
  /** Default 1.5, else 1.4. */
  readonly versions?: readonly OpenFlowVersion[];
  /** For connecting and agreeing on a version; default 5000. */
  readonly connectTimeoutMs?: number;
  /** Silence after which the switch is asked for a sign of life; default 5000. */
  readonly echoIntervalMs?: number;
  /** Silence after which the connection is given up; default 30000: large bundles keep the switch busy for seconds. */
  readonly echoTimeoutMs?: number;
}

const CONNECT_TIMEOUT_MS = 5_000;
const ECHO_INTERVAL_MS = 5_000;
const ECHO_TIMEOUT_MS = 30_000;

/**
 * start() once, then any number of requests at the same time; replies are told apart by transaction id. When the connection
 * ends, all that wait are rejected with the same E_UNREACHABLE (retryable), and whatever is asked later, too. What a request
 * changed by then is unknown, except for a bundle that was not committed: nothing. Messages given to it belong to it: it
 * writes the transaction id into them.
 */
export class OpenFlowConnection {
  readonly #splitter = new MessageSplitter();
  readonly #pending = new PendingRequests();
  readonly #options: OpenFlowOptions;
  readonly #log: Logger;
  #socket: Socket | undefined;
  #version: OpenFlowVersion | undefined;
  #keepAlive: KeepAlive | undefined;
  #ended: AgentError | undefined;
  #onHello: ((error?: AgentError) => void) | undefined;
  #drained: (() => void)[] = [];
  /** Bundles and sequences come one after the other. */
  #lastBatch: Promise<unknown> = Promise.resolve();
  #unwatch: (() => void) | undefined;

  constructor(options: OpenFlowOptions) {
    this.#options = options;
    this.#log = options.log;
  }

  /** Agreed with the switch. E_INTERNAL before start() has resolved. */
  get version(): OpenFlowVersion {
    if (this.#version === undefined) throw new AgentError('E_INTERNAL', 'the connection to the switch was not started', { object: this.#options.path });
    return this.#version;
  }

  get open(): boolean {
    return this.#version !== undefined && this.#ended === undefined;
  }

  /**
   * Connects and agrees on a version. E_UNREACHABLE (retryable) when nobody listens or answers in time, E_CONFIG (retryable)
   * when the bridge speaks none of our versions, E_CANCELLED when the signal fires. The signal also ends an open connection.
   */
  async start(signal: AbortSignal): Promise<OpenFlowVersion> {
    if (this.#socket !== undefined) throw new AgentError('E_INTERNAL', 'the connection to the switch was started twice', { object: this.#options.path });
    if (signal.aborted) throw cancelled(this.#options.path);
    const { path, clock } = this.#options;
    const socket = createConnection({ path });
    this.#socket = socket;
    const onAbort = (): void => {
      this.#end(cancelled(path));
    };
    signal.addEventListener('abort', onAbort, { once: true });
    this.#unwatch = () => signal.removeEventListener('abort', onAbort);
    const timeoutMs = this.#options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS;
    const agreed = new Promise<void>((resolve, reject) => {
      this.#onHello = (error) => {
        if (error === undefined) resolve();
        else reject(error);
      };
    });
    const cancelTimeout = clock.after(timeoutMs, () => this.#end(this.#unreachable(`no hello within ${String(timeoutMs)} ms`)));
    socket.on('connect', () => socket.write(encodeHello(this.#versions())));
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('drain', () => this.#drain());
    socket.on('error', (error) => this.#fail(this.#unreachable(error.message, error)));
    socket.on('close', () => this.#fail(this.#unreachable('the switch closed the connection')));
    try {
      await agreed;
    } finally {
      cancelTimeout();
      this.#onHello = undefined;
    }
    this.#keepAlive = new KeepAlive({
      clock,
      intervalMs: this.#options.echoIntervalMs ?? ECHO_INTERVAL_MS,
      timeoutMs: this.#options.echoTimeoutMs ?? ECHO_TIMEOUT_MS,
      ask: () => this.#ask(),
      dead: (silenceMs) => this.#fail(this.#unreachable(`no sign of life for ${String(Math.round(silenceMs))} ms`)),
    });
    this.#keepAlive.start();
    return this.version;
  }

  /** Ends the connection; those who wait get E_CANCELLED. A second call does nothing. */
  async stop(): Promise<void> {
    this.#end(cancelled(this.#options.path));
    const socket = this.#socket;
    if (socket === undefined || socket.closed) return;
    await new Promise<void>((resolve) => {
      socket.once('close', () => resolve());
    });
  }

  /** Sends one message that has one reply. Rejects with what the switch answers instead (E_IO, E_LIMIT), E_UNREACHABLE, or E_CANCELLED when the signal fires. */
  async request(message: Uint8Array, signal?: AbortSignal): Promise<Message> {
    let reply: Message | undefined;
    const expected = replyType(message[1] ?? 0);
    await this.#exchange(
      message,
      (answer) => {
        if (answer.type !== expected) throw malformed('a request got another reply', { type: answer.type, expected });
        reply = answer;
        return true;
      },
      signal,
    );
    if (reply === undefined) throw malformed('a request has no reply');
    return reply;
  }

  /** A multipart request; `use` gets each part of the reply, a whole message. Resolves after the last. What `use` throws rejects it. */
  async multipart(message: Uint8Array, use: (part: Uint8Array) => void, signal?: AbortSignal): Promise<void> {
    await this.#exchange(
      message,
      (answer) => {
        const { more } = expectMultipart(answer);
        use(answer.bytes);
        return !more;
      },
      signal,
    );
  }

  /** All flows that the filter lets through. `use` gets the same object each time. Resolves with their number. */
  async dumpFlows(filter: FlowFilter, use: (flow: FlowEntry) => void, signal?: AbortSignal, firstTable = 0): Promise<number> {
    const entry = new FlowEntry(this.version, firstTable);
    let count = 0;
    const each = (flow: FlowEntry): void => {
      count += 1;
      use(flow);
    };
    await this.multipart(buildFlowRequest(this.version, filter), (part) => entry.forEach(part, each), signal);
    return count;
  }

  /** Starts a flow monitor. Flows that exist come as `flowUpdate` events before it resolves, changes after. */
  async monitorFlows(monitor: FlowMonitor, signal?: AbortSignal): Promise<void> {
    await this.multipart(encodeFlowMonitor(monitor, this.version), (part) => readFlowUpdates(part, (update) => this.#tell('flowUpdate', update)), signal);
  }

  /** Resolves when the switch has worked on all that was sent before. */
  async barrier(signal?: AbortSignal): Promise<void> {
    await this.request(encodeBarrier(this.version), signal);
  }

  /** Sends one message without waiting; a refusal comes as event `refused`. E_UNREACHABLE when the connection has ended. */
  send(message: Uint8Array): void {
    setXid(message, 0);
    this.#write(message);
  }

  /**
   * All of the messages or none, in their order: flow, group and port changes and packet-outs. They are copied as they come,
   * so a generator may use one buffer for all. Resolves with their number after the commit. When the switch refuses one,
   * nothing has changed, and it rejects with an error whose context has `index` (from 0), `type`, `code` and `name`.
   * What the iteration throws, and the signal before the commit, discard the bundle.
   */
  bundle(messages: Iterable<Uint8Array>, options: BatchOptions = {}): Promise<number> {
    return this.#oneByOne((wire) => sendBundle(wire, messages, options));
  }

  /**
   * One after the other, for what bundles cannot hold (meters). Resolves with their number when the switch has worked on all.
   * Rejects for the first that it refused, as `bundle` does, but the others have been done.
   */
  sequence(messages: Iterable<Uint8Array>, options: BatchOptions = {}): Promise<number> {
    return this.#oneByOne((wire) => sendSequence(wire, messages, options));
  }

  #oneByOne(run: (wire: BatchWire) => Promise<number>): Promise<number> {
    const wire: BatchWire = {
      version: this.version,
      clock: this.#options.clock,
      pending: this.#pending,
      write: (bytes) => this.#write(bytes),
      drained: () => this.#waitForDrain(),
      request: (message, signal) => this.request(message, signal),
    };
    const result = this.#lastBatch.then(() => run(wire));
    this.#lastBatch = result.catch(() => undefined);
    return result;
  }

  async #exchange(message: Uint8Array, accept: Accept, signal: AbortSignal | undefined): Promise<void> {
    if (signal?.aborted === true) throw cancelled(this.#options.path);
    this.#throwIfEnded();
    const { xid, done } = this.#pending.open(describeMessage(message), accept);
    const onAbort = (): void => this.#pending.drop(xid, cancelled(this.#options.path));
    signal?.addEventListener('abort', onAbort, { once: true });
    setXid(message, xid);
    this.#write(message);
    try {
      await done;
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
  }

  /** False: let the socket drain before more is written. */
  #write(bytes: Uint8Array): boolean {
    this.#throwIfEnded();
    return this.#socket?.write(bytes) ?? false;
  }

  #throwIfEnded(): void {
    if (this.#ended !== undefined) throw this.#ended;
    if (this.#version === undefined) throw new AgentError('E_INTERNAL', 'the connection to the switch was not started', { object: this.#options.path });
  }

  async #waitForDrain(): Promise<void> {
    if (this.#socket?.writableNeedDrain !== true) return;
    await new Promise<void>((resolve) => {
      this.#drained.push(resolve);
    });
    this.#throwIfEnded();
  }

  #drain(): void {
    const waiting = this.#drained;
    this.#drained = [];
    for (const resolve of waiting) resolve();
  }

  #receive(chunk: Buffer): void {
    this.#keepAlive?.heard();
    try {
      this.#splitter.push(chunk, (bytes) => {
        // A message that ends the connection may have others behind it.
        if (this.#ended === undefined) this.#dispatch(readMessage(bytes));
      });
    } catch (error) {
      this.#fail(isAgentError(error) ? error : malformed(describeError(error)));
    }
  }

  #dispatch(message: Message): void {
    if (this.#version === undefined) {
      this.#agree(message);
      return;
    }
    if (message.version !== this.#version) throw malformed('a message has another version than agreed', { version: message.version });
    switch (message.type) {
      case MESSAGE.ECHO_REQUEST:
        this.#socket?.write(encodeEchoReply(message.bytes));
        return;
      case MESSAGE.ERROR:
        this.#refusal(message);
        return;
      case MESSAGE.PORT_STATUS:
        this.#tell('portStatus', readPortStatus(message.bytes));
        return;
      case MESSAGE.FLOW_REMOVED:
        this.#tell('flowRemoved', readFlowRemoved(message.bytes, this.#version));
        return;
      case MESSAGE.EXPERIMENTER:
        if (readU32(message.bytes, 8) === VENDOR.NICIRA && readU32(message.bytes, 12) === NICIRA_MESSAGE.PACKET_IN2) {
          this.#tell('packetIn', readPacketIn2(message.bytes));
          return;
        }
        break;
      default:
        break;
    }
    if (this.#pending.reply(message)) return;
    if (message.type === MESSAGE.MULTIPART_REPLY && readMultipart(message.bytes).type === MULTIPART.FLOW_MONITOR) {
      readFlowUpdates(message.bytes, (update) => this.#tell('flowUpdate', update));
      return;
    }
    this.#log.debug('openflow.ignored', { type: message.type, xid: message.xid });
  }

  /** The first message: a hello, or why the switch does not want us. */
  #agree(message: Message): void {
    if (message.type === MESSAGE.ERROR) throw refused(readError(message.bytes), 'the connection');
    if (message.type !== MESSAGE.HELLO) throw malformed('the first message is no hello', { type: message.type });
    const offered = readHello(message.bytes);
    const version = this.#versions().filter(offered).sort((a, b) => b - a)[0];
    if (version === undefined) {
      const ours = this.#versions().map(versionName).join(' or ');
      throw new AgentError('E_CONFIG', `the bridge does not speak ${ours}: see its column "protocols"`, { object: this.#options.path, retryable: true });
    }
    this.#version = version;
    this.#onHello?.();
  }

  #refusal(message: Message): void {
    const error = readError(message.bytes);
    if (this.#pending.refuse(message.xid, error)) return;
    this.#log.debug('openflow.refused', { name: error.name, xid: message.xid });
    this.#tell('refused', error);
  }

  #tell<K extends Exclude<keyof OpenFlowEvents, 'closed'>>(event: K, value: Parameters<NonNullable<OpenFlowEvents[K]>>[0]): void {
    const listener: ((value: never) => void) | undefined = this.#options.events?.[event];
    try {
      // The key decides both types.
      (listener as ((value: unknown) => void) | undefined)?.(value);
    } catch (error) {
      this.#log.error('openflow.listener_failed', { event, error: describeError(error) });
    }
  }

  #ask(): void {
    const { xid, done } = this.#pending.open('an echo', () => true);
    const message = encodeEchoRequest(this.version);
    setXid(message, xid);
    this.#socket?.write(message);
    // The connection's end is told by other ways.
    done.catch(() => undefined);
  }

  #versions(): readonly OpenFlowVersion[] {
    return this.#options.versions ?? [OF15, OF14];
  }

  /** Ends the connection and tells so, when it was open. */
  #fail(reason: AgentError): void {
    const wasOpen = this.open;
    if (!this.#end(reason) || !wasOpen) return;
    try {
      this.#options.events?.closed?.(reason);
    } catch (error) {
      this.#log.error('openflow.listener_failed', { event: 'closed', error: describeError(error) });
    }
  }

  /** False when it has ended before. */
  #end(reason: AgentError): boolean {
    if (this.#ended !== undefined) return false;
    this.#ended = reason;
    this.#keepAlive?.stop();
    this.#unwatch?.();
    this.#socket?.destroy();
    this.#onHello?.(reason);
    this.#pending.rejectAll(reason);
    this.#drain();
    return true;
  }

  #unreachable(reason: string, cause?: unknown): AgentError {
    return new AgentError('E_UNREACHABLE', `the switch: ${reason}`, { object: this.#options.path, retryable: true, cause });
  }
}

function cancelled(path: string): AgentError {
  return new AgentError('E_CANCELLED', 'cancelled', { object: path });
}

function expectMultipart(message: Message): { readonly more: boolean } {
  if (message.type !== MESSAGE.MULTIPART_REPLY) throw malformed('a multipart request got another reply', { type: message.type });
  return readMultipart(message.bytes);
}

/** Replies have the next number, except for bundles. */
function replyType(request: number): number {
  return request === MESSAGE.BUNDLE_CONTROL ? request : request + 1;
}

const NAMES = new Map<number, string>(Object.entries(MESSAGE).map(([name, type]) => [type, name.toLowerCase().replaceAll('_', ' ')]));

function describeMessage(message: Uint8Array): string {
  return NAMES.get(message[1] ?? -1) ?? 'a message';
}
