"""Targets that are told who their client is: HAProxy reads the header, and what both ends say stays whole, over good links and bad ones.

    client .9 --10.0.1.0/24-- front [fw] back --10.0.2.0/24-- server .9        lossy, lost: the same with frames that get lost
"""

from __future__ import annotations

import shutil
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.endpoints import Bulk, both_ways, connect, receive, serving
from tests.e2e.host import PATIENCE, eventually
from tests.e2e.lab import Lab, Site

CONFIG = """
version: 1
nics:
  front: {address: [10.0.1.1/24, "fd00:1::1/64"], queues: 2}
  back:  {address: [10.0.2.1/24, "fd00:2::1/64"], queues: 2}
  lossy: {address: [10.0.3.1/24], faults: {seed: 7, loss: 2%, reorder: 1%, duplicate: 1%}}
  lost:  {address: [10.0.4.1/24], faults: {seed: 8, loss: 2%}}
zones: {clients: {nics: [front, lossy]}, servers: {nics: [back, lost]}}
services:
  bulk:
    listen: [10.0.1.100:7000/tcp, "[fd00:1::100]:7000/tcp"]
    targets: [{name: a, address: 10.0.2.9:7000}, {name: b, address: "[fd00:2::9]:7000"}]
    client-ip: proxy-v2
    protect: {syn-cookies: off}
  both:
    listen: [10.0.1.100:7001/tcp, "[fd00:1::100]:7001/tcp"]
    targets: [{name: a, address: 10.0.2.9:7000}, {name: b, address: "[fd00:2::9]:7000"}]
    client-ip: proxy-v2
    protect: {syn-cookies: always}
  greets:
    listen: [10.0.3.100:7002/tcp]
    targets: [{name: a, address: 10.0.4.9:7002}]
    client-ip: proxy-v2
    protect: {syn-cookies: off}
  web:
    listen: [10.0.1.100:80/tcp, "[fd00:1::100]:80/tcp"]
    targets: [{name: a, address: 10.0.2.9:8080}, {name: b, address: "[fd00:2::9]:8080"}]
    client-ip: proxy-v2
    health: {type: tcp, every: 200ms, timeout: 200ms, rise: 1, fall: 5}
"""
HAPROXY = """
defaults
  mode http
  timeout client 10s
  timeout server 10s
  timeout connect 1s
frontend web
  bind 10.0.2.9:8080 accept-proxy
  bind [fd00:2::9]:8080 accept-proxy
  http-request return status 200 content-type text/plain lf-string "%[src] %[src_port] %[dst] %[dst_port]"
"""
SERVICE = ("10.0.1.100", "fd00:1::100")
SERVER = ("10.0.2.9", "fd00:2::9")
CLIENT = ("10.0.1.9", "fd00:1::9")
FAMILIES = pytest.mark.parametrize("v", (0, 1), ids=("v4", "v6"))


def header(one: socket.socket) -> bytes:
    """What comes first, as long as it says that it is."""
    start = receive(one, 16)
    assert start[:12] == b"\r\n\r\n\x00\r\nQUIT\n"
    return receive(one, int.from_bytes(start[14:]))


class Told(Bulk):
    """Reads the header, and is the server of bulk transfers from there on. A connection without one ends."""

    def handle(self) -> None:
        header(self.request)
        super().handle()


class Greets(Bulk):
    """Says to whom it speaks before that has said anything."""

    def handle(self) -> None:
        self.request.sendall(header(self.request)[:4])


@pytest.fixture(scope="module")
def site(lab: Lab) -> Site:
    front = ["10.0.1.9/24", "fd00:1::9/64"], ["10.0.1.1", "fd00:1::1"]
    back = ["10.0.2.9/24", "fd00:2::9/64"], []  # no way back but to the appliance: it is the client that targets see
    site = lab.site(CONFIG, {"front": front, "lossy": (["10.0.3.9/24"], [])}, {"back": back, "lost": (["10.0.4.9/24"], [])})
    lab.keep(serving(site.server, *((Told, address, 7000, "tcp") for address in SERVER), (Greets, "10.0.4.9", 7002, "tcp")))
    return site


@FAMILIES
@pytest.mark.parametrize("port", [7000, 7001], ids=["plain", "cookies"])
def test_bulk_both_ways_arrives_whole(site: Site, v: int, port: int) -> None:
    both_ways(site.client, SERVICE[v], port, streams=2, size=8 << 20)


@pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is missing")
def test_haproxy_is_told_who_the_client_is(site: Site, tmp_path: Path) -> None:
    (tmp_path / "haproxy.cfg").write_text(HAPROXY)
    with subprocess.Popen(site.server.inside("haproxy", "-db", "-f", str(tmp_path / "haproxy.cfg")), stderr=subprocess.DEVNULL) as haproxy:
        try:
            eventually(lambda: ":8080" in site.server.output("ss", "-Hltn"), "HAProxy listens")
            for v in (0, 1):
                eventually(lambda v=v: site.fw.service("web")["targets"][v]["state"] == "up", "the target is up")
                with connect(site.client, SERVICE[v], 80) as one:
                    me = one.getsockname()
                    one.sendall(b"GET / HTTP/1.0\r\n\r\n")
                    assert receive(one, 4096).decode().endswith(f"\r\n\r\n{CLIENT[v]} {me[1]} {SERVICE[v]} 80")
        finally:
            haproxy.terminate()
            haproxy.wait(PATIENCE)


def test_a_server_that_speaks_first_is_told_over_bad_links(site: Site) -> None:
    """Neither end has anything to send again: a header that is lost is ours to repeat."""

    def greeting() -> bytes:
        with connect(site.client, "10.0.3.100", 7002) as one:
            return receive(one, 4)

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(lambda _: greeting(), range(100))) == {socket.inet_aton("10.0.3.9")}


def test_nothing_was_damaged_on_the_way(site: Site) -> None:
    errors = site.client.stack_errors() | site.server.stack_errors()
    assert set(errors) <= {"TcpInErrs"}, errors  # that counts SYN+ACKs that came twice as well
    eventually(site.fw.balanced, "received + made = sent + punted + parked + drops")
