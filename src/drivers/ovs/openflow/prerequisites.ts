/**
 * What a match must say before it may name a field (ovs-fields(7)): missing parts are added where only one is possible,
 * else the match is refused here, with a reason, and not by the switch, with a number.
 */
import { unencodable } from './bytes.js';
import { CT_STATE, fieldNamed, VLAN_PRESENT } from './fields.js';
import type { Field, FieldName } from './fields.js';
import type { Masked } from './oxm.js';

export const ETHERTYPE = { IPV4: 0x0800, ARP: 0x0806, RARP: 0x8035, IPV6: 0x86dd } as const;
export const IP_PROTOCOL = { ICMP: 1, TCP: 6, UDP: 17, ICMPV6: 58, SCTP: 132 } as const;
const ND_SOLICIT = 135;
const ND_ADVERT = 136;
/** One of these bits, or "tracked and not invalid", says that the packet has a connection. */
const CT_VALID = CT_STATE.NEW | CT_STATE.ESTABLISHED | CT_STATE.RELATED | CT_STATE.REPLY | CT_STATE.SNAT | CT_STATE.DNAT;

export interface MatchEntry extends Masked {
  readonly field: Field;
}

/** Adds to `entries` what they need. E_INVALID when two fields contradict each other or a choice is open. */
export function addPrerequisites(entries: MatchEntry[]): void {
  const match = new Said(entries);
  // By length: what is added at the end has prerequisites of its own.
  for (let index = 0; index < entries.length; index += 1) {
    const entry = entries[index];
    if (entry !== undefined) require(match, entry.field);
  }
  for (const entry of entries) requireIp(match, entry.field);
}

/** What a match says so far. */
class Said {
  constructor(private readonly entries: MatchEntry[]) {}

  /** Undefined when it says nothing or only some bits. */
  exact(name: FieldName): number | undefined {
    const entry = this.find(name);
    return entry === undefined || entry.mask !== undefined ? undefined : Number(entry.value);
  }

  find(name: FieldName): MatchEntry | undefined {
    return this.entries.find((entry) => entry.field.name === name);
  }

  /** The field has one of the values; when it says nothing, the first is added. */
  oneOf(name: FieldName, allowed: readonly [number, ...number[]], because: Field): void {
    const value = this.exact(name);
    if (value !== undefined && !allowed.includes(value)) throw unencodable(`${because.name} needs ${name} ${allowed.join(' or ')}, not ${String(value)}`);
    if (value === undefined) this.add(name, allowed[0], undefined);
  }

  add(name: FieldName, value: number, mask: number | undefined): void {
    this.entries.push({ field: fieldNamed(name), value, mask });
  }
}

const PROTOCOLS = { tcp: IP_PROTOCOL.TCP, udp: IP_PROTOCOL.UDP, sctp: IP_PROTOCOL.SCTP } as const;

function require(match: Said, field: Field): void {
  const { prerequisite } = field;
  switch (prerequisite) {
    case 'none':
    case 'ethernet':
    case 'ip':
    case 'ct':
      break;
    case 'vlan':
      requireVlan(match, field);
      break;
    case 'arp':
      match.oneOf('eth_type', [ETHERTYPE.ARP, ETHERTYPE.RARP], field);
      break;
    case 'ipv4':
    case 'ct4':
      match.oneOf('eth_type', [ETHERTYPE.IPV4], field);
      break;
    case 'ipv6':
    case 'ct6':
      match.oneOf('eth_type', [ETHERTYPE.IPV6], field);
      break;
    case 'tcp':
    case 'udp':
    case 'sctp':
      match.oneOf('ip_proto', [PROTOCOLS[prerequisite]], field);
      break;
    case 'icmp':
      match.oneOf('eth_type', [ETHERTYPE.IPV4], field);
      match.oneOf('ip_proto', [IP_PROTOCOL.ICMP], field);
      break;
    case 'icmpv6':
      match.oneOf('eth_type', [ETHERTYPE.IPV6], field);
      match.oneOf('ip_proto', [IP_PROTOCOL.ICMPV6], field);
      break;
    case 'nd':
      requireNd(match, field);
      break;
    case 'nd_solicit':
      match.oneOf('icmpv6_type', [ND_SOLICIT], field);
      break;
    case 'nd_advert':
      match.oneOf('icmpv6_type', [ND_ADVERT], field);
      break;
  }
}

/** Solicitation or advertisement: nd_sll and nd_tll tell, and are not looked at yet. */
function requireNd(match: Said, field: Field): void {
  const type = match.exact('icmpv6_type');
  if (type !== undefined && type !== ND_SOLICIT && type !== ND_ADVERT) throw unencodable(`${field.name} needs icmpv6_type 135 or 136, not ${String(type)}`);
  if (type !== undefined) return;
  if (match.find('nd_sll') !== undefined) match.add('icmpv6_type', ND_SOLICIT, undefined);
  else if (match.find('nd_tll') !== undefined) match.add('icmpv6_type', ND_ADVERT, undefined);
  else throw unencodable(`${field.name} needs icmpv6_type 135 or 136`);
}

function requireVlan(match: Said, field: Field): void {
  const tag = match.find('vlan_vid');
  if (tag === undefined) match.add('vlan_vid', VLAN_PRESENT, VLAN_PRESENT);
  else if ((Number(tag.value) & VLAN_PRESENT) === 0) throw unencodable(`${field.name} needs a vlan_vid with its present bit`);
}

/** After all others, which may have said which of IPv4 and IPv6 it is. */
function requireIp(match: Said, field: Field): void {
  switch (field.prerequisite) {
    case 'ip':
    case 'tcp':
    case 'udp':
    case 'sctp':
      break;
    case 'ct':
    case 'ct4':
    case 'ct6': {
      const state = match.find('ct_state');
      const value = Number(state?.value ?? 0);
      const mask = Number(state === undefined ? 0 : (state.mask ?? 0xffff_ffff));
      const valid = (value & CT_VALID) !== 0 || ((value & CT_STATE.TRACKED) !== 0 && (mask & CT_STATE.INVALID) !== 0 && (value & CT_STATE.INVALID) === 0);
      if (!valid) throw unencodable(`${field.name} needs a ct_state that only connections have, such as "tracked and not invalid"`);
      break;
    }
    case 'none':
    case 'ethernet':
    case 'vlan':
    case 'arp':
    case 'ipv4':
    case 'ipv6':
    case 'icmp':
    case 'icmpv6':
    case 'nd':
    case 'nd_solicit':
    case 'nd_advert':
      return;
  }
  const type = match.exact('eth_type');
  if (type !== ETHERTYPE.IPV4 && type !== ETHERTYPE.IPV6) throw unencodable(`${field.name} needs eth_type 0x800 or 0x86dd`);
}
