/**
 * The match fields that we need, with the numbers and rules that Open vSwitch gives them (ovs-fields(7); OpenFlow 1.5.1,
 * section 7.2.3).
 */
import { VENDOR } from './constants.js';

/** What else a match must say before it may name the field. */
export type Prerequisite =
  | 'none' | 'ethernet' | 'vlan' | 'arp' | 'ipv4' | 'ipv6' | 'ip' | 'tcp' | 'udp' | 'sctp' | 'icmp' | 'icmpv6' | 'nd' | 'nd_solicit' | 'nd_advert'
  | 'ct' | 'ct4' | 'ct6';

/** Number of a field on the wire: class and field of an OXM header, and the experimenter where class is 0xffff. */
export interface OxmNumber {
  readonly class: number;
  readonly field: number;
  readonly experimenter?: number;
}

export interface Field {
  readonly name: FieldName;
  /** Bits that mean something; the value has whole bytes. */
  readonly bits: number;
  readonly bytes: number;
  readonly maskable: boolean;
  readonly prerequisite: Prerequisite;
  /** Nicira's number (NXM), which older actions write; undefined where the field has none. */
  readonly nxm: OxmNumber | undefined;
  /** Number in matches and new actions. */
  readonly oxm15: OxmNumber;
  readonly oxm14: OxmNumber;
  /** Place in a match as Open vSwitch writes it. */
  readonly order: number;
}

const OF = 0x8000;
const NXM0 = 0x0000;
const NXM1 = 0x0001;
const REGS = 0x8001;
const EXPERIMENTER = 0xffff;

type Row = readonly [name: string, bits: number, maskable: boolean, prerequisite: Prerequisite, oxm: OxmNumber | undefined, nxm: OxmNumber | undefined];
const of = (field: number): OxmNumber => ({ class: OF, field });
const nx0 = (field: number): OxmNumber => ({ class: NXM0, field });
const nx1 = (field: number): OxmNumber => ({ class: NXM1, field });
const onf = (field: number): OxmNumber => ({ class: EXPERIMENTER, field, experimenter: VENDOR.ONF });

