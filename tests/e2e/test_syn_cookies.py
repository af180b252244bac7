"""Kernels that don't know that there were two handshakes: curl, bulk and short connections through services that always answer by cookies,
over good links and bad ones; and targets that read a PROXY header first.

    client .9 --10.0.1.0/24-- front [fw] back --10.0.2.0/24-- server .9        lossy, lost: the same with frames that get lost
"""

from __future__ import annotations

import hashlib
import shutil
import socket
import socketserver
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.endpoints import DATA, Bulk, Caller, EchoStream, both_ways, connect, echoes, serving, short_connections
from tests.e2e.host import PATIENCE, eventually
from tests.e2e.lab import Lab, Site

CONFIG = """
version: 1
nics:
  front: {address: [10.0.1.1/24, "fd00:1::1/64"], queues: 2}
  back:  {address: [10.0.2.1/24, "fd00:2::1/64"], queues: 2}
  lossy: {address: [10.0.3.1/24], faults: {seed: 7, loss: 1%, reorder: 1%, duplicate: 1%}}
  lost:  {address: [10.0.4.1/24], faults: {seed: 8, loss: 1%}}
zones: {clients: {nics: [front, lossy]}, servers: {nics: [back, lost]}}
services:
  bulk:
    listen: [10.0.1.100:7000/tcp, "[fd00:1::100]:7000/tcp"]
    targets: [{name: a, address: 10.0.2.9:7000}, {name: b, address: "[fd00:2::9]:7000"}]
    protect: {syn-cookies: always}
  options:
    listen: [10.0.1.100:7002/tcp, "[fd00:1::100]:7002/tcp"]
    targets: [{name: a, address: 10.0.2.9:7002}, {name: b, address: "[fd00:2::9]:7002"}]
    protect: {syn-cookies: always}
  echo:
    listen: [10.0.1.100:7007/tcp, "[fd00:1::100]:7007/tcp"]
    targets: [{name: a, address: 10.0.2.9:7007}, {name: b, address: "[fd00:2::9]:7007"}]
    algorithm: round-robin
    client-ip: translate
    protect: {syn-cookies: always}
  bad-links:
    listen: [10.0.3.100:7000/tcp]
    targets: [{name: a, address: 10.0.4.9:7000}]
    protect: {syn-cookies: always}
  greets:
    listen: [10.0.3.100:7001/tcp]
    targets: [{name: a, address: 10.0.4.9:7001}]
    protect: {syn-cookies: always}
  nobody:
    listen: [10.0.1.100:9/tcp]
    targets: [{name: a, address: 10.0.2.9:9}]
    protect: {syn-cookies: always}
  web:
    listen: [10.0.1.100:80/tcp, "[fd00:1::100]:80/tcp"]
    targets: [{name: a, address: 10.0.2.9:8000}, {name: b, address: "[fd00:2::9]:8000"}]
    protect: {syn-cookies: always}
"""
SERVICE = ("10.0.1.100", "fd00:1::100")
SERVER = ("10.0.2.9", "fd00:2::9")
SIZE = 8 << 20
TIMESTAMPS, SACK, WSCALE = 1, 2, 4
FAMILIES = pytest.mark.parametrize("v", (0, 1), ids=("v4", "v6"))


def agreed(one: socket.socket) -> int:
    """The options that both ends of a connection sent: `tcpi_options` of Linux."""
    return one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 16)[5] & (TIMESTAMPS | SACK | WSCALE)


class Options(socketserver.BaseRequestHandler):
    """Says what its end has agreed on."""

    def handle(self) -> None:
        self.request.sendall(bytes([agreed(self.request)]))


