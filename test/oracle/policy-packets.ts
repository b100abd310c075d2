/** First packets aimed at what the objects of a case name: their addresses, their ports and the numbers next to them. */
import type { DesiredObject } from '../../src/model/objects.js';
import { formatAddress, parseAddress, parseLiteral } from './addresses.js';
import { connectionKey, type GeneratedPacket } from './generate.js';
import { hasPorts, PROTOCOL, type OraclePacket } from './packet.js';
import { endpointOf, HOST, OUTSIDE, type AddressPlan, type Endpoint } from './plan.js';
import { attachmentName, PORT_NUMBERS } from './policy-inventory.js';
import { policyRulesAt, type PolicyPath } from './policy-oracle.js';
import type { FilterRule } from './policy-rule.js';
import { filterNamed, type PolicyWorld } from './policy-world.js';
import type { Random } from './random.js';

/** Half of them match some rule of some filter on their way; the others are what they happen to be. */
export function generatePackets(random: Random, plan: AddressPlan, world: PolicyWorld, count: number): GeneratedPacket[] {
  const aims = aimsOf(plan, world.objects);
  const places = plan.workloads.flatMap(({ name }) => (['in', 'out'] as const).map((direction): { name: string; direction: 'in' | 'out'; rules: readonly FilterRule[] } => {
    return { name, direction, rules: policyRulesAt({ world, filter: filterNamed(world, attachmentName(name)), direction }) };
  })).filter(({ rules }) => rules.length > 0);
  const aimed = (): GeneratedPacket | undefined => {
    const { name, direction, rules } = random.pick(places);
    const rule = random.pick(rules);
    for (let attempt = 0; attempt < 40; attempt += 1) {
      const candidate = packet(random, plan, aims, { [direction === 'in' ? 'to' : 'from']: name });
      if (candidate !== undefined && rule.matches(candidate.packet)) return candidate;
    }
    return undefined;
  };
  const packets: GeneratedPacket[] = [];
  const used = new Set<string>();
  for (let attempt = 0; packets.length < count && attempt < count * 20; attempt += 1) {
    const sent = places.length > 0 && random.chance(0.6) ? aimed() : packet(random, plan, aims, {});
    if (sent === undefined || used.has(connectionKey(sent.packet))) continue;
    used.add(connectionKey(sent.packet));
    packets.push(sent);
  }
  return packets;
}

/** The filters that a packet passes in the world: where it is injected, and where its destination is routed. */
export function pathOf(plan: AddressPlan, { from, packet: { destination } }: GeneratedPacket): PolicyPath {
  const to = endpointOf(plan, destination);
  const at = (endpoint: Endpoint | undefined): string | undefined => {
    return endpoint === undefined || endpoint === HOST || endpoint === OUTSIDE ? undefined : attachmentName(endpoint);
  };
  return { from: at(from), to: at(to) };
}

interface Aims {
  /** Addresses of objects that the world routes outside. */
  readonly outside: readonly string[];
  readonly ports: readonly number[];
}

function aimsOf(plan: AddressPlan, objects: readonly DesiredObject[]): Aims {
  const outside = new Set<string>();
  const ports = new Set<number>(PORT_NUMBERS);
  const visit = (value: unknown): void => {
    if (typeof value === 'string' && /^[0-9a-f:.]+$/.test(value) && /[:.]/.test(value) && endpointOf(plan, value) === OUTSIDE) outside.add(value);
    else if (Array.isArray(value)) value.forEach(visit);
    else if (typeof value === 'object' && value !== null) {
      for (const [key, inner] of Object.entries(value)) {
        if (typeof inner === 'number' && ['port', 'endPort', 'first', 'last'].includes(key)) for (const port of [inner, inner - 1, inner + 1]) ports.add(port);
        visit(inner);
      }
    }
  };
  objects.forEach(visit);
  for (const prefix of plan.outside) outside.add(inside(prefix, 5n)).add(inside(prefix, 200n));
  return { outside: [...outside], ports: [...ports].filter((port) => port > 0 && port < 65_536) };
}

