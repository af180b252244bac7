"""Built packets as scapy would have built them, and the rules for when an ICMP error may be sent."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_Redirect,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    ICMPv6PacketTooBig,
    ICMPv6TimeExceeded,
    IPv6,
    IPv6ExtHdrFragment,
)
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet

from ena_dev.errors import UsageError
from ena_dev.packet import build
from ena_dev.packet.build import IcmpError, icmp_error
from ena_dev.packet.parse import Reason, parse

MAC_A, MAC_B = bytes.fromhex("02000000000a"), bytes.fromhex("02000000000b")
A, B = "02:00:00:00:00:0a", "02:00:00:00:00:0b"
V4, V6 = ("192.0.2.1", "198.51.100.2"), ("2001:db8::1", "2001:db8::2")
E = Ether(src=A, dst=B)
ADDRESSES = st.sampled_from([V4, V6])
NUMBERS = st.integers(0, 65535)


def network(addresses: tuple[str, str], **fields: int) -> Packet:
    if ip_address(addresses[0]).version == 6:
        return IPv6(src=addresses[0], dst=addresses[1], hlim=fields.pop("ttl", 64), **fields)
    return IP(src=addresses[0], dst=addresses[1], id=0, flags="DF", **fields)


@given(ADDRESSES, NUMBERS, NUMBERS, st.binary(max_size=50))
def test_udp_is_scapys(addresses: tuple[str, str], source: int, destination: int, payload: bytes) -> None:
    assert build.udp(*addresses, source, destination, payload) == bytes(network(addresses) / UDP(sport=source, dport=destination) / payload)


@given(ADDRESSES, NUMBERS, NUMBERS, st.integers(0, 255), st.binary(max_size=50))
def test_tcp_is_scapys(addresses: tuple[str, str], source: int, destination: int, flags: int, payload: bytes) -> None:
    ours = build.tcp(*addresses, source, destination, payload, sequence=2**32 - 1, acknowledgment=7, flags=flags, window=99, ttl=3)
    theirs = TCP(sport=source, dport=destination, seq=2**32 - 1, ack=7, flags=flags, window=99)
    assert ours == bytes(network(addresses, ttl=3) / theirs / payload)


def test_tcp_options_fill_whole_words() -> None:
    ours = build.tcp(*V4, 1, 2, options=b"\x02\x04\x05\xb4\x01\x03\x03\x07\x01")
    options = [("MSS", 1460), ("NOP", None), ("WScale", 7), ("NOP", None)]
    assert ours == bytes(network(V4) / TCP(sport=1, dport=2, flags="A", window=65535, options=options))


@given(NUMBERS, NUMBERS, st.binary(max_size=50))
def test_echo_is_scapys(identifier: int, sequence: int, payload: bytes) -> None:
    for answer in (False, True):
        four = ICMP(type=0 if answer else 8, id=identifier, seq=sequence)
        six = (ICMPv6EchoReply if answer else ICMPv6EchoRequest)(id=identifier, seq=sequence)
        assert build.icmp_echo(*V4, identifier, sequence, payload, reply=answer) == bytes(network(V4) / four / payload)
        assert build.icmp_echo(*V6, identifier, sequence, payload, reply=answer) == bytes(network(V6) / six / payload)


def test_a_frame_names_the_version_of_its_packet() -> None:
    for addresses in (V4, V6):
        packet = build.udp(*addresses, 1, 2)
        assert build.ethernet(MAC_B, MAC_A, packet) == bytes(E / network(addresses) / UDP(sport=1, dport=2))
        tagged = bytes(E / Dot1Q(vlan=7, prio=3) / network(addresses) / UDP(sport=1, dport=2))
        assert build.ethernet(MAC_B, MAC_A, packet, vlan=3 << 13 | 7) == tagged


def test_a_reply_goes_back_where_the_frame_came_from() -> None:
    packet = build.udp(*V4, 1, 2)
    for tag in (b"", b"\x81\x00\x00\x07", b"\x88\xa8\x00\x07"):
        frame = MAC_B + MAC_A + tag + b"\x08\x00" + packet
        assert build.reply(frame, packet) == MAC_A + MAC_B + tag + b"\x08\x00" + packet


def test_arp_is_scapys() -> None:
    ask = Ether(src=A, dst="ff:ff:ff:ff:ff:ff") / ARP(op=1, hwsrc=A, psrc=V4[0], hwdst="00:00:00:00:00:00", pdst=V4[1])
    assert build.arp_request(MAC_A, *V4) == bytes(ask)
    assert build.arp_request(MAC_A, *V4, target_mac=MAC_B)[:6] == MAC_B
    assert build.arp_reply(MAC_A, V4[0], MAC_B, V4[1]) == bytes(E / ARP(op=2, hwsrc=A, psrc=V4[0], hwdst=B, pdst=V4[1]))


def test_neighbor_solicitation_is_scapys() -> None:
    target = "2001:db8::12:3456"
    ask = ICMPv6ND_NS(tgt=target)
    option = ICMPv6NDOptSrcLLAddr(lladdr=A)
    group = Ether(src=A, dst="33:33:ff:12:34:56")
    assert build.neighbor_solicitation(MAC_A, V6[0], target) == bytes(group / IPv6(src=V6[0], dst="ff02::1:ff12:3456") / ask / option)
    assert build.neighbor_solicitation(MAC_A, V6[0], target, target_mac=MAC_B) == bytes(E / IPv6(src=V6[0], dst=target) / ask / option)
    assert build.neighbor_solicitation(MAC_A, "::", target) == bytes(group / IPv6(src="::", dst="ff02::1:ff12:3456") / ask)


def test_neighbor_advertisement_is_scapys() -> None:
    option = ICMPv6NDOptDstLLAddr(lladdr=A)
    solicited = E / IPv6(src=V6[0], dst=V6[1]) / ICMPv6ND_NA(tgt=V6[0], R=1, S=1, O=1) / option
    assert build.neighbor_advertisement(MAC_A, V6[0], MAC_B, V6[1]) == bytes(solicited)
    everyone = Ether(src=A, dst="33:33:00:00:00:01") / IPv6(src=V6[0], dst="ff02::1") / ICMPv6ND_NA(tgt=V6[0], R=0, S=0, O=0) / option
    assert build.neighbor_advertisement(MAC_A, V6[0], MAC_B, "::", router=False, override=False) == bytes(everyone)


@pytest.mark.parametrize(
    ("error", "four", "six"),
    [
        (IcmpError.NO_ROUTE, ICMP(type=3, code=0), ICMPv6DestUnreach(code=0)),
        (IcmpError.HOST_UNREACHABLE, ICMP(type=3, code=1), ICMPv6DestUnreach(code=3)),
        (IcmpError.PORT_UNREACHABLE, ICMP(type=3, code=3), ICMPv6DestUnreach(code=4)),
        (IcmpError.PROHIBITED, ICMP(type=3, code=13), ICMPv6DestUnreach(code=1)),
        (IcmpError.TOO_BIG, ICMP(type=3, code=4, nexthopmtu=1400), ICMPv6PacketTooBig(mtu=1400)),
        (IcmpError.TIME_EXCEEDED, ICMP(type=11, code=0), ICMPv6TimeExceeded(code=0)),
    ],
)
@pytest.mark.parametrize("size", [0, 500, 520, 521, 1184, 1185, 8000])
def test_an_icmp_error_is_scapys_and_quotes_what_fits(error: IcmpError, four: Packet, six: Packet, size: int) -> None:
    for addresses, router, header, limit in ((V4, "192.0.2.254", four, 576), (V6, "2001:db8::ffff", six, 1280)):
        packet = bytes(network(addresses) / UDP(sport=7, dport=8) / (b"x" * size))
        ours = icmp_error(bytes(E)[:12] + (b"\x08\x00" if addresses is V4 else b"\x86\xdd") + packet + b"pad", error, router, mtu=1400)
        room = limit - (28 if addresses is V4 else 48)
        answer = network((router, addresses[0]), **({"tos": 0xC0} if addresses is V4 else {}))
        assert ours == bytes(answer / header / packet[:room])
        assert ours is not None and len(ours) <= limit


GROUP = "33:33:00:00:00:01"


@pytest.mark.parametrize(
    "frame",
    [
        *(E / network(V4) / ICMP(type=kind) / (b"\0" * 40) for kind in (3, 4, 5, 11, 12)),
        *(E / network(V6) / six() / (b"\0" * 40) for six in (ICMPv6DestUnreach, ICMPv6TimeExceeded, ICMPv6PacketTooBig, ICMPv6ND_Redirect)),
        Ether(dst="ff:ff:ff:ff:ff:ff") / network(V4) / UDP(),
        Ether(dst=GROUP) / network(V6) / UDP(),
        E / network((V4[0], "224.0.0.5")) / UDP(),
        E / network((V4[0], "255.255.255.255")) / UDP(),
        E / network(("0.0.0.0", V4[1])) / UDP(),
        E / network(("127.0.0.1", V4[1])) / UDP(),
        E / network(("239.1.1.1", V4[1])) / UDP(),
        E / network(("255.255.255.255", V4[1])) / UDP(),
        E / network((V6[0], "ff02::1")) / UDP(),
        E / network(("::", V6[1])) / UDP(),
        E / network(("ff02::1", V6[1])) / UDP(),
        E / IP(src=V4[0], dst=V4[1], frag=3, proto=17) / b"abc",
        E / network(V6) / IPv6ExtHdrFragment(offset=3, nh=17) / b"abc",
        E / IP(src=V4[0], dst=V4[1], len=4000) / UDP(),
        E / ARP(),
        Ether(),
    ],
    ids=lambda frame: frame.summary(),
)
def test_some_frames_are_never_answered_with_an_error(frame: Packet) -> None:
    for error in (IcmpError.TIME_EXCEEDED, IcmpError.PORT_UNREACHABLE):
        assert icmp_error(bytes(frame), error, "192.0.2.254" if IP in frame else "2001:db8::ffff") is None


def test_a_first_fragment_and_an_echo_request_are_answered() -> None:
    for frame in (E / IP(src=V4[0], dst=V4[1], flags="MF") / UDP(len=99) / b"abc", E / network(V4) / ICMP()):
        assert icmp_error(bytes(frame), IcmpError.TIME_EXCEEDED, "192.0.2.254") is not None


def test_an_ipv6_group_is_told_only_that_its_packet_is_too_big() -> None:
    frame = bytes(Ether(dst=GROUP) / network((V6[0], "ff0e::1")) / UDP())
    assert icmp_error(frame, IcmpError.TOO_BIG, V6[1], mtu=1280) is not None
    assert icmp_error(frame, IcmpError.NO_ROUTE, V6[1]) is None


def test_an_error_can_be_answered_only_within_its_family() -> None:
    with pytest.raises(UsageError):
        icmp_error(bytes(E / network(V4) / UDP()), IcmpError.NO_ROUTE, "::1")
    with pytest.raises(UsageError):
        build.ip(V4[0], V6[0], 17, b"")
    with pytest.raises(UsageError):
        build.ethernet(b"", MAC_A, b"")


@given(st.binary(max_size=120), st.sampled_from([b"\x08\x00\x45", b"\x86\xdd\x60", b""]))
def test_no_frame_makes_an_error_fail(tail: bytes, start: bytes) -> None:
    frame = bytes(MAC_A + MAC_B) + start + tail
    version = parse(frame)[1]["version"]
    answer = icmp_error(frame, IcmpError.TIME_EXCEEDED, "192.0.2.254" if version == 4 else "2001:db8::ffff")
    assert answer is None or parse(build.reply(frame, answer))[0] is Reason.OK
