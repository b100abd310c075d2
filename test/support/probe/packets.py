"""First packets of connections as bytes, and which probe a received packet belongs to.

A probe's 32-bit id travels where the protocol lets it: TCP sequence number, SCTP initiate tag, payload after MAGIC for
all others. Every one of these is inside the first bytes that ICMP errors quote.
"""
import socket
import struct

MAGIC = b"DFWP"
# Echo and timestamp replies carry the request's payload back.
ANSWERS = {(1, b"\x00"), (1, b"\x0e"), (58, b"\x81"), (58, b"\x8c")}
TCP, UDP, ICMP, ICMPV6, SCTP, UDPLITE, GRE = 6, 17, 1, 58, 132, 136, 47


def checksum(data):
    if len(data) & 1:
        data += b"\0"
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


_CRC = []
for _byte in range(256):
    _value = _byte
    for _ in range(8):
        _value = (_value >> 1) ^ (0x82F63B78 if _value & 1 else 0)
    _CRC.append(_value)


def crc32c(data):
    """RFC 9260, appendix A."""
    value = 0xFFFFFFFF
    for byte in data:
        value = (value >> 8) ^ _CRC[(value ^ byte) & 0xFF]
    return value ^ 0xFFFFFFFF


def transport(packet, ident, pseudo):
    protocol = packet["protocol"]
    ports = struct.pack("!HH", packet.get("sourcePort", 0), packet.get("destinationPort", 0))
    body = MAGIC + struct.pack("!I", ident)
    if protocol == TCP:
        flags = packet.get("tcpFlags", 0x02)
        segment = ports + struct.pack("!IIBBHHH", ident, 0, 5 << 4, flags, 64240, 0, 0)
        return segment[:16] + struct.pack("!H", checksum(pseudo(len(segment)) + segment)) + segment[18:]
    if protocol == UDP:
        segment = ports + struct.pack("!HH", 8 + len(body), 0) + body
        return segment[:6] + struct.pack("!H", checksum(pseudo(len(segment)) + segment) or 0xFFFF) + segment[8:]
    if protocol == UDPLITE:
        segment = ports + struct.pack("!HH", 0, 0) + body
        return segment[:6] + struct.pack("!H", checksum(pseudo(len(segment)) + segment) or 0xFFFF) + segment[8:]
    if protocol == SCTP:
        chunk = struct.pack("!BBHIIHHI", 1, 0, 20, ident, 65536, 1, 1, ident)
        head = ports + struct.pack("!II", 0, 0)
        return head[:8] + struct.pack("<I", crc32c(head + chunk)) + chunk
    if protocol in (ICMP, ICMPV6):
        head = struct.pack("!BBHHH", packet.get("icmpType", 8), packet.get("icmpCode", 0), 0, ident & 0xFFFF, 1)
        message = head + body + bytes(12)
        covered = message if protocol == ICMP else pseudo(len(message)) + message
        return message[:2] + struct.pack("!H", checksum(covered)) + message[4:]
    if protocol == GRE:
        return struct.pack("!HH", 0, 0x6558) + body + bytes(8)
    # The kernel answers only what an Internet checksum over the payload (for IPv6 with the pseudo header) confirms.
    payload = body + bytes(6)
    covered = payload if packet["family"] == 4 else pseudo(len(payload) + 2) + payload
    return payload + struct.pack("!H", checksum(covered))


def build(packet, ident, ttl):
    """The IP packet."""
    protocol = packet["protocol"]
    if packet["family"] == 4:
        source = socket.inet_pton(socket.AF_INET, packet["source"])
        destination = socket.inet_pton(socket.AF_INET, packet["destination"])
        payload = transport(packet, ident, lambda size: source + destination + struct.pack("!BBH", 0, protocol, size))
        head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), ident & 0xFFFF, 0x4000, ttl, protocol, 0, source, destination)
        return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload
    source = socket.inet_pton(socket.AF_INET6, packet["source"])
    destination = socket.inet_pton(socket.AF_INET6, packet["destination"])
    payload = transport(packet, ident, lambda size: source + destination + struct.pack("!IHBB", size, 0, 0, protocol))
    return struct.pack("!IHBB16s16s", 6 << 28, len(payload), protocol, ttl, source, destination) + payload


def split(packet):
    """(protocol, transport bytes) of an IP packet, or None."""
    if len(packet) < 20:
        return None
    if packet[0] >> 4 == 4:
        return packet[9], packet[(packet[0] & 15) * 4:]
    if packet[0] >> 4 == 6 and len(packet) >= 40:
        return packet[6], packet[40:]
    return None


def probe_of(protocol, data):
    """Id of the probe whose first packet this is (or is quoted as), or None."""
    if protocol == TCP:
        return struct.unpack_from("!I", data, 4)[0] if len(data) >= 8 else None
    if protocol == SCTP:
        return struct.unpack_from("!I", data, 16)[0] if len(data) >= 20 and data[12] == 1 else None
    if (protocol, data[:1]) in ANSWERS:
        return None
    at = data.find(MAGIC, 0, 64)
    return struct.unpack_from("!I", data, at + 4)[0] if 0 <= at <= len(data) - 8 else None


def reply_of(protocol, data):
    """(id, kind) when the packet refuses a probe: a TCP reset or an ICMP error that quotes it."""
    if protocol == TCP and len(data) >= 14 and data[13] & 0x04:
        return (struct.unpack_from("!I", data, 8)[0] - 1) & 0xFFFFFFFF, "rst"
    unreachable = (protocol == ICMP and data[:1] == b"\x03") or (protocol == ICMPV6 and data[:1] == b"\x01")
    if unreachable and len(data) > 8:
        inner = split(data[8:])
        if inner is not None:
            ident = probe_of(*inner)
            if ident is not None:
                return ident, "%s-%d-%d" % ("icmp" if protocol == ICMP else "icmpv6", data[0], data[1])
    return None
