"""A small DNS server, or clients that look names up and connect at once to what they are told.

stdin, first line: {"netns", "address"} for the server, {} for clients; stdout: {"ready": true}; then one JSON request a line,
one JSON answer a line, matched by "id".
  server   records  records({name: {"ttl", "a": [..], "aaaa": [..], "cname"}})   -> {}    the whole zone; other names do not exist
  clients  lookup   netns server name protocol(udp|tcp) type(1|28) port timeoutMs   -> {"addresses", "state"}
           state: of a TCP connection to the first address and the port, tried without a pause: open|refused|timeout|...;
           null without a port or an address; "no answer" when the server's did not come
"""
import errno
import json
import os
import select
import socket
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from netns_sockets import Netns  # noqa: E402

TYPE_A, TYPE_CNAME, TYPE_AAAA = 1, 5, 28
STATES = {errno.ECONNREFUSED: "refused", errno.ECONNRESET: "reset", errno.EHOSTUNREACH: "unreachable", errno.ENETUNREACH: "unreachable", errno.EACCES: "unreachable"}


def encode_name(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label) + b"\0"


def read_name(message, at):
    labels, end = [], None
    while message[at]:
        if message[at] & 0xC0 == 0xC0:
            end = at + 2 if end is None else end
            at = struct.unpack_from("!H", message, at)[0] & 0x3FFF
            continue
        labels.append(message[at + 1:at + 1 + message[at]].decode())
        at += 1 + message[at]
    return ".".join(labels), at + 1 if end is None else end


class Server:
    def __init__(self, netns, address):
        self.zone, self.streams = {}, {}
        with Netns(netns):
            self.datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.datagrams.bind((address, 53))
        self.listener.bind((address, 53))
        self.listener.listen()

    def answer(self, query):
        name, end = read_name(query, 12)
        kind = struct.unpack_from("!H", query, end)[0]
        question, entry = query[12:end + 4], self.zone.get(name.lower())
        records = []
        if entry is not None:
            owner = struct.pack("!H", 0xC00C)  # the question's name
            if "cname" in entry:
                target = encode_name(entry["cname"])
                records.append(owner + struct.pack("!HHIH", TYPE_CNAME, 1, entry["ttl"], len(target)) + target)
                owner, entry = target, self.zone[entry["cname"]]
            family, texts = (socket.AF_INET, entry.get("a", [])) if kind == TYPE_A else (socket.AF_INET6, entry.get("aaaa", []))
            for text in texts:
                data = socket.inet_pton(family, text)
                records.append(owner + struct.pack("!HHIH", kind, 1, entry["ttl"], len(data)) + data)
        flags = 0x8180 if entry is not None else 0x8183
        return query[:2] + struct.pack("!HHHHH", flags, 1, len(records), 0, 0) + question + b"".join(records)

    def read(self, one):
        if one is self.datagrams:
            query, client = one.recvfrom(4096)
            one.sendto(self.answer(query), client)
        elif one is self.listener:
            self.streams[one.accept()[0]] = b""
        else:
            data = one.recv(4096)
            self.streams[one] += data
            pending = self.streams[one]
            if not data:
                del self.streams[one]
                one.close()
            elif len(pending) > 2 and len(pending) >= 2 + struct.unpack("!H", pending[:2])[0]:
                reply = self.answer(pending[2:])
                # In pieces, as servers may: the length first.
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                one.send(struct.pack("!H", len(reply)))
                one.send(reply)
                self.streams[one] = b""

    def sockets(self):
        return [self.datagrams, self.listener, *self.streams]

    def handle(self, request):
        self.zone = {name.lower(): entry for name, entry in request["records"].items()}
        return {}


class Clients:
    def sockets(self):
        return []

    def handle(self, request):
        timeout = request.get("timeoutMs", 1000) / 1000
        query = struct.pack("!HHHHHH", 0x1234, 0x0100, 1, 0, 0, 0) + encode_name(request["name"]) + struct.pack("!HH", request["type"], 1)
        with Netns(request["netns"]):
            asking = socket.socket(socket.AF_INET, socket.SOCK_STREAM if request["protocol"] == "tcp" else socket.SOCK_DGRAM)
            to = socket.socket(socket.AF_INET if request["type"] == TYPE_A else socket.AF_INET6, socket.SOCK_STREAM)
        with asking, to:
            asking.settimeout(5)
            to.settimeout(timeout)
            try:
                asking.connect((request["server"], 53))
                reply = self.ask_stream(asking, query) if request["protocol"] == "tcp" else self.ask_datagram(asking, query)
            except OSError:
                return {"addresses": [], "state": "no answer"}
            addresses = self.addresses(reply, request["type"])
            if request.get("port") is None or not addresses:
                return {"addresses": addresses, "state": None}
            try:
                to.connect((addresses[0], request["port"]))
                return {"addresses": addresses, "state": "open"}
            except TimeoutError:
                return {"addresses": addresses, "state": "timeout"}
            except OSError as error:
                return {"addresses": addresses, "state": STATES.get(error.errno, str(error))}

    @staticmethod
    def ask_datagram(asking, query):
        asking.send(query)
        return asking.recv(65535)

    @staticmethod
    def ask_stream(asking, query):
        asking.sendall(struct.pack("!H", len(query)) + query)
        with asking.makefile("rb") as stream:
            return stream.read(struct.unpack("!H", stream.read(2))[0])

    @staticmethod
    def addresses(reply, wanted):
        _, at = read_name(reply, 12)
        at, found = at + 4, []
        for _ in range(struct.unpack_from("!H", reply, 6)[0]):
            _, at = read_name(reply, at)
            kind, _, _, length = struct.unpack_from("!HHIH", reply, at)
            data, at = reply[at + 10:at + 10 + length], at + 10 + length
            if kind == wanted:
                found.append(socket.inet_ntop(socket.AF_INET if kind == TYPE_A else socket.AF_INET6, data))
        return found


def main():
    configuration = json.loads(sys.stdin.readline())
    role = Server(configuration["netns"], configuration["address"]) if "netns" in configuration else Clients()
    print(json.dumps({"ready": True}), flush=True)
    stdin, pending = sys.stdin.fileno(), b""
    while True:
        for one in select.select([stdin, *role.sockets()], [], [])[0]:
            if one != stdin:
                role.read(one)
                continue
            data = os.read(stdin, 65536)
            if not data:
                return
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                request = json.loads(line)
                try:
                    print(json.dumps({**role.handle(request), "id": request["id"]}), flush=True)
                except Exception as error:  # noqa: BLE001  the test hears of it
                    print(json.dumps({"failed": repr(error), "id": request["id"]}), flush=True)


main()
