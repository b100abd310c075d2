"""Sockets inside named network namespaces, from one single-threaded process."""
import ctypes
import os

_libc = ctypes.CDLL(None, use_errno=True)


class Netns:
    """with Netns(name): every socket made inside belongs to that namespace."""

    def __init__(self, name):
        self._name = name
        self._own = None

    def __enter__(self):
        self._own = os.open("/proc/self/ns/net", os.O_RDONLY)
        self._enter("/run/netns/" + self._name)

    def __exit__(self, *_):
        if _libc.setns(self._own, 0) != 0:
            raise OSError(ctypes.get_errno(), "setns back")
        os.close(self._own)

    @staticmethod
    def _enter(path):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            if _libc.setns(descriptor, 0) != 0:
                raise OSError(ctypes.get_errno(), "setns " + path)
        finally:
            os.close(descriptor)
