"""A hostile or clumsy neighbourhood: floods, garbage, links that go, neighbours that change. What is established goes on."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, ICMPv6ND_NS, IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether

from tests.e2e.endpoints import EchoStream, connect, echoes, serving
from tests.e2e.host import Host, eventually
from tests.e2e.lab import Appliance, Lab

CONFIG = """
version: 1
nics:
  lan: {address: [10.0.1.1/24, "fd00:1::1/64"], queues: 2}
  wan: {address: [10.0.2.1/24, "fd00:2::1/64"]}
  dmz: {address: 10.0.3.1/24}
zones: {home: {nics: [lan]}, net: {nics: [wan, dmz]}}
policy:
  - out: {from: [home], to: [net], allow: any}
nat:
  - behind: {masquerade: {from: [home], to: [net]}}
limits: {flows: 1024}
"""
SERVER = "10.0.2.9"


@dataclass
class Site:
    fw: Appliance
    client: Host
    server: Host
    dmz: Host

    def works(self) -> bool:
        """Whether a new connection crosses it."""
        with connect(self.client, SERVER, 7007) as one:
            return echoes(one)

    def mishaps(self) -> list[str]:
        """What the log complains about."""
        return [str(entry) for entry in self.fw.child.log if entry["level"] not in ("info", "debug")]


@pytest.fixture(scope="module")
def site(lab: Lab) -> Iterator[Site]:
    client, server, dmz = lab.host("client"), lab.host("server"), lab.host("dmz")
    fw = lab.appliance("fw", CONFIG)
    fw.plug("lan", client, ["10.0.1.9/24", "fd00:1::9/64"], ["10.0.1.1", "fd00:1::1"])
    fw.plug("wan", server, ["10.0.2.9/24", "fd00:2::9/64"], ["10.0.2.1", "fd00:2::1"])
    fw.plug("dmz", dmz, ["10.0.3.9/24"], ["10.0.3.1"])
    lab.keep(serving(server, (EchoStream, SERVER, 7007, "tcp")))
    lab.keep(serving(dmz, (EchoStream, "10.0.3.9", 7007, "tcp")))
    yield Site(fw, client, server, dmz)


def test_a_flood_of_new_flows_displaces_no_established_one(site: Site) -> None:
    with connect(site.client, SERVER, 7007) as held:
        assert echoes(held)
        one = site.client.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)
        with one:
            for port in range(10000, 16000):
                one.sendto(b"?", (SERVER, port))
        assert echoes(held)
        flows = site.fw.status()["flows"]
        assert 0 < flows["used"] <= flows["limit"] == 1024
        assert site.works()


def test_garbage_on_the_wire_is_dropped_and_counted(site: Site) -> None:
    """Random bytes, and real packets with bits turned, bytes cut or added, to the card's own address and to everybody."""
    chance = random.Random(5)
    mac = site.fw.nic("lan")["mac"]
    v4, v6 = IP(src="10.0.1.9", dst=SERVER), IPv6(src="fd00:1::9", dst="fd00:2::9")
    inside = (
        v4 / TCP(sport=5, dport=7007, flags="S", options=[("MSS", 1460), ("Timestamp", (1, 0))]), v4 / UDP(sport=6, dport=7) / b"payload",
        v4 / ICMP() / b"ping", v6 / TCP(sport=5, dport=7007), v6 / UDP(sport=6, dport=7) / b"payload", v6 / ICMPv6EchoRequest(data=b"ping"),
        ICMP(type=3, code=4) / v4 / UDP(), IPv6(src="fd00:1::9", dst="fd00:1::1", hlim=255) / ICMPv6ND_NS(tgt="fd00:1::1"),
        IP(src="10.0.1.9", dst="10.0.1.1") / ICMP(type=3, code=1) / v4 / TCP(), Dot1Q(vlan=7) / v4 / UDP(),
        ARP(psrc="10.0.1.8", pdst="10.0.1.1"),  # not the client's address: that would truly move it
    )  # fmt: skip
    whole = [bytes(Ether(src="02:00:00:00:00:99", dst=mac) / each) for each in inside]
    with site.client.call(socket.socket, socket.AF_PACKET, socket.SOCK_RAW, 0) as wire:
        wire.bind(("lan", 0))
        for _ in range(6000):
            frame = bytearray(chance.choice(whole))
            for _ in range(chance.randrange(4)):
                frame[chance.randrange(12, len(frame))] = chance.randrange(256)
            cut, added = chance.choice(((chance.randrange(14, len(frame) + 1), 0), (len(frame), chance.randrange(30))))
            frame = frame[:cut] + chance.randbytes(added)
            wire.send(frame if chance.random() < 0.95 else chance.randbytes(chance.randrange(14, 1514)))
    status = site.fw.status()
    assert {"truncated", "malformed", "ethertype", "vlan"} <= set(status["drops"]), status["drops"]
    assert status["decisions-failed"] == 0 and not site.mishaps()
    assert site.works()
    eventually(site.fw.balanced, "received = sent + punted + parked + drops")


def test_a_link_that_goes_down_and_comes_back_carries_the_same_connections(site: Site) -> None:
    with connect(site.client, SERVER, 7007) as held:
        assert echoes(held)
        site.server.output("ip", "link", "set", "wan", "down")
        held.sendall(b"while it is down")
        site.server.output("ip", "link", "set", "wan", "up")
        site.server.output("ip", "route", "add", "default", "via", "10.0.2.1")
        assert held.recv(100) == b"while it is down"
    assert not site.mishaps()


def test_a_neighbour_with_a_new_mac_address_is_found_again(site: Site) -> None:
    with connect(site.client, SERVER, 7007) as held:
        assert echoes(held)
        site.server.output("ip", "link", "set", "dev", "wan", "address", "02:00:00:00:77:77")
        site.server.output("ping", "-n", "-c1", "-W0.2", "10.0.2.1", check=False)  # its question tells the new one
        assert echoes(held)


def test_an_interface_that_is_removed_takes_only_its_own_traffic(site: Site) -> None:
    with connect(site.client, SERVER, 7007) as held, connect(site.client, "10.0.3.9", 7007) as lost:
        assert echoes(held) and echoes(lost)
        site.dmz.output("ip", "link", "del", "dmz")
        lost.sendall(b"to nowhere")
        assert echoes(held)
        assert site.works()
    assert site.fw.child.end() == 0