@pytest.fixture(scope="module")
def site(lab: Lab) -> Site:
    front = ["10.0.1.9/24", "fd00:1::9/64"], ["10.0.1.1", "fd00:1::1"]
    back = ["10.0.2.9/24", "fd00:2::9/64"], ["10.0.2.1", "fd00:2::1"]
    site = lab.site(CONFIG, {"front": front, "lossy": (["10.0.3.9/24"], [])}, {"back": back, "lost": (["10.0.4.9/24"], [])})
    site.server.output("ip", "route", "add", "10.0.3.0/24", "via", "10.0.4.1")
    for address in SERVER:
        lab.keep(serving(site.server, (Bulk, address, 7000, "tcp"), (Options, address, 7002, "tcp"), (EchoStream, address, 7007, "tcp")))
    lab.keep(serving(site.server, (Bulk, "10.0.4.9", 7000, "tcp"), (Caller, "10.0.4.9", 7001, "tcp")))
    return site


@FAMILIES
def test_bulk_both_ways_arrives_whole(site: Site, v: int) -> None:
    both_ways(site.client, SERVICE[v], 7000, streams=3, size=SIZE)
    told = site.fw.service("bulk")["syn-cookies"]
    assert told["mode"] == "always" and told["accepted"] >= 6 and told["sent"] >= told["accepted"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is missing")
@FAMILIES
def test_curl_gets_a_file(site: Site, v: int, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(DATA[:SIZE])
    host = f"[{SERVICE[v]}]" if v else SERVICE[v]
    argv = site.server.inside("python3", "-m", "http.server", "8000", "--bind", SERVER[v], "--directory", str(tmp_path))
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            eventually(lambda: ":8000" in site.server.output("ss", "-Hltn", check=False), "server listens")
            asked = site.client.inside("curl", "-sf", f"http://{host}/file")
            found = subprocess.run(asked, capture_output=True, timeout=PATIENCE, check=True)
        finally:
            server.kill()
    assert hashlib.sha256(found.stdout).digest() == hashlib.sha256(DATA[:SIZE]).digest()


@FAMILIES
def test_scaling_and_selective_acknowledgement_hold_end_to_end(site: Site, v: int) -> None:
    """What the kernels say of their own connection: both were agreed on, timestamps were not."""
    with connect(site.client, SERVICE[v], 7002) as one:
        assert (agreed(one), one.recv(1)) == (SACK | WSCALE, bytes([SACK | WSCALE]))


def test_many_short_connections_all_work(site: Site) -> None:
    assert short_connections(site.client, SERVICE, 7007, 200)


def test_streams_arrive_whole_over_loss_disorder_and_duplicates(site: Site) -> None:
    both_ways(site.client, "10.0.3.100", 7000, streams=2, size=SIZE // 4)


def test_a_server_that_speaks_first_does_so_over_bad_links(site: Site) -> None:
    """The client's ACK is the one segment that nobody sends again: without it, the next SYN is another connection's."""

    def greeting() -> bytes:
        try:
            with connect(site.client, "10.0.3.100", 7001, patience=8.0) as one:
                return one.recv(100)
        except TimeoutError:
            return b""

    with ThreadPoolExecutor(40) as pool:
        said = list(pool.map(lambda _: greeting(), range(120)))
    assert sum(text.startswith(b"10.0.3.9 ") for text in said) >= 108


def test_a_refused_connection_is_reset(site: Site) -> None:
    with pytest.raises(ConnectionResetError), connect(site.client, SERVICE[0], 9) as one:
        one.recv(1)


def test_a_reload_in_between_hurts_no_connection(site: Site) -> None:
    with connect(site.client, SERVICE[0], 7007) as one:
        site.fw.ask("reload")
        assert echoes(one)
        with connect(site.client, SERVICE[0], 7007) as other:
            assert echoes(other) and echoes(one)


def test_nothing_was_damaged_on_the_way(site: Site) -> None:
    errors = site.client.stack_errors() | site.server.stack_errors()
    assert set(errors) <= {"TcpInErrs"}, errors  # that counts SYN+ACKs that came twice as well
    assert site.fw.status()["decisions-failed"] == 0
    eventually(site.fw.balanced, "received + made = sent + punted + parked + drops")
