/** Frames made by hand, sent by a workload's eth0. */
import { command, inNetns } from './command.js';

/** argv: frames as KIND|MAC|SOURCE|TARGET. Each frame's payload or target ends in a marker of its place. */
const SENDER = `
import socket, struct, sys
def mac(text): return bytes(int(part, 16) for part in text.split('-'))
def checksum(data):
    if len(data) % 2: data += b'\\0'
    total = sum(struct.unpack('!%dH' % (len(data) // 2), data))
    while total >> 16: total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
raw.bind(('eth0', 0))
for place, text in enumerate(sys.argv[1:]):
    kind, source_mac, source, target = text.split('|')
    mark = b'MARK%04d' % place
    ethernet = b'\\xff' * 6 + mac(source_mac)
    if kind == 'arp':
        sender_mac, source = source.split('/')
        frame = ethernet + struct.pack('!HHHBBH', 0x0806, 1, 0x0800, 6, 4, 1) + mac(sender_mac) + socket.inet_aton(source) + b'\\0' * 6 + socket.inet_aton(target) + mark
    elif kind in ('udp4', 'dhcp4'):
        udp = struct.pack('!HHHH', 68 if kind == 'dhcp4' else 9, 67 if kind == 'dhcp4' else 9, 8 + len(mark), 0) + mark
        header = struct.pack('!BBHHHBBH', 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0) + socket.inet_aton(source) + socket.inet_aton(target)
        header = header[:10] + struct.pack('!H', checksum(header)) + header[12:]
        frame = ethernet + b'\\x08\\x00' + header + udp
    else:
        addresses = socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, target if kind == 'udp6' else 'ff02::1')
        if kind == 'udp6': protocol, body = 17, struct.pack('!HHHH', 9, 9, 8 + len(mark), 0) + mark
        else: protocol, body = 58, bytes([136 if kind == 'na' else 135, 0, 0, 0, 0, 0, 0, 0]) + socket.inet_pton(socket.AF_INET6, target) + b'\\xfe\\x01' + mark[2:8]
        place_of_sum = 2 if protocol == 58 else 6
        total = checksum(addresses + struct.pack('!II', len(body), protocol) + body)
        body = body[:place_of_sum] + struct.pack('!H', total) + body[place_of_sum + 2:]
        frame = ethernet + b'\\x86\\xdd' + struct.pack('!IHBB', 0x60000000, len(body), protocol, 255) + addresses + body
    raw.send(frame.ljust(60, b'\\0'))
`;

/** As in SENDER: `arp|MAC|SENDER-MAC/SENDER|TARGET`, `ns|...`, `na|MAC|SOURCE|TARGET`, `udp4|...`, `udp6|...`, `dhcp4|...`; MAC addresses with dashes. */
export async function sendFrames(netns: string, frames: readonly string[]): Promise<void> {
  const sent = await command(...inNetns(netns, '/usr/bin/python3', ['-c', SENDER, ...frames]));
  if (sent.code !== 0) throw new Error(sent.stderr);
}

export const dashed = (mac: string): string => mac.replaceAll(':', '-');
