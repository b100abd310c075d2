/** The tunnel to the other nodes: one device without addresses, and for each node a routing table that packets with its mark use. */
import { AgentError } from '../../model/errors.js';
import { familyOf } from '../../model/family.js';
import type { LinkSocket, MarkRule, AddressSocket } from '../../native/binding.js';
import type { Logger } from '../../platform/logger.js';

export interface TunnelOptions {
  readonly links: LinkSocket;
  readonly routes: AddressSocket;
  readonly log: Logger;
  readonly device: string;
  readonly port: number;
  /** Bits of the packet mark, in a row. */
  readonly mask: number;
  /** Numbers of the tables: this one and those behind it. */
  readonly table: number;
  /** Of the rules. */
  readonly priority: number;
  /** Writes a sysctl; rejects when it cannot be written. */
  readonly writeSysctl: (path: string, value: string) => Promise<void>;
}

/** Of all tunnel packets: ours, not somebody else's on that port. */
const TUNNEL_ID = 0xdf77e6;
/** Headers around a packet: IP, UDP 8, VXLAN-GPE 8. */
const OVERHEAD = { 4: 20 + 16, 6: 40 + 16 } as const;
const DEFAULT_MTU = 1500;
const LEAST_MTU = 1280;
/** Of the device, on all nodes: nobody sends to it or from it. */
export const TUNNEL_ADDRESS = '169.254.223.119';
const FOR_EVER = 0xffff_fffe;
const FAMILIES = [4, 6] as const;

export class Tunnel {
  /** Host → its number, from 1. */
  private numbers: Map<string, number> | undefined;

  constructor(private readonly options: TunnelOptions) {}

  /**
   * Makes the device, and for each host a table and a rule; returns the marks. What hosts need that are not among them stays. E_LIMIT when
   * there are more hosts than the mask has numbers for.
   */
  async prepare(hosts: readonly string[]): Promise<ReadonlyMap<string, number>> {
    const { routes, table } = this.options;
    const numbers = (this.numbers ??= await this.readNumbers());
    const interfaceIndex = await this.device(hosts);
    const present = await routes.routes();
    const marks = new Map<string, number>();
    for (const host of hosts) {
      const number = numbers.get(host) ?? this.freeNumber(numbers, host);
      numbers.set(host, number);
      for (const family of FAMILIES) {
        const route = { family, table: table + number, interfaceIndex, tunnelTo: host };
        const known = present.find((one) => one.family === family && one.table === route.table);
        if (known?.interfaceIndex !== interfaceIndex || known.tunnelTo !== host) await this.unlessAbsent(family, routes.setRoute({ ...route, tunnelId: TUNNEL_ID }));
        await this.unlessAbsent(family, routes.addRule(this.rule(family, number)));
      }
      marks.set(host, this.mark(number));
    }
    return marks;
  }

  /** Takes away what no host of these needs, and the device when `keep` is false. Nothing may send there any more. */
  async trim(hosts: readonly string[], keep: boolean): Promise<void> {
    const { routes, links, device, table, mask } = this.options;
    const numbers = (this.numbers ??= await this.readNumbers());
    for (const host of numbers.keys()) if (!hosts.includes(host)) numbers.delete(host);
    const tables = new Set([...numbers.values()].map((number) => table + number));
    for (const rule of await routes.rules()) if (rule.mask === mask && !tables.has(rule.table)) await routes.deleteRule(rule);
    for (const route of await routes.routes()) if (route.table > table && route.table <= table + this.capacity && !tables.has(route.table)) await routes.deleteRoute(route);
    if (!keep && (await links.list()).some(({ name, kind }) => name === device && kind === 'vxlan')) await links.delete(device);
  }

  private get capacity(): number {
    return Math.floor(this.options.mask / this.unit);
  }

  /** The lowest bit of the mask. */
  private get unit(): number {
    const { mask } = this.options;
    return (mask & -mask) >>> 0;
  }

  private mark(number: number): number {
    return number * this.unit;
  }

  private rule(family: 4 | 6, number: number): MarkRule {
    const { table, mask, priority } = this.options;
    return { family, table: table + number, mark: this.mark(number), mask, priority };
  }

  private freeNumber(numbers: ReadonlyMap<string, number>, host: string): number {
    const used = new Set(numbers.values());
    for (let number = 1; number <= this.capacity; number += 1) if (!used.has(number)) return number;
    throw new AgentError('E_LIMIT', `more than ${this.capacity} nodes have addresses: egress.markMask has no number left`, { object: host });
  }

  /** A process before this one may have left its tables: packets on their way keep their marks. */
  private async readNumbers(): Promise<Map<string, number>> {
    const { routes, table } = this.options;
    const found = (await routes.routes()).filter((route) => route.table > table && route.table <= table + this.capacity && route.tunnelTo !== '');
    return new Map(found.map(({ tunnelTo, table: own }) => [tunnelTo, own - table]));
  }

  private async device(hosts: readonly string[]): Promise<number> {
    const { links, routes, log, device, port, writeSysctl } = this.options;
    let all = await links.list();
    const sizes = await Promise.all(hosts.map(async (host) => {
      const way = await routes.routeTo(host);
      const link = all.find(({ index }) => index === way?.interfaceIndex);
      return (link?.mtu ?? DEFAULT_MTU) - OVERHEAD[familyOf(host)];
    }));
    const mtu = Math.max(LEAST_MTU, Math.min(DEFAULT_MTU - OVERHEAD[4], ...sizes));
    if (!all.some(({ name }) => name === device)) {
      await routes.createTunnel({ name: device, port, mtu });
      log.info('egress.tunnel_created', { device, port, mtu });
      all = await links.list();
    }
    const link = all.find(({ name }) => name === device);
    if (link === undefined || link.kind !== 'vxlan') throw new AgentError('E_CONFLICT', `interface ${device} is somebody else's`, { object: device });
    if (link.mtu !== mtu) await links.set(device, { mtu });
    if (!link.up) {
      // Packets come back by another way than they would be sent: loose reverse path check (RFC 3704 section 2.4).
      for (const [path, value] of [
        [`ipv4/conf/${device}/rp_filter`, '2'], [`ipv4/conf/${device}/forwarding`, '1'], [`ipv6/conf/${device}/forwarding`, '1'], [`ipv6/conf/${device}/addr_gen_mode`, '1'],
      ] as const) {
        await writeSysctl(`/proc/sys/net/${path}`, value).catch((error: unknown) => log.warn('egress.sysctl_failed', { path, error: String(error) }));
      }
      await links.set(device, { up: true });
    }
    // The reverse path check drops all that comes by an interface without any IPv4 address (fib_validate_source of the kernel).
    await routes.setAddress({ interfaceIndex: link.index, address: TUNNEL_ADDRESS, validSeconds: FOR_EVER });
    return link.index;
  }

  /** A host without IPv6 has no routes of it. */
  private async unlessAbsent(family: 4 | 6, work: Promise<unknown>): Promise<void> {
    try {
      await work;
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : '';
      if (family === 4 || (code !== 'EOPNOTSUPP' && code !== 'EAFNOSUPPORT')) throw error;
    }
  }
}
