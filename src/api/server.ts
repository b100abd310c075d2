/**
 * The API server: gRPC on a Unix socket. Connections are accepted by a listener of our own, which asks the kernel who the
 * peer is and hands only admitted ones to gRPC: of a refused peer not one byte is read.
 */
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { Server as Listener, Socket } from 'node:net';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import type { ConnectionInjector, sendUnaryData, ServerUnaryCall, ServerWritableStream, UntypedServiceImplementation } from '@grpc/grpc-js';
import { AgentError, describeError, isAgentError } from '../model/errors.js';
import type { Logger } from '../platform/logger.js';
import type { AgentApi } from './agent-api.js';
import { handlersOf } from './handlers.js';
import type { StreamHandler, UnaryHandler } from './handlers.js';
import { groupId } from './peer-access.js';
import type { PeerCredentials } from './peer-access.js';
import { FLOW_WINDOW_BYTES, loadSchema, MESSAGE_LIMIT_BYTES } from './schema.js';
import type { Schema } from './schema.js';
import { descriptorOf, inodeOf, listenOn, removeSocket } from './socket.js';
import { toWireError } from './status.js';

export interface ApiServerOptions {
  readonly api: AgentApi;
  /** Absolute, at most 107 bytes (unix(7)). */
  readonly socketPath: string;
  /** Group of the socket file. Absent, or a group this host has not: root only. */
  readonly group?: string;
  /** SO_PEERCRED of a connected socket; throws when the kernel does not say. */
  readonly peerCredentials: (fd: number) => PeerCredentials;
  /** Whether a peer may use the API: peerAccess(group) unless a test wants otherwise. */
  readonly allow: (peer: PeerCredentials) => boolean;
  readonly log: Logger;
}

const STOP_GRACE_MS = 1_000;

export class ApiServer {
  readonly #options: ApiServerOptions;
  readonly #log: Logger;
  readonly #peers = new Set<Socket>();
  readonly #streams = new Set<AbortController>();
  #running: { listener: Listener; server: Server; injector: ConnectionInjector; inode: number | undefined } | undefined;

  constructor(options: ApiServerOptions) {
    this.#options = options;
    this.#log = options.log;
  }

  /** Listens from its return on. Rejects with E_CONFLICT when another agent answers there, E_IO when the socket cannot be made. */
  async start(): Promise<void> {
    if (this.#running !== undefined) throw new AgentError('E_INTERNAL', 'the API server runs already');
    const { socketPath } = this.#options;
    const schema = loadSchema();
    const server = new Server({
      'grpc.max_receive_message_length': MESSAGE_LIMIT_BYTES,
      'grpc.max_send_message_length': MESSAGE_LIMIT_BYTES,
      'grpc-node.flow_control_window': FLOW_WINDOW_BYTES,
      'grpc.enable_channelz': 0,
    });
    server.addService(schema.service(), this.#implementation(schema));
    const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
    const listener = createServer((socket) => this.#accept(socket, injector));
    listener.on('error', (error) => this.#log.error('api.listener.failed', { error: describeError(error) }));
    await listenOn(listener, socketPath, this.#groupOfSocket());
    this.#running = { listener, server, injector, inode: await inodeOf(socketPath) };
    this.#log.info('api.listening', { socket: socketPath });
  }

  /** Ends streams, lets running calls finish for a second, removes the socket. Does nothing when not running. */
  async stop(): Promise<void> {
    const running = this.#running;
    if (running === undefined) return;
    this.#running = undefined;
    await removeSocket(this.#options.socketPath, running.inode);
    const closed = new Promise<void>((resolve) => running.listener.close(() => resolve()));
    for (const stream of this.#streams) stream.abort(new AgentError('E_UNREACHABLE', 'the agent is stopping', { retryable: true }));
    const deadline = setTimeout(() => {
      running.server.forceShutdown();
      for (const peer of this.#peers) peer.destroy();
    }, STOP_GRACE_MS);
    await new Promise<void>((resolve) => running.server.tryShutdown(() => resolve()));
    for (const peer of this.#peers) peer.destroy();
    await closed;
    clearTimeout(deadline);
    this.#log.info('api.stopped', { socket: this.#options.socketPath });
  }

  #groupOfSocket(): number | undefined {
    const { group } = this.#options;
    if (group === undefined) return undefined;
    const id = groupId(group);
    if (id === undefined) this.#log.warn('api.group.absent', { group, consequence: 'only root may use the socket' });
    return id;
  }

  #accept(socket: Socket, injector: ConnectionInjector): void {
    // Until gRPC takes the socket over, an error on it (peer gone) would be unhandled.
    socket.on('error', (error) => this.#log.debug('api.peer.error', { error: describeError(error) }));
    const refusal = this.#refusal(socket);
    if (refusal !== undefined) {
      this.#log.warn('api.peer.refused', refusal);
      socket.destroy();
      return;
    }
    this.#peers.add(socket);
    socket.once('close', () => this.#peers.delete(socket));
    injector.injectConnection(socket);
  }

  /** Why the peer is not admitted; whoever cannot be identified is not. */
  #refusal(socket: Socket): Record<string, unknown> | undefined {
    const fd = descriptorOf(socket);
    if (fd === undefined) return { reason: 'the socket has no descriptor' };
    try {
      const peer = this.#options.peerCredentials(fd);
      return this.#options.allow(peer) ? undefined : { pid: peer.pid, uid: peer.uid, gid: peer.gid, reason: 'neither root nor member of the group' };
    } catch (error) {
      return { reason: describeError(error) };
    }
  }

  #implementation(schema: Schema): UntypedServiceImplementation {
    const implementation: UntypedServiceImplementation = {};
    for (const handler of handlersOf(this.#options.api)) {
      implementation[handler.name] = handler.kind === 'unary'
        ? (call: ServerUnaryCall<unknown, unknown>, answer: sendUnaryData<unknown>): void => void this.#answer(handler, call, answer, schema)
        : (call: ServerWritableStream<unknown, unknown>): void => void this.#stream(handler, call, schema);
    }
    return implementation;
  }

  async #answer(handler: UnaryHandler, call: ServerUnaryCall<unknown, unknown>, answer: sendUnaryData<unknown>, schema: Schema): Promise<void> {
    try {
      answer(null, await handler.handle(call.request));
    } catch (error) {
      this.#failed(handler.name, error);
      answer(toWireError(error, schema));
    }
  }

  async #stream(handler: StreamHandler, call: ServerWritableStream<unknown, unknown>, schema: Schema): Promise<void> {
    const controller = new AbortController();
    const { signal } = controller;
    call.on('cancelled', () => controller.abort(new AgentError('E_CANCELLED', 'the caller went away')));
    this.#streams.add(controller);
    try {
      for await (const part of handler.handle(call.request, signal)) {
        if (signal.aborted) break;
        if (!call.write(part)) await once(call, 'drain', { signal });
      }
      signal.throwIfAborted();
      call.end();
    } catch (thrown) {
      // An interrupted wait rejects with an AbortError; what counts is why it was interrupted.
      const error: unknown = signal.aborted ? signal.reason : thrown;
      if (!isAgentError(error, 'E_CANCELLED')) this.#failed(handler.name, error);
      call.emit('error', toWireError(error, schema));
    } finally {
      this.#streams.delete(controller);
    }
  }

  #failed(method: string, error: unknown): void {
    if (!isAgentError(error)) {
      this.#log.error('api.call.failed', { method, error: describeError(error), stack: error instanceof Error ? error.stack : undefined });
    } else {
      this.#log.debug('api.call.refused', { method, code: error.code, error: describeError(error) });
    }
  }
}
