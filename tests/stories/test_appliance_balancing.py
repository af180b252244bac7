"""Services: connections spread over targets, those of a dead target move and no others, and health is what a TCP connection says."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from scapy.layers.inet import TCP, UDP
from scapy.packet import Packet

from tests.support.appliance_bench import ApplianceBench
from tests.support.office import LAN, OFFICE, SERVER, VERSIONS, back, ip, office
from tests.support.own_stack import OwnStack
from tests.support.station import Station, who_has

pytestmark = pytest.mark.usefixtures("virtual_time")

SERVICE = {4: "203.0.113.80", 6: "2001:db8:2::80"}
TARGETS = ("a", "b", "c")
ADDRESS = {4: {"a": "192.168.1.21", "b": "192.168.1.22", "c": "192.168.1.23"},
           6: {"a": "2001:db8:1::21", "b": "2001:db8:1::22", "c": "2001:db8:1::23"}}  # fmt: skip
BALANCED = OFFICE + """
services:
  web:
    listen: [203.0.113.80:53/udp, 203.0.113.80:80/tcp, "[2001:db8:2::80]:53/udp", "[2001:db8:2::80]:80/tcp"]
    targets:
      - {name: a, address: 192.168.1.21:8080}
      - {name: b, address: 192.168.1.22:8080}
      - {name: c, address: 192.168.1.23:8080}
      - {name: a6, address: "[2001:db8:1::21]:8080"}
      - {name: b6, address: "[2001:db8:1::22]:8080"}
      - {name: c6, address: "[2001:db8:1::23]:8080"}
    health: {type: tcp, every: 1s, timeout: 500ms, rise: 2, fall: 2}
