/** Members of address sets ↔ Addresses of rule_table.proto: hosts as bytes, everything else as text. */
import { v4FromText, v4ToText, v6FromText, v6ToText } from '../../../model/address.js';
import { AgentError } from '../../../model/errors.js';
import { fieldsOf } from '../../../model/identity.js';
import { LIMITS } from '../../../model/rule.js';

const V4_BYTES = 4;
const V6_BYTES = 16;

/** Canonical members → the message. The order among IPv4 hosts, IPv6 hosts and others is kept, not across them. */
export function addressesMessage(members: readonly string[]): object {
  const ipv4: number[] = [];
  const ipv6: { readonly hi: bigint; readonly lo: bigint }[] = [];
  const others: string[] = [];
  for (const member of members) {
    const four = v4FromText(member);
    const six = four === undefined && member.includes(':') ? v6FromText(member) : undefined;
    if (four !== undefined) ipv4.push(four);
    else if (six !== undefined && v6ToText(six.hi, six.lo) === member) ipv6.push(six);
    else others.push(member);
  }
  const four = Buffer.alloc(ipv4.length * V4_BYTES);
  ipv4.forEach((address, index) => four.writeUInt32BE(address, index * V4_BYTES));
  const six = Buffer.alloc(ipv6.length * V6_BYTES);
  ipv6.forEach(({ hi, lo }, index) => {
    six.writeBigUInt64BE(hi, index * V6_BYTES);
    six.writeBigUInt64BE(lo, index * V6_BYTES + 8);
  });
  return { ...(four.length === 0 ? {} : { ipv4: four }), ...(six.length === 0 ? {} : { ipv6: six }), ...(others.length === 0 ? {} : { others }) };
}

/** `hosts` are canonical, `others` are as they were written. @throws AgentError E_INVALID where the bytes are no whole addresses, E_LIMIT for too many. */
export function addressesOf(message: unknown, path: string): { readonly hosts: readonly string[]; readonly others: readonly unknown[] } {
  const { ipv4, ipv6, others } = fieldsOf(message) ?? {};
  const four = bytesOf(ipv4, V4_BYTES, `${path}.ipv4`);
  const six = bytesOf(ipv6, V6_BYTES, `${path}.ipv6`);
  const texts: readonly unknown[] = Array.isArray(others) ? others : [];
  const count = four.length / V4_BYTES + six.length / V6_BYTES + texts.length;
  if (count > LIMITS.addressesPerSet) throw new AgentError('E_LIMIT', `${count} addresses; the limit is ${LIMITS.addressesPerSet} (addressesPerSet)`, { path });
  const hosts: string[] = [];
  for (let at = 0; at < four.length; at += V4_BYTES) hosts.push(v4ToText(four.readUInt32BE(at)));
  for (let at = 0; at < six.length; at += V6_BYTES) hosts.push(v6ToText(six.readBigUInt64BE(at), six.readBigUInt64BE(at + 8)));
  return { hosts, others: texts };
}

function bytesOf(value: unknown, size: number, path: string): Buffer {
  if (!(value instanceof Uint8Array)) return Buffer.alloc(0);
  if (value.length % size !== 0) throw new AgentError('E_INVALID', `${value.length} bytes are no whole addresses of ${size}`, { path });
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
}
