"""Asks a link who has some addresses, every few ms, and says who answers: a line of JSON for each answer, and for each IP packet from one of them.

usage: answers.py INTERFACE ADDRESS... ; ends when stdin does."""
import fcntl, json, os, select, socket, struct, sys, time

interface, addresses = sys.argv[1], sys.argv[2:]
sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
sock.bind((interface, 0))
sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
name = interface.encode()
mac = fcntl.ioctl(sock, 0x8927, struct.pack('256s', name))[18:24]  # SIOCGIFHWADDR
four = fcntl.ioctl(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), 0x8915, struct.pack('256s', name))[20:24]  # SIOCGIFADDR
link_local = bytes([0xfe, 0x80] + [0] * 6 + [mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]])


def checksum(data):
    total = sum(struct.unpack('!%dH' % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def question(address):
    if ':' not in address:
        target = socket.inet_aton(address)
        return b'\xff' * 6 + mac + struct.pack('!HHHBBH', 0x0806, 1, 0x0800, 6, 4, 1) + mac + four + bytes(6) + target
    target = socket.inet_pton(socket.AF_INET6, address)
    group = bytes([0xff, 2] + [0] * 9 + [1, 0xff]) + target[13:]
    body = struct.pack('!BBHI', 135, 0, 0, 0) + target + b'\x01\x01' + mac
    sum_ = checksum(link_local + group + struct.pack('!II', len(body), 58) + body)
    body = body[:2] + struct.pack('!H', sum_) + body[4:]
    return b'\x33\x33\xff' + target[13:] + mac + struct.pack('!HIHBB', 0x86dd, 0x60000000, len(body), 58, 255) + link_local + group + body


wanted = {socket.inet_pton(socket.AF_INET6 if ':' in address else socket.AF_INET, address): address for address in addresses}
questions = [question(address) for address in addresses]
next_question = time.monotonic()
last = {}
print(json.dumps({'ready': True}), flush=True)
while True:
    now = time.monotonic()
    if now >= next_question:
        for frame in questions:
            try:
                sock.send(frame)
            except OSError:
                pass
        next_question = now + 0.01
    readable, _, _ = select.select([sock, sys.stdin], [], [], max(0, next_question - time.monotonic()))
    if sys.stdin in readable and os.read(0, 1) == b'':
        break
    if sock not in readable:
        continue
    frame = sock.recv(2048)
    source, kind = frame[6:12], struct.unpack('!H', frame[12:14])[0]
    if source == mac:
        continue
    found = None
    if kind == 0x0806:
        found = ('arp', frame[28:32])
    elif kind == 0x0800:
        found = ('ip', frame[26:30])
    elif kind == 0x86dd:
        found = ('nd', frame[62:78]) if frame[20] == 58 and frame[54] == 136 else ('ip', frame[22:38])
    if found is None or found[1] not in wanted:
        continue
    print(json.dumps({'atMs': time.monotonic() * 1000, 'kind': found[0], 'address': wanted[found[1]], 'mac': source.hex(':')}), flush=True)