function inside(prefix: string, offset: bigint): string {
  const { kind, first } = parseLiteral(prefix);
  return formatAddress(kind, first + offset);
}

function packet(random: Random, plan: AddressPlan, aims: Aims, ends: { readonly from?: Endpoint; readonly to?: Endpoint }): GeneratedPacket | undefined {
  const from = ends.from ?? random.weighted<Endpoint>([[8, random.pick(plan.workloads).name], [plan.outside.length > 0 ? 4 : 0, OUTSIDE], [2, HOST]]);
  const to = ends.to ?? random.weighted<Endpoint>([[8, random.pick(plan.workloads).name], [plan.outside.length > 0 && from !== OUTSIDE ? 3 : 0, OUTSIDE], [1, HOST]]);
  const local = (endpoint: Endpoint): boolean => endpoint !== HOST && endpoint !== OUTSIDE;
  if (from === to || (!local(from) && !local(to))) return undefined;
  const family = random.pick([4, 6] as const);
  const source = sourceAddress(random, plan, aims, from, family);
  const destination = addressAt(random, plan, aims, to, family);
  if (source === undefined || destination === undefined || source === destination) return undefined;
  const icmp = family === 4 ? PROTOCOL.icmp : PROTOCOL.icmpv6;
  const protocol = random.weighted([[10, PROTOCOL.tcp], [6, PROTOCOL.udp], [4, PROTOCOL.sctp], [3, icmp], [0.5, PROTOCOL.gre], [0.5, 253]]);
  return { from, packet: { family, protocol, source, destination, ...transport(random, aims, protocol) } };
}

/** Mostly its own; sometimes one that is routed to it but declared nowhere, or that of somebody else. The host only sends its own. */
function sourceAddress(random: Random, plan: AddressPlan, aims: Aims, from: Endpoint, family: 4 | 6): string | undefined {
  const borrowed = from !== HOST && from !== OUTSIDE && random.chance(0.08);
  return addressAt(random, plan, aims, borrowed ? random.pick([...plan.workloads.map(({ name }) => name), OUTSIDE]) : from, family);
}

function addressAt(random: Random, plan: AddressPlan, aims: Aims, endpoint: Endpoint, family: 4 | 6): string | undefined {
  const ofFamily = (addresses: readonly string[]): string[] => addresses.filter((address) => parseAddress(address).kind === family);
  if (endpoint === HOST) return ofFamily(plan.host)[0];
  if (endpoint === OUTSIDE) {
    const known = ofFamily(aims.outside);
    return known.length === 0 ? undefined : random.pick(known);
  }
  const workload = plan.workloads.find(({ name }) => name === endpoint);
  if (workload === undefined) return undefined;
  if (random.chance(0.9)) return family === 4 ? workload.ipv4 : workload.ipv6;
  const prefix = workload.undeclared.find((candidate) => parseLiteral(candidate).kind === family);
  return prefix === undefined ? undefined : inside(prefix, BigInt(random.int(1, 20)));
}

function transport(random: Random, aims: Aims, protocol: number): Partial<OraclePacket> {
  if (hasPorts(protocol)) {
    return { sourcePort: random.pick([40_000, 32_767, 32_768, 60_999, 61_000, random.int(1_024, 65_000)]), destinationPort: random.pick(aims.ports) };
  }
  // Only queries: other types do not start a connection.
  if (protocol === PROTOCOL.icmp) return { icmpType: random.pick([8, 8, 13]), icmpCode: random.weighted([[4, 0], [1, 1]]) };
  if (protocol === PROTOCOL.icmpv6) return { icmpType: random.pick([128, 128, 139]), icmpCode: random.weighted([[4, 0], [1, 1]]) };
  return {};
}
