"""ICMP errors about balanced flows: from whichever side, about whole packets and fragments, they reach the one whom they concern, in its
own terms: the quoted packet is the one that it has sent."""

from __future__ import annotations

from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6PacketTooBig, IPv6, IPv6ExtHdrFragment
from scapy.packet import Packet, Raw

from tests.stories.test_appliance_balancing import BALANCED, SERVICE, Farm, farm
from tests.stories.test_appliance_draining import connect
from tests.stories.test_appliance_errors import check_quote, port_unreachable, quoted, said
from tests.support.office import SERVER, VERSIONS, back, ip
from tests.support.station import Station

pytestmark = pytest.mark.usefixtures("virtual_time")

ROUTER = {4: "203.0.113.77", 6: "2001:db8:2::77"}
TEXTS = {"plain": BALANCED, "masquerade": BALANCED + "    masquerade: true\n"}


def too_big(version: int, about: Packet | bytes, to: str) -> Packet:
    """What a router says that is somewhere between."""
    kind = ICMP(type=3, code=4, nexthopmtu=1300) if version == 4 else ICMPv6PacketTooBig(mtu=1300)
    return ip(version, ROUTER[version], to) / kind / Raw(bytes(about)[:600])


def mtu_of(version: int, error: Packet) -> Any:
    return error[ICMP].nexthopmtu if version == 4 else error[ICMPv6PacketTooBig].mtu


async def ask_udp(f: Farm, version: int) -> tuple[Station, Packet]:
    """A datagram to the service: the target that got it, and what it got."""
    f.client.send(ip(version, SERVER[version], SERVICE[version]) / UDP(sport=5000, dport=53) / b"question")
    await f.bench.settle()
    [(station, question)] = [(s, p) for s in f.targets.values() for p in s.received(UDP)]
    return station, question


async def judge(f: Farm, version: int, station: Station, sent: Packet) -> None:
    """The target alone has heard of the error, about what it has sent."""
    await f.bench.settle()
    error = station.only()
    assert mtu_of(version, error) == 1300 and error.dst == sent.src
    inside = quoted(error)
    cut = inside.copy()
    mine = sent.__class__(bytes(sent))
    header = 20 if version == 4 else 40
    assert bytes(cut)[header:600] == bytes(mine)[header:600]
    assert (inside.src, inside.dst) == (sent.src, sent.dst)
    assert all(other.received() == [] for other in f.targets.values()) and f.client.received() == []


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("version", VERSIONS)
async def test_too_big_about_an_answer_reaches_the_target_that_gave_it(version: int, text: str) -> None:
    async with farm(TEXTS[text]) as f:
        station, question = await ask_udp(f, version)
        answer = back(question, b"x" * 1300)
        station.send(answer)
        await f.bench.settle()
        f.client.send(too_big(version, f.client.only(UDP), SERVICE[version]))
        await judge(f, version, station, answer)


@pytest.mark.parametrize("version", VERSIONS)
async def test_too_big_about_a_connection_reaches_its_target(version: int) -> None:
    async with farm() as f:
        station, asked, _ = await connect(f, version, "b")
        segment = back(asked, b"y" * 1300, flags="A", seq=5010, ack=1010)
        station.send(segment)
        await f.bench.settle()
        f.client.send(too_big(version, f.client.only(TCP), SERVICE[version]))
        await judge(f, version, station, segment)


def first_fragment(version: int, answer: Packet) -> Packet:
    """The first part of an answer that its target has cut."""
    if version == 4:
        whole = IP(bytes(answer))
        return IP(src=answer.src, dst=answer.dst, proto=17, id=77, flags="MF") / Raw(bytes(whole.payload)[:1200])
    whole = IPv6(bytes(answer))
    return IPv6(src=answer.src, dst=answer.dst) / IPv6ExtHdrFragment(nh=17, id=77, m=1) / Raw(bytes(whole.payload)[:1200])


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("version", VERSIONS)
async def test_an_error_about_a_fragment_reaches_the_target_too(version: int, text: str) -> None:
    async with farm(TEXTS[text]) as f:
        station, question = await ask_udp(f, version)
        piece = first_fragment(version, back(question, b"x" * 2000))
        station.send(piece)
        await f.bench.settle()
        there = f.client.only()
        f.client.send(too_big(version, there, SERVICE[version]))
        await f.bench.settle()
        error = station.only()
        inside = quoted(error)
        assert (error.dst, mtu_of(version, error), inside.src, inside.dst) == (piece.src, 1300, piece.src, piece.dst)
        ports = bytes(inside.payload)[:4] if version == 4 else bytes(inside[IPv6ExtHdrFragment].payload)[:4]
        assert ports == bytes(back(question)[UDP])[:4]
        assert all(other.received() == [] for other in f.targets.values())


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("version", VERSIONS)
async def test_what_a_target_refuses_the_client_hears_in_its_own_terms(version: int, text: str) -> None:
    async with farm(TEXTS[text]) as f:
        sent = ip(version, SERVER[version], SERVICE[version]) / UDP(sport=5000, dport=53) / b"question"
        station, question = await ask_udp(f, version)
        station.send(port_unreachable(version, question, question.dst))
        await f.bench.settle()
        error = f.client.only()
        assert (error.src, error.dst, said(error)) == (SERVICE[version], SERVER[version], (3, 3) if version == 4 else (1, 4))
        check_quote(version, error, sent)


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_error_about_no_flow_reaches_no_target(version: int) -> None:
    async with farm() as f:
        _, question = await ask_udp(f, version)
        stranger = ip(version, SERVICE[version], SERVER[version]) / UDP(sport=53, dport=5001) / b"answer"
        f.client.send(too_big(version, stranger, SERVICE[version]))
        kind = ICMP(type=3, code=3) if version == 4 else ICMPv6DestUnreach(code=4)
        f.client.send(ip(version, ROUTER[version], question.dst) / kind / Raw(bytes(back(question, b"answer"))))
        await f.bench.settle()
        assert all(station.received() == [] for station in f.targets.values())
