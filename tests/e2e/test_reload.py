"""SIGHUP while traffic flows: what may go on goes on, what may not stops, and a file with mistakes changes nothing."""

from __future__ import annotations

import hashlib
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from appliance.control.messages import ControlError
from tests.e2e.endpoints import DATA, PIECE, SILENCE, Bulk, EchoStream, connect, echoes, receive, serving
from tests.e2e.host import Host, eventually
from tests.e2e.lab import Appliance, Lab

CONFIG = """
version: 1
nics:
  lan: {{address: 10.0.1.1/24, queues: 2}}
  wan: {{address: 10.0.2.1/24, queues: 2}}
zones: {{home: {{nics: [lan]}}, net: {{nics: [wan]}}}}
policy:
  - out: {{from: [home], to: [net], allow: [{ports}]}}
nat:
  - behind: {{masquerade: {{from: [home], to: [net]}}}}
"""
OLD, NEW = CONFIG.format(ports="tcp/7000-7007"), CONFIG.format(ports="tcp/7000-7006, tcp/7008")
SERVER = "10.0.2.9"


@dataclass
class Site:
    fw: Appliance
    client: Host

    def reload(self, text: str, event: str = "reloaded") -> dict[str, object]:
        """Write the file, send SIGHUP, and wait for what the log says about it."""
        since = len(self.fw.child.log)
        self.fw.write(text)
        self.fw.child.send(signal.SIGHUP)
        return self.fw.child.wait_for(event, since)


@pytest.fixture(scope="module")
def running(lab: Lab) -> Site:
    client, server = lab.host("client"), lab.host("server")
    fw = lab.appliance("fw", OLD)
    fw.plug("lan", client, ["10.0.1.9/24"], ["10.0.1.1"])
    fw.plug("wan", server, ["10.0.2.9/24"], ["10.0.2.1"])
    lab.keep(serving(server, (Bulk, SERVER, 7000, "tcp"), *((EchoStream, SERVER, port, "tcp") for port in (7006, 7007, 7008))))
    return Site(fw, client)


@pytest.fixture
def site(running: Site) -> Iterator[Site]:
    yield running
    running.reload(OLD)


class Pouring:
    """An upload that goes on until it is told to stop."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection, self.sent, self.hash, self.error = connection, 0, hashlib.sha256(), ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._pour, daemon=True)
        self._thread.start()

    def _pour(self) -> None:
        try:
            self.connection.sendall(b"u")
            while not self._stop.is_set():
                piece = memoryview(DATA)[self.sent % (len(DATA) - PIECE) :][:PIECE]
                self.connection.sendall(piece)
                self.hash.update(piece)
                self.sent += PIECE
            self.connection.shutdown(socket.SHUT_WR)
        except OSError as error:
            self.error = str(error)

    def wait_for_more(self) -> None:
        """Wait until more than sockets hold was sent."""
        before = self.sent
        eventually(lambda: self.sent > before + 32 * PIECE, "the transfer goes on")

    def stop(self) -> None:
        """Send no more."""
        self._stop.set()
        self._thread.join()

    def finish(self) -> bool:
        """Whether all of it arrived."""
        self.stop()
        assert not self.error, self.error
        return receive(self.connection, 32) == self.hash.digest()


@contextmanager
def pouring(site: Site) -> Iterator[Pouring]:
    with connect(site.client, SERVER, 7000) as connection:
        poured = Pouring(connection)
        try:
            yield poured
        finally:
            poured.stop()


def test_transfers_and_idle_connections_outlive_reloads(site: Site) -> None:
    with pouring(site) as bulk, connect(site.client, SERVER, 7006) as idle:
        assert echoes(idle)
        for text in (NEW, OLD, NEW):
            site.reload(text)
            bulk.wait_for_more()
        assert echoes(idle)
        assert bulk.finish()


def test_a_flow_that_the_new_policy_forbids_stops(site: Site) -> None:
    with connect(site.client, SERVER, 7007) as denied, connect(site.client, SERVER, 7006) as allowed:
        assert echoes(denied) and echoes(allowed)
        assert site.reload(NEW)["ended"] == 1
        denied.settimeout(SILENCE)
        denied.sendall(b"still there?")
        with pytest.raises(TimeoutError):
            denied.recv(100)
        assert echoes(allowed)
        with pytest.raises(TimeoutError):
            connect(site.client, SERVER, 7007, patience=SILENCE)


def test_what_the_new_policy_allows_works_at_once(site: Site) -> None:
    with pytest.raises(TimeoutError):
        connect(site.client, SERVER, 7008, patience=SILENCE)
    site.reload(NEW)
    with connect(site.client, SERVER, 7008) as one:
        assert echoes(one)


def test_a_file_with_mistakes_leaves_what_runs_and_names_each(site: Site) -> None:
    def told(since: int) -> list[str]:
        return [entry["mistake"] for entry in site.fw.child.log[since:] if str(entry.get("mistake")).startswith(f"{site.fw.file}:")]

    generation = site.fw.status()["generation"]
    with connect(site.client, SERVER, 7007) as one:
        since = len(site.fw.child.log)
        site.reload(OLD.replace("[home]", "[hoem]").replace("wan: {address", "wan: {adress"), "not reloaded")
        eventually(lambda: len(told(since)) == 3, "a line for each mistake")
        said = "\n".join(told(since))
        assert "did you mean `home`" in said and "did you mean `address`" in said
        assert echoes(one)
    with connect(site.client, SERVER, 7007) as one:
        assert echoes(one)
    assert site.fw.status()["generation"] == generation


def test_a_file_that_vanished_leaves_what_runs(site: Site) -> None:
    since = len(site.fw.child.log)
    site.fw.file.unlink()
    site.fw.child.send(signal.SIGHUP)
    site.fw.child.wait_for("not reloaded", since)
    with connect(site.client, SERVER, 7007) as one:
        assert echoes(one)


def test_the_control_socket_reloads_too_and_refuses_in_words(site: Site) -> None:
    site.fw.write(NEW)
    assert site.fw.ask("reload")["generation"] == site.fw.status()["generation"]
    site.fw.write(OLD.replace("10.0.1.1/24", "10.0.9.1/24"))
    with pytest.raises(ControlError, match=r'nic "lan".*restart'):
        site.fw.ask("reload")
