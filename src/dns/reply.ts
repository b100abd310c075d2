/** What a DNS message says of addresses (RFC 1035 section 4, RFC 3596). */
import { isIP } from 'node:net';
import { decode, type Answer } from 'dns-packet';
import { canonicalHost } from '../model/address.js';

export interface NameAnswer {
  /** The name that was asked for, in lower case, without the dot at its end. */
  readonly name: string;
  /** Canonical, no address twice. `ttlSeconds`: the shortest of the records that lead to it. */
  readonly addresses: readonly { readonly address: string; readonly ttlSeconds: number }[];
}

const OPCODE = 0x7800;
const RCODE = 0x000f;
const NO_TTL = 0x8000_0000;

/**
 * The addresses that a reply gives the name it was asked for, through its CNAMEs. Records that the name does not lead to are
 * ignored. Undefined for all that is no good answer: a query, an error, no address, a broken or cut message.
 */
export function nameAnswer(message: Uint8Array): NameAnswer | undefined {
  const packet = decoded(message);
  if (packet?.type !== 'response' || packet.questions?.length !== 1 || ((packet.flags ?? 0) & (OPCODE | RCODE)) !== 0) return undefined;
  const [question] = packet.questions;
  if (question === undefined || (question.class ?? 'IN') !== 'IN') return undefined;
  const name = normalName(question.name);
  const addresses = new Map<string, number>();
  for (const [alias, ttl] of aliases(name, packet.answers ?? [])) {
    for (const record of packet.answers ?? []) {
      if ((record.type !== 'A' && record.type !== 'AAAA') || record.class !== 'IN' || normalName(record.name) !== alias) continue;
      // A record cut short is decoded to what is no address.
      if (isIP(record.data) === 0) continue;
      const address = canonicalHost(record.data);
      addresses.set(address, Math.min(ttl, seconds(record.ttl), addresses.get(address) ?? Infinity));
    }
  }
  if (addresses.size === 0) return undefined;
  return { name, addresses: [...addresses].map(([address, ttlSeconds]) => ({ address, ttlSeconds })) };
}

function decoded(message: Uint8Array): ReturnType<typeof decode> | undefined {
  try {
    return decode(Buffer.from(message.buffer, message.byteOffset, message.byteLength));
  } catch {
    // Anybody can send what is no DNS message: that is no failure of ours, and no answer.
    return undefined;
  }
}

/** The name and all that its CNAMEs lead to, each with the shortest TTL on the way. */
function aliases(name: string, answers: readonly Answer[]): Map<string, number> {
  const found = new Map<string, number>([[name, Infinity]]);
  for (const [alias, ttl] of found) {
    for (const record of answers) {
      if (record.type !== 'CNAME' || normalName(record.name) !== alias) continue;
      const target = normalName(record.data);
      if (!found.has(target)) found.set(target, Math.min(ttl, seconds(record.ttl)));
    }
  }
  return found;
}

/** RFC 2181 section 8: a TTL with the top bit set is 0. */
function seconds(ttl: number | undefined): number {
  return ttl === undefined || ttl >= NO_TTL ? 0 : ttl;
}

/** Names are equal in any case (RFC 4343), with and without the dot at the end. */
export function normalName(name: string): string {
  return name.toLowerCase().replace(/\.$/, '');
}
