/** DHCP (RFC 2131, options of RFC 2132): what a workload asks for, and what a server acknowledges. Options in the overloaded fields are not read. */
import { v4ToText } from '../../model/address-text.js';
import type { Sighting } from './sighting.js';
import { isGroupMac, macAt, usable4 } from './frame-fields.js';

export interface MessageContext {
  readonly sent: boolean;
  /** Of the Ethernet header; '' = not known. */
  readonly mac: string;
  /** Of the IP header. */
  readonly source: string;
}

const [FROM_CLIENT, FROM_SERVER] = [1, 2];
const ETHERNET = 0x0106;
const COOKIE_AT = 236;
const COOKIE = 0x63825363;
const [PAD, END] = [0, 255];
const [LEASE_TIME, MESSAGE_TYPE, SERVER] = [51, 53, 54];
const [DISCOVER, REQUEST, ACKNOWLEDGED] = [1, 3, 5];
const FOR_EVER = 0xffff_ffff;

/** `view`: what the UDP datagram holds. A relay (giaddr) changes nothing for the client. */
export function dhcp4Sighting(view: DataView, { sent, mac, source }: MessageContext): Sighting | undefined {
  if (view.byteLength < COOKIE_AT + 4 || view.getUint32(COOKIE_AT) !== COOKIE || view.getUint16(1) !== ETHERNET) return undefined;
  if (view.getUint8(0) !== (sent ? FROM_CLIENT : FROM_SERVER)) return undefined;
  const client = macAt(view, 28);
  if (isGroupMac(client)) return undefined;
  const transaction = view.getUint32(4).toString(16);
  const found = options(view);
  const type = found?.get(MESSAGE_TYPE);
  if (found === undefined || type?.byteLength !== 1) return undefined;
  if (sent) {
    if ((type.getUint8(0) !== DISCOVER && type.getUint8(0) !== REQUEST) || (mac !== '' && mac !== client)) return undefined;
    return { kind: 'question', by: 'dhcp', client, transaction, mac: client };
  }
  const time = found.get(LEASE_TIME);
  // Without a time it answers an INFORM, which gives no address.
  if (type.getUint8(0) !== ACKNOWLEDGED || time?.byteLength !== 4) return undefined;
  const address = usable4(view.getUint32(16));
  if (address === undefined) return undefined;
  const server = found.get(SERVER);
  const seconds = time.getUint32(0);
  return {
    kind: 'answer', by: 'dhcp', client, transaction, server: server?.byteLength === 4 ? v4ToText(server.getUint32(0)) : source,
    leases: [{ address, seconds: seconds === FOR_EVER ? Number.POSITIVE_INFINITY : seconds }],
  };
}

/** By code, the first of each; undefined when one goes past the end. */
function options(view: DataView): ReadonlyMap<number, DataView> | undefined {
  const found = new Map<number, DataView>();
  for (let at = COOKIE_AT + 4; at < view.byteLength;) {
    const code = view.getUint8(at);
    if (code === END) return found;
    if (code === PAD) {
      at += 1;
      continue;
    }
    if (at + 2 > view.byteLength) return undefined;
    const length = view.getUint8(at + 1);
    if (at + 2 + length > view.byteLength) return undefined;
    if (!found.has(code)) found.set(code, new DataView(view.buffer, view.byteOffset + at + 2, length));
    at += 2 + length;
  }
  return found;
}
