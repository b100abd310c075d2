#!/usr/bin/env python3
"""Prints a line for every commit of nf_tables in the network namespace it runs in: the kernel's own notice of it (NFT_MSG_NEWGEN of the
multicast group NFNLGRP_NFTABLES, linux/netfilter/nfnetlink.h and nf_tables.h), the generation it made. Prints `ready` first."""
import socket
import struct

NETLINK_NETFILTER, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP = 12, 270, 1
NFNLGRP_NFTABLES = 7
NEWGEN = 10 << 8 | 15  # NFNL_SUBSYS_NFTABLES, NFT_MSG_NEWGEN
SO_RCVBUFFORCE = 33

watch = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
watch.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
watch.bind((0, 0))
watch.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, NFNLGRP_NFTABLES)
print('ready', flush=True)
while True:
    data = watch.recv(1 << 20)
    offset = 0
    while offset + 16 <= len(data):
        length, kind = struct.unpack_from('=IH', data, offset)
        if kind == NEWGEN:
            # Behind nlmsghdr and nfgenmsg: NFTA_GEN_ID, 32 bits in network order.
            print(struct.unpack_from('>I', data, offset + 24)[0], flush=True)
        offset += (length + 3) & ~3
