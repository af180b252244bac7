"""What listens and asks at both ends: echo, a stranger's view of who called, and bulk transfers told by their hash.

All sockets are the kernel's, made inside a host's namespace; the threads that use them are the test's.
"""

from __future__ import annotations

import hashlib
import os
import socket
import socketserver
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from tests.e2e.host import PATIENCE, Host

SILENCE = 0.4
"""Seconds after which no answer counts as none: round trips take a millisecond."""
DATA = os.urandom(48 << 20)
PIECE = 1 << 18


class EchoStream(socketserver.BaseRequestHandler):
    """Sends back what comes, until the end."""

    def handle(self) -> None:
        while data := self.request.recv(PIECE):
            self.request.sendall(data)


class EchoDatagram(socketserver.BaseRequestHandler):
    """Sends each datagram back."""

    def handle(self) -> None:
        data, listener = self.request
        listener.sendto(data, self.client_address)


class DigestDatagram(socketserver.BaseRequestHandler):
    """Answers each datagram with its SHA-256."""

    def handle(self) -> None:
        data, listener = self.request
        listener.sendto(hashlib.sha256(data).digest(), self.client_address)


class Caller(socketserver.BaseRequestHandler):
    """Tells who called, as the server sees it: `address port`."""

    def handle(self) -> None:
        text = f"{self.client_address[0]} {self.client_address[1]}".encode()
        if isinstance(self.request, tuple):
            self.request[1].sendto(text, self.client_address)
        else:
            self.request.sendall(text)


class Bulk(socketserver.BaseRequestHandler):
    """`u` and a stream until its end: its SHA-256. `d`, where to begin in DATA and how much, eight bytes each: those bytes."""

    def handle(self) -> None:
        if self.request.recv(1) == b"d":
            start, size = (int.from_bytes(receive(self.request, 8)) for _ in range(2))
            self.request.sendall(memoryview(DATA)[start : start + size])
        else:
            self.request.sendall(digest(self.request))


class _Stream(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 512


class _Datagram(socketserver.UDPServer):
    allow_reuse_address = True
    max_packet_size = 65535


class _Quiet:
    def handle_error(self, request: object, client_address: object) -> None:
        """A client that leaves, or whose flow was cut, is no error of the server's."""


def server(host: Host, handler: type[socketserver.BaseRequestHandler], address: str, port: int, *, udp: bool = False) -> Server:
    """Listens inside `host` while its context lasts."""
    kind: type[socketserver.BaseServer] = _Datagram if udp else _Stream
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return Server(host.call(type("Listener", (_Quiet, kind), {"address_family": family}), (address, port), handler))


class Server:
    """A running server; leaving the context closes it and the connections it has."""

    def __init__(self, listener: socketserver.BaseServer) -> None:
        self._listener = listener
        self._thread = threading.Thread(target=listener.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Listen no more: the next caller is refused."""
        self._listener.shutdown()
        self._listener.server_close()


def receive(connection: socket.socket, size: int) -> bytes:
    """Exactly so many bytes; fewer if the stream ends before."""
    parts, left = [], size
    while left and (data := connection.recv(min(left, PIECE))):
        parts.append(data)
        left -= len(data)
    return b"".join(parts)


def digest(connection: socket.socket) -> bytes:
    """The SHA-256 of a stream until its end."""
    found = hashlib.sha256()
    while data := connection.recv(PIECE):
        found.update(data)
    return found.digest()


def connect(host: Host, address: str, port: int, *, source: str = "", patience: float = PATIENCE) -> socket.socket:
    """A TCP connection out of `host`."""
    return host.call(socket.create_connection, (address, port), patience, (source, 0) if source else None)


def datagrams(host: Host, address: str, port: int, *, patience: float = PATIENCE) -> socket.socket:
    """A connected UDP socket of `host`: it is told of ICMP errors."""

    def make() -> socket.socket:
        one = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        one.settimeout(patience)
        one.connect((address, port))
        return one

    return host.call(make)


def echoes(connection: socket.socket, message: bytes = b"are you there?") -> bool:
    """Whether a connection to an echo server lives."""
    connection.sendall(message)
    return receive(connection, len(message)) == message


def who(host: Host, address: str, port: int, *, source: str = "") -> tuple[str, int]:
    """Whom a `Caller` sees calling."""
    with connect(host, address, port, source=source) as connection:
        return _whom(connection.recv(100))


def who_udp(host: Host, address: str, port: int) -> tuple[str, int]:
    """The same, by UDP."""
    with datagrams(host, address, port) as one:
        one.send(b"who?")
        return _whom(one.recv(100))


def _whom(text: bytes) -> tuple[str, int]:
    address, port = text.decode().split()
    return address, int(port)


def upload(host: Host, address: str, port: int, start: int, size: int) -> None:
    """Send a part of DATA to a `Bulk` server, and hold what it got against what was sent."""
    data = memoryview(DATA)[start : start + size]
    with connect(host, address, port) as connection:
        connection.sendall(b"u")
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        assert receive(connection, 32) == hashlib.sha256(data).digest()


def download(host: Host, address: str, port: int, start: int, size: int) -> None:
    """Fetch a part of DATA from a `Bulk` server, and hold it against the original."""
    with connect(host, address, port) as connection:
        connection.sendall(b"d" + start.to_bytes(8) + size.to_bytes(8))
        assert digest(connection) == hashlib.sha256(memoryview(DATA)[start : start + size]).digest()


def both_ways(host: Host, address: str, port: int, *, streams: int, size: int) -> None:
    """So many uploads and downloads of `size` bytes, all at once."""
    with ThreadPoolExecutor(2 * streams) as pool:
        started = [pool.submit(job, host, address, port, n * PIECE, size) for n in range(streams) for job in (upload, download)]
        for each in started:
            each.result()


def short_connections(host: Host, addresses: Sequence[str], port: int, number: int) -> bool:
    """Whether so many connections to an echo server all work, each of one message, to one address after the other, eight at a time."""

    def works(which: int) -> bool:
        with connect(host, addresses[which % len(addresses)], port) as one:
            message = b"connection %d" % which
            one.sendall(message)
            one.shutdown(socket.SHUT_WR)
            return receive(one, 1000) == message

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(works, range(number))) == [True] * number


@contextmanager
def serving(host: Host, *services: tuple[type[socketserver.BaseRequestHandler], str, int, str]) -> Iterator[list[Server]]:
    """Several servers: (handler, address, port, "tcp" or "udp")."""
    started: list[Server] = []
    try:
        for handler, address, port, protocol in services:
            started.append(server(host, handler, address, port, udp=protocol == "udp").__enter__())
        yield started
    finally:
        for each in started:
            each.close()
