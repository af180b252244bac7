"""A network namespace of one test's own: whatever it makes there is gone with it."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

CLONE_NEWNET = 0x40000000
SOL_PACKET, PACKET_VNET_HDR = 263, 15
_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def private_network() -> Iterator[None]:
    """Put this thread into a fresh namespace, and back. Skips the test, saying why, where that is not allowed."""
    if not os.path.exists("/dev/net/tun"):
        pytest.skip("there is no /dev/net/tun")
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        if _libc.unshare(CLONE_NEWNET):
            pytest.skip(f"no network namespace of our own: {os.strerror(ctypes.get_errno())} (root, or CAP_SYS_ADMIN, is needed)")
        try:
            ip("link set lo up")
            yield
        finally:
            _libc.setns(home, CLONE_NEWNET)
    finally:
        os.close(home)


def ip(command: str) -> None:
    subprocess.run(["ip", *command.split()], check=True, capture_output=True)


def up(name: str, mtu: int = 1500) -> None:
    """Bring an interface up that nobody speaks on unasked."""
    with open(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6", "w") as file:
        file.write("1")
    ip(f"link set {name} mtu {mtu} up")


class PacketSocket:
    """Raw frames on one interface, with the virtio-net header if asked."""

    def __init__(self, interface: str, *, vnet: bool = False) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self._vnet = vnet
        if vnet:
            self._socket.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        self._socket.bind((interface, 0))
        self._socket.setblocking(False)

    def send(self, frame: bytes, *, partial: tuple[int, int] | None = None, segment: int = 0, gso: int = 1, header: int = 0) -> None:
        start, offset = partial or (0, 0)
        kind = gso if segment else 0
        told = struct.pack("<BBHHHH", 1 if partial else 0, kind, header, segment, start, offset) if self._vnet else b""
        self._socket.send(told + frame)

    def receive(self) -> list[bytes]:
        """The frames that came in (what was sent through the interface itself is left out)."""
        frames = []
        while True:
            try:
                frame, address = self._socket.recvfrom(1 << 17)
            except BlockingIOError:
                return frames
            except OSError as error:
                if error.errno != errno.ENETDOWN:  # told once after the interface was down
                    raise
                continue
            if address[2] != socket.PACKET_OUTGOING:
                frames.append(frame)

    def close(self) -> None:
        self._socket.close()
