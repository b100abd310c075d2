/**
 * Random rule tables and packets for one world, from a seed. Tables are small and dense, so that first match, overlap
 * and negation matter; packets are aimed at the edges of what the rules name.
 */
import type { AddressMatch, AddressSet, Direction, Layer2Rule, PortRange, Protocol, Rule } from '../../src/model/rule.js';
import { formatAddress, parseAddress, parseLiteral, type AddressRange } from './addresses.js';
import type { OracleTable } from './oracle.js';
import { ETHERTYPE, hasPorts, PROTOCOL, type OraclePacket } from './packet.js';
import { endpointOf, HOST, OUTSIDE, type AddressPlan, type Endpoint } from './plan.js';
import { Random } from './random.js';

export interface GeneratedTable extends OracleTable {
  /** Names of the workloads it applies to; undefined = every filter. */
  readonly appliedTo?: readonly string[];
}

export interface GeneratedPacket {
  /** Where it is injected. */
  readonly from: Endpoint;
  readonly packet: OraclePacket;
}

export interface GeneratedCase {
  readonly seed: number;
  readonly tables: readonly GeneratedTable[];
  /** AddressSet objects of their own. */
  readonly sharedSets: readonly AddressSet[];
  readonly packets: readonly GeneratedPacket[];
}

export interface GenerateOptions {
  readonly packets: number;
  readonly maxRules?: number;
  readonly layer2?: boolean;
  /** Protocols for packets beside tcp, udp, icmp; default gre, esp, 253. */
  readonly otherProtocols?: readonly number[];
}

const ANY: AddressMatch = { not: false, addressSets: [], addresses: [] };
const PORTS = [0, 1, 22, 53, 79, 80, 81, 443, 1023, 1024, 8000, 8050, 8100, 32_767, 32_768, 65_534, 65_535];
const ICMP_TYPES = [8, 13, 15, 17];
const ICMPV6_TYPES = [128, 139];

export function generateCase(seed: number, plan: AddressPlan, options: GenerateOptions): GeneratedCase {
  const random = new Random(seed);
  const sharedSets = random.chance(0.4) ? [addressSet(random, plan, 'shared-a'), addressSet(random, plan, 'shared-b')] : [];
  const names = random.weighted<readonly string[]>([[6, ['table']], [3, ['t2', 't1']], [1, ['b', 'a-last', 'a']]]);
  let nextId = random.int(1, 2_000_000_000);
  const tables = names.map((name): GeneratedTable => {
    const table = generateTable(random, plan, name, nextId, sharedSets, options);
    nextId += table.rules.length + table.layer2Rules.length + 1;
    return table;
  });
  const packets: GeneratedPacket[] = [];
  const used = new Set<string>();
  for (let attempt = 0; packets.length < options.packets && attempt < options.packets * 40; attempt += 1) {
    const candidate = generatePacket(random, plan, tables, sharedSets, options);
    if (candidate === undefined) continue;
    const key = connectionKey(candidate.packet);
    if (used.has(key)) continue;
    used.add(key);
    packets.push(candidate);
  }
  return { seed, tables, sharedSets, packets };
}

/** Equal for packets that the connection tracker cannot tell apart, either way round. */
export function connectionKey(packet: OraclePacket): string {
  const ends = [`${packet.source} ${packet.sourcePort ?? ''}`, `${packet.destination} ${packet.destinationPort ?? ''}`].toSorted();
  return `${packet.protocol} ${ends.join(' ')}`;
}

export function generateTable(
  random: Random,
  plan: AddressPlan,
  name: string,
  firstId: number,
  sharedSets: readonly AddressSet[],
  options: Pick<GenerateOptions, 'maxRules' | 'layer2'>,
): GeneratedTable {
  const own = Array.from({ length: random.int(1, 5) }, (_, index) => addressSet(random, plan, `set-${index}`));
  // A table's own set may hide a shared one.
  if (sharedSets.length > 0 && random.chance(0.3)) own.push(addressSet(random, plan, 'shared-a'));
  const names = [...new Set([...own, ...sharedSets].map((set) => set.name))];
  const macSets: AddressSet[] = [];
  let id = firstId;
  const rules: Rule[] = [];
  const count = random.int(1, options.maxRules ?? 24);
  // Some tables name only peers, as most real ones do: their sets then change in the cheapest way.
  const peersOnly = random.chance(0.3);
  const make = (): Rule => (peersOnly ? peerRule(random, generateRule(random, plan, names, id)) : generateRule(random, plan, names, id));
  while (rules.length < count) {
    const rule = make();
    rules.push(rule);
    // One rule of the manager may be several adjacent lines that differ only in what they match.
    if (random.chance(0.08)) rules.push({ ...(peersOnly ? rule : make()), direction: rule.direction, action: rule.action, log: rule.log, stateless: rule.stateless });
    id += 1;
  }
  if (random.chance(0.5)) rules.push({ ...anyRule(id, random.pick(['accept', 'drop', 'reject'])) });
  id += 1;
  const layer2Rules: Layer2Rule[] = [];
  if ((options.layer2 ?? true) && random.chance(0.3)) {
    macSets.push({ name: 'macs', addresses: plan.workloads.filter(() => random.chance(0.5)).map((workload) => workload.mac) });
    for (let index = random.int(1, 3); index > 0; index -= 1) layer2Rules.push(layer2Rule(random, plan, id++));
  }
  const appliedTo = random.chance(0.3) ? random.subset(plan.workloads.map((workload) => workload.name), 0.7) : undefined;
  const table = { name, rules, layer2Rules, addressSets: [...own, ...macSets] };
  return appliedTo === undefined || appliedTo.length === 0 ? table : { ...table, appliedTo };
}

