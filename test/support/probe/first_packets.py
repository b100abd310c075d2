"""Senders in network namespaces that begin with the namespace, and what of it arrives. Talks as line-process.ts does; the configuration is empty.

  {"do": "sink", "netns": PATH, "address": A, "port": P}            counts datagrams by their payload from now on
  {"do": "send", "netns": PATH, "name": N, "to": A, "port": P}      a thread in the namespace: sends N to A:P every half millisecond, and counts what it gets
  {"do": "aim", "name": N, "at": A}                                 the sink sends to A:P of that namespace, too, once in two milliseconds
  {"do": "look" or "stop", "name": N} -> {"sent", "unsent", "arrived", "received"}
"""
import ctypes
import json
import os
import socket
import sys
import threading
import time

CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)
arrived = {}
senders = {}
aims = {}
lock = threading.Lock()


def enter(path):
    """The calling thread only."""
    fd = os.open(path, os.O_RDONLY)
    try:
        if libc.setns(fd, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
    finally:
        os.close(fd)


def sink(request, ready):
    enter(request["netns"])
    family = socket.AF_INET6 if ":" in request["address"] else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_DGRAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    listener.bind((request["address"], request["port"]))

    def aim():
        enter(request["netns"])
        while True:
            with lock:
                targets = list(aims.items())
            for name, target in targets:
                try:
                    listener.sendto(name.encode(), (target, request["port"]))
                except OSError:
                    pass
            time.sleep(0.002)

    threading.Thread(target=aim, daemon=True).start()
    ready.set()
    while True:
        payload, _ = listener.recvfrom(256)
        name = payload.decode()
        with lock:
            arrived[name] = arrived.get(name, 0) + 1


class Sender(threading.Thread):
    def __init__(self, request):
        super().__init__(daemon=True)
        self.request = request
        self.sent = self.unsent = self.received = 0
        self.ending = threading.Event()
        self.begun = threading.Event()

    def run(self):
        enter(self.request["netns"])
        family = socket.AF_INET6 if ":" in self.request["to"] else socket.AF_INET
        out = socket.socket(family, socket.SOCK_DGRAM)
        out.bind(("", self.request["port"]))
        out.setblocking(False)
        payload = self.request["name"].encode()
        target = (self.request["to"], self.request["port"])
        self.begun.set()
        while not self.ending.is_set():
            try:
                out.sendto(payload, target)
                self.sent += 1
            except OSError:
                self.unsent += 1
            try:
                while True:
                    out.recv(256)
                    self.received += 1
            except OSError:
                pass
            time.sleep(0.0005)
        out.close()


def handle(request):
    what = request["do"]
    if what == "sink":
        ready = threading.Event()
        threading.Thread(target=sink, args=(request, ready), daemon=True).start()
        ready.wait(10)
        return {}
    if what == "send":
        sender = Sender(request)
        senders[request["name"]] = sender
        sender.start()
        sender.begun.wait(10)
        return {}
    if what == "aim":
        with lock:
            aims[request["name"]] = request["at"]
        return {}
    if what == "look":
        sender = senders[request["name"]]
        with lock:
            return {"sent": sender.sent, "unsent": sender.unsent, "arrived": arrived.get(request["name"], 0), "received": sender.received}
    if what == "stop":
        sender = senders.pop(request["name"])
        sender.ending.set()
        sender.join(10)
        time.sleep(0.02)
        with lock:
            aims.pop(request["name"], None)
            return {"sent": sender.sent, "unsent": sender.unsent, "arrived": arrived.get(request["name"], 0), "received": sender.received}
    raise ValueError(what)


sys.stdin.readline()
print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    try:
        answer = handle(request)
    except Exception as error:  # the test reads it
        answer = {"failed": repr(error)}
    print(json.dumps({"id": request["id"], **answer}), flush=True)
