"""Rules that reject: who is refused hears so at once, in the words of his protocol, and nobody else hears anything."""

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.packet import Packet

from tests.stories.test_appliance_errors import quoted, said
from tests.support.office import CLIENT, LAN, NICS, SERVER, VERSIONS, Office, echo, ip, office

pytestmark = pytest.mark.usefixtures("virtual_time")

REFUSING = NICS + """
policy:
  - no mail: {from: [home], to: [internet], deny: smtp}
  - no web: {from: [home], to: [internet], reject: [http, udp/80, ping]}
  - no shell: {from: [home], to: [self], reject: ssh}
  - self stays: {from: [self], to: [internet], reject: any}
"""
PROHIBITED = {4: (3, 13), 6: (1, 1)}


async def answers(o: Office, packet: Packet) -> list[Packet]:
    o.client.send(packet)
    await o.bench.settle()
    found: list[Packet] = o.client.received()
    return found


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_connection_is_reset_and_so_is_its_next_attempt(version: int) -> None:
    async with office(REFUSING) as o:
        syn = ip(version, CLIENT[version], SERVER[version]) / TCP(sport=5000, dport=80, flags="S", seq=0xFFFFFFFF)
        for _ in range(3):
            (reset,) = await answers(o, syn)
            assert (reset.src, reset.dst, reset[TCP].sport, reset[TCP].dport) == (SERVER[version], CLIENT[version], 80, 5000)
            assert (reset[TCP].flags, reset[TCP].seq, reset[TCP].ack) == ("RA", 0, 0)
        assert o.server.received() == []
        assert o.bench.drops == {"rejected": 3}
        assert [flow["reason"] for flow in o.bench.flows] == ["rejected"]


@pytest.mark.parametrize("version", VERSIONS)
async def test_data_in_a_syn_is_acknowledged_by_its_reset(version: int) -> None:
    async with office(REFUSING) as o:
        there = ip(version, CLIENT[version], SERVER[version])
        (reset,) = await answers(o, there / TCP(sport=5000, dport=80, flags="S", seq=100) / (b"x" * 1400))
        assert (reset[TCP].flags, reset[TCP].ack) == ("RA", 1501)


@pytest.mark.parametrize("version", VERSIONS)
async def test_what_knows_no_reset_is_told_that_it_is_prohibited(version: int) -> None:
    async with office(REFUSING) as o:
        sent = ip(version, CLIENT[version], SERVER[version]) / UDP(sport=5000, dport=80) / b"question"
        for packet in (sent, sent, echo(version, CLIENT[version], SERVER[version], 7)):
            (error,) = await answers(o, packet)
            assert error.src == LAN[version] and said(error) == PROHIBITED[version]
            assert bytes(quoted(error)) == bytes(packet)


@pytest.mark.parametrize("version", VERSIONS)
async def test_flows_alike_are_refused_in_the_same_way_without_a_question(version: int) -> None:
    async with office(REFUSING) as o:
        there = ip(version, CLIENT[version], SERVER[version])
        for port in (5000, 5001, 5002):
            (reset,) = await answers(o, there / TCP(sport=port, dport=80, flags="S", seq=7))
            assert reset[TCP].dport == port
            (error,) = await answers(o, there / UDP(sport=port, dport=80))
            assert said(error) == PROHIBITED[version]
        assert o.bench.counters["alike"] == 4


async def test_a_rule_that_denies_says_nothing() -> None:
    async with office(REFUSING) as o:
        assert await answers(o, IP(src=CLIENT[4], dst=SERVER[4]) / TCP(sport=5000, dport=25, flags="S")) == []
        assert o.bench.drops == {"policy": 1}


async def test_a_reset_and_a_stray_segment_are_answered_by_nobody() -> None:
    async with office(REFUSING) as o:
        for flags in ("R", "RA", "A", "SA"):
            assert await answers(o, IP(src=CLIENT[4], dst=SERVER[4]) / TCP(sport=5000, dport=80, flags=flags)) == []


async def test_a_segment_of_a_refused_flow_that_acknowledges_is_reset_at_that_number() -> None:
    async with office(REFUSING) as o:
        there = IP(src=CLIENT[4], dst=SERVER[4])
        await answers(o, there / TCP(sport=5000, dport=80, flags="S", seq=7))
        (reset,) = await answers(o, there / TCP(sport=5000, dport=80, flags="A", seq=8, ack=4000))
        assert (reset[TCP].flags, reset[TCP].seq, reset[TCP].ack) == ("R", 4000, 0)
        assert await answers(o, there / TCP(sport=5000, dport=80, flags="R", seq=8)) == []


async def test_nobody_is_told_about_a_broadcast() -> None:
    async with office(REFUSING) as o:
        o.bench.send("lan", b"\xff" * 6 + b"\x02\0\0\0\0\x99\x08\0" + bytes(IP(src=CLIENT[4], dst=SERVER[4]) / UDP(sport=5000, dport=80)))
        assert await answers(o, IP(src=CLIENT[4], dst="192.168.1.255") / UDP(sport=5000, dport=80)) == []


@pytest.mark.parametrize("packet", [TCP(sport=5000, dport=80, flags="S"), UDP(sport=5000, dport=80)], ids=["tcp", "udp"])
async def test_answers_are_limited_in_rate(packet: Packet) -> None:
    async with office(REFUSING) as o:
        for port in range(400):
            packet.sport = 1024 + port
            o.client.send(IP(src=CLIENT[4], dst=SERVER[4]) / packet)
            await o.bench.elapse(0.001)
        await o.bench.settle()
        assert 100 <= len(o.client.received(TCP if TCP in packet else ICMP)) <= 150
        assert o.bench.drops == {"rejected": 400}


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_own_stack_hears_it_from_whom_it_wanted_to_reach(version: int) -> None:
    async with office(REFUSING) as o:
        stack = o.bench.station("self")
        own = {4: "203.0.113.1", 6: "2001:db8:2::1"}[version]
        stack.send(ip(version, own, SERVER[version]) / TCP(sport=5000, dport=80, flags="S", seq=7))
        await o.bench.settle()
        reset = stack.only(TCP)
        assert (reset.src, reset[TCP].flags, reset[TCP].ack) == (SERVER[version], "RA", 8)
        stack.send(ip(version, own, SERVER[version]) / UDP(sport=5000, dport=80))
        await o.bench.settle()
        error = stack.only()
        assert error.src == SERVER[version] and said(error) == PROHIBITED[version]


@pytest.mark.parametrize("version", VERSIONS)
async def test_who_wants_in_is_reset_in_the_appliances_name(version: int) -> None:
    async with office(REFUSING) as o:
        (reset,) = await answers(o, ip(version, CLIENT[version], LAN[version]) / TCP(sport=5000, dport=22, flags="S", seq=1))
        assert (reset.src, reset[TCP].flags, reset[TCP].ack) == (LAN[version], "RA", 2)


async def test_a_flood_of_refused_frames_leaves_room_for_what_others_need() -> None:
    async with office(REFUSING) as o:
        await o.bench.settle()
        frames = [IP(src=CLIENT[4], dst=SERVER[4]) / UDP(sport=1024 + port, dport=80) for port in range(500)]
        o.client.send(*frames, IP(src=CLIENT[4], dst=LAN[4]) / UDP(sport=1, dport=9) / b"denied")
        await o.bench.settle()
        o.bench.check()
        assert "punt-full" not in o.bench.drops