/** In the order in which Open vSwitch writes a match. */
const ROWS = [
  ['packet_type', 32, false, 'none', of(44), undefined],
  ['conj_id', 32, false, 'none', undefined, nx1(37)],
  ['in_port', 32, false, 'none', of(0), undefined],
  ['actset_output', 32, false, 'none', of(43), undefined],
  ['eth_src', 48, true, 'ethernet', of(4), nx0(2)],
  ['eth_dst', 48, true, 'ethernet', of(3), nx0(1)],
  ['eth_type', 16, false, 'ethernet', of(5), nx0(3)],
  ['vlan_vid', 13, true, 'ethernet', of(6), undefined],
  ['vlan_pcp', 3, false, 'vlan', of(7), undefined],
  ['ip_src', 32, true, 'ipv4', of(11), nx0(7)],
  ['ip_dst', 32, true, 'ipv4', of(12), nx0(8)],
  ['ipv6_src', 128, true, 'ipv6', of(26), nx1(19)],
  ['ipv6_dst', 128, true, 'ipv6', of(27), nx1(20)],
  ['ip_frag', 2, true, 'ip', undefined, nx1(26)],
  ['ip_dscp', 6, false, 'ip', of(8), undefined],
  ['ip_ecn', 2, false, 'ip', of(9), nx1(28)],
  ['nw_ttl', 8, false, 'ip', undefined, nx1(29)],
  ['ipv6_label', 20, true, 'ipv6', of(28), nx1(27)],
  ['ip_proto', 8, false, 'ip', of(10), nx0(6)],
  ['tcp_src', 16, true, 'tcp', of(13), nx0(9)],
  ['tcp_dst', 16, true, 'tcp', of(14), nx0(10)],
  ['tcp_flags', 12, true, 'tcp', of(42), nx1(34)],
  ['udp_src', 16, true, 'udp', of(15), nx0(11)],
  ['udp_dst', 16, true, 'udp', of(16), nx0(12)],
  ['sctp_src', 16, true, 'sctp', of(17), undefined],
  ['sctp_dst', 16, true, 'sctp', of(18), undefined],
  ['icmp_type', 8, false, 'icmp', of(19), nx0(13)],
  ['icmp_code', 8, false, 'icmp', of(20), nx0(14)],
  ['icmpv6_type', 8, false, 'icmpv6', of(29), nx1(21)],
  ['icmpv6_code', 8, false, 'icmpv6', of(30), nx1(22)],
  ['nd_target', 128, true, 'nd', of(31), nx1(23)],
  ['nd_sll', 48, true, 'nd_solicit', of(32), nx1(24)],
  ['nd_tll', 48, true, 'nd_advert', of(33), nx1(25)],
  ['arp_op', 16, false, 'arp', of(21), nx0(15)],
  ['arp_spa', 32, true, 'arp', of(22), nx0(16)],
  ['arp_tpa', 32, true, 'arp', of(23), nx0(17)],
  ['arp_sha', 48, true, 'arp', of(24), nx1(17)],
  ['arp_tha', 48, true, 'arp', of(25), nx1(18)],
  ['tun_id', 64, true, 'none', of(38), nx1(16)],
  ['tun_flags', 1, true, 'none', undefined, nx1(104)],
  ['tun_src', 32, true, 'none', undefined, nx1(31)],
  ['tun_dst', 32, true, 'none', undefined, nx1(32)],
  ['tun_ipv6_src', 128, true, 'none', undefined, nx1(109)],
  ['tun_ipv6_dst', 128, true, 'none', undefined, nx1(110)],
  ['reg0', 32, true, 'none', undefined, nx1(0)],
  ['reg1', 32, true, 'none', undefined, nx1(1)],
  ['reg2', 32, true, 'none', undefined, nx1(2)],
  ['reg3', 32, true, 'none', undefined, nx1(3)],
  ['reg4', 32, true, 'none', undefined, nx1(4)],
  ['reg5', 32, true, 'none', undefined, nx1(5)],
  ['reg6', 32, true, 'none', undefined, nx1(6)],
  ['reg7', 32, true, 'none', undefined, nx1(7)],
  ['reg8', 32, true, 'none', undefined, nx1(8)],
  ['reg9', 32, true, 'none', undefined, nx1(9)],
  ['reg10', 32, true, 'none', undefined, nx1(10)],
  ['reg11', 32, true, 'none', undefined, nx1(11)],
  ['reg12', 32, true, 'none', undefined, nx1(12)],
  ['reg13', 32, true, 'none', undefined, nx1(13)],
  ['reg14', 32, true, 'none', undefined, nx1(14)],
  ['reg15', 32, true, 'none', undefined, nx1(15)],
  ['xreg0', 64, true, 'none', { class: REGS, field: 0 }, undefined],
  ['xreg1', 64, true, 'none', { class: REGS, field: 1 }, undefined],
  ['xreg2', 64, true, 'none', { class: REGS, field: 2 }, undefined],
  ['xreg3', 64, true, 'none', { class: REGS, field: 3 }, undefined],
  ['xreg4', 64, true, 'none', { class: REGS, field: 4 }, undefined],
  ['xreg5', 64, true, 'none', { class: REGS, field: 5 }, undefined],
  ['xreg6', 64, true, 'none', { class: REGS, field: 6 }, undefined],
  ['xreg7', 64, true, 'none', { class: REGS, field: 7 }, undefined],
  ['xxreg0', 128, true, 'none', undefined, nx1(111)],
  ['xxreg1', 128, true, 'none', undefined, nx1(112)],
  ['xxreg2', 128, true, 'none', undefined, nx1(113)],
  ['xxreg3', 128, true, 'none', undefined, nx1(114)],
  ['pkt_mark', 32, true, 'none', undefined, nx1(33)],
  ['ct_state', 32, true, 'none', undefined, nx1(105)],
  ['ct_zone', 16, false, 'none', undefined, nx1(106)],
  ['ct_mark', 32, true, 'none', undefined, nx1(107)],
  ['ct_label', 128, true, 'none', undefined, nx1(108)],
  ['ct_nw_src', 32, true, 'ct4', undefined, nx1(120)],
  ['ct_ipv6_src', 128, true, 'ct6', undefined, nx1(122)],
  ['ct_nw_dst', 32, true, 'ct4', undefined, nx1(121)],
  ['ct_ipv6_dst', 128, true, 'ct6', undefined, nx1(123)],
  ['ct_nw_proto', 8, false, 'ct', undefined, nx1(119)],
  ['ct_tp_src', 16, true, 'ct', undefined, nx1(124)],
  ['ct_tp_dst', 16, true, 'ct', undefined, nx1(125)],
  ['metadata', 64, true, 'none', of(2), undefined],
  // Only actions name these: 16-bit forms of fields above.
  ['in_port_16', 16, false, 'none', undefined, nx0(0)],
  ['vlan_tci', 16, true, 'ethernet', undefined, nx0(4)],
] as const satisfies readonly Row[];