"""


class Farm:
    """An office with three targets at home, whose health the test decides."""

    def __init__(self, client: Station, targets: dict[str, Station], bench: ApplianceBench) -> None:
        self.client, self.targets, self.bench = client, targets, bench
        self.dead: set[str] = set()

    async def probe(self, address: str, port: int, source: str | None, patience: float) -> str:
        assert port == 8080
        names = {a: name for version in VERSIONS for name, a in ADDRESS[version].items()}
        return "dead" if names[address] in self.dead else ""

    async def ask(self, version: int, ports: range) -> dict[int, str]:
        """A datagram from each port; which target each of them reached."""
        for port in ports:
            self.client.send(ip(version, SERVER[version], SERVICE[version]) / UDP(sport=port, dport=53) / b"q")
            await self.bench.elapse(0.0005)
        await self.bench.settle()
        reached = {}
        for name, station in self.targets.items():
            for packet in station.received(UDP):
                assert (packet.src, packet.dst, packet[UDP].dport) == (SERVER[version], ADDRESS[version][name], 8080)
                reached[packet[UDP].sport] = name
        return reached


@asynccontextmanager
async def farm(text: str = BALANCED) -> AsyncIterator[Farm]:
    async with office(text) as o:
        targets = {name: o.bench.station("lan", *(ADDRESS[version][name] for version in VERSIONS)) for name in TARGETS}
        farm = Farm(o.server, targets, o.bench)
        o.bench.world.probing = farm.probe
        for version in VERSIONS:
            for name, station in targets.items():
                station.send(who_has(LAN[version], station.mac, ADDRESS[version][name]))
        await o.bench.settle(3.0)
        yield farm


@pytest.mark.parametrize("version", VERSIONS)
async def test_flows_spread_evenly_and_each_stays_where_it_is(version: int) -> None:
    async with farm() as f:
        first = await f.ask(version, range(2000, 2300))
        assert len(first) == 300
        assert all(70 <= number <= 130 for number in Counter(first.values()).values())
        assert await f.ask(version, range(2000, 2300)) == first
        await f.bench.settle(200.0)  # all flows have ended
        assert f.bench.flows == []
        assert await f.ask(version, range(2000, 2300)) == first


@pytest.mark.parametrize("version", VERSIONS)
async def test_answers_come_from_the_service(version: int) -> None:
    async with farm() as f:
        f.client.send(ip(version, SERVER[version], SERVICE[version]) / TCP(sport=5000, dport=80, flags="S", seq=9))
        await f.bench.settle()
        [(station, syn)] = [(s, p) for s in f.targets.values() for p in s.received(TCP)]
        station.send(back(syn, flags="SA", seq=1, ack=10))
        await f.bench.settle()
        answer = f.client.only(TCP)
        assert (answer.src, answer[TCP].sport, answer[TCP].dport) == (SERVICE[version], 80, 5000)
        [flow] = f.bench.flows
        assert (flow["service"], flow["rule"]) == ("web", "service web")


@pytest.mark.parametrize("version", VERSIONS)
async def test_of_a_dead_target_only_its_flows_move_and_all_is_as_before_when_it_is_back(version: int) -> None:
    async with farm() as f:
        before = await f.ask(version, range(2000, 2200))
        f.dead.add("b")
        await f.bench.settle(5.0)
        assert f.bench.appliance.health.up("web", "b") is False
        after = await f.ask(version, range(2000, 2200))
        assert {port: name for port, name in after.items() if before[port] != "b"} == {p: n for p, n in before.items() if n != "b"}
        assert {name for port, name in after.items() if before[port] == "b"} == {"a", "c"}
        f.dead.clear()
        await f.bench.settle(5.0)
        assert await f.ask(version, range(2000, 2200)) == after  # flows stay
        await f.bench.settle(200.0)
        assert await f.ask(version, range(2000, 2200)) == before


async def test_the_flows_of_a_dead_target_end_at_once_and_no_others() -> None:
    async with farm() as f:
        before = await f.ask(4, range(2000, 2100))
        f.dead.add("c")
        await f.bench.settle(5.0)
        left = Counter(str(flow["target"]) for flow in f.bench.flows if flow["service"])
        assert left == Counter(name for name in before.values() if name != "c")


async def test_without_any_target_flows_are_refused_under_that_name_and_serve_again_later() -> None:
    async with farm() as f:
        f.dead |= set(TARGETS)
        await f.bench.settle(5.0)
        assert await f.ask(4, range(2000, 2010)) == {}
        assert f.bench.drops["no-target"] == 10
        [service] = f.bench.appliance.status()["services"]
        assert {target["state"] for target in service["targets"]} == {"down"}
        f.dead.clear()
        await f.bench.settle(5.0)
        assert len(await f.ask(4, range(2000, 2010))) == 10


async def test_one_lost_probe_is_not_the_end_of_a_target() -> None:
    async with farm() as f:
        f.dead.add("a")
        await f.bench.settle(0.95)
        f.dead.clear()
        await f.bench.settle(5.0)
        assert "a" in set((await f.ask(4, range(2000, 2100))).values())


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_hiding_service_shows_its_targets_the_appliance(version: int) -> None:
    async with farm(BALANCED + "    masquerade: true\n") as f:
        f.client.send(ip(version, SERVER[version], SERVICE[version]) / UDP(sport=5000, dport=53) / b"q")
        await f.bench.settle()
        [(station, asked)] = [(s, p) for s in f.targets.values() for p in s.received(UDP)]
        assert asked.src == {4: "192.168.1.1", 6: "2001:db8:1::1"}[version]
        station.send(back(asked, b"a"))
        await f.bench.settle()
        answer = f.client.only(UDP)
        assert (answer.src, answer[UDP].sport, answer[UDP].dport) == (SERVICE[version], 53, 5000)


async def test_health_is_asked_through_the_firewall_by_the_own_stack() -> None:
    """No rule lets it; the health checks' own does, and for nothing else."""
    async with office(BALANCED) as o:
        targets = {name: o.bench.station("lan", *(ADDRESS[version][name] for version in VERSIONS)) for name in TARGETS}
        refusing = targets["b"]

        def listen(station: Station) -> None:
            def answer(packet: Packet) -> Packet | None:
                if not packet.haslayer(TCP) or packet[TCP].flags != "S":
                    return None
                return back(packet, flags="RA" if station is refusing else "SA", seq=5, ack=packet[TCP].seq + 1)

            station.react = answer

        for station in targets.values():
            listen(station)
        stack = OwnStack(o.bench)
        await o.bench.settle(4.0)
        health = o.bench.appliance.health
        assert {name: health.up("web", name) for name in ("a", "b", "c", "a6", "b6", "c6")} == {
            "a": True, "b": False, "c": True, "a6": True, "b6": False, "c6": True}  # fmt: skip
        assert {source for source, *_ in stack.attempts} == {"192.168.1.1", "2001:db8:1::1"}
        assert "health web" in {flow["rule"] for flow in o.bench.flows}
        refusing = targets["a"]
        await o.bench.settle(4.0)
        assert (health.up("web", "a"), health.up("web", "b")) == (False, True)
        targets["c"].silent, targets["c"].react = True, None
        await o.bench.settle(6.0)
        assert not health.up("web", "c")
        stack.station.send(ip(4, "192.168.1.1", ADDRESS[4]["b"]) / TCP(sport=50000, dport=8081, flags="S"))
        await o.bench.settle()
        assert o.bench.drops["policy"] == 1
