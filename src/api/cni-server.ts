/** The Unix socket of dfw-cni: one request a connection, from root only. Not part of the API: a plugin that must be quick and small speaks no gRPC. */
import { createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { AgentError, describeError } from '../model/errors.js';
import type { Logger } from '../platform/logger.js';
import { cniAnswer, cniFrame, frameText, readCniRequest, type CniRequest } from './cni-messages.js';
import type { PeerCredentials } from './peer-access.js';
import { descriptorOf, inodeOf, listenOn, removeSocket } from './socket.js';

export interface CniServerOptions {
  /** Absolute, at most 107 bytes (unix(7)). */
  readonly socketPath: string;
  /** Resolves when it is done, rejects with why it is not. The signal fires when the caller goes away or the server stops. */
  readonly handle: (request: CniRequest, signal: AbortSignal) => Promise<void>;
  /** SO_PEERCRED of a connected socket; throws when the kernel does not say. */
  readonly peerCredentials: (fd: number) => PeerCredentials;
  /** Whether a peer may ask: root, unless a test wants otherwise. */
  readonly allow: (peer: PeerCredentials) => boolean;
  readonly log: Logger;
}

/** The plugin sends at once; whoever does not is not the plugin. */
const REQUEST_MS = 5_000;
/** As many containers may begin at the same time; more wait in the socket's queue. */
const CONNECTIONS = 256;

export class CniServer {
  private running: { readonly listener: Server; readonly inode: number | undefined } | undefined;
  private readonly peers = new Set<Socket>();

  constructor(private readonly options: CniServerOptions) {}

  /** Listens from its return on. Rejects with E_CONFLICT when another agent answers there, E_IO when the socket cannot be made. */
  async start(): Promise<void> {
    if (this.running !== undefined) throw new AgentError('E_INTERNAL', 'the CNI server runs already');
    const { socketPath, log } = this.options;
    const listener = createServer((socket) => this.accept(socket));
    listener.maxConnections = CONNECTIONS;
    listener.on('error', (error) => log.error('cni.listener.failed', { error: describeError(error) }));
    await listenOn(listener, socketPath, undefined);
    this.running = { listener, inode: await inodeOf(socketPath) };
    log.info('cni.listening', { socket: socketPath });
  }

  /** Ends connections and removes the socket: the plugin then asks again, or says that the agent is away. Does nothing when not running. */
  async stop(): Promise<void> {
    const { running } = this;
    if (running === undefined) return;
    this.running = undefined;
    await removeSocket(this.options.socketPath, running.inode);
    const closed = new Promise<void>((resolve) => running.listener.close(() => resolve()));
    for (const peer of this.peers) peer.destroy();
    await closed;
  }

  private accept(socket: Socket): void {
    const { log } = this.options;
    socket.on('error', (error) => log.debug('cni.peer.error', { error: describeError(error) }));
    const refusal = this.refusal(socket);
    if (refusal !== undefined) {
      log.warn('cni.peer.refused', refusal);
      socket.destroy();
      return;
    }
    this.peers.add(socket);
    const gone = new AbortController();
    socket.once('close', () => {
      this.peers.delete(socket);
      gone.abort();
    });
    socket.setTimeout(REQUEST_MS, () => socket.destroy());
    let received = Buffer.alloc(0);
    const onData = (part: Buffer): void => {
      received = Buffer.concat([received, part]);
      let request: CniRequest | undefined;
      try {
        const text = frameText(received);
        if (text === undefined) return;
        request = readCniRequest(text);
      } catch (error) {
        log.warn('cni.request.refused', { error: describeError(error) });
        socket.off('data', onData);
        socket.end(cniFrame(cniAnswer(error)));
        return;
      }
      socket.off('data', onData);
      // What else comes is not looked at, but that the peer goes away is.
      socket.resume();
      socket.setTimeout(0);
      void this.answer(socket, request, gone.signal);
    };
    socket.on('data', onData);
  }

  private async answer(socket: Socket, request: CniRequest, signal: AbortSignal): Promise<void> {
    const began = performance.now();
    let failure: unknown;
    try {
      await this.options.handle(request, signal);
    } catch (error) {
      failure = error;
    }
    const ms = Math.round((performance.now() - began) * 10) / 10;
    if (failure === undefined) this.options.log.info('cni.done', { ...facts(request), ms });
    else this.options.log.warn('cni.failed', { ...facts(request), ms, error: describeError(failure) });
    if (!socket.destroyed) socket.end(cniFrame(cniAnswer(failure)));
  }

  /** Why the peer is not admitted; whoever cannot be identified is not. */
  private refusal(socket: Socket): Record<string, unknown> | undefined {
    const fd = descriptorOf(socket);
    if (fd === undefined) return { reason: 'the socket has no descriptor' };
    try {
      const peer = this.options.peerCredentials(fd);
      return this.options.allow(peer) ? undefined : { pid: peer.pid, uid: peer.uid, reason: 'not root' };
    } catch (error) {
      return { reason: describeError(error) };
    }
  }
}

function facts(request: CniRequest): Record<string, unknown> {
  switch (request.command) {
    case 'ADD':
    case 'CHECK': {
      const { pod, vnic, interface: device } = request.interface;
      return { command: request.command, pod: `${pod.namespace}/${pod.name}`, vnic, interface: device };
    }
    case 'DEL':
      return { command: request.command, container: request.key.containerId, vnic: request.key.vnic };
    case 'GC':
      return { command: request.command, network: request.network, valid: request.valid.length };
    case 'STATUS':
      return { command: request.command };
  }
}
