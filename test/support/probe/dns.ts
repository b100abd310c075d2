/** A DNS server in a world, and workloads that ask it and connect at once to what they are told. */
import { fileURLToPath } from 'node:url';
import type { World } from '../netns.js';
import { LineProcess } from './line-process.js';

export interface DnsRecords {
  readonly ttl: number;
  readonly a?: readonly string[];
  readonly aaaa?: readonly string[];
  /** Of a name in the same zone, whose addresses follow. */
  readonly cname?: string;
}

export interface Lookup {
  readonly netns: string;
  readonly name: string;
  /** Default udp. */
  readonly protocol?: 'udp' | 'tcp';
  readonly ipv6?: boolean;
  /** Connect to the first address and this port as soon as the answer is here. */
  readonly port?: number;
  /** For the connection; default 1,000. */
  readonly timeoutMs?: number;
}

export interface LookupResult {
  readonly addresses: readonly string[];
  readonly state: 'open' | 'refused' | 'timeout' | 'no answer' | null | (string & {});
}

export interface Dns {
  readonly address: string;
  /** The whole zone. */
  records(records: Readonly<Record<string, DnsRecords>>): Promise<void>;
  lookup(request: Lookup): Promise<LookupResult>;
}

const SCRIPT = fileURLToPath(new URL('dns.py', import.meta.url));

/** Both processes end with the world. */
export async function startDns(world: World, netns: string, address: string): Promise<Dns> {
  const [server, clients] = [new LineProcess('/usr/bin/python3', [SCRIPT]), new LineProcess('/usr/bin/python3', [SCRIPT])];
  world.cleanup.defer('DNS server', () => server.stop());
  world.cleanup.defer('DNS clients', () => clients.stop());
  await Promise.all([server.start({ netns, address }), clients.start({})]);
  return {
    address,
    records: async (records) => void (await server.request({ records })),
    lookup: ({ netns: from, name, protocol = 'udp', ipv6 = false, port, timeoutMs }) => clients.request<LookupResult>({
      netns: from, server: address, name, protocol, type: ipv6 ? 28 : 1, ...(port === undefined ? {} : { port }), ...(timeoutMs === undefined ? {} : { timeoutMs }),
    }),
  };
}
