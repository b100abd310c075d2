/** Puts together what Egresses need; undefined where the configuration has no leases: then they are only members of groups. */
import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { EgressInventory } from '../compile/egress/inventory.js';
import { ownerOf } from '../compile/egress/owner.js';
import { FileLeases } from '../drivers/egress/file-leases.js';
import { InterfaceAddresses } from '../drivers/egress/interface-addresses.js';
import type { EgressLeases } from '../drivers/egress/leases.js';
import { SessionLeases } from '../drivers/egress/session-leases.js';
import { Ownership } from '../drivers/egress/ownership.js';
import { Tunnel } from '../drivers/egress/tunnel.js';
import { EgressDriver } from '../drivers/nftables/egress-driver.js';
import { AgentError } from '../model/errors.js';
import type { LeaseStore } from '../model/lease-store.js';
import type { Status } from '../model/status.js';
import type { LinkSocket, NativeBinding } from '../native/binding.js';
import { writeFileAtomic } from '../platform/atomic-file.js';
import type { Clock } from '../platform/clock.js';
import type { Logger } from '../platform/logger.js';
import { readTextFile } from '../platform/read-file.js';
import { ReconcileLoop } from '../reconcile/loop.js';
import type { Config } from './config.js';
import { Egress } from './egress.js';
import { ownStatuses } from './egress-views.js';

export interface EgressWiring {
  readonly config: Config;
  readonly native: NativeBinding;
  readonly links: LinkSocket;
  readonly clock: Clock;
  readonly log: Logger;
  readonly onCommit: (generation: number) => void;
  /** Where the nodes agree, with `leases` etcd or kubernetes: for leases of so many ms. */
  readonly store: (leaseMs: number) => LeaseStore | undefined;
  /** Says where Egresses come from what becomes of them, by object key, until the signal fires. */
  readonly tell: (wanted: () => ReadonlyMap<string, Status>, signal: AbortSignal) => void;
  readonly isHere: (namespace: string, name: string) => boolean;
}

const BOOT_ID = '/proc/sys/kernel/random/boot_id';

export function wireEgress(wiring: EgressWiring): Egress | undefined {
  const { config: { egress: settings, node, stateDir }, native, links, clock, log } = wiring;
  if (settings.leases === 'none') return undefined;
  const file = join(stateDir, 'egress.json');
  const stored = restore(readTextFile(file));
  // A copy of this machine is another one, though it has this file.
  const identity = [node, (readTextFile(BOOT_ID) ?? '').trim(), stored.identity].join('/');
  const leases = leasesOf(wiring, identity);
  let written = '';
  const routes = new native.AddressSocket();
  const socket = new native.NftSocket();
  const sender = new native.PacketSender();
  // The clocks are one, counted from two starts. Whatever happens between the two readings, times come out too early, never too late.
  const kernelNow = native.monotonicMs();
  const offset = kernelNow - clock.monotonic();
  const addresses = new InterfaceAddresses({ routes, links, sender, clock, log, interface: settings.interface });
  const ownership = new Ownership({
    leases, clock, log, node, identity, ttlMs: settings.leaseMs, ownerOf,
    endpoint: () => (settings.tunnelAddress === '' ? egress.endpoint() : settings.tunnelAddress), wanted: () => egress.wanted(),
    apply: (held) => egress.hold(held, (monotonic) => monotonic + offset),
    onChange: () => loop.markDirty('leases'),
  });
  const loop = new ReconcileLoop({ clock, log, settleMs: 5, idleMs: 1_000, alive: () => undefined, apply: () => egress.realize() });
  const egress: Egress = new Egress({
    node, inventory: new EgressInventory(stored.given), ownership, addresses, loop, clock, log,
    tunnel: new Tunnel({
      links, routes, log, device: settings.device, port: settings.tunnelPort, mask: settings.markMask, table: settings.routeTable, priority: settings.rulePriority,
      writeSysctl: (path, value) => writeFile(path, value),
    }),
    driver: new EgressDriver({ socket, now: () => native.monotonicMs(), onCommit: wiring.onCommit }),
    layout: { device: settings.device, port: settings.tunnelPort, mask: settings.markMask }, except: settings.exceptCidrs, isHere: wiring.isHere,
    close: () => {
      routes.close();
      socket.close();
      sender.close();
    },
    statuses: (signal) => wiring.tell(() => ownStatuses(egress, ownerOf), signal),
    routeTo: (address) => routes.routeTo(address),
    endOtherTranslations: (request) => native.endOtherTranslations(request),
    remember: async (given) => {
      const text = `${JSON.stringify({ identity: stored.identity, given: Object.fromEntries(given) })}\n`;
      if (text !== written) await writeFileAtomic(file, text);
      written = text;
    },
  });
  return egress;
}

function leasesOf({ config: { egress: { leases, directory, leaseMs } }, native, store, clock }: EgressWiring, holder: string): EgressLeases {
  if (leases === 'file') return new FileLeases({ directory, now: () => native.monotonicMs() });
  const records = store(leaseMs);
  if (records === undefined) throw new AgentError('E_CONFIG', `there is no source of type ${leases}`, { object: 'egress.leases' });
  return new SessionLeases({ store: records, holder, clock, random: () => Math.random() });
}

/** Without a file, or with one that is none: a new identity, and pools begin anew. */
function restore(text: string | undefined): { readonly identity: string; readonly given: ReadonlyMap<string, string> } {
  try {
    const stored = JSON.parse(text ?? '{}') as { readonly identity?: unknown; readonly given?: unknown };
    const given = typeof stored.given === 'object' && stored.given !== null ? Object.entries(stored.given) : [];
    return {
      identity: typeof stored.identity === 'string' ? stored.identity : randomUUID(),
      given: new Map(given.flatMap(([name, address]): [string, string][] => (typeof address === 'string' ? [[name, address]] : []))),
    };
  } catch {
    return { identity: randomUUID(), given: new Map() };
  }
}