export type FieldName = (typeof ROWS)[number][0];

/** Both have another number in OpenFlow 1.4. */
const OXM14: Readonly<Partial<Record<FieldName, OxmNumber>>> = { tcp_flags: onf(42), actset_output: onf(43) };

const ALL: readonly Field[] = ROWS.flatMap(([name, bits, maskable, prerequisite, oxm, nxm], order) => {
  const number = oxm ?? nxm;
  // Every row has at least one number.
  return number === undefined ? [] : [{ name, bits, bytes: wholeBytes(bits), maskable, prerequisite, nxm, oxm15: number, oxm14: OXM14[name] ?? number, order }];
});

function wholeBytes(bits: number): number {
  if (bits <= 8) return 1;
  if (bits <= 16) return 2;
  return bits <= 32 ? 4 : bits / 8;
}

const BY_NAME: ReadonlyMap<string, Field> = new Map(ALL.map((field) => [field.name, field]));

/** Any of a field's numbers leads to it: switches and old actions use the older ones. */
const BY_NUMBER: ReadonlyMap<number, Field> = new Map(
  ALL.flatMap((field) => [field.nxm, field.oxm14, field.oxm15].filter((number) => number !== undefined).map((number) => [key(number.class, number.field, number.experimenter ?? 0), field] as const)),
);

function key(oxmClass: number, field: number, experimenter: number): number {
  return (experimenter % 0x10_0000) * 0x80_0000 + oxmClass * 0x80 + field;
}

export function fields(): readonly Field[] {
  return ALL;
}

export function fieldNamed(name: FieldName): Field {
  const field = BY_NAME.get(name);
  // The type allows only names of the table.
  if (field === undefined) throw new TypeError(`no field ${name}`);
  return field;
}

/** Undefined for fields that we do not know. */
export function fieldNumbered(oxmClass: number, field: number, experimenter: number): Field | undefined {
  return BY_NUMBER.get(key(oxmClass, field, experimenter));
}

export const REGISTERS = 16;

/** 0..15 for reg0..reg15. */
export function registerIndex(field: Field): number | undefined {
  const index = field.order - FIRST_REGISTER;
  return index >= 0 && index < REGISTERS ? index : undefined;
}

/** First of the 32-bit registers that xreg0..7 (two each) and xxreg0..3 (four each) stand for. */
export function wideRegister(field: Field): { readonly first: number; readonly count: number } | undefined {
  const index = field.order - FIRST_REGISTER - REGISTERS;
  if (index < 0 || index >= 12) return undefined;
  return index < 8 ? { first: index * 2, count: 2 } : { first: (index - 8) * 4, count: 4 };
}

const FIRST_REGISTER = fieldNamed('reg0').order;

/** Bits of ct_state (ovs-fields(7)). */
export const CT_STATE = { NEW: 1, ESTABLISHED: 2, RELATED: 4, REPLY: 8, INVALID: 16, TRACKED: 32, SNAT: 64, DNAT: 128 } as const;
/** Bits of ip_frag: any fragment; a later one. */
export const IP_FRAG = { ANY: 1, LATER: 2 } as const;
/** In vlan_vid and vlan_tci: there is a tag. */
export const VLAN_PRESENT = 0x1000;
