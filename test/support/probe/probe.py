"""Injects first packets into a test world and says what the network did with each.

stdin, first line: {"ttl", "endpoints": [{"name", "netns", "kind": "link"|"host", "interface", "mac", "gateway"}]}
then one request a line: {"id", "settleMs", "again", "packets": [{"from", "family", "protocol", "source", "destination", "nextHop", ...}]}
      nextHop: MAC address that the frame goes to; default: the gateway's
      again: these packets were in the request before, too; what became of them since counts
stdout, one line a request: {"id", "results": [{"delivered": [names], "replies": [{"kind", "at"}], "error"}]}

Workloads and outside send and sniff Ethernet frames on their own interface. The host sends through its output hook
(raw sockets with the IP header given) and receives after its input hook (raw sockets, one a protocol), so that a
packet counts as delivered to it only when no filter stopped it.
"""
import json
import os
import select
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from netns_sockets import Netns  # noqa: E402
import packets  # noqa: E402

SO_RCVBUFFORCE = 33
PACKET_OUTGOING = 4
HOST_PROTOCOLS = (6, 17, 132, 136, 47, 50, 253)


class LinkEndpoint:
    def __init__(self, config):
        self.name = config["name"]
        with Netns(config["netns"]):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
            self._socket.bind((config["interface"], 3))
        self._socket.setblocking(False)
        self._gateway = config["gateway"]
        self._mac = config["mac"]
        self.sockets = [self._socket]

    def send(self, packet, data):
        macs = packet.get("nextHop", self._gateway) + self._mac
        self._socket.send(bytes.fromhex(macs.replace(":", "")) + struct.pack("!H", 0x0800 if packet["family"] == 4 else 0x86DD) + data)

    def receive(self, _):
        while True:
            try:
                frame, address = self._socket.recvfrom(2048)
            except BlockingIOError:
                return
            if address[2] == PACKET_OUTGOING:
                continue
            parts = packets.split(frame[14:])
            if parts is not None:
                yield parts


class HostEndpoint:
    def __init__(self, config):
        self.name = config["name"]
        self._protocols = {}
        with Netns(config["netns"]):
            self._send4 = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
            self._send6 = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
            for family, icmp in ((socket.AF_INET, 1), (socket.AF_INET6, 58)):
                for protocol in (icmp,) + HOST_PROTOCOLS:
                    one = socket.socket(family, socket.SOCK_RAW, protocol)
                    one.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 4 << 20)
                    one.setblocking(False)
                    self._protocols[one] = (family, protocol)
        self.sockets = list(self._protocols)

    def send(self, packet, data):
        if packet["family"] == 4:
            self._send4.sendto(data, (packet["destination"], 0))
        else:
            self._send6.sendto(data, (packet["destination"], 0))

    def receive(self, one):
        family, protocol = self._protocols[one]
        while True:
            try:
                data = one.recv(2048)
            except BlockingIOError:
                return
            if family == socket.AF_INET:
                parts = packets.split(data)
                if parts is not None:
                    yield parts
            else:  # IPv6 raw sockets leave the IP header out
                yield protocol, data


class Prober:
    def __init__(self, config):
        self._ttl = config["ttl"]
        kinds = {"link": LinkEndpoint, "host": HostEndpoint}
        self._endpoints = {one["name"]: kinds[one["kind"]](one) for one in config["endpoints"]}
        self._owner = {}
        self._poll = select.epoll()
        for endpoint in self._endpoints.values():
            for one in endpoint.sockets:
                self._owner[one.fileno()] = (endpoint, one)
                self._poll.register(one.fileno(), select.EPOLLIN)
        self._next = int.from_bytes(os.urandom(3), "big") << 8
        self._sent = {}  # ids of the last request, by packet

    def run(self, request):
        results = [{"delivered": [], "replies": []} for _ in request["packets"]]
        keys = [json.dumps(packet, sort_keys=True) for packet in request["packets"]]
        index_of = {}
        if request.get("again"):
            index_of = {self._sent[key]: index for index, key in enumerate(keys) if key in self._sent}
        self._drain(0, index_of, results)  # leftovers of the last batch
        self._sent = {}
        for index, packet in enumerate(request["packets"]):
            ident = self._next = (self._next + 1) & 0xFFFFFFFF
            index_of[ident] = index
            self._sent[keys[index]] = ident
            try:
                self._endpoints[packet["from"]].send(packet, packets.build(packet, ident, self._ttl))
            except OSError as error:  # EPERM: an output filter dropped it on the spot
                results[index]["error"] = error.strerror
            if index % 16 == 15:
                self._drain(0, index_of, results)
        settle = request.get("settleMs", 25) / 1000
        end = time.monotonic() + settle
        while True:
            left = end - time.monotonic()
            if left <= 0:
                break
            if self._drain(left, index_of, results):
                end = max(end, time.monotonic() + min(settle, 0.01))
        return results

    def _drain(self, timeout, index_of, results):
        """True when something of this batch arrived."""
        seen = False
        for descriptor, _ in self._poll.poll(timeout):
            endpoint, one = self._owner[descriptor]
            for protocol, data in endpoint.receive(one):
                refusal = packets.reply_of(protocol, data)
                if refusal is not None:
                    index = index_of.get(refusal[0])
                    if index is not None:
                        results[index]["replies"].append({"kind": refusal[1], "at": endpoint.name})
                        seen = True
                    continue
                index = index_of.get(packets.probe_of(protocol, data))
                if index is not None and endpoint.name not in results[index]["delivered"]:
                    results[index]["delivered"].append(endpoint.name)
                    seen = True
        return seen


def main():
    prober = Prober(json.loads(sys.stdin.readline()))
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps({"id": request["id"], "results": prober.run(request)}), flush=True)


main()
