/** DHCPv6 (RFC 8415) between a client and a server on its link, or the relay there: what is asked for, and the addresses of a Reply. */
import type { MessageContext } from './dhcp4.js';
import type { Lease, Sighting } from './sighting.js';
import { usable6 } from './frame-fields.js';

const REPLY = 7;
/** Solicit (answered at once with Rapid Commit), Request, Renew, Rebind. */
const QUESTIONS: ReadonlySet<number> = new Set([1, 3, 5, 6]);
const [CLIENT_ID, IA_NA, IA_ADDRESS, STATUS] = [1, 3, 5, 13];
/** Of a DUID, with its type (11.1). */
const LONGEST_ID = 130;
const FOR_EVER = 0xffff_ffff;
/** Of one answer; a client has few. */
const MOST_LEASES = 16;

/** `view`: what the UDP datagram holds. */
export function dhcp6Sighting(view: DataView, { sent, mac, source }: MessageContext): Sighting | undefined {
  if (view.byteLength < 4) return undefined;
  const type = view.getUint8(0);
  if (sent ? !QUESTIONS.has(type) : type !== REPLY) return undefined;
  const transaction = (view.getUint32(0) & 0xff_ffff).toString(16);
  const top = options(view, 4);
  const id = top?.find(({ code }) => code === CLIENT_ID)?.value;
  if (top === undefined || id === undefined || id.byteLength === 0 || id.byteLength > LONGEST_ID) return undefined;
  const client = Buffer.from(id.buffer, id.byteOffset, id.byteLength).toString('hex');
  if (sent) return { kind: 'question', by: 'dhcpv6', client, transaction, mac };
  if (failed(top)) return undefined;
  const leases = top.filter(({ code }) => code === IA_NA).flatMap(({ value }) => leasesOf(value)).slice(0, MOST_LEASES);
  return leases.length === 0 ? undefined : { kind: 'answer', by: 'dhcpv6', client, transaction, server: source, leases };
}

/** Of one identity association: IAID, T1 and T2 first. */
function leasesOf(association: DataView): Lease[] {
  const inner = association.byteLength < 12 ? undefined : options(association, 12);
  if (inner === undefined || failed(inner)) return [];
  return inner.filter(({ code }) => code === IA_ADDRESS).flatMap(({ value }): Lease[] => {
    const address = value.byteLength < 24 ? undefined : usable6(value, 0);
    if (address === undefined) return [];
    const said = options(value, 24);
    if (said === undefined || failed(said)) return [];
    const valid = value.getUint32(20);
    return [{ address, seconds: valid === FOR_EVER ? Number.POSITIVE_INFINITY : valid }];
  });
}

interface Option {
  readonly code: number;
  readonly value: DataView;
}

function failed(found: readonly Option[]): boolean {
  return found.some(({ code, value }) => code === STATUS && (value.byteLength < 2 || value.getUint16(0) !== 0));
}

/** Undefined when one goes past the end. */
function options(view: DataView, begin: number): Option[] | undefined {
  const found: Option[] = [];
  for (let at = begin; at < view.byteLength;) {
    if (at + 4 > view.byteLength) return undefined;
    const length = view.getUint16(at + 2);
    if (at + 4 + length > view.byteLength) return undefined;
    found.push({ code: view.getUint16(at), value: new DataView(view.buffer, view.byteOffset + at + 4, length) });
    at += 4 + length;
  }
  return found;
}
