/** Packets that say who has which address, from the network header on. */
const bytes = (...parts: readonly (number | readonly number[] | Uint8Array)[]): number[] => parts.flatMap((part) => (typeof part === 'number' ? [part] : [...part]));
const u16 = (value: number): number[] => [value >>> 8, value & 0xff];
const u32 = (value: number): number[] => [...u16(value >>> 16), ...u16(value & 0xffff)];
export const four = (text: string): number[] => text.split('.').map(Number);
/** Eight groups, no gap. */
export const six = (text: string): number[] => text.split(':').flatMap((group) => u16(Number.parseInt(group, 16)));
export const ether = (text: string): number[] => text.split(':').map((part) => Number.parseInt(part, 16));

export const MAC = '52:54:00:00:00:01';
export const ADDRESS = '10.0.0.5';
export const ADDRESS6 = 'fd00::5';
const OWN6 = 'fd00:0:0:0:0:0:0:5';

export interface ArpFields { readonly operation?: number; readonly sender?: string; readonly mac?: string; readonly head?: readonly number[] }
export const arp = ({ operation = 1, sender = ADDRESS, mac = MAC, head = [0, 1, 8, 0, 6, 4] }: ArpFields = {}): Uint8Array =>
  Uint8Array.from(bytes(head, u16(operation), ether(mac), four(sender), [0, 0, 0, 0, 0, 0], four('10.0.0.1')));

export interface Ipv4Fields { readonly fragment?: number; readonly protocol?: number; readonly source?: string; readonly from?: number; readonly to?: number; readonly udpLength?: number }
export function udp4(body: readonly number[], { fragment = 0, protocol = 17, source = '10.0.0.1', from = 67, to = 68, udpLength = body.length + 8 }: Ipv4Fields = {}): Uint8Array {
  return Uint8Array.from(bytes([0x45, 0], u16(28 + body.length), [0, 0], u16(fragment), [64, protocol, 0, 0], four(source), four('255.255.255.255'), u16(from), u16(to), u16(udpLength), [0, 0], body));
}

export interface Ipv6Fields { readonly next?: number; readonly hops?: number; readonly source?: string }
export function ipv6(body: readonly number[], { next = 58, hops = 255, source = OWN6 }: Ipv6Fields = {}): Uint8Array {
  return Uint8Array.from(bytes([0x60, 0, 0, 0], u16(body.length), [next, hops], six(source), six('ff02:0:0:0:0:0:0:1'), body));
}
export const neighbour = (type: 135 | 136, target = OWN6, option: readonly number[] = []): number[] => bytes([type, 0, 0, 0, 0, 0, 0, 0], six(target), option);
export const linkLayer = (type: 1 | 2, mac = MAC): number[] => bytes([type, 1], ether(mac));

export interface DhcpFields { readonly type: number; readonly address?: string; readonly transaction?: number; readonly client?: string; readonly options?: readonly number[] }
export function dhcp({ type, address = '0.0.0.0', transaction = 7, client = MAC, options = [] }: DhcpFields): number[] {
  const fromServer = type === 2 || type === 5 || type === 6;
  return bytes(
    [fromServer ? 2 : 1, 1, 6, 0], u32(transaction), [0, 0, 0, 0], four('0.0.0.0'), four(address), four('0.0.0.0'), four('0.0.0.0'), ether(client), new Uint8Array(10 + 64 + 128),
    u32(0x63825363), [53, 1, type], options, [255],
  );
}
export const leaseTime = (seconds: number): number[] => bytes([51, 4], u32(seconds));
export const serverId = (address: string): number[] => bytes([54, 4], four(address));
export const question = (transaction = 7, client = MAC, type = 3): Uint8Array => udp4(dhcp({ type, transaction, client }), { from: 68, to: 67, source: '0.0.0.0' });
export const answer = (address = ADDRESS, seconds = 600, transaction = 7, client = MAC): Uint8Array =>
  udp4(dhcp({ type: 5, address, transaction, client, options: [...leaseTime(seconds), ...serverId('10.0.0.1')] }));

const option6 = (code: number, body: readonly number[]): number[] => bytes(u16(code), u16(body.length), body);
export const clientId = (duid: readonly number[] = [0, 3, 0, 1, 1, 2, 3]): number[] => option6(1, duid);
export const iaAddress = (address = OWN6, valid = 600, more: readonly number[] = []): number[] => option6(5, bytes(six(address), u32(valid), u32(valid), more));
export const association = (inner: readonly number[]): number[] => option6(3, bytes(u32(1), u32(0), u32(0), inner));
export const status6 = (code: number): number[] => option6(13, u16(code));
export function dhcp6(type: number, options: readonly number[], transaction = 9): Uint8Array {
  const body = bytes([type, 0], u16(transaction), options);
  const [from, to] = type === 7 ? [547, 546] : [546, 547];
  return ipv6(bytes(u16(from), u16(to), u16(body.length + 8), [0, 0], body), { next: 17, hops: 1 });
}
export const answer6 = (seconds = 600, address = OWN6): Uint8Array => dhcp6(7, [...clientId(), ...association(iaAddress(address, seconds))]);
