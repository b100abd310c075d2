"""Echo requests, one after the other. Arguments: destination count interval(ms) payload(bytes) ; prints how many were answered."""
import socket
import struct
import sys
import time

destination, count, interval, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) / 1000, int(sys.argv[4])
six = ":" in destination
one = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM, socket.IPPROTO_ICMPV6) if six else socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
# Never in fragments, and what the path is known for does not matter: IP_MTU_DISCOVER = 10, IPV6_MTU_DISCOVER = 23, PROBE = 3.
one.setsockopt(socket.IPPROTO_IPV6 if six else socket.IPPROTO_IP, 23 if six else 10, 3)
answered = 0
due = time.monotonic()
for number in range(1, count + 1):
    one.sendto(struct.pack("!BBHHH", 128 if six else 8, 0, 0, 0, number) + bytes(size), (destination, 0))
    due += interval
    while True:
        left = due - time.monotonic()
        if left <= 0:
            break
        one.settimeout(left)
        try:
            answered += struct.unpack_from("!H", one.recv(65536), 6)[0] <= number
        except TimeoutError:
            pass
one.settimeout(1)
while answered < count:
    try:
        one.recv(65536)
        answered += 1
    except TimeoutError:
        break
print(answered)