/** The rule without a condition on the workload's own address: any destination on the way in, any source on the way out. */
function peerRule(random: Random, rule: Rule): Rule {
  const direction = random.pick(['in', 'out'] as const);
  const { family: _, ...rest } = rule;
  return { ...rest, direction, ...(direction === 'in' ? { destination: ANY } : { source: ANY }) };
}

function anyRule(id: number, action: Rule['action']): Rule {
  return { id, direction: 'inout', protocol: 'any', source: ANY, sourcePorts: [], destination: ANY, ports: [], action, log: false, stateless: false };
}

function generateRule(random: Random, plan: AddressPlan, sets: readonly string[], id: number): Rule {
  const protocol = random.weighted<Protocol>([
    [20, 'any'], [36, PROTOCOL.tcp], [20, PROTOCOL.udp], [7, PROTOCOL.icmp], [7, PROTOCOL.icmpv6], [2, PROTOCOL.gre], [2, PROTOCOL.esp], [2, 253],
  ]);
  const ported = protocol !== 'any' && hasPorts(protocol);
  const icmp = protocol === 1 || protocol === 58;
  const type = random.pick(protocol === 1 ? [...ICMP_TYPES, 0, 3] : [...ICMPV6_TYPES, 1, 135]);
  return {
    id,
    direction: random.weighted<Direction>([[6, 'inout'], [3, 'in'], [3, 'out']]),
    // icmp exists in one family, ipv6-icmp in the other: the model refuses the rest.
    ...(random.chance(0.12) ? { family: protocol === 1 ? 4 : protocol === 58 ? 6 : random.pick([4, 6] as const) } : {}),
    protocol,
    source: side(random, plan, sets),
    sourcePorts: ported && random.chance(0.12) ? portRanges(random) : [],
    destination: side(random, plan, sets),
    ports: ported && random.chance(0.8) ? portRanges(random) : [],
    ...(icmp && random.chance(0.7) ? { icmp: { type, ...(random.chance(0.4) ? { code: random.int(0, 2) } : {}) } } : {}),
    action: random.weighted<Rule['action']>([[5, 'accept'], [2, 'drop'], [3, 'reject']]),
    log: random.chance(0.1),
    stateless: random.chance(0.08),
  };
}

function side(random: Random, plan: AddressPlan, sets: readonly string[]): AddressMatch {
  if (random.chance(0.35)) return ANY;
  const inline = random.chance(0.25);
  const addresses = inline ? Array.from({ length: random.int(1, 3) }, () => literal(random, plan)) : [];
  const addressSets = inline && random.chance(0.7) ? [] : [...new Set(Array.from({ length: random.weighted([[5, 1], [2, 2]]) }, () => random.pick(sets)))];
  return { not: random.chance(0.2), addressSets, addresses };
}

function addressSet(random: Random, plan: AddressPlan, name: string): AddressSet {
  const size = random.weighted([[1, 0], [3, 1], [4, 3], [3, 6], [1, 15]]);
  return { name, addresses: [...new Set(Array.from({ length: size }, () => literal(random, plan)))] };
}

/** An address that means something in this world. */
function landmark(random: Random, plan: AddressPlan): { kind: 4 | 6; value: bigint } {
  const text = random.weighted<string>([
    [6, random.pick(plan.workloads).ipv4],
    [5, random.pick(plan.workloads).ipv6],
    [2, random.pick(plan.host)],
    [5, random.pick(random.pick(plan.workloads).undeclared)],
    [plan.outside.length > 0 ? 2 : 0, plan.outside[random.int(0, Math.max(0, plan.outside.length - 1))] ?? random.pick(plan.host)],
  ]);
  const range = parseLiteral(text);
  const spread = range.last - range.first > 64n ? 64n : range.last - range.first;
  const { kind } = range;
  if (kind === 'mac') throw new Error('a plan has no MAC addresses among its prefixes');
  return { kind, value: range.first + BigInt(random.int(0, Number(spread))) };
}

