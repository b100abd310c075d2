/**
 * Tunnels to other hosts, where copies go on the nftables datapath: devices of the kernel, made and removed by rtnetlink. Three for each: a veth pair (the mirror copies into
 * one end) and the tunnel behind it (drivers/nftables/tunnel-layout.ts says why). All are in link group GROUP, by which they are known as ours.
 */
import type { TunnelPath } from '../drivers/nftables/tunnel-layout.js';
import { tunnelDevice } from '../drivers/tunnels/tunnel-device.js';
import { describeError } from '../model/errors.js';
import type { TrafficTarget } from '../model/objects.js';
import { isTunnel, tunnelEnds, type TunnelTarget } from '../model/tunnel.js';
import type { Link, LinkSocket } from '../native/binding.js';
import type { Clock } from '../platform/clock.js';
import type { Logger } from '../platform/logger.js';
import { quieten } from './tap.js';

export interface MirrorTunnelsOptions {
  readonly links: Pick<LinkSocket, 'list' | 'create' | 'createVeth' | 'setForwarding' | 'set' | 'delete'>;
  readonly log: Logger;
  readonly clock: Clock;
  /** Writes a sysctl; rejects when it cannot be written. */
  readonly writeSysctl: (path: string, value: string) => Promise<void>;
  /** Another apply is due: what failed is to be tried again. */
  readonly onDue: () => void;
}

export interface MadeTunnels {
  /** Interfaces of the host, those that were made included. */
  readonly links: ReadonlyMap<string, Link>;
  readonly paths: readonly TunnelPath[];
  /** By the target's name: why there is no tunnel. */
  readonly problems: ReadonlyMap<string, string>;
}

/** `ip link show group 57207`. */
export const TUNNEL_GROUP = 0xdf77;
/** Copies are passed on as they are: what is too large for the way is fragmented, or counted as lost, behind the tunnel's header. */
const PAIR_MTU = 65_535;
/** Room for every tunnel's own headers. */
const TUNNEL_MTU = 65_000;
const RETRY_MS = 10_000;

export class MirrorTunnels {
  private retrying = false;
  /** What the kernel refused, and when (ms, monotonic): an attempt makes and removes devices, which brings the next apply. */
  private readonly refused = new Map<string, { readonly problem: string; readonly at: number }>();

  constructor(private readonly options: MirrorTunnelsOptions) {}

  /**
   * Makes the tunnels among the targets, where they are absent or not as they should be. Devices of others that have their names are left alone. Never rejects: what cannot
   * be made is among the problems; what the kernel refused is tried again RETRY_MS later, the rest at each call.
   */
  async ensure(targets: readonly TrafficTarget[], links: ReadonlyMap<string, Link>): Promise<MadeTunnels> {
    const wanted = [...new Map(targets.filter((target) => isTunnel(target)).map((target) => [target.name, target])).values()];
    if (wanted.length === 0) return { links, paths: [], problems: new Map() };
    const problems = new Map<string, string>();
    let present = links;
    for (const target of wanted) {
      if (asItShould(target, present)) continue;
      const before = this.refused.get(target.name);
      if (before !== undefined && this.options.clock.monotonic() < before.at + RETRY_MS) {
        problems.set(target.name, before.problem);
        continue;
      }
      this.refused.delete(target.name);
      try {
        present = await this.list();
        await this.make(target, present);
        this.options.log.info('tunnel.created', { name: target.name, type: target.type, ...target.options });
      } catch (error) {
        const problem = error instanceof NoTunnel ? error.message : reason(target, error);
        problems.set(target.name, problem);
        if (!(error instanceof NoTunnel)) this.refused.set(target.name, { problem, at: this.options.clock.monotonic() });
        if (before?.problem !== problem) this.options.log.warn('tunnel.failed', { name: target.name, error: describeError(error) });
      }
      present = await this.list().catch(() => present);
    }
    if (this.refused.size > 0) this.retryLater();
    return { links: present, paths: wanted.flatMap((target) => pathOf(target, present) ?? []), problems };
  }

  /** Removes tunnels of ours that are not among the targets. True when there was one. Never rejects: what is left goes at the next call. */
  async release(targets: readonly TrafficTarget[], links: ReadonlyMap<string, Link>): Promise<boolean> {
    const wanted = new Set(targets.flatMap((target) => (isTunnel(target) ? allNames(target) : [])));
    for (const name of this.refused.keys()) if (!wanted.has(name)) this.refused.delete(name);
    const left = [...links.values()].filter(({ name, group }) => group === TUNNEL_GROUP && !wanted.has(name));
    for (const { name } of left) await this.remove(name);
    return left.length > 0;
  }

  /** Removes all that are ours; their names. */
  async cleanup(): Promise<string[]> {
    const links = await this.list();
    await this.release([], links);
    return [...links.values()].filter(({ group, alias }) => group === TUNNEL_GROUP && alias !== '').map(({ name }) => `tunnel ${name}`);
  }

