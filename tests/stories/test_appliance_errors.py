"""ICMP errors: those of a router about packets that can't go on, and those about flows, which reach whom they concern."""

from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoRequest,
    ICMPv6PacketTooBig,
    ICMPv6TimeExceeded,
    IPv6,
    IPv6ExtHdrFragment,
)
from scapy.packet import Packet, Raw
from scapy.utils import checksum

from tests.support.office import CLIENT, HIDDEN, LAN, NICS, OFFICE, POLICY, SERVER, VERSIONS, WAN, Office, back, echo, ip, office

pytestmark = pytest.mark.usefixtures("virtual_time")

NARROW = NICS.replace("wan: {", "wan: {mtu: 1280, ") + POLICY


def said(error: Packet) -> tuple[int, int]:
    """Type and code of an ICMP message."""
    message = bytes(error)[20 if IP in error else 40 :]
    return message[0], message[1]


def quoted(error: Packet) -> Packet:
    """The packet quoted in an error, as scapy reads it by itself."""
    v4 = IP in error
    data = bytes(error)[28 if v4 else 48 :]
    return IP(data) if v4 else IPv6(data)


# -- hop limit -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("version", VERSIONS)
async def test_the_last_hop_is_told_to_the_sender(version: int, known: bool) -> None:
    async with office(HIDDEN) as o:
        if known:
            await o.open_udp(version)
        sent = ip(version, CLIENT[version], SERVER[version], 1) / UDP(sport=5000, dport=7) / b"too far"
        o.client.send(sent)
        await o.bench.settle()
        error = o.client.only()
        assert error.src == LAN[version]
        assert said(error) == ((11, 0) if version == 4 else (3, 0))
        assert bytes(quoted(error)) == bytes(sent)
        assert o.server.received() == []


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_own_stack_is_no_hop(version: int) -> None:
    async with office() as o:
        stack = o.bench.station("self")
        o.client.send(ip(version, CLIENT[version], LAN[version], 1) / TCP(sport=5000, dport=22, flags="S"))
        await o.bench.settle()
        assert stack.only(TCP)[TCP].flags == "S"


async def test_errors_are_limited_in_rate() -> None:
    async with office() as o:
        for port in range(400):
            o.client.send(IP(src=CLIENT[4], dst=SERVER[4], ttl=1) / UDP(sport=1024 + port, dport=7))
            await o.bench.elapse(0.001)
        await o.bench.settle()
        assert 100 <= len(o.client.received(ICMP)) <= 150
        assert o.bench.appliance.status()["unanswered"]["rate-limit"] >= 250


async def test_nobody_is_told_about_an_error_or_a_group() -> None:
    async with office() as o:
        unreachable = ICMP(type=3, code=1) / IP(src=SERVER[4], dst=CLIENT[4]) / UDP(sport=1, dport=2)
        o.client.send(IP(src=CLIENT[4], dst=SERVER[4], ttl=1) / unreachable, IP(src="0.0.0.0", dst=SERVER[4], ttl=1) / UDP())
        await o.bench.settle()
        assert o.client.received() == []


# -- size ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
async def test_what_is_too_big_for_the_way_out_is_told_with_its_mtu(version: int) -> None:
    async with office(NARROW) as o:
        for size, fits in ((1280, True), (1281, False), (1500, False)):
            header = (20 if version == 4 else 40) + 8
            sent = ip(version, CLIENT[version], SERVER[version]) / UDP(sport=5000, dport=7) / (b"x" * (size - header))
            o.client.send(sent)
            await o.bench.settle()
            assert len(o.server.received()) == fits
            if not fits:
                error = o.client.only()
                assert said(error) == ((3, 4) if version == 4 else (2, 0))
                assert (error[ICMP].nexthopmtu if version == 4 else error[ICMPv6PacketTooBig].mtu) == 1280
                assert bytes(sent).startswith(bytes(quoted(error))[:500])


