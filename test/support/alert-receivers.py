"""Receivers of alerts as users have them, in one process: what each gets goes to DIRECTORY/NAME, a message or request body a line.

Usage: alert-receivers.py DIRECTORY. Listens on DIRECTORY/log (unix datagrams), 127.0.0.1:5514 (UDP), :5601 (TCP, octet counting), :6514 (TLS, the
same; DIRECTORY/cert.pem, key.pem), :8080 (HTTP) and :8081 (HTTP that never answers). Prints "ready". Ends with its standard input.
"""
import http.server
import os
import socket
import ssl
import sys
import threading

directory = sys.argv[1]
lock = threading.Lock()


def keep(name, data):
    with lock, open(os.path.join(directory, name), 'ab') as out:
        out.write(data + b'\n')


def datagrams(name, sock):
    while True:
        keep(name, sock.recv(65536))


def frames(name, connection):
    try:
        stream = connection.makefile('rb')
        while True:
            digits = b''
            while not digits.endswith(b' '):
                byte = stream.read(1)
                if byte == b'':
                    return
                digits += byte
            keep(name, stream.read(int(digits)))
    except OSError:
        return


def streams(name, sock, context):
    while True:
        connection, _ = sock.accept()
        try:
            plain = connection if context is None else context.wrap_socket(connection, server_side=True)
        except OSError:
            continue
        threading.Thread(target=frames, args=(name, plain), daemon=True).start()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        keep('http', self.rfile.read(int(self.headers['content-length'])))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


def listening(port):
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(('127.0.0.1', port))
    sock.listen(16)
    return sock


unix = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
unix.bind(os.path.join(directory, 'log'))
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(('127.0.0.1', 5514))
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(os.path.join(directory, 'cert.pem'), os.path.join(directory, 'key.pem'))
silent = listening(8081)
server = http.server.ThreadingHTTPServer(('127.0.0.1', 8080), Handler)
for work in [
    lambda: datagrams('unix', unix), lambda: datagrams('udp', udp), lambda: streams('tcp', listening(5601), None),
    lambda: streams('tls', listening(6514), context), server.serve_forever,
]:
    threading.Thread(target=work, daemon=True).start()
print('ready', flush=True)
sys.stdin.read()
