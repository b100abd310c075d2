"""Prints the nf_tables generation id of the network namespace it runs in (linux/netfilter/nf_tables.h: NFT_MSG_GETGEN)."""
import socket
import struct

NETLINK_NETFILTER, SUBSYSTEM, GETGEN, REQUEST, GEN_ID = 12, 10, 16, 1, 1
one = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
one.sendto(struct.pack("IHHII", 20, SUBSYSTEM << 8 | GETGEN, REQUEST, 1, 0) + bytes(4), (0, 0))
data = one.recv(4096)
offset = 20
while offset < len(data):
    length, kind = struct.unpack_from("HH", data, offset)
    if kind & 0x3FFF == GEN_ID:
        print(struct.unpack_from("!I", data, offset + 4)[0])
    offset += (length + 3) & ~3
