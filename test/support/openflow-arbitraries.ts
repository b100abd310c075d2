/** Random matches that a switch accepts, in the form in which the codec decodes them: numbers up to 32 bits, bigints above, registers by themselves. */
import fc from 'fast-check';
import { fieldNamed, fields } from '../../src/drivers/ovs/openflow/fields.js';
import type { FieldName } from '../../src/drivers/ovs/openflow/fields.js';
import type { MatchField } from '../../src/drivers/ovs/openflow/match.js';

const ANYWHERE: readonly FieldName[] = [
  'conj_id', 'in_port', 'actset_output', 'eth_src', 'eth_dst', 'tun_id', 'tun_src', 'tun_dst', 'tun_ipv6_src', 'tun_ipv6_dst', 'pkt_mark', 'ct_zone', 'ct_mark', 'ct_label',
  'metadata', 'reg0', 'reg1', 'reg2', 'reg3', 'reg5', 'reg6', 'reg8', 'reg15',
];
const IP: readonly FieldName[] = ['ip_dscp', 'ip_ecn', 'nw_ttl'];
const CONNECTION: readonly FieldName[] = ['ct_nw_proto', 'ct_tp_src', 'ct_tp_dst'];

/** Exact values that make a kind of packet, and what may be said of it besides. */
interface Kind {
  readonly exact: readonly MatchField[];
  readonly more: readonly FieldName[];
}

const is = (field: FieldName, value: number): MatchField => ({ field, value });
const ipv4 = is('eth_type', 0x0800);
const ipv6 = is('eth_type', 0x86dd);
const IPV4: readonly FieldName[] = ['ip_src', 'ip_dst', ...IP];
const IPV6: readonly FieldName[] = ['ipv6_src', 'ipv6_dst', 'ipv6_label', ...IP];
const tracked = (exact: readonly MatchField[]): MatchField[] => [...exact, { field: 'ct_state', value: 0x22, mask: 0x32 }, { field: 'ct_nw_proto', value: 6 }];

const KINDS: readonly Kind[] = [
  { exact: [], more: [] },
  { exact: [is('eth_type', 0x88cc)], more: [] },
  { exact: [{ field: 'vlan_vid', value: 0x1005 }], more: ['vlan_pcp'] },
  { exact: [is('eth_type', 0x0806)], more: ['arp_op', 'arp_spa', 'arp_tpa', 'arp_sha', 'arp_tha'] },
  { exact: [ipv4], more: [...IPV4, 'ip_frag', 'ip_proto'] },
  { exact: [ipv6], more: [...IPV6, 'ip_frag', 'ip_proto'] },
  ...[ipv4, ipv6].flatMap((type) => [
    { exact: [type, is('ip_proto', 6)], more: [...(type === ipv4 ? IPV4 : IPV6), 'tcp_src', 'tcp_dst', 'tcp_flags'] as const },
    { exact: [type, is('ip_proto', 17)], more: [...(type === ipv4 ? IPV4 : IPV6), 'udp_src', 'udp_dst'] as const },
    { exact: [type, is('ip_proto', 132)], more: [...(type === ipv4 ? IPV4 : IPV6), 'sctp_src', 'sctp_dst'] as const },
  ]),
  { exact: [ipv4, is('ip_proto', 1)], more: [...IPV4, 'icmp_type', 'icmp_code'] },
  { exact: [ipv6, is('ip_proto', 58), is('icmpv6_type', 128)], more: [...IPV6, 'icmpv6_code'] },
  { exact: [ipv6, is('ip_proto', 58), is('icmpv6_type', 135)], more: ['nd_target', 'nd_sll'] },
  { exact: [ipv6, is('ip_proto', 58), is('icmpv6_type', 136)], more: ['nd_target', 'nd_tll'] },
  { exact: tracked([ipv4]), more: ['ct_nw_src', 'ct_nw_dst', ...CONNECTION] },
  { exact: tracked([ipv6]), more: ['ct_ipv6_src', 'ct_ipv6_dst', ...CONNECTION] },
];

/** A match in the order in which it is written, with everything that it needs. */
export const validMatch: fc.Arbitrary<readonly MatchField[]> = fc
  .constantFrom(...KINDS)
  .chain(({ exact, more }) =>
    fc.subarray([...more, ...ANYWHERE], { maxLength: 8 }).chain((names) => {
      const said = new Set(exact.map(({ field }) => field));
      return fc.tuple(...names.filter((name) => !said.has(name)).map((name) => matchField(name))).map((chosen) => [...exact, ...chosen].sort(byOrder));
    }),
  );

export function byOrder(a: MatchField, b: MatchField): number {
  return fieldNamed(a.field).order - fieldNamed(b.field).order;
}

/** Any value of the field, exact or, where that is possible, with any mask that is neither empty nor full. */
export function matchField(name: FieldName): fc.Arbitrary<MatchField> {
  const field = fieldNamed(name);
  const value = fieldValue(name);
  const exact = value.map((number) => ({ field: name, value: number }));
  if (!field.maskable || field.bits === 1) return exact;
  const full = (1n << BigInt(field.bits)) - 1n;
  const masked = fc.tuple(fc.bigInt(0n, full), fc.bigInt(1n, full - 1n)).map(([bits, mask]) =>
    field.bits <= 32 ? { field: name, value: Number(bits & mask), mask: Number(mask) } : { field: name, value: bits & mask, mask },
  );
  return fc.oneof(exact, masked);
}

export function fieldValue(name: FieldName): fc.Arbitrary<number | bigint> {
  const { bits } = fieldNamed(name);
  // Numbers of ports end where the reserved ones of Open vSwitch begin.
  if (name === 'in_port' || name === 'actset_output') return fc.integer({ min: 1, max: 0xfeff });
  // The switch keeps operations of ARP in one byte.
  if (name === 'arp_op') return fc.integer({ min: 0, max: 255 });
  // Without tag its priority says nothing, and protocols of other kinds of packet need no other fields.
  if (name === 'ip_proto' || name === 'ct_nw_proto') return fc.integer({ min: 1, max: 255 });
  return bits <= 32 ? fc.integer({ min: 0, max: 2 ** bits - 1 }) : fc.bigInt(0n, (1n << BigInt(bits)) - 1n);
}

/** Fields that a match may name, except the wide registers, which come back as small ones. */
export const MATCH_FIELDS: readonly FieldName[] = fields()
  .map(({ name }) => name)
  .filter((name) => !/^xx?reg/.test(name) && name !== 'in_port_16' && name !== 'vlan_tci');
