/** Generated cases for the compiler's unit tests: a plan of addresses, the policy as desired objects, and changes of it. */
import { addressKey } from '../../../src/compile/addresses.js';
import type { CompiledTable, LabelInfo, Side } from '../../../src/compile/compiled.js';
import type { Compilation } from '../../../src/compile/compiler.js';
import { evaluate } from '../../../src/compile/evaluate.js';
import { INET } from '../../../src/drivers/nftables/inet-layout.js';
import { tablePiece } from '../../../src/drivers/nftables/pieces.js';
import { buildWorld, type World } from '../../../src/compile/world.js';
import { canonicalMember } from '../../../src/model/address.js';
import { objectKey, type DesiredObject } from '../../../src/model/objects.js';
import type { AddressSet } from '../../../src/model/rule.js';
import type { ExpectedPolicy } from '../../oracle/expectation.js';
import { generateCase, type GeneratedPacket } from '../../oracle/generate.js';
import { hasPorts, PROTOCOL, type OraclePacket } from '../../oracle/packet.js';
import type { AddressPlan } from '../../oracle/plan.js';
import type { Random } from '../../oracle/random.js';

export const plan: AddressPlan = {
  workloads: [0, 1, 2, 3].map((index) => ({
    name: `vm-${index}`, mac: `02:00:00:00:0${index}:02`, hostMac: `02:00:00:00:0${index}:01`,
    ipv4: `10.10.${index}.2`, ipv6: `fd10::${index}:2`, undeclared: [`10.20.${index}.0/24`, `fd20:0:0:${index}::/64`],
  })),
  host: ['10.10.255.1', 'fd10::ffff:1'],
  outside: ['203.0.113.0/24', '2001:db8:cafe::/64'],
};

export function worldOf(policy: ExpectedPolicy): World {
  const objects = new Map<string, DesiredObject>();
  const add = (object: DesiredObject): void => void objects.set(objectKey(object), object);
  for (const [index, workload] of plan.workloads.entries()) {
    const addresses = [workload.ipv4, workload.ipv6];
    add({ kind: 'VirtualMachine', metadata: { name: workload.name, labels: {} }, nics: [{ name: 'eth0', addresses }] });
    add({ kind: 'Attachment', metadata: { name: `a${index}`, labels: {} }, workload: { kind: 'VirtualMachine', name: workload.name }, vnic: 'eth0', interface: `veth${index}`, addresses: [] });
  }
  for (const set of policy.sharedSets) add({ kind: 'AddressSet', metadata: { name: set.name, labels: {} }, addresses: set.addresses });
  for (const table of policy.tables) {
    const appliedTo = table.appliedTo === undefined ? {} : { appliedTo: { workloads: table.appliedTo.map((name) => ({ kind: 'VirtualMachine' as const, name })) } };
    add({ kind: 'RuleTable', metadata: { name: table.name, labels: {} }, rules: table.rules, layer2Rules: [], addressSets: table.addressSets, ...appliedTo });
  }
  return buildWorld(objects, { number: (attachment) => Number(attachment.slice(1)) });
}

export const policyOf = (seed: number): { policy: ExpectedPolicy; packets: readonly GeneratedPacket[] } => {
  const made = generateCase(seed, plan, { packets: 50, layer2: false });
  const tables = made.tables.map((table) => ({ ...table, layer2Rules: [], addressSets: table.addressSets.map(canonical) }));
  return { policy: { tables, sharedSets: made.sharedSets.map(canonical), failurePolicy: 'closed' }, packets: made.packets };
};

/** As sources deliver it: the same address has one text. */
function canonical(set: AddressSet): AddressSet {
  return { ...set, addresses: [...new Set(set.addresses.map(canonicalMember))] };
}

export const SIDES: readonly Side[] = ['in', 'out'];

/** One list of tables, the same for every filter. */
export function everywhere(policy: ExpectedPolicy): ExpectedPolicy {
  return { ...policy, tables: policy.tables.map(({ appliedTo: _, ...table }) => table) };
}

export function onlyTable({ tables }: Compilation): CompiledTable {
  const [compiled] = tables.values();
  if (compiled === undefined) throw new Error('nothing compiled');
  return compiled;
}

export function decide(compiled: CompiledTable, side: Side, packet: OraclePacket): LabelInfo | 'guarded' {
  const source = addressKey(packet.source);
  const destination = addressKey(packet.destination);
  if (source === undefined || destination === undefined) throw new Error('nothing to decide with');
  const port = packet.icmpType === undefined ? packet.destinationPort ?? 0 : packet.icmpType * 256 + (packet.icmpCode ?? 0);
  return evaluate(compiled, side, { source, destination, protocol: packet.protocol, sourcePort: hasPorts(packet.protocol) ? packet.sourcePort ?? 0 : 0, port });
}

/** Hosts in every kind of place: declared, undeclared, outside; some in the prefixes that generated sets have. */
export const HOSTS: readonly string[] = [
  ...plan.workloads.flatMap(({ ipv4, ipv6 }) => [ipv4, ipv6]), ...plan.host,
  '10.20.0.1', '10.20.1.7', '10.20.2.3', '10.20.3.9', 'fd20:0:0:1::9', 'fd20:0:0:2::3', '203.0.113.9', '2001:db8:cafe::5',
];

/** Any two of HOSTS, with protocols and ports at the edges of what the rules name. Not all of them could travel; rules do not ask. */
export function anyPackets(random: Random, policy: ExpectedPolicy, count: number): OraclePacket[] {
  const rules = policy.tables.flatMap((table) => table.rules);
  const edges = (ranges: readonly { readonly first: number; readonly last: number }[]): number[] => ranges.flatMap(({ first, last }) => [first, last, Math.min(65_535, last + 1)]);
  const ports = [0, 22, 443, ...rules.flatMap((rule) => edges(rule.ports))];
  const sourcePorts = [0, 40_000, ...rules.flatMap((rule) => edges(rule.sourcePorts))];
  const protocols = [PROTOCOL.tcp, PROTOCOL.udp, ...rules.flatMap((rule) => (rule.protocol === 'any' ? [] : [rule.protocol]))];
  return Array.from({ length: count }, (): OraclePacket => {
    const source = random.pick(HOSTS);
    const family = source.includes(':') ? 6 : 4;
    const destination = random.pick(HOSTS.filter((host) => host.includes(':') === (family === 6)));
    const protocol = random.pick(protocols);
    const rest = hasPorts(protocol)
      ? { sourcePort: random.pick(sourcePorts), destinationPort: random.pick(ports) }
      : protocol === PROTOCOL.icmp || protocol === PROTOCOL.icmpv6 ? { icmpType: random.pick([8, 128, 13, 3]), icmpCode: random.int(0, 1) } : {};
    return { family, protocol, source, destination, ...rest };
  });
}

/** Names of kernel sets, and chains by their rules' hashes. */
export function layout(compiled: CompiledTable): unknown {
  const { sets, chains } = tablePiece(INET, 'table', compiled);
  return { sets: [...sets.keys()], chains: [...chains.values()].map(({ name, rules }) => [name, rules.map(({ comment }) => comment)]) };
}
