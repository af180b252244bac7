"""Sources hidden behind a pool: who leaves under which address, ARP and ND for it, and what happens when its ports are gone."""

import pytest
import structlog
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPerror, UDPerror
from scapy.layers.inet6 import ICMPv6DestUnreach, IPerror6, IPv6
from scapy.layers.l2 import ARP

from tests.support.office import CLIENT, OFFICE, OTHER, SERVER, VERSIONS, ip, office
from tests.support.station import who_has

pytestmark = pytest.mark.usefixtures("virtual_time")

ADDRESS = {4: "203.0.113.40", 6: "2001:db8:2::40"}
ONE = OFFICE + """
nat:
  - out: {snat: {from: [home], to: [internet], pool: [203.0.113.40, "2001:db8:2::40"]}}
"""
MANY = OFFICE + """
nat:
  - out: {snat: {from: [home], to: [internet], pool: [203.0.113.32/28, "2001:db8:2::20/124"]}}
"""


@pytest.mark.parametrize("version", VERSIONS)
async def test_flows_leave_under_the_address_of_the_pool_and_answers_come_back(version: int) -> None:
    async with office(ONE) as o:
        question = await o.open_udp(version)
        assert (question.src, question[UDP].sport) == (ADDRESS[version], 5000)
        last = await o.open_tcp(version)
        assert last.src == ADDRESS[version]
        assert (await o.open_udp(version, port=123))[UDP].sport == 123, "the address is nobody's own: low ports stay"


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_appliance_answers_for_the_addresses_of_the_pool(version: int) -> None:
    async with office(MANY) as o:
        await o.bench.settle()
        wire = o.server.segment
        wire.seen()
        last, beyond = ("203.0.113.47", "203.0.113.48") if version == 4 else ("2001:db8:2::2f", "2001:db8:2::30")
        for about, answered in [(last, 1), (beyond, 0)]:
            o.server.send(who_has(about, o.server.mac, SERVER[version]))
            await o.bench.settle()
            told = [frame for frame in wire.seen() if frame.dst == o.server.mac]
            assert len(told) == answered
            assert all(frame[ARP].psrc == about if version == 4 else frame[IPv6].src == about for frame in told)


@pytest.mark.parametrize("version", VERSIONS)
async def test_every_flow_of_a_host_has_one_address_also_those_begun_by_compiled_code(version: int) -> None:
    async with office(MANY) as o:
        other = o.bench.station("lan", *OTHER.values())
        for port in range(3000, 3040):
            for station, name in ((o.client, CLIENT), (other, OTHER)):
                station.send(ip(version, name[version], SERVER[version]) / UDP(sport=port, dport=7) / name[version].encode())
            await o.bench.settle()
        seen = [(packet[UDP].payload.load.decode(), packet.src) for packet in o.server.received(UDP)]
        assert len(seen) == 80 and len(set(seen)) == 2
        assert o.bench.appliance.status()["totals"]["alike"] > 60  # type: ignore[index]


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_error_about_a_flow_reaches_the_host_inside_translated(version: int) -> None:
    async with office(MANY) as o:
        question = await o.open_udp(version)
        quote = bytes(question)[:128]
        outer = ip(version, SERVER[version], question.src)
        error = outer / ICMP(type=3, code=3) / quote if version == 4 else outer / ICMPv6DestUnreach(code=4) / quote
        o.server.send(error)
        await o.bench.settle()
        told = o.client.only()
        inner = told[IPerror] if version == 4 else told[IPerror6]
        assert (told.dst, inner.src, inner[UDPerror].sport) == (CLIENT[version], CLIENT[version], 5000)


@pytest.mark.parametrize("version", VERSIONS)
async def test_source_ports_may_be_random_and_keep_their_parity(version: int) -> None:
    """RFC 4787, REQ-4, and RFC 6056; also of flows that compiled code begins."""
    async with office(ONE.replace("pool:", "ports: random, pool:")) as o:
        for port in range(3000, 3060):
            o.client.send(ip(version, CLIENT[version], SERVER[version]) / UDP(sport=port, dport=7) / str(port).encode())
            await o.bench.settle()
        seen = {int(packet[UDP].payload.load): packet[UDP].sport for packet in o.server.received(UDP)}
        assert len(set(seen.values())) == 60
        assert all(port >= 1024 and port % 2 == inside % 2 for inside, port in seen.items())
        assert sum(port == inside for inside, port in seen.items()) < 3
        assert max(seen.values()) - min(seen.values()) > 20_000
        assert o.bench.appliance.status()["totals"]["alike"] > 50


async def test_nobody_is_let_in_at_an_address_of_the_pool() -> None:
    async with office(ONE) as o:
        o.server.send(ip(4, SERVER[4], ADDRESS[4]) / TCP(sport=9, dport=80, flags="S"))
        o.server.send(ip(4, ADDRESS[4], SERVER[4]) / TCP(sport=9, dport=80, flags="S"))
        await o.bench.settle()
        assert o.client.received() == []
        assert {"no-route", "bad-address"} >= set(o.bench.appliance.status()["drops"])  # type: ignore[call-overload]
        assert all(packet[IP].src != ADDRESS[4] for packet in o.server.received())


async def test_a_pool_without_a_port_left_is_named_once_and_shown() -> None:
    async with office(ONE) as o:
        o.bench.appliance.decider.view.is_free = lambda version, protocol, reply: False  # type: ignore[method-assign]
        with structlog.testing.capture_logs() as logs:
            for port in range(3000, 3005):
                o.client.send(ip(4, CLIENT[4], SERVER[4]) / UDP(sport=port, dport=7))
            await o.bench.settle()
        assert o.server.received() == []
        assert [line["outside"] for line in logs if line["event"].startswith("no source port left")] == [ADDRESS[4]]
        [row] = o.bench.appliance.status()["nat-exhausted"]  # type: ignore[misc]
        assert (row["outside"], row["flows"], row["active"]) == (ADDRESS[4], 5, True)  # type: ignore[index]
        assert o.bench.appliance.status()["drops"]["nat-exhausted"] == 5  # type: ignore[index, call-overload]


async def test_a_flow_that_another_one_stands_in_the_way_of_is_named_by_its_own_address() -> None:
    async with office(ONE.replace("policy:", "policy:\n  - in: {from: [internet], to: [home], allow: udp}")) as o:
        await o.open_udp(4)
        with structlog.testing.capture_logs() as logs:
            o.server.send(ip(4, SERVER[4], CLIENT[4]) / UDP(sport=7, dport=5000))
            await o.bench.settle()
        assert o.client.received(UDP) == []
        [row] = o.bench.appliance.status()["nat-exhausted"]  # type: ignore[misc]
        assert row["outside"] == SERVER[4] and logs[0]["outside"] == SERVER[4]  # type: ignore[index]
