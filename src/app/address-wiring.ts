/** Learning of addresses, put together; undefined where nobody wants it: then no frame is copied and nothing is kept. */
import { BlockList } from 'node:net';
import { join } from 'node:path';
import { LearnedAddresses, type FrameReader } from '../discovery/addresses/learned-addresses.js';
import type { LearnedBy } from '../discovery/addresses/sighting.js';
import { familyOf } from '../model/family.js';
import type { DesiredObject } from '../model/objects.js';
import { writeFileAtomic } from '../platform/atomic-file.js';
import type { Clock } from '../platform/clock.js';
import type { Logger } from '../platform/logger.js';
import { readTextFile } from '../platform/read-file.js';
import type { Config } from './config.js';
import { DeclaredAddresses } from './declared-addresses.js';
import type { NamedSource } from './desired.js';
import { isOfDiscovery, RelevantObjects } from './relevant-objects.js';

export const ADDRESS_SOURCE = 'addresses';

export interface AddressWiring {
  readonly config: Config;
  /** All others. */
  readonly sources: readonly NamedSource[];
  readonly reader: FrameReader;
  /** Of this host; the same list while nothing changed. */
  readonly hostAddresses: () => readonly string[];
  readonly clock: Clock;
  readonly log: Logger;
}

const NONE: ReadonlyMap<string, DesiredObject> = new Map();
const NOWHERE: readonly string[] = [];

/** Annotations can switch it on where the configuration does not: it is always there. */
export function wireAddresses({ config, sources, reader, hostAddresses, clock, log }: AddressWiring): LearnedAddresses {
  const { ipDiscovery, stateDir, node } = config;
  const file = join(stateDir, 'addresses.json');
  const others = sources.find(({ source }) => source.yields === true)?.source;
  const own = sources.flatMap(({ source }) => (source === others ? [] : [source]));
  // What others say of a machine that is attached here is how it was there.
  const relevant = own.map((source) => new RelevantObjects(source, isOfDiscovery(node)));
  const published = others === undefined ? undefined : new RelevantObjects(others, ({ kind }) => kind === 'VirtualMachine');
  const declared = new DeclaredAddresses(own, hostAddresses);
  const elsewhere = new DeclaredAddresses(others === undefined ? [] : [others], () => NOWHERE);
  const methods: readonly (readonly [LearnedBy, boolean])[] = [
    ['arp', ipDiscovery.arpSnooping], ['nd', ipDiscovery.ndSnooping], ['dhcp', ipDiscovery.dhcpSnooping], ['dhcpv6', ipDiscovery.dhcpv6Snooping],
  ];
  return new LearnedAddresses({
    mode: ipDiscovery.mode, methods: new Set(methods.flatMap(([by, wanted]) => (wanted ? [by] : []))),
    limits: { arp: ipDiscovery.arpBindingLimit, nd: ipDiscovery.ndBindingLimit, staleMs: ipDiscovery.bindingTimeout * 1_000 },
    isServer: serversOf(ipDiscovery.dhcpServers), reader, objects: () => relevant.map(({ objects }) => objects), published: () => published?.objects ?? NONE,
    owners: { revision: () => declared.revision(), ownerOf: (address, key) => declared.ownerOf(address, key), elsewhere: (address, key) => elsewhere.ownerOf(address, key) },
    store: { read: () => readTextFile(file), write: (text) => writeFileAtomic(file, text) }, clock, log,
  });
}

function serversOf(networks: readonly string[]): ((address: string) => boolean) | undefined {
  if (networks.length === 0) return undefined;
  const list = new BlockList();
  for (const network of networks) {
    const [address = '', length] = network.split('/');
    const family = familyOf(address);
    list.addSubnet(address, Number(length ?? (family === 4 ? 32 : 128)), family === 4 ? 'ipv4' : 'ipv6');
  }
  return (address) => list.check(address, familyOf(address) === 4 ? 'ipv4' : 'ipv6');
}
