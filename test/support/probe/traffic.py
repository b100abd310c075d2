"""Real sockets in a test world: echo servers, connections that send numbered messages, and what became of them.

stdin, first line: {} ; stdout: {"ready": true}; then one JSON request a line, one JSON answer a line, matched by "id".
  listen   netns family protocol(tcp|udp) address port       -> {}      echoes what it gets, counts it
  connect  netns family protocol source sourcePort destination port timeoutMs interval(ms, 0 = silent)
           -> {"connection", "state": open|refused|reset|timeout|unreachable|denied, "error"}
  stats    connection -> {"state", "sent", "echoed", "pending", "sinceEchoMs", "retransmits", "longestGapMs", "error"}
  send     connection text -> {}            one message now; its echo is counted like the others
  push     connection text -> {"pushed"}    the *server* side of the connection sends first (TCP)
  received connection -> {"text"}           what pushes brought
  close    connection -> {}
  arrived  netns port -> {"datagrams"}      what a UDP server of listen was sent
"""
import errno
import json
import os
import select
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from netns_sockets import Netns  # noqa: E402

STATES = {
    errno.ECONNREFUSED: "refused", errno.ECONNRESET: "reset", errno.EPIPE: "reset", errno.ETIMEDOUT: "timeout",
    errno.EHOSTUNREACH: "unreachable", errno.ENETUNREACH: "unreachable", errno.EACCES: "unreachable", errno.EPERM: "denied",
}
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


def state_of(code):
    return STATES.get(code, os.strerror(code))


class Connection:
    def __init__(self, one, stream, peer):
        self.socket, self.stream, self.peer = one, stream, peer
        self.state, self.error = "open", None
        self.sent = self.echoed = 0
        self.sent_at, self.last_echo, self.longest_gap = {}, time.monotonic(), 0.0
        self.buffer, self.pushed = b"", ""
        self.interval, self.due = 0.0, None
        self.local = None

    def fail(self, code):
        if self.state == "open":
            self.state, self.error = state_of(code), os.strerror(code)
        self.due = None

    def send_message(self):
        self.sent += 1
        self.sent_at[self.sent] = time.monotonic()
        try:
            self.socket.send(b"m%d\n" % self.sent)
        except BlockingIOError:
            pass
        except OSError as error:
            self.fail(error.errno)

    def arrived(self, data):
        self.buffer += data
        while b"\n" in self.buffer:
            line, self.buffer = self.buffer.split(b"\n", 1)
            if line[:1] == b"m" and line[1:].isdigit():
                if self.sent_at.pop(int(line[1:]), None) is not None:
                    now = time.monotonic()
                    self.echoed += 1
                    self.longest_gap = max(self.longest_gap, now - self.last_echo)
                    self.last_echo = now
            else:
                self.pushed += line.decode(errors="replace") + "\n"

    def retransmits(self):
        if not self.stream:
            return 0
        try:
            info = self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
        except OSError:
            return 0
        return struct.unpack_from("I", info, 100)[0]


