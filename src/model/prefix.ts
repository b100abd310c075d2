/** Prefixes as Kubernetes' APIs write them: always `address/length`; host bits are allowed there and mean nothing. */
import { compareWords, isMapped, v4At, v4Mask, v4ToText, v6Prefix, v6Words, wordsToText, type Words } from './address-text.js';
import { AgentError } from './errors.js';
import { quote } from './quote.js';

/** `text` is a canonical address-set member: host bits cleared, a prefix of full length written as the host. */
export interface Prefix {
  readonly family: 4 | 6;
  readonly length: number;
  readonly text: string;
  /** IPv4 in the first word. */
  readonly first: Words;
}

/** Throws E_INVALID for anything that is no IPv4 or IPv6 prefix, with what to write instead where that is plain. */
export function parsePrefix(text: string): Prefix {
  const slash = text.indexOf('/');
  const head = v4At(text, 0, slash < 0 ? text.length : slash);
  const words = head >= 0 ? undefined : v6Words(slash < 0 ? text : text.slice(0, slash));
  if (head < 0 && words === undefined) throw invalid(`${quote(text)} is not a prefix; write it as 10.0.0.0/24 or fd00::/64`);
  const bits = words === undefined ? 32 : 128;
  if (slash < 0) throw invalid(`${quote(text)} has no prefix length; write ${text}/${bits} for the host alone`);
  const tail = text.slice(slash + 1);
  const length = Number(tail);
  if (!/^(?:0|[1-9][0-9]{0,2})$/.test(tail) || length > bits) throw invalid(`${quote(text)}: the prefix length must be a number from 0 to ${bits}`);
  if (words === undefined) {
    const first = (head & v4Mask(length)) >>> 0;
    const address = v4ToText(first);
    return { family: 4, length, first: [first, 0, 0, 0], text: length === 32 ? address : `${address}/${length}` };
  }
  if (isMapped(words)) throw invalid(`${quote(text)} is an IPv4-mapped IPv6 prefix; write ${v4ToText(words[3])}${length > 96 ? `/${length - 96}` : ''}`);
  const [first] = v6Prefix(words, length);
  const address = wordsToText(first);
  return { family: 6, length, first, text: length === 128 ? address : `${address}/${length}` };
}

/** True when every address of `inner` is one of `outer` and not the other way round. */
export function strictlyInside(inner: Prefix, outer: Prefix): boolean {
  if (inner.family !== outer.family || inner.length <= outer.length) return false;
  if (outer.family === 4) return ((inner.first[0] & v4Mask(outer.length)) >>> 0) === outer.first[0];
  return compareWords(v6Prefix(inner.first, outer.length)[0], outer.first) === 0;
}

function invalid(message: string): AgentError {
  return new AgentError('E_INVALID', message);
}
