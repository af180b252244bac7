"""Targets that are killed and come back, one after the other, under a thousand flows: only those of the one that is dead suffer."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from ipaddress import ip_address
from typing import NamedTuple

import pytest
from scapy.layers.inet import TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from tests.support.datagrams import from_port, ports, returned
from tests.support.office import LAN, OFFICE, SERVER, Office, back, ip, office
from tests.support.station import Station, who_has

pytestmark = pytest.mark.usefixtures("virtual_time")

HOSTS = {f"t{i}": f"192.168.1.{20 + i}" for i in range(4)}
SERVICE = "203.0.113.80"
BALANCED = OFFICE + f"""
services:
  web:
    listen: [{SERVICE}:9000/udp, {SERVICE}:80/tcp]
    targets: [{", ".join(f"{{name: {name}, address: {host}:8080}}" for name, host in HOSTS.items())}]
    health: {{type: tcp, every: 1s, timeout: 500ms, rise: 2, fall: 2}}
"""


JUDGED = 20
"""One datagram in so many is made, judged and answered by scapy, at both ends; the others by their bytes."""


class Flow(NamedTuple):
    """One flow as it is shown: what must not change of one that nobody touched."""

    id: object
    target: object
    packets: tuple[int, int]


def answers(packet: Packet) -> Packet | None:
    """A server of both kinds, who never hangs up."""
    if packet.haslayer(UDP):
        return back(packet, b"answer")
    return back(packet, flags="SA", seq=1, ack=packet[TCP].seq + 1) if packet[TCP].flags == "S" else None


class Site:
    """The office with four servers, of which some are dead."""

    def __init__(self, o: Office) -> None:
        self.o, self.dead = o, set[str]()
        self.servers: dict[str, Station] = {name: o.bench.station("lan", host) for name, host in HOSTS.items()}
        for server in self.servers.values():
            server.react = answers
        o.bench.world.probing = self.probe
        self.heard = set[int]()
        self.lan, self.wan = o.bench.segments["lan"], o.server.segment
        self.lan.shortcut, self.wan.shortcut = self._echo, self._hear
        question = Ether(src=o.server.mac, dst=self.wan.mac) / ip(4, SERVER[4], SERVICE) / UDP(sport=0, dport=9000) / b"q"
        self.question = bytes(question)

    def _echo(self, frame: bytes) -> bool:
        """A server's answer to most datagrams."""
        found = ports(frame)
        if found is None or not found[0] % JUDGED:
            return False
        [server] = [server for server in self.servers.values() if server.mac == frame[:6].hex(":")]
        if server.react is not None:
            self.lan.inject(returned(frame))
        return True

    def _hear(self, frame: bytes) -> bool:
        """Most of the answers, at the client."""
        found = ports(frame)
        if found is None or not found[1] % JUDGED:
            return False
        assert frame[26:30] == ip_address(SERVICE).packed and found[0] == 9000
        self.heard.add(found[1])
        return True

    async def probe(self, address: str, port: int, source: str | None, patience: float) -> str:
        return "dead" if {host: name for name, host in HOSTS.items()}[address] in self.dead else ""

    async def send(self, packets: Sequence[Packet | bytes]) -> list[Packet]:
        """What the client hears to these, sent a few at a time."""
        for n in range(0, len(packets), 50):
            self.o.server.send(*packets[n : n + 50])
            await self.o.bench.settle(0.02)
        return self.o.server.received()

    async def call(self, ports: Iterable[int]) -> set[int]:
        """Datagrams from each port; those that were answered."""
        self.heard.clear()
        asked = await self.send([from_port(self.question, port) for port in ports])
        return self.heard | {p[UDP].dport for p in asked}

    async def talk(self, ports: Collection[int]) -> None:
        """Connections from each port, open on both sides."""
        there = ip(4, SERVER[4], SERVICE)
        heard = await self.send([there / TCP(sport=port, dport=80, flags="S", seq=99) for port in ports])
        assert {p[TCP].dport for p in heard} == set(ports)
        await self.send([there / TCP(sport=port, dport=80, flags="A", seq=100, ack=2) for port in ports])
        self.forget()

    def forget(self) -> None:
        """What the servers have heard by now."""
        for server in self.servers.values():
            server.received()

    def flows(self) -> dict[int, Flow]:
        """By the client's port."""
        shown: list[dict[str, object]] = self.o.bench.appliance.flows(4096, 0)["flows"]
        now = {}
        for flow in shown:
            original, packets = flow["original"], flow["packets"]
            assert isinstance(original, dict) and isinstance(packets, list)
            if flow["service"] == "web" and flow["state"] in ("replied", "established"):
                now[original["sport"]] = Flow(flow["id"], flow["target"], (packets[0], packets[1]))
        return now

    async def phase(self, name: str, wanted: str) -> None:
        """Wait until a target is in a phase."""
        for _ in range(100):
            [service] = self.o.bench.appliance.status()["services"]
            if {each["name"]: each["phase"] for each in service["targets"]}[name] == wanted:
                return
            await self.o.bench.settle(0.1)
        raise AssertionError(f"{name} is not {wanted}")


@pytest.mark.parametrize(("lost", "number"), [("reset", 900), ("keep", 150), ("rebalance", 150)])
async def test_only_the_flows_of_the_dead_suffer(lost: str, number: int) -> None:
    calls, talks = range(2000, 2000 + number), range(3000, 3000 + number // 9)
    async with office(BALANCED + f"    lost-flows: {lost}\n") as o:
        site = Site(o)
        for name in HOSTS:
            await site.phase(name, "active")
        for name, server in site.servers.items():
            server.send(who_has(LAN[4], server.mac, HOSTS[name]))
        assert await site.call([1999]) == {1999}  # the neighbours are known from here on
        assert await site.call(calls) == set(calls)
        await site.talk(talks)
        for name in HOSTS:
            before = site.flows()
            own = {port for port, flow in before.items() if flow.target == name}
            assert len(before) >= len(calls) + len(talks) and len(own) > number // 9
            site.dead.add(name)
            await site.phase(name, "unhealthy")
            await o.bench.settle(0.5)
            after = site.flows()
            assert {port: flow for port, flow in after.items() if port not in own} == {p: f for p, f in before.items() if p not in own}
            assert after.keys() & own == (own if lost == "keep" else set())
            resets = o.server.received(TCP)
            assert {(p[TCP].dport, str(p[TCP].flags)) for p in resets} == {(port, "RA") for port in own & set(talks) if lost == "reset"}
            told = {server: {p[TCP].sport for p in station.received(TCP)} for server, station in site.servers.items()}
            assert told == {server: own & set(talks) if server == name and lost == "reset" else set() for server in HOSTS}
            site.servers[name].react = None
            again, others = {port for port in calls if port in own}, set(calls[::20]) - own
            answered = await site.call(sorted(again | others))
            assert answered == (others if lost == "keep" else again | others)
            after = site.flows()
            assert {port: after[port].target == name for port in again} == dict.fromkeys(again, lost == "keep")
            site.servers[name].received()
            site.servers[name].react = answers
            site.dead.clear()
            await site.phase(name, "active")
            assert {port: flow.target for port, flow in site.flows().items() if port not in own} == {
                port: flow.target for port, flow in before.items() if port not in own
            }
            await site.talk(set(talks) - site.flows().keys())