function literal(random: Random, plan: AddressPlan): string {
  const { kind, value } = landmark(random, plan);
  const form = random.weighted<'host' | 'prefix' | 'range'>([[5, 'host'], [3, 'prefix'], [2, 'range']]);
  if (form === 'host') return formatAddress(kind, value);
  if (form === 'prefix') {
    const length = random.pick(kind === 4 ? [32, 31, 30, 29, 28, 27, 24, 16, 8, 0] : [128, 127, 126, 124, 122, 120, 64, 48, 0]);
    const width = kind === 4 ? 32 : 128;
    const size = 1n << BigInt(width - length);
    return `${formatAddress(kind, (value / size) * size)}/${length}`;
  }
  const first = value - BigInt(random.int(0, 20));
  const last = value + BigInt(random.int(0, 20));
  return first === last ? formatAddress(kind, first) : `${formatAddress(kind, first)}-${formatAddress(kind, last)}`;
}

/** Sorted and disjoint, as the model asks. */
function portRanges(random: Random): PortRange[] {
  const wanted = Array.from({ length: random.weighted([[5, 1], [3, 2], [1, 4]]) }, (): PortRange => {
    const first = random.pick(PORTS);
    return random.chance(0.6) ? { first, last: first } : { first, last: Math.min(65_535, first + random.pick([1, 2, 50, 100, 1_000, 65_535])) };
  }).toSorted((a, b) => a.first - b.first);
  const ranges: PortRange[] = [];
  for (const range of wanted) {
    const previous = ranges.at(-1);
    if (previous === undefined || range.first > previous.last) ranges.push(range);
  }
  return ranges;
}

function layer2Rule(random: Random, plan: AddressPlan, id: number): Layer2Rule {
  const macSide = (): AddressMatch => {
    if (random.chance(0.5)) return ANY;
    if (random.chance(0.4)) return { not: random.chance(0.3), addressSets: ['macs'], addresses: [] };
    const workload = random.pick(plan.workloads);
    return { not: random.chance(0.3), addressSets: [], addresses: [random.chance(0.7) ? workload.mac : workload.hostMac] };
  };
  return {
    id,
    direction: random.pick(['in', 'out', 'inout'] as const),
    ethertype: random.weighted<Layer2Rule['ethertype']>([[3, ETHERTYPE.ipv6], [2, ETHERTYPE.ipv4], [2, ETHERTYPE.arp], [1, 'any']]),
    source: macSide(),
    destination: macSide(),
    action: random.chance(0.5) ? 'accept' : 'drop',
    log: false,
  };
}

/** The same policy with hosts, prefixes or ranges come and gone in its sets. */
export function changeSets(random: Random, plan: AddressPlan, tables: readonly GeneratedTable[]): GeneratedTable[] {
  const pool = [...plan.workloads.flatMap((workload) => [workload.ipv4, workload.ipv6]), '10.20.0.0', '10.20.1.7', '10.20.2.255', 'fd20:0:0:1::9', '203.0.113.9', ...plan.host];
  const wide = ['10.20.1.0/28', '10.10.0.0/16', 'fd20::/16', '10.20.2.3-10.20.2.9'];
  const hostsOnly = random.chance(0.6);
  const isHost = (address: string): boolean => !/[-/]/.test(address);
  return tables.map((table) => ({
    ...table,
    addressSets: table.addressSets.map((set) => {
      if (set.name === 'macs') return set;
      if (random.chance(0.4)) return set;
      const kept = set.addresses.filter((address) => random.chance(0.8) || (hostsOnly && !isHost(address)));
      const added = hostsOnly || random.chance(0.7) ? [random.pick(pool), random.pick(pool)] : [random.pick(wide)];
      return { ...set, addresses: [...new Set([...kept, ...added])] };
    }),
  }));
}

function generatePacket(
  random: Random,
  plan: AddressPlan,
  tables: readonly GeneratedTable[],
  sharedSets: readonly AddressSet[],
  options: GenerateOptions,
): GeneratedPacket | undefined {
  const table = random.pick(tables);
  const rule = random.chance(0.85) ? random.pick(table.rules) : undefined;
  const family = rule?.family ?? (rule?.protocol === 1 ? 4 : rule?.protocol === 58 ? 6 : random.pick([4, 6] as const));
  const sets = [...table.addressSets, ...sharedSets];
  const destination = aim(random, plan, rule?.destination, sets, family, true);
  const source = aim(random, plan, rule?.source, sets, family, false);
  if (destination === undefined || source === undefined || source === destination) return undefined;
  const to = endpointOf(plan, destination);
  const owner = endpointOf(plan, source);
  if (to === undefined) return undefined;
  // Mostly from the owner of the source address; sometimes spoofed by another workload. The host only sends its own.
  const spoofable = plan.workloads.map((workload) => workload.name).filter((name) => name !== to);
  const from = owner === HOST || (owner !== undefined && random.chance(0.8)) ? owner : random.pick(spoofable);
  if (from === to) return undefined;
  if (from === OUTSIDE && to === HOST) return undefined;
  const protocol = packetProtocol(random, rule?.protocol, family, options);
  return { from, packet: { family, protocol, source, destination, ...transport(random, rule, protocol) } };
}

