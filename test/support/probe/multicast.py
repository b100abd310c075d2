"""Sends one multicast message between two ends of one link in named network namespaces, and says whether it arrived.

argument: {"from": {"netns", "device"}, "to": {"netns", "device"}, "group", "igmp": type | "port": UDP port, "waitMs"}
stdout: true | false
"""
import json
import os
import select
import socket
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from netns_sockets import Netns  # noqa: E402
from packets import checksum  # noqa: E402

IGMP = 2
MARK = b"multicast test"


def opened(end, request):
    with Netns(end["netns"]):
        if "igmp" in request:
            one = socket.socket(socket.AF_INET, socket.SOCK_RAW, IGMP)
        else:
            one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        index = socket.if_nametoindex(end["device"])
    one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, end["device"].encode())
    return one, index


def message(request):
    if "igmp" not in request:
        return MARK
    body = struct.pack("!BBH4s", request["igmp"], 100, 0, socket.inet_aton(request["group"] if request["igmp"] != 0x11 else "0.0.0.0"))
    return body[:2] + struct.pack("!H", checksum(body)) + body[4:]


def main():
    request = json.loads(sys.argv[1])
    group = socket.inet_aton(request["group"])
    receiver, index = opened(request["to"], request)
    if request["group"] != "224.0.0.1":  # of which every host is a member
        receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, struct.pack("=4s4si", group, bytes(4), index))
    if "port" in request:
        receiver.bind((request["group"], request["port"]))
    sender, index = opened(request["from"], request)
    sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("=4s4si", bytes(4), bytes(4), index))
    sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
    data = message(request)
    try:
        sender.sendto(data, (request["group"], request.get("port", 0)))
    except PermissionError:
        pass  # dropped by the sender's own output filter
    while select.select([receiver], [], [], request["waitMs"] / 1000)[0]:
        if receiver.recv(2048).endswith(data):  # of a raw socket: behind the IP header
            print("true")
            return
    print("false")


main()
