#!/usr/bin/env python3
"""Fills the conntrack table of the network namespace it runs in with established connections, by ctnetlink batches.

Entry i goes from 100.64.0.0 + i // 32 (port 1024 + i % 32 * 1000) to the host i % HOSTS (10.200.0.0/16, port 443), or the same
shape in IPv6 (fd64::/64 to fd00:200::/64). Label word 2 is --out, label word 3 is one of --in in turn. Prints one JSON object.
The namespace gets a chain without a hook that holds one label expression: only then has a new entry room for labels.

  ct-fill.py COUNT [--hosts N] [--family 4|6] [--protocol tcp|udp|sctp] [--out ID] [--in ID,ID,...] [--first I] [--timeout SECONDS] [--zone N]
"""
import argparse
import ipaddress
import json
import socket
import struct
import subprocess
import time

NETLINK_NETFILTER, SO_SNDBUFFORCE = 12, 32
CT_NEW = 1 << 8  # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_NEW
NLM_F_REQUEST, NLM_F_ACK, NLM_F_EXCL, NLM_F_CREATE = 0x1, 0x4, 0x200, 0x400
NESTED = 0x8000
CTA_TUPLE_ORIG, CTA_TUPLE_REPLY, CTA_STATUS, CTA_PROTOINFO, CTA_TIMEOUT, CTA_ZONE, CTA_LABELS = 1, 2, 3, 4, 7, 18, 22
BATCH = 500
PROTOCOLS = {'tcp': 6, 'udp': 17, 'sctp': 132}


def attribute(kind, payload):
    length = 4 + len(payload)
    return struct.pack('=HH', length, kind) + payload + b'\0' * (-length % 4)


def tuple_of(kind, family, source, destination, protocol, source_port, destination_port):
    ip = attribute(1 if family == 4 else 3, source) + attribute(2 if family == 4 else 4, destination)
    proto = attribute(1, bytes([protocol])) + attribute(2, struct.pack('!H', source_port)) + attribute(3, struct.pack('!H', destination_port))
    return attribute(kind | NESTED, attribute(1 | NESTED, ip) + attribute(2 | NESTED, proto))


def message(options, source, destination, port, out, into, flags):
    protocol = PROTOCOLS[options.protocol]
    body = struct.pack('=BBH', socket.AF_INET if options.family == 4 else socket.AF_INET6, 0, 0)
    body += tuple_of(CTA_TUPLE_ORIG, options.family, source, destination, protocol, port, 443)
    body += tuple_of(CTA_TUPLE_REPLY, options.family, destination, source, protocol, 443, port)
    body += attribute(CTA_STATUS, struct.pack('!I', 0xE))  # seen reply, assured, confirmed
    body += attribute(CTA_TIMEOUT, struct.pack('!I', options.timeout))
    if protocol == 6:
        body += attribute(CTA_PROTOINFO | NESTED, attribute(1 | NESTED, attribute(1, bytes([3]))))  # established
    if options.zone != 0:
        body += attribute(CTA_ZONE, struct.pack('!H', options.zone))
    body += attribute(CTA_LABELS, struct.pack('=4I', 0, 0, out, into))
    return struct.pack('=IHHII', 16 + len(body), CT_NEW, NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL | flags, 1, 0) + body


def patches(template, sample):
    """Offsets of each occurrence of the sample in the template."""
    found, at = [], template.find(sample)
    while at >= 0:
        found.append(at)
        at = template.find(sample, at + 1)
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('count', type=int)
    parser.add_argument('--hosts', type=int, default=100)
    parser.add_argument('--family', type=int, choices=(4, 6), default=4)
    parser.add_argument('--protocol', choices=tuple(PROTOCOLS), default='tcp')
    parser.add_argument('--out', type=lambda text: int(text, 0), default=0x0000FFFF)
    parser.add_argument('--in', dest='into', type=lambda text: [int(one, 0) for one in text.split(',')], default=[0x00FFFF00])
    parser.add_argument('--first', type=int, default=0)
    parser.add_argument('--timeout', type=int, default=86400)
    parser.add_argument('--zone', type=int, default=0)
    options = parser.parse_args()

    subprocess.run(['nft', '-f', '-'], input='table inet ct_fill {\n chain labels {\n  ct label set 1\n }\n}\n', text=True, check=True)
    netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER)
    netlink.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 8 << 20)
    netlink.bind((0, 0))

    size = 4 if options.family == 4 else 16
    source_base = int(ipaddress.ip_address('100.64.0.0' if options.family == 4 else 'fd64::'))
    hosts = [ipaddress.ip_address(('10.200.0.0' if options.family == 4 else 'fd00:200::')) + 256 * (h // 250) + h % 250 + 2 for h in range(options.hosts)]
    hosts = [host.packed for host in hosts]
    # One message is a template: only addresses, the client's port and the word differ.
    source_mark, destination_mark = b'\xa1' * size, b'\xa2' * size
    template = message(options, source_mark, destination_mark, 0xA3A4, options.out, 0xA5A6A7A8, 0)
    sources, destinations = patches(template, source_mark), patches(template, destination_mark)
    ports, words = patches(template, b'\xa3\xa4'), patches(template, struct.pack('=I', 0xA5A6A7A8))
    flags_at, step = 6, len(template)

    started = time.monotonic()
    created = 0
    for begin in range(options.first, options.first + options.count, BATCH):
        part = min(BATCH, options.first + options.count - begin)
        buffer = bytearray(template * part)
        for position in range(part):
            i, base = begin + position, position * step
            source = (source_base + i // 32).to_bytes(size, 'big')
            destination = hosts[i % options.hosts]
            port = (1024 + i % 32 * 1000).to_bytes(2, 'big')
            for at in sources:
                buffer[base + at:base + at + size] = source
            for at in destinations:
                buffer[base + at:base + at + size] = destination
            for at in ports:
                buffer[base + at:base + at + 2] = port
            struct.pack_into('=I', buffer, base + words[0], options.into[i % len(options.into)])
        struct.pack_into('=H', buffer, (part - 1) * step + flags_at, NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK)
        netlink.send(buffer)
        failures, acknowledged = 0, False
        while not acknowledged:
            answer = netlink.recv(1 << 16)
            code, = struct.unpack_from('=i', answer, 16)
            if code != 0:
                failures += 1
                last = code
            try:
                netlink.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            except BlockingIOError:
                acknowledged = True
        if failures:
            raise SystemExit(f'entry {begin}..{begin + part - 1}: {failures} refused, errno {-last}')
        created += part
    print(json.dumps({'created': created, 'seconds': round(time.monotonic() - started, 3)}))


if __name__ == '__main__':
    main()
