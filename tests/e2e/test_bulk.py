"""Much traffic, with each shape of card: one queue and four, offloads on and off, jumbo frames. Every byte is held against a hash.

    client .9  --10.0.1.0/24-- lan [fw] wan --10.0.2.0/24--  server .9
"""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.e2e.endpoints import Bulk, EchoDatagram, EchoStream, both_ways, connect, datagrams, receive, serving, short_connections
from tests.e2e.host import PATIENCE, Host, eventually
from tests.e2e.lab import Appliance, Lab

CONFIG = """
version: 1
nics:
  lan: {{address: [10.0.1.1/24, "fd00:1::1/64"], queues: {queues}, offloads: {offloads}, mtu: {mtu}}}
  wan: {{address: [10.0.2.1/24, "fd00:2::1/64"], queues: {queues}, offloads: {offloads}, mtu: {mtu}}}
zones: {{home: {{nics: [lan]}}, net: {{nics: [wan]}}}}
policy:
  - out: {{from: [home], to: [net], allow: any}}
nat:
  - behind: {{masquerade: {{from: [home], to: [net]}}}}
"""
SERVER = ("10.0.2.9", "fd00:2::9")
FAMILIES = pytest.mark.parametrize("v", (0, 1), ids=("v4", "v6"))


@dataclass(frozen=True)
class Shape:
    queues: int
    offloads: str
    mtu: int = 1500

    def __str__(self) -> str:
        return f"{self.queues} queues, offloads {self.offloads}, mtu {self.mtu}"


SHAPES = (Shape(1, "on"), Shape(4, "on"), Shape(1, "off"), Shape(4, "off"), Shape(2, "on", 9000))


@dataclass
class Site:
    lab: Lab
    shape: Shape
    fw: Appliance
    client: Host
    server: Host

    @property
    def megabytes(self) -> int:
        """How much one of four streams carries, each way."""
        return (12 if self.shape.offloads == "on" else 3) << 20


@pytest.fixture(scope="module", params=SHAPES, ids=str)
def site(request: pytest.FixtureRequest, machine: None) -> Iterator[Site]:
    shape: Shape = request.param
    with Lab() as lab:
        client, server = lab.host("client"), lab.host("server")
        fw = lab.appliance("fw", CONFIG.format(queues=shape.queues, offloads=shape.offloads, mtu=shape.mtu))
        fw.plug("lan", client, ["10.0.1.9/24", "fd00:1::9/64"], ["10.0.1.1", "fd00:1::1"], shape.mtu)
        fw.plug("wan", server, ["10.0.2.9/24", "fd00:2::9/64"], ["10.0.2.1", "fd00:2::1"], shape.mtu)
        for address in SERVER:
            echo = (EchoStream, address, 7007, "tcp"), (EchoDatagram, address, 7007, "udp")
            lab.keep(serving(server, (Bulk, address, 7000, "tcp"), *echo))
        yield Site(lab, shape, fw, client, server)


@FAMILIES
def test_streams_both_ways_at_once_arrive_whole(site: Site, v: int) -> None:
    both_ways(site.client, SERVER[v], 7000, streams=4, size=site.megabytes)


@FAMILIES
def test_datagrams_of_any_size_come_back_as_they_were(site: Site, v: int) -> None:
    """Up to what one frame holds: the appliance takes no fragments."""
    most = site.shape.mtu - (28, 48)[v]
    with datagrams(site.client, SERVER[v], 7007) as one:
        for size in (*range(1, 70), *range(70, most, 97), *range(most - 3, most + 1)):
            sent = bytes(n * 7 + size & 255 for n in range(size))
            one.send(sent)
            assert one.recv(65535) == sent


@FAMILIES
def test_messages_of_any_size_come_back_as_they_were(site: Site, v: int) -> None:
    with connect(site.client, SERVER[v], 7007) as one:
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for size in (*range(1, 20), *range(20, 65507, 2999), 65507):
            sent = bytes(n * 7 + size & 255 for n in range(256)) * (size // 256 + 1)
            one.sendall(sent[:size])
            assert receive(one, size) == sent[:size]


def test_five_hundred_short_connections_all_work(site: Site) -> None:
    assert short_connections(site.client, SERVER, 7007, 500)


def test_a_strangers_datagrams_keep_their_order(site: Site) -> None:
    """iperf3's own count: with four queues, a flow still has one way."""
    ready = threading.Event()
    with subprocess.Popen(site.server.inside("iperf3", "-s", "-1", "--forceflush"), stdout=subprocess.PIPE, text=True) as listener:
        assert listener.stdout is not None
        for line in listener.stdout:
            if "listening" in line:
                ready.set()
                break
        text = site.client.output("iperf3", "-c", SERVER[0], "-u", "-b", "40M", "-P", "2", "-n", "400K", "-J")
        listener.stdout.read()
        listener.wait(PATIENCE)
    streams = json.loads(text)["end"]["streams"]
    assert ready.is_set() and len(streams) == 2
    assert [stream["udp"]["out_of_order"] for stream in streams] == [0, 0]


def test_large_packets_cross_whole_only_with_offloads(site: Site) -> None:
    """What came in one piece from the kernel is one frame of the card; without offloads each is at most an MTU."""
    nic = site.fw.nic("lan")
    mean = nic["rx"]["bytes"] / nic["rx"]["packets"]
    view = site.fw.ask("ethtool", nic="lan", kind="k")["data"]
    assert view["large-receive-offload"] is view["tcp-segmentation-offload"][""] is (site.shape.offloads == "on")
    assert (mean > site.shape.mtu) is (site.shape.offloads == "on"), f"{mean:.0f} bytes a frame"


def test_every_queue_had_its_share(site: Site) -> None:
    counters = site.fw.ask("ethtool", nic="lan", kind="S")["data"]["statistics"]
    assert all(counters[f"queue_{n}_rx_cnt"] > 100 for n in range(site.shape.queues)), counters


def test_nothing_was_damaged_nor_lost_on_the_way(site: Site) -> None:
    assert (site.client.stack_errors(), site.server.stack_errors()) == ({}, {})
    status = site.fw.status()
    assert set(status["drops"]) <= {"multicast", "not-a-start"}, status["drops"]
    assert status["decisions-failed"] == 0
    eventually(site.fw.balanced, "received = sent + punted + parked + drops")
    assert [nic["resets"] for nic in status["nics"]] == [0, 0, 0]
    site.fw.agree("lan", site.client)
    site.fw.agree("wan", site.server)