def whole(fragments: list[Packet]) -> bytes:
    """What a host puts together again, by RFC 791."""
    fragments = sorted(fragments, key=lambda packet: packet.frag)
    assert len({packet.id for packet in fragments}) == 1
    data = b""
    for packet in fragments:
        assert packet.frag * 8 == len(data)
        data += bytes(packet.payload)
    assert [bool(packet.flags.MF) for packet in fragments] == [True] * (len(fragments) - 1) + [False]
    return data


@pytest.mark.parametrize("size", [1281, 1400, 1500])
@pytest.mark.parametrize("text", [NARROW, HIDDEN.replace("wan: {", "wan: {mtu: 576, ")], ids=["plain", "hidden"])
async def test_ipv4_that_may_be_fragmented_is(text: str, size: int) -> None:
    text = text.replace('"2001:db8:2::1/64"', "203.0.113.2/24")
    async with office(text) as o:
        await o.open_udp(4)
        data = bytes(range(256)) * 6
        sent = IP(src=CLIENT[4], dst=SERVER[4], id=77, flags=0, ttl=9) / UDP(sport=5000, dport=7) / data[: size - 28]
        o.client.send(sent)
        await o.bench.settle()
        fragments = o.server.received(IP)
        assert len(fragments) == (2 if "1280" in text else 3)
        assert {(packet.ttl, packet.id, packet.dst) for packet in fragments} == {(8, 77, SERVER[4])}
        source = fragments[0].src
        assert source == (WAN[4] if "masquerade" in text else CLIENT[4])
        datagram = IP(bytes(IP(src=source, dst=SERVER[4], proto=17) / whole(fragments)))
        assert datagram[UDP].payload.load == data[: size - 28]
        stated = datagram[UDP].chksum
        del datagram[UDP].chksum
        assert stated == IP(bytes(datagram))[UDP].chksum
        assert o.client.received() == []


@pytest.mark.parametrize("order", [1, -1], ids=["in order", "last first"])
async def test_fragments_that_are_too_big_are_fragmented_again(order: int) -> None:
    text = HIDDEN.replace("wan: {", "wan: {mtu: 576, ").replace('"2001:db8:2::1/64"', "203.0.113.2/24")
    async with office(text) as o:
        await o.open_udp(4)
        data = bytes(range(256)) * 16
        datagram = IP(bytes(IP(src=CLIENT[4], dst=SERVER[4], id=77, flags=0) / UDP(sport=5000, dport=7) / data))
        for piece in fragment(datagram, fragsize=1480)[::order]:  # type: ignore[no-untyped-call]
            o.client.send(piece)
        await o.bench.settle()
        there = sorted(o.server.received(IP), key=lambda packet: int(packet.frag))
        assert all(packet.len <= 576 and packet.src == WAN[4] for packet in there)
        got = IP(bytes(IP(src=WAN[4], dst=SERVER[4], proto=17) / whole(there)))
        assert got[UDP].payload.load == data
        stated = got[UDP].chksum
        del got[UDP].chksum
        assert stated == IP(bytes(got))[UDP].chksum


# -- errors about flows ----------------------------------------------------------------------------------------------------


