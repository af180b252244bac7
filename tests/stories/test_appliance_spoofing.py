"""Sources that are not where they claim to be: flows, fragments, errors about flows, and the true host beside its impostor."""

import pytest
from scapy.layers.inet import ICMP, IP, UDP, fragment
from scapy.layers.inet6 import ICMPv6DestUnreach, IPv6, IPv6ExtHdrFragment, fragment6
from scapy.packet import Packet

from tests.support.office import CLIENT, HIDDEN, LAN, OFFICE, SERVER, VERSIONS, WAN, ip, office

pytestmark = pytest.mark.usefixtures("virtual_time")

OPEN = OFFICE.replace("policy:", "policy:\n  - in: {from: [internet], to: [home], allow: any}")
LOOSE = OPEN.replace("internet: {nics: [wan]}", "internet: {nics: [wan], antispoof: off}")
ELSEWHERE = {4: "192.168.1.77", 6: "2001:db8:1::77"}
"""An address of the lan."""


def datagram(version: int, source: str, destination: str, size: int = 10) -> Packet:
    return ip(version, source, destination, **({"flags": 0} if version == 4 else {})) / UDP(sport=5000, dport=7) / bytes(size)


def pieces(version: int, packet: Packet) -> list[Packet]:
    if version == 4:
        return [IP(bytes(each)) for each in fragment(packet, 800)]  # type: ignore[no-untyped-call]
    whole = IPv6(src=packet.src, dst=packet.dst) / IPv6ExtHdrFragment(id=77) / packet.payload
    return list(fragment6(whole, 900))  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_inside_source_from_outside_is_dropped_whole_or_in_fragments(version: int) -> None:
    async with office(OPEN) as o:
        o.server.send(datagram(version, ELSEWHERE[version], CLIENT[version]))
        o.server.send(*pieces(version, datagram(version, "192.168.1.78" if version == 4 else "2001:db8:1::78", CLIENT[version], 2000)))
        await o.bench.settle(0.3)
        assert not o.client.received(UDP)
        assert o.bench.drops["spoofed"] == 2 and o.bench.drops["fragment-first"] == 2
        o.server.send(datagram(version, SERVER[version], CLIENT[version]))
        await o.bench.settle()
        assert len(o.client.received(UDP)) == 1


@pytest.mark.parametrize("version", VERSIONS)
async def test_nobody_asks_where_it_is_off(version: int) -> None:
    async with office(LOOSE) as o:
        o.server.send(datagram(version, ELSEWHERE[version], CLIENT[version]))
        await o.bench.settle()
        assert len(o.client.received(UDP)) == 1


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_impostor_takes_no_tuple_from_the_true_host(version: int) -> None:
    async with office(OPEN) as o:
        true = datagram(version, CLIENT[version], SERVER[version])
        for _ in range(3):
            o.server.send(true)
            o.client.send(true)
            await o.bench.settle()
        assert len(o.server.received(UDP)) == 3
        assert o.bench.drops.get("spoofed", 0) + o.bench.drops.get("wrong-nic", 0) == 3


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_error_is_believed_from_who_may_be_there_alone(version: int) -> None:
    async with office(HIDDEN) as o:
        question = await o.open_udp(version)
        for reporter in (ELSEWHERE[version], LAN[version], "127.0.0.1" if version == 4 else "::1", SERVER[version]):
            error = ICMP(type=3, code=3) if version == 4 else ICMPv6DestUnreach(code=4)
            o.server.send(ip(version, reporter, WAN[version]) / error / bytes(question))
            await o.bench.settle()
        got = o.client.received(ICMP if version == 4 else ICMPv6DestUnreach)
        assert [packet.src for packet in got] == [SERVER[version]]
        assert o.bench.appliance.decider.punts.drops["spoofed"] == 3