class Traffic:
    def __init__(self):
        self._poll = select.epoll()
        self._by_fd = {}
        self._connections = {}
        self._accepted = {}  # (address, port) of the client -> accepted socket
        self._connecting = {}
        self._received = {}  # (namespace, port) of a UDP server -> datagrams that came
        self._input = b""
        self._last = 0
        os.set_blocking(0, False)
        self._poll.register(0, select.EPOLLIN)
        self._by_fd[0] = self._stdin

    def run(self):
        print(json.dumps({"ready": True}), flush=True)
        while True:
            now = time.monotonic()
            due = [c.due for c in self._connections.values() if c.due is not None] + [p[1] for p in self._connecting.values()]
            wait = max(0.0, min(due) - now) if due else 1.0
            for descriptor, events in self._poll.poll(min(wait, 1.0)):
                handler = self._by_fd.get(descriptor)
                if handler is not None and handler(events) is False:
                    return
            now = time.monotonic()
            for connection in self._connections.values():
                if connection.due is not None and connection.due <= now:
                    connection.due = now + connection.interval
                    connection.send_message()
            for descriptor, (request, deadline, one) in list(self._connecting.items()):
                if deadline <= now:
                    self._connected(descriptor, request, one, errno.ETIMEDOUT)

    def _stdin(self, _):
        data = os.read(0, 65536)
        if not data:
            return False
        self._input += data
        while b"\n" in self._input:
            line, self._input = self._input.split(b"\n", 1)
            if line.strip() and not self._configured:
                self._configured = True
                continue
            request = json.loads(line)
            try:
                answer = getattr(self, "do_" + request["do"])(request)
            except OSError as error:
                answer = {"failed": "%s: %s" % (request["do"], error)}
            except KeyError as error:
                answer = {"failed": "%s: no such %s" % (request["do"], error)}
            if answer is not None:
                self._answer(request, answer)
        return True

    _configured = False

    @staticmethod
    def _answer(request, answer):
        print(json.dumps({"id": request["id"], **answer}), flush=True)

    def _watch(self, one, handler):
        self._by_fd[one.fileno()] = handler
        self._poll.register(one.fileno(), select.EPOLLIN)

    def _forget(self, one):
        self._by_fd.pop(one.fileno(), None)
        try:
            self._poll.unregister(one.fileno())
        except OSError:
            pass

    def do_listen(self, request):
        stream = request["protocol"] == "tcp"
        with Netns(request["netns"]):
            one = socket.socket(FAMILIES[request["family"]], socket.SOCK_STREAM if stream else socket.SOCK_DGRAM)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.setblocking(False)
        one.bind((request.get("address", ""), request["port"]))
        if stream:
            one.listen(256)
            self._watch(one, lambda _: self._accept(one))
        else:
            key = (request["netns"], request["port"])
            self._received[key] = 0
            self._watch(one, lambda _: self._echo_datagrams(one, key))
        return {}

    def do_arrived(self, request):
        return {"datagrams": self._received[(request["netns"], request["port"])]}

    def _accept(self, listener):
        while True:
            try:
                one, peer = listener.accept()
            except OSError:
                return
            one.setblocking(False)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            key = (peer[0].removeprefix("::ffff:"), peer[1])
            self._accepted[key] = one
            self._watch(one, lambda _, one=one, key=key: self._echo_stream(one, key))

    def _echo_stream(self, one, key):
        try:
            data = one.recv(65536)
            if data:
                one.send(data)
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self._forget(one)
        self._accepted.pop(key, None)
        one.close()

    def _echo_datagrams(self, one, key):
        while True:
            try:
                data, peer = one.recvfrom(65536)
                self._received[key] += 1
                one.sendto(data, peer)
            except BlockingIOError:
                return
            except OSError:
                continue

    def do_connect(self, request):
        stream = request["protocol"] == "tcp"
        with Netns(request["netns"]):
            one = socket.socket(FAMILIES[request["family"]], socket.SOCK_STREAM if stream else socket.SOCK_DGRAM)
        one.setblocking(False)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if stream:
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if "source" in request or "sourcePort" in request:
            one.bind((request.get("source", ""), request.get("sourcePort", 0)))
        code = one.connect_ex((request["destination"], request["port"]))
        if stream and code == errno.EINPROGRESS:
            descriptor = one.fileno()
            self._connecting[descriptor] = (request, time.monotonic() + request.get("timeoutMs", 1000) / 1000, one)
            self._by_fd[descriptor] = lambda _: self._connected(descriptor, request, one, one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
            self._poll.register(descriptor, select.EPOLLOUT)
            return None
        return self._opened(request, one, code, stream)

    def _connected(self, descriptor, request, one, code):
        self._connecting.pop(descriptor, None)
        self._forget(one)
        self._answer(request, self._opened(request, one, code, True))

    def _opened(self, request, one, code, stream):
        if code != 0:
            one.close()
            return {"connection": 0, "state": state_of(code), "error": os.strerror(code)}
        self._last += 1
        connection = self._connections[self._last] = Connection(one, stream, (request["destination"], request["port"]))
        connection.local = one.getsockname()
        connection.interval = request.get("interval", 0) / 1000
        if connection.interval > 0:
            connection.due = time.monotonic()
        self._watch(one, lambda _, c=connection: self._client(c))
        return {"connection": self._last, "state": "open", "localPort": connection.local[1]}

    def _client(self, connection):
        try:
            data = connection.socket.recv(65536)
        except BlockingIOError:
            return
        except OSError as error:
            connection.fail(error.errno)
            if connection.stream:
                self._forget(connection.socket)
            return
        if data:
            connection.arrived(data)
        elif connection.stream:
            connection.state = "closed" if connection.state == "open" else connection.state
            connection.due = None
            self._forget(connection.socket)

    def do_stats(self, request):
        c = self._connections[request["connection"]]
        return {
            "state": c.state, "error": c.error, "sent": c.sent, "echoed": c.echoed, "pending": len(c.sent_at), "retransmits": c.retransmits(),
            "lost": [round(time.time() - time.monotonic() + at, 3) for at in list(c.sent_at.values())[:5]],
            "sinceEchoMs": round((time.monotonic() - c.last_echo) * 1000), "longestGapMs": round(c.longest_gap * 1000),
        }

    def do_pace(self, request):
        connection = self._connections[request["connection"]]
        connection.interval = request["interval"] / 1000
        connection.due = time.monotonic() if connection.interval > 0 and connection.state == "open" else None
        return {}

    def do_send(self, request):
        self._connections[request["connection"]].send_message()
        return {}

    def do_push(self, request):
        local = self._connections[request["connection"]].local
        one = self._accepted[(local[0], local[1])]
        return {"pushed": one.send(request["text"].encode() + b"\n")}

    def do_received(self, request):
        return {"text": self._connections[request["connection"]].pushed}

    def do_close(self, request):
        connection = self._connections.pop(request["connection"])
        self._forget(connection.socket)
        connection.socket.close()
        return {}


Traffic().run()
