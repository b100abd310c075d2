"""One ICMP or ICMPv6 echo with a chosen id, from the namespace it runs in; exits 0 when the answer came. ping.py ADDRESS ID"""
import socket
import struct
import sys

address, identifier = sys.argv[1], int(sys.argv[2])
six = ':' in address
body = struct.pack('!HH', identifier, 1) + b'12345678'


def checksum(data):
    total = sum(struct.unpack(f'!{len(data) // 2}H', data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~((total >> 16) + total) & 0xFFFF


if six:
    one = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)  # the kernel fills in the checksum
    packet = struct.pack('!BBH', 128, 0, 0) + body
else:
    one = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    packet = struct.pack('!BBH', 8, 0, checksum(struct.pack('!BBH', 8, 0, 0) + body)) + body
one.settimeout(3)
one.sendto(packet, (address, 0))
while True:
    answer = one.recv(2048)
    if not six:
        answer = answer[(answer[0] & 15) * 4:]
    if answer[0] == (129 if six else 0) and struct.unpack_from('!H', answer, 4)[0] == identifier:
        break