  private async make(target: TunnelTarget, links: ReadonlyMap<string, Link>): Promise<void> {
    const device = tunnelDevice(target);
    if (typeof device === 'string') throw new NoTunnel(device);
    const names = namesOf(target.name);
    for (const name of allNames(target)) {
      const link = links.get(name);
      if (link !== undefined && link.group !== TUNNEL_GROUP) throw new NoTunnel(`interface ${name} exists and is not the agent's`);
    }
    const alias = aliasOf(target);
    // The alias is written last: without it somebody was interrupted.
    if (links.get(names.tunnel)?.alias !== alias) {
      if (links.has(names.tunnel)) await this.remove(names.tunnel);
      await this.options.links.create({ name: names.tunnel, kind: device.kind, mtu: TUNNEL_MTU, group: TUNNEL_GROUP, data: device.data });
      try {
        if (device.destination !== undefined) {
          const index = (await this.list()).get(names.tunnel)?.index ?? 0;
          await this.options.links.setForwarding({ interfaceIndex: index, ...device.destination });
        }
        await quieten(names.tunnel, this.options);
        await this.options.links.set(names.tunnel, { up: true, arp: false, alias });
      } catch (error) {
        await this.remove(names.tunnel);
        throw error;
      }
    } else if (links.get(names.tunnel)?.up === false) await this.options.links.set(names.tunnel, { up: true });
    if (links.has(names.outer) !== links.has(names.inner)) await this.remove(links.has(names.outer) ? names.outer : names.inner);
    if (!links.has(names.outer) || !links.has(names.inner)) {
      await this.options.links.createVeth({ name: names.outer, peer: names.inner, mtu: PAIR_MTU, group: TUNNEL_GROUP });
    }
    for (const name of [names.inner, names.outer]) {
      await quieten(name, this.options);
      await this.options.links.set(name, { up: true, arp: false });
    }
  }

  /** Gone already is fine. */
  private async remove(name: string): Promise<void> {
    await this.options.links.delete(name).catch((error: unknown) => {
      if (codeOf(error) !== 'ENODEV') this.options.log.warn('tunnel.not_removed', { name, error: describeError(error) });
    });
  }

  private async list(): Promise<ReadonlyMap<string, Link>> {
    return new Map((await this.options.links.list()).map((link) => [link.name, link]));
  }

  private retryLater(): void {
    if (this.retrying) return;
    this.retrying = true;
    this.options.clock.after(RETRY_MS, () => {
      this.retrying = false;
      this.options.onDue();
    });
  }
}

/** What went into a device and did not come out, all of it counted by the kernel: at the device, and in the tunnel behind it. */
export function lostCopies(target: TrafficTarget, links: ReadonlyMap<string, Link>): number {
  const tunnel = isTunnel(target) ? links.get(namesOf(target.name).tunnel) : undefined;
  return (links.get(target.name)?.txDropped ?? 0) + (tunnel?.group === TUNNEL_GROUP ? tunnel.txDropped + tunnel.txErrors : 0);
}

/** Why there is no tunnel, in words for the status. */
class NoTunnel extends Error {}

interface Names { readonly outer: string; readonly inner: string; readonly tunnel: string }

/** A target's name has 11 bytes; a dot would be a path in /proc/sys. */
function namesOf(name: string): Names {
  return { outer: name, inner: `${name}_i`, tunnel: `${name}_t` };
}

function allNames({ name }: TrafficTarget): string[] {
  const { outer, inner, tunnel } = namesOf(name);
  return [outer, inner, tunnel];
}

function aliasOf({ type, options }: TunnelTarget): string {
  return `dfw-agent: copies by ${type} ${Object.entries(options).map(([key, value]) => `${key}=${value}`).join(' ')}`;
}

function pathOf(target: TunnelTarget, links: ReadonlyMap<string, Link>): TunnelPath | undefined {
  if (!asItShould(target, links)) return undefined;
  const names = namesOf(target.name);
  const [inner, tunnel] = [links.get(names.inner), links.get(names.tunnel)];
  return inner === undefined || tunnel === undefined ? undefined : { name: target.name, inner, tunnel, ends: tunnelEnds(target) };
}

function asItShould(target: TunnelTarget, links: ReadonlyMap<string, Link>): boolean {
  const names = namesOf(target.name);
  return allNames(target).every((name) => {
    const link = links.get(name);
    return link !== undefined && link.up && link.group === TUNNEL_GROUP;
  }) && links.get(names.tunnel)?.alias === aliasOf(target);
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

function reason({ type }: TunnelTarget, error: unknown): string {
  const known = new Map([
    ['EOPNOTSUPP', `the kernel has no tunnels of type ${type}`],
    ['EEXIST', `another ${type} tunnel of the host is in the way`],
    ['EADDRINUSE', `the port of the ${type} tunnel is in use on this host, by something else`],
    ['EAFNOSUPPORT', `the host has no IPv6, which the ${type} tunnel needs`],
  ]);
  return known.get(codeOf(error) ?? '') ?? `the ${type} tunnel cannot be made: ${describeError(error)}`;
}
