"""Two hosts with an appliance between them, and what is busy on them for minutes: crowds of connections, pulses, a pouring stream.

    client 10.0.1.9 -- lan -- appliance -- wan -- 10.0.2.9 server          all in this process but for the appliance
"""

from __future__ import annotations

import hashlib
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Self

from appliance.control.client import ControlClient
from tests.e2e.host import Host
from tests.e2e.lab import Appliance, Lab
from tests.perf.process import resident
from tests.perf.programs import program

CLIENT, SERVER = "10.0.1.9", "10.0.2.9"
ECHO, BULK, PULSE = 7006, 7000, 7009
PATIENCE, LONGEST_RELOAD = 30.0, 600.0
SO_RCVBUFFORCE = 33
"""Source: Linux, asm-generic/socket.h."""
HEAD = """
version: 1
nics:
  lan: {address: 10.0.1.1/24, queues: 2, mac: 02:00:00:00:01:0a}
  wan: {address: 10.0.2.1/24, queues: 2, mac: 02:00:00:00:01:0b}
zones: {home: {nics: [lan]}, net: {nics: [wan]}}
nat:
  - behind: {masquerade: {from: [home], to: [net]}}
"""


def many_descriptors() -> None:
    """Room for as many connections as this process may have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Site:
    """The lab of a soak, ready."""

    def __init__(self, lab: Lab, text: str) -> None:
        self.client, self.server = lab.host("client"), lab.host("server")
        self.fw: Appliance = lab.appliance("fw", text)
        self.fw.plug("lan", self.client, [f"{CLIENT}/24"], ["10.0.1.1"])
        self.fw.plug("wan", self.server, [f"{SERVER}/24"], ["10.0.2.1"])

    def resident(self) -> int:
        """Bytes of memory of the appliance."""
        return resident(self.fw.child.process.pid)

    def reload(self) -> dict[str, float]:
        """Have it read its file again: flows judged and ended, and seconds it took."""
        return ControlClient(self.fw.socket, LONGEST_RELOAD).call("reload")

    def drops(self) -> dict[str, int]:
        """Frames the appliance dropped so far, by reason."""
        drops: dict[str, int] = self.fw.status()["drops"]
        return drops

    def lost_before(self) -> int:
        """Frames that the kernel had no room for in front of the appliance, and that its cards dropped."""
        links = self.client.link("lan")["tx_dropped"] + self.server.link("wan")["tx_dropped"]
        cards = [self.fw.ask("ethtool", nic=nic, kind="S")["data"]["statistics"] for nic in ("lan", "wan")]
        return links + sum(card["rx_drops"] + card["tx_drops"] for card in cards)

    def blast(self, *options: object) -> subprocess.Popen[bytes]:
        """Frames of many UDP flows from the client to the server."""
        argv = program("pktblast"), "-i", "lan", "-S", CLIENT, "-D", SERVER, "-m", "02:00:00:00:00:0a", "-M", "02:00:00:00:01:0a"
        return subprocess.Popen(self.client.inside(*argv, *map(str, options)), stdout=subprocess.DEVNULL)


@contextmanager
def echoing(host: Host, *places: tuple[str, int]) -> Iterator[None]:
    """Echo servers at these addresses and ports, all in one process."""
    argv = host.inside(sys.executable, "-m", "tests.soak.echo", *(str(each) for place in places for each in place))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as server:
        assert server.stdin and server.stdout and server.stdout.readline() == b"ready\n"
        try:
            yield
        finally:
            server.stdin.close()
            server.wait()


def crowd(host: Host, address: str, port: int, count: int) -> list[socket.socket]:
    """So many connections."""
    return host.call(lambda: [socket.create_connection((address, port), PATIENCE) for _ in range(count)])


def silent(connections: Sequence[socket.socket], patience: float = PATIENCE) -> int:
    """How many of them are dead: reset, or without an answer to a byte."""
    dead = set()
    for number, one in enumerate(connections):
        one.settimeout(patience)
        try:
            one.sendall(b"?")
        except OSError:
            dead.add(number)
    for number, one in enumerate(connections):
        try:
            if number not in dead and one.recv(1) != b"?":
                dead.add(number)
        except OSError:
            dead.add(number)
    return len(dead)


def close(connections: Iterable[socket.socket]) -> None:
    """Without a word to the other end."""
    for one in connections:
        one.close()


class Pulse:
    """A numbered datagram every `gap` seconds; the server's kernel keeps them until they are counted."""

    def __init__(self, site: Site, gap: float = 0.002) -> None:
        self._gap, self._end, self.sent, self.seen = gap, threading.Event(), 0, set[int]()
        self._far = site.server.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)
        self._far.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
        self._far.bind((SERVER, PULSE))
        self._far.settimeout(0.2)
        self._near = site.client.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)
        self._near.connect((SERVER, PULSE))
        self._threads = [threading.Thread(target=each, daemon=True) for each in (self._send, self._count)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._near.close()
        self._far.close()

    def stop(self) -> None:
        """Send no more, and wait for what is on its way."""
        self._end.set()
        for thread in self._threads:
            thread.join()

    @property
    def lost(self) -> int:
        """Datagrams that were sent and did not come."""
        return self.sent - len(self.seen)

    def _send(self) -> None:
        due = time.monotonic()
        while not self._end.is_set():
            with suppress(ConnectionRefusedError):
                self._near.send(self.sent.to_bytes(8, "big"))
                self.sent += 1
            due = max(due + self._gap, time.monotonic() - 1)
            time.sleep(max(0.0, due - time.monotonic()))

    def _count(self) -> None:
        quiet = 0
        while not self._end.is_set() or quiet < 5:
            try:
                self.seen.add(int.from_bytes(self._far.recv(64), "big"))
                quiet = 0
            except TimeoutError:
                quiet += 1


class Pour:
    """A stream to a `Bulk` server that goes on until it is stopped; `whole`: what was sent is what came."""

    def __init__(self, site: Site) -> None:
        self._one = site.client.call(socket.create_connection, (SERVER, BULK), PATIENCE)
        self._end, self.sent, self.error = threading.Event(), 0, ""
        self._thread = threading.Thread(target=self._pour, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        self._one.close()

    def whole(self) -> bool:
        """End it, and compare."""
        self._end.set()
        self._thread.join()
        if self.error:
            return False
        self._one.shutdown(socket.SHUT_WR)
        return self._one.recv(32) == self._hash.digest()

    def _pour(self) -> None:
        piece = os.urandom(1 << 18)
        self._hash = hashlib.sha256()
        try:
            self._one.sendall(b"u")
            while not self._end.is_set():
                self._one.sendall(piece)
                self._hash.update(piece)
                self.sent += len(piece)
        except OSError as error:
            self.error = str(error)