def pieces(version: int) -> list[Packet]:
    """A datagram of the client's in three fragments."""
    data = bytes(UDP(sport=5000, dport=7, len=8 + 1200, chksum=1)) + bytes(1200)
    parts = [(at, data[at : at + 480], at + 480 < len(data)) for at in range(0, len(data), 480)]
    if version == 4:
        return [IP(src=CLIENT[4], dst=SERVER[4], proto=17, id=77, flags=int(more), frag=at // 8) / Raw(part) for at, part, more in parts]
    there = IPv6(src=CLIENT[6], dst=SERVER[6])
    return [there / IPv6ExtHdrFragment(nh=17, id=0x12345, offset=at // 8, m=int(more)) / Raw(part) for at, part, more in parts]


@pytest.mark.parametrize("text", [OFFICE, HIDDEN], ids=["as it is", "hidden"])
@pytest.mark.parametrize("version", VERSIONS)
async def test_an_error_about_a_later_fragment_reaches_its_sender_while_its_packet_is_on_its_way(version: int, text: str) -> None:
    async with office(text) as o:
        await o.open_udp(version)
        first, second, last = pieces(version)
        o.client.send(first, second)
        await o.bench.settle()
        _, seen = o.server.received()
        error = port_unreachable(version, seen, SERVER[version])
        other = seen.copy()
        if version == 4:
            other.id += 1
            del other.chksum
        else:
            other[IPv6ExtHdrFragment].id += 1
        o.server.send(error, port_unreachable(version, IP(bytes(other)) if version == 4 else other, SERVER[version]))
        await o.bench.settle()
        told = o.client.only()
        assert (told.src, told.dst) == (SERVER[version], CLIENT[version])
        inside = quoted(told)
        assert (inside.src, inside.dst) == (CLIENT[version], SERVER[version])
        assert bytes(inside)[-480:] == bytes(second)[-480:]
        o.client.send(last)
        await o.bench.settle()
        o.server.send(error)
        await o.bench.settle()
        assert o.client.received() == [] and o.bench.appliance.decider.punts.drops == {"unrelated": 2}


def port_unreachable(version: int, about: Packet, source: str) -> Packet:
    """The error that a host sends about a packet it got."""
    outer = ip(version, source, about.src)
    return outer / (ICMP(type=3, code=3) if version == 4 else ICMPv6DestUnreach(code=4)) / bytes(about)


def check_quote(version: int, error: Packet, about: Packet) -> None:
    """Inside is what the client sent: its addresses and ports, sums that fit them."""
    inside = quoted(error)
    assert (inside.src, inside.dst) == (about.src, about.dst)
    if version == 4:
        assert checksum(bytes(inside)[:20]) == 0
    mine = about.copy()
    if version == 4:
        mine.ttl, mine.chksum = inside.ttl, None
    else:
        mine.hlim = inside.hlim
    assert bytes(inside) == bytes(mine)


@pytest.mark.parametrize("source", ["server", "router"])
@pytest.mark.parametrize("transport", [UDP(sport=5000, dport=7), TCP(sport=5000, dport=80, flags="S", seq=7)], ids=["udp", "tcp"])
@pytest.mark.parametrize("text", [OFFICE, HIDDEN], ids=["plain", "hidden"])
@pytest.mark.parametrize("version", VERSIONS)
async def test_an_error_about_a_flow_reaches_who_began_it(version: int, text: str, transport: Packet, source: str) -> None:
    async with office(text) as o:
        sent = ip(version, CLIENT[version], SERVER[version]) / transport / b"data"
        o.client.send(sent)
        await o.bench.settle()
        reporter = SERVER[version] if source == "server" else {4: "8.8.8.8", 6: "2001:4860::8"}[version]
        o.server.send(port_unreachable(version, o.server.only(), reporter))
        await o.bench.settle()
        error = o.client.only()
        assert (error.src, error.dst) == (reporter, CLIENT[version])
        assert said(error) == ((3, 3) if version == 4 else (1, 4))
        check_quote(version, error, sent)


@pytest.mark.parametrize(("text", "sequence", "passes"), [
    (HIDDEN, 101, True), (HIDDEN, 201, True),  # sent, and not acknowledged yet: all from 101 to 201
    (HIDDEN, 100, False), (HIDDEN, 202, False), (HIDDEN, 0, False), (HIDDEN, 1 << 31, False),
    (HIDDEN.replace("allow: any", "allow: any, liberal: on"), 0, True),
])  # fmt: skip
@pytest.mark.parametrize("version", VERSIONS)
async def test_an_error_about_a_segment_that_is_not_on_its_way_is_a_forgery(version: int, text: str, sequence: int, passes: bool) -> None:
    async with office(text) as o:
        last = await o.open_tcp(version)
        data = TCP(sport=5000, dport=80, flags="PA", seq=101, ack=901) / (b"x" * 100)
        o.client.send(ip(version, CLIENT[version], SERVER[version]) / data)
        await o.bench.settle()
        o.server.only(TCP)
        about = ip(version, last.src, SERVER[version]) / TCP(sport=last[TCP].sport, dport=80, flags="A", seq=sequence, ack=901)
        too_big = ICMP(type=3, code=4, nexthopmtu=1280) if version == 4 else ICMPv6PacketTooBig(mtu=1280)
        o.server.send(ip(version, {4: "203.0.113.77", 6: "2001:db8:2::77"}[version], last.src) / too_big / bytes(about))
        await o.bench.settle()
        assert len(o.client.received()) == passes
        assert o.bench.appliance.status()["handed-over"]["drops"] == ({} if passes else {"not-in-flight": 1})


async def silent_first_packet(o: Office, version: int) -> Packet:
    """What comes to the server of a client who answers no question for his link-layer address from then on."""
    o.client.silent = True
    o.client.send(ip(version, CLIENT[version], SERVER[version]) / UDP(sport=5000, dport=7) / b"to nobody")
    await o.bench.settle()
    return o.server.only()


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_error_about_a_first_packet_waits_until_its_sender_is_found(version: int) -> None:
    async with office(HIDDEN) as o:
        asked = await silent_first_packet(o, version)
        o.server.send(port_unreachable(version, asked, SERVER[version]))
        await o.bench.settle()
        assert o.client.received() == []
        o.client.silent = False
        await o.bench.settle(2.0)
        error = o.client.only()
        assert (error.src, bytes(quoted(error))[-9:]) == (SERVER[version], b"to nobody")


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_error_for_a_silent_sender_waits_in_vain_and_the_next_one_is_not_sent(version: int) -> None:
    async with office(HIDDEN) as o:
        asked = await silent_first_packet(o, version)
        o.server.send(port_unreachable(version, asked, SERVER[version]))
        await o.bench.settle(5.0)
        o.server.send(port_unreachable(version, asked, SERVER[version]))
        await o.bench.settle()
        assert o.client.received() == []
        assert o.bench.appliance.status()["handed-over"]["drops"] == {"no-neighbour": 1, "not-sent": 1}  # who waited, who came too late


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_error_about_an_echo_reaches_who_asked(version: int) -> None:
    async with office(HIDDEN) as o:
        other = o.bench.station("lan", {4: "192.168.1.10", 6: "2001:db8:1::10"}[version])
        other.send(echo(version, next(iter(other.addresses)), SERVER[version], 77))
        await o.bench.settle()
        o.server.received()
        sent = echo(version, CLIENT[version], SERVER[version], 77)
        o.client.send(sent)
        await o.bench.settle()
        request = o.server.only()
        assert (request[ICMP] if version == 4 else request[ICMPv6EchoRequest]).id != 77
        outer = ip(version, SERVER[version], request.src)
        o.server.send(outer / (ICMP(type=11) if version == 4 else ICMPv6TimeExceeded()) / bytes(request))
        await o.bench.settle()
        check_quote(version, o.client.only(), sent)
        assert other.received() == []


@pytest.mark.parametrize("allowed", [False, True], ids=["denied", "allowed"])
@pytest.mark.parametrize("version", VERSIONS)
async def test_an_error_about_an_echo_is_not_about_one_the_other_way_that_has_its_identifier(version: int, allowed: bool) -> None:
    async with office(OFFICE + "  - in: {from: [internet], to: [home], allow: [ping]}\n" * allowed) as o:
        sent = echo(version, CLIENT[version], SERVER[version], 77)
        for station, packet in ((o.client, sent), (o.server, echo(version, SERVER[version], CLIENT[version], 77))):
            station.send(packet)
            await o.bench.settle()
        o.server.received()
        o.client.received()
        outer = ip(version, SERVER[version], CLIENT[version])
        o.server.send(outer / (ICMP(type=11) if version == 4 else ICMPv6TimeExceeded()) / bytes(sent))
        await o.bench.settle()
        check_quote(version, o.client.only(), sent)


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_error_about_an_answer_reaches_who_gave_it(version: int) -> None:
    """In the terms of the server, who never heard of the client."""
    async with office(HIDDEN) as o:
        o.client.send(ip(version, CLIENT[version], SERVER[version]) / UDP(sport=5000, dport=7) / b"question")
        await o.bench.settle()
        answer = back(o.server.only(), b"answer")
        o.server.send(answer)
        await o.bench.settle()
        o.client.send(port_unreachable(version, o.client.only(), CLIENT[version]))
        await o.bench.settle()
        error = o.server.only()
        assert (error.src, error.dst) == (WAN[version], SERVER[version])
        check_quote(version, error, answer)


@pytest.mark.parametrize("version", VERSIONS)
async def test_too_big_from_far_away_reaches_a_hidden_client_with_its_mtu(version: int) -> None:
    async with office(HIDDEN) as o:
        await o.open_tcp(version)
        sent = ip(version, CLIENT[version], SERVER[version]) / TCP(sport=5000, dport=80, flags="A", seq=101, ack=901) / (b"x" * 1400)
        o.client.send(sent)
        await o.bench.settle()
        about = o.server.only(TCP)
        outer = ip(version, {4: "8.8.8.8", 6: "2001:4860::8"}[version], about.src)
        cut = bytes(about)[: 28 if version == 4 else 1000]  # an old router quotes 8 bytes of TCP only
        o.server.send(outer / (ICMP(type=3, code=4, nexthopmtu=1300) if version == 4 else ICMPv6PacketTooBig(mtu=1300)) / cut)
        await o.bench.settle()
        error = o.client.only()
        assert (error[ICMP].nexthopmtu if version == 4 else error[ICMPv6PacketTooBig].mtu) == 1300
        inside = bytes(quoted(error))
        expected = bytes(sent)
        assert inside[20 if version == 4 else 40 :][:8] == expected[20 if version == 4 else 40 :][:8]


def strange(version: int, about: Packet, office: Office) -> dict[str, Any]:
    """Errors that concern nobody here, by what is wrong with them."""
    other_port = about.copy()
    other_port[UDP].sport += 1
    bad = port_unreachable(version, about, SERVER[version])
    (bad[ICMP] if version == 4 else bad[ICMPv6DestUnreach]).__setattr__("chksum" if version == 4 else "cksum", 0x1234)
    to_other = port_unreachable(version, about, SERVER[version])
    to_other.dst = CLIENT[version]
    kind = ICMP(type=3) if version == 4 else ICMPv6DestUnreach()
    return {
        "of no flow": port_unreachable(version, other_port, SERVER[version]),
        "with a bad sum": bad,
        "to another than the quoted sender": to_other,
        "cut short": ip(version, SERVER[version], about.src) / bytes(port_unreachable(version, about, SERVER[version]).payload)[:20],
        "quoting nonsense": ip(version, SERVER[version], about.src) / kind / (b"\xff" * 60),
    }


@pytest.mark.parametrize("version", VERSIONS)
async def test_errors_that_concern_nobody_are_dropped(version: int) -> None:
    async with office(HIDDEN) as o:
        about = await o.open_udp(version)
        for packet in strange(version, about, o).values():
            o.server.send(packet)
        await o.bench.settle()
        assert o.client.received() == []
        o.bench.check()


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_error_from_the_wrong_side_is_dropped(version: int) -> None:
    """The client can't end its own flow in the server's name."""
    async with office() as o:
        about = await o.open_udp(version)
        o.client.send(port_unreachable(version, about, SERVER[version]))
        await o.bench.settle()
        assert o.client.received() == o.server.received() == []


async def test_an_error_about_the_own_stacks_flow_reaches_it() -> None:
    text = OFFICE.replace("policy:", "policy:\n  - me: {from: [self], to: [internet], allow: any}")
    async with office(text) as o:
        stack = o.bench.station("self")
        sent = IP(src=WAN[4], dst=SERVER[4]) / UDP(sport=5000, dport=7) / b"mine"
        stack.send(sent)
        await o.bench.settle()
        o.server.send(port_unreachable(4, o.server.only(), SERVER[4]))
        await o.bench.settle()
        check_quote(4, stack.only(), sent)
