"""Who reaches whom: first contacts between named network namespaces by the thousand, all at once, with the kernel's own stacks.

stdin, first line: {} ; stdout: {"ready": true}; then one JSON request a line, one JSON answer a line, matched by "id".
  endpoint name netns source4 source6            -> {}   sources: addresses to connect from, "" = the kernel's choice
  listen   endpoint protocol(tcp|udp) ports address   -> {}   accepts, or echoes; "" = every address of both families
  probe    checks settleMs limitMs               -> {"verdicts": "CDR..."}
    check: [endpoint, address, protocol(tcp|udp|icmp), port, source port or 0, verdict expected]
C: connected, or answered. R: refused at once, by a reset or an ICMP error. D: silence.

A batch ends when every check that shall be answered is, and then `settleMs` passed without an answer; at `limitMs` at the latest.
Datagrams that shall be answered and are not are sent again; TCP does so itself. So a busy machine costs time, not verdicts.
"""
import errno
import json
import os
import resource
import select
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from netns_sockets import Netns  # noqa: E402

REFUSALS = {errno.ECONNREFUSED, errno.ECONNRESET, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EACCES, errno.ENOPROTOOPT}
RESEND_SECONDS = 0.25
FIRST_PORT, LAST_PORT = 32768, 60999
IP_RECVERR, IPV6_RECVERR = 11, 25
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Endpoint:
    def __init__(self, request):
        self.netns = request["netns"]
        self.source = {socket.AF_INET: request["source4"], socket.AF_INET6: request["source6"]}
        self._port = FIRST_PORT

    def next_port(self):
        """Never the same twice in a row of many: an old connection's tracking must not meet a new one."""
        self._port = FIRST_PORT if self._port == LAST_PORT else self._port + 1
        return self._port


class Check:
    def __init__(self, endpoint, check):
        _, address, self.protocol, port, source_port, self.expected = check
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.verdict = "D"
        self.open = True
        self.destination = (address, port)
        if self.protocol == "tcp":
            self.socket = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            self.payload = b""
        else:
            ping = socket.IPPROTO_ICMP if family == socket.AF_INET else socket.IPPROTO_ICMPV6
            self.socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, ping if self.protocol == "icmp" else 0)
            level, option = (socket.IPPROTO_IP, IP_RECVERR) if family == socket.AF_INET else (socket.IPPROTO_IPV6, IPV6_RECVERR)
            self.socket.setsockopt(level, option, 1)
            echo = struct.pack("!BBHHH", 8 if family == socket.AF_INET else 128, 0, 0, 0, 1)
            self.payload = b"reach" if self.protocol == "udp" else echo + b"reach"
        if family == socket.AF_INET6:  # its port is free for IPv4 too
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        while True:  # a taken port is stepped over, unless it is the one that was asked for
            try:
                self.socket.bind((endpoint.source[family], source_port or endpoint.next_port()))
                break
            except OSError as error:
                if error.errno != errno.EADDRINUSE or source_port:
                    raise

    def start(self):
        code = self.socket.connect_ex(self.destination)
        if self.protocol == "tcp":
            if code != errno.EINPROGRESS:
                self.ended(code)
        elif code != 0:
            self.ended(code)
        else:
            self.send()

    def send(self):
        try:
            self.socket.send(self.payload)
        except OSError as error:
            self.ended(error.errno)

    def ended(self, code):
        # EPERM: dropped on the spot by an output filter of the sender's own host.
        if code not in (errno.EPERM, errno.EAGAIN):
            self.open = False
            self.verdict = "C" if code == 0 else "R" if code in REFUSALS else "D"

    def happened(self):
        """True when that settled it."""
        if self.protocol == "tcp":
            self.ended(self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
        else:
            try:
                self.socket.recv(2048)
                self.ended(0)
            except OSError as error:
                self.ended(error.errno)
        return not self.open


class Reach:
    def __init__(self):
        self._endpoints = {}
        self._poll = select.epoll()
        self._servers = {}
        self._checks = {}

    def do_endpoint(self, request):
        self._endpoints[request["name"]] = Endpoint(request)
        return {}

    def do_listen(self, request):
        stream = request["protocol"] == "tcp"
        address = request["address"] or "::"
        with Netns(self._endpoints[request["endpoint"]].netns):
            for port in request["ports"]:
                family = socket.AF_INET6 if ":" in address else socket.AF_INET
                one = socket.socket(family, (socket.SOCK_STREAM if stream else socket.SOCK_DGRAM) | socket.SOCK_NONBLOCK)
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                one.bind((address, port))
                if stream:
                    one.listen(1024)
                self._servers[one.fileno()] = (one, stream)
                self._poll.register(one.fileno(), select.EPOLLIN)
        return {}

    def do_probe(self, request):
        by_endpoint = {}
        for index, check in enumerate(request["checks"]):
            by_endpoint.setdefault(check[0], []).append((index, check))
        checks = [None] * len(request["checks"])
        try:
            for name, own in by_endpoint.items():
                endpoint = self._endpoints[name]
                with Netns(endpoint.netns):
                    for index, check in own:
                        checks[index] = Check(endpoint, check)
            for one in checks:
                one.start()
                if one.open:
                    self._checks[one.socket.fileno()] = one
                    self._poll.register(one.socket.fileno(), select.EPOLLOUT if one.protocol == "tcp" else select.EPOLLIN)
            self._wait(checks, request["settleMs"] / 1000, request["limitMs"] / 1000)
        finally:
            self._checks.clear()
            for one in checks:
                if one is not None:
                    one.socket.close()
        self._serve(0)  # what is left in the backlogs
        return {"verdicts": "".join(one.verdict for one in checks)}

    def _wait(self, checks, settle, limit):
        due = {one for one in checks if one.open and one.expected != "D"}
        last = time.monotonic()
        end, resend = last + limit, last + RESEND_SECONDS
        while True:
            now = time.monotonic()
            if now >= end or (not due and now >= last + settle):
                return
            for one in self._serve((min(end, resend) if due else last + settle) - now):
                due.discard(one)
                last = time.monotonic()
            if due and time.monotonic() >= resend:
                resend += RESEND_SECONDS
                for one in due:
                    if one.protocol != "tcp":
                        one.send()
                due = {one for one in due if one.open}

    def _serve(self, timeout):
        """Lets the servers do their work; returns the checks that were settled."""
        settled = []
        for descriptor, _ in self._poll.poll(max(0.0, timeout)):
            one = self._checks.get(descriptor)
            if one is not None:
                if one.open and one.happened():
                    self._poll.unregister(descriptor)
                    settled.append(one)
                continue
            server = self._servers.get(descriptor)
            if server is not None:
                (self._accept if server[1] else self._echo)(server[0])
        return settled

    @staticmethod
    def _accept(listener):
        while True:
            try:
                listener.accept()[0].close()
            except BlockingIOError:
                return
            except OSError:
                continue  # gone before it was accepted

    @staticmethod
    def _echo(one):
        while True:
            try:
                data, peer = one.recvfrom(2048)
                one.sendto(data, peer)
            except BlockingIOError:
                return
            except OSError:
                continue  # an answer that a filter refused

    def run(self):
        print(json.dumps({"ready": True}), flush=True)
        sys.stdin.readline()
        os.set_blocking(0, True)
        while True:
            line = sys.stdin.readline()
            if not line:
                return
            request = json.loads(line)
            try:
                answer = getattr(self, "do_" + request["do"])(request)
            except (OSError, KeyError) as error:
                answer = {"failed": "%s: %r" % (request["do"], error)}
            print(json.dumps({"id": request["id"], **answer}), flush=True)


most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
Reach().run()
