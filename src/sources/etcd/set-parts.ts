/** An address set that is larger than what etcd takes at once → parts beside a head that names them. Pure. */
import { createHash } from 'node:crypto';
import { v4FromText } from '../../model/address.js';
import type { AddressSetObject } from '../../model/objects.js';
import type { RuleTableCodec } from './ruletable/codec.js';

export interface SetPart { readonly name: string; readonly value: Buffer }
export interface SplitSet { readonly parts: readonly SetPart[]; /** Names the parts, and has no addresses itself. */ readonly head: Buffer }

/** Of an IPv6 host; nothing but IPv4 hosts is smaller, and texts are as long as they are. */
const LEAST_BYTES = 18;

/**
 * Parts are named after what they hold: a name never stands for two things, and what a write that was cut off left behind is taken up by the next.
 * `bytes`: of addresses in a part, at most. `previous`: the head that stands.
 */
export function splitSet(set: AddressSetObject, bytes: number, codec: RuleTableCodec, previous?: Uint8Array): SplitSet {
  const { name } = set.metadata;
  const parts = new Map<string, SetPart>();
  for (const addresses of chunks(set.addresses, bytes)) {
    const value = codec.writeSet({ kind: 'AddressSet', metadata: { name, labels: {} }, addresses });
    const part = createHash('sha256').update(value).digest('hex').slice(0, 32);
    parts.set(part, { name: part, value });
  }
  return { parts: [...parts.values()], head: codec.writeSet({ ...set, addresses: [] }, previous, [...parts.keys()]) };
}

function* chunks(members: readonly string[], most: number): Generator<string[]> {
  let chunk: string[] = [];
  let bytes = 0;
  for (const member of members) {
    const size = v4FromText(member) === undefined ? Math.max(LEAST_BYTES, member.length + 2) : 4;
    if (chunk.length > 0 && bytes + size > most) {
      yield chunk;
      [chunk, bytes] = [[], 0];
    }
    chunk.push(member);
    bytes += size;
  }
  if (chunk.length > 0) yield chunk;
}
