/**
 * Real connections between the namespaces of a world: echo servers, clients that send numbered messages at a pace, and
 * what became of them. For everything past the first packet: replies, established traffic, cuts, losses.
 */
import { fileURLToPath } from 'node:url';
import type { World } from '../netns.js';
import { LineProcess } from './line-process.js';

export type ConnectionState = 'open' | 'refused' | 'reset' | 'timeout' | 'unreachable' | 'denied' | 'closed' | (string & {});

export interface ConnectRequest {
  readonly netns: string;
  readonly destination: string;
  readonly port: number;
  /** Default tcp. UDP "connects" at once; look at stats. */
  readonly protocol?: 'tcp' | 'udp';
  readonly source?: string;
  readonly sourcePort?: number;
  /** How long a TCP connection may take to open; default 1,000. */
  readonly timeoutMs?: number;
  /** Pause between messages, ms; 0 or absent = only send(). */
  readonly interval?: number;
}

export interface ConnectionStats {
  readonly state: ConnectionState;
  readonly error: string | null;
  readonly sent: number;
  readonly echoed: number;
  /** Sent and not (yet) echoed. */
  readonly pending: number;
  /** When the first of those were sent, seconds since 1970. */
  readonly lost: readonly number[];
  readonly sinceEchoMs: number;
  readonly longestGapMs: number;
  /** TCP segments sent again so far. */
  readonly retransmits: number;
}

export interface TestConnection {
  /** "open", or why it did not open. */
  readonly state: ConnectionState;
  readonly localPort: number;
  stats(): Promise<ConnectionStats>;
  /** One message now. */
  send(): Promise<void>;
  pace(interval: number): Promise<void>;
  /** The server speaks first (TCP). */
  push(text: string): Promise<void>;
  /** What pushes brought, whole. */
  received(): Promise<string>;
  close(): Promise<void>;
}

export interface Traffic {
  /** Starts an echo server: on one address, or on every address of both families. UDP on a host with many addresses needs the one. */
  listen(netns: string, port: number, protocol?: 'tcp' | 'udp', address?: string): Promise<void>;
  connect(request: ConnectRequest): Promise<TestConnection>;
  /** Datagrams that came to a UDP server of listen(), answered or not. */
  arrived(netns: string, port: number): Promise<number>;
  /** connect() and close; only whether it opened. */
  tries(request: ConnectRequest): Promise<ConnectionState>;
  /** One UDP message; true when its echo came within the time. */
  asks(request: ConnectRequest, timeoutMs?: number): Promise<boolean>;
}

export async function startTraffic(world: World): Promise<Traffic> {
  const helper = new LineProcess('/usr/bin/python3', [fileURLToPath(new URL('traffic.py', import.meta.url))]);
  world.cleanup.defer('traffic', () => helper.stop());
  await helper.start({});

  const connect = async (request: ConnectRequest): Promise<TestConnection> => {
    const family = request.destination.includes(':') ? 6 : 4;
    const opened = await helper.request<{ connection: number; state: ConnectionState; localPort?: number }>({ do: 'connect', protocol: 'tcp', ...request, family });
    const on = (verb: string, more: Readonly<Record<string, unknown>> = {}): Promise<unknown> => helper.request({ do: verb, connection: opened.connection, ...more });
    return {
      state: opened.state,
      localPort: opened.localPort ?? 0,
      stats: () => helper.request<ConnectionStats>({ do: 'stats', connection: opened.connection }),
      send: async () => void (await on('send')),
      pace: async (interval) => void (await on('pace', { interval })),
      push: async (text) => void (await on('push', { text })),
      received: async () => (await helper.request<{ text: string }>({ do: 'received', connection: opened.connection })).text,
      close: async () => void (opened.connection === 0 ? undefined : await on('close')),
    };
  };

  return {
    connect,
    async listen(netns, port, protocol = 'tcp', address = '::') {
      // Dual stack: an IPv6 socket on :: takes IPv4 too.
      await helper.request({ do: 'listen', netns, port, protocol, address, family: address.includes(':') ? 6 : 4 });
    },
    async arrived(netns, port) {
      return (await helper.request<{ datagrams: number }>({ do: 'arrived', netns, port })).datagrams;
    },
    async tries(request) {
      const connection = await connect(request);
      await connection.close();
      return connection.state;
    },
    async asks(request, timeoutMs = 300) {
      const connection = await connect({ ...request, protocol: 'udp' });
      await connection.send();
      const end = Date.now() + timeoutMs;
      let answered = false;
      while (!answered && Date.now() < end) {
        answered = (await connection.stats()).echoed > 0;
        if (!answered) await new Promise((resolve) => setTimeout(resolve, 5));
      }
      await connection.close();
      return answered;
    },
  };
}