function packetProtocol(random: Random, wanted: Protocol | undefined, family: 4 | 6, options: GenerateOptions): number {
  const icmp = family === 4 ? PROTOCOL.icmp : PROTOCOL.icmpv6;
  if (wanted !== undefined && wanted !== 'any' && random.chance(0.85) && wanted !== (family === 4 ? PROTOCOL.icmpv6 : PROTOCOL.icmp)) return wanted;
  const others = options.otherProtocols ?? [PROTOCOL.gre, PROTOCOL.esp, 253];
  return random.weighted<number>([[5, PROTOCOL.tcp], [4, PROTOCOL.udp], [2, icmp], ...others.map((other): [number, number] => [0.4, other])]);
}

function transport(random: Random, rule: Rule | undefined, protocol: number): Partial<OraclePacket> {
  if (hasPorts(protocol)) {
    return { sourcePort: aimPort(random, rule?.sourcePorts ?? [], true), destinationPort: aimPort(random, rule?.ports ?? [], false) };
  }
  if (protocol === 1 || protocol === 58) {
    // Only queries: other types do not start a connection.
    const types = protocol === 1 ? ICMP_TYPES : ICMPV6_TYPES;
    const icmpType = rule?.icmp !== undefined && types.includes(rule.icmp.type) && random.chance(0.8) ? rule.icmp.type : random.pick(types);
    return { icmpType, icmpCode: rule?.icmp?.code !== undefined && random.chance(0.7) ? rule.icmp.code : random.int(0, 2) };
  }
  return {};
}

function aimPort(random: Random, ranges: readonly PortRange[], source: boolean): number {
  if (ranges.length === 0 || random.chance(0.15)) return source ? random.int(1_024, 60_000) : random.pick(PORTS);
  const range = random.pick(ranges);
  const port = random.pick([range.first, range.last, range.first - 1, range.last + 1, random.int(range.first, range.last)]);
  return Math.max(0, Math.min(65_535, port));
}

/** An address at an edge of what the side names; destinations only where the world routes them. */
function aim(random: Random, plan: AddressPlan, match: AddressMatch | undefined, sets: readonly AddressSet[], family: 4 | 6, routed: boolean): string | undefined {
  const literals = match === undefined ? [] : [...match.addresses];
  for (const name of match?.addressSets ?? []) literals.push(...(sets.find((set) => set.name === name)?.addresses ?? []));
  const ranges: AddressRange[] = literals.map(parseLiteral).filter((range) => range.kind === family);
  for (let attempt = 0; attempt < 8; attempt += 1) {
    const value = ranges.length > 0 && random.chance(0.75) ? edge(random, random.pick(ranges)) : undefined;
    const candidate = value === undefined ? landmarkOf(random, plan, family) : formatAddress(family, value);
    if (usable(plan, candidate, family, routed)) return candidate;
  }
  const fallback = landmarkOf(random, plan, family);
  return usable(plan, fallback, family, routed) ? fallback : undefined;
}

function edge(random: Random, range: AddressRange): bigint {
  const span = range.last - range.first;
  const inside = range.first + (span > 1_000n ? BigInt(random.int(0, 1_000)) : BigInt(random.int(0, Number(span))));
  return random.pick([range.first, range.last, range.first - 1n, range.last + 1n, inside]);
}

function landmarkOf(random: Random, plan: AddressPlan, family: 4 | 6): string {
  for (;;) {
    const { kind, value } = landmark(random, plan);
    if (kind === family) return formatAddress(kind, value);
  }
}

/** Sources only where the kernel would not refuse the packet before any rule sees it. */
function usable(plan: AddressPlan, address: string, family: 4 | 6, routed: boolean): boolean {
  const { value } = parseAddress(address);
  if (value < 0n || value >= 1n << (family === 4 ? 32n : 128n)) return false;
  if (routed) return endpointOf(plan, address) !== undefined;
  if (family === 4) {
    const top = Number(value >> 24n);
    return top !== 0 && top !== 127 && top < 224;
  }
  // 2000::/3 and fc00::/7: global and unique local sources; link-local sources are not forwarded.
  const top = Number(value >> 120n);
  return (top >= 0x20 && top <= 0x3f) || top === 0xfc || top === 0xfd;
}
