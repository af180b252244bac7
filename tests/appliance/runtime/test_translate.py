"""Rewriting in Python: scapy builds both sides, and puts fragments together again."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from appliance.runtime.translate import Ends, ends, finish, fragments, rewrite
from ena_dev.packet.parse import parse

if TYPE_CHECKING:
    from ena_dev.packet.parse import Parsed

ADDRESSES = {4: st.ip_addresses(v=4), 6: st.ip_addresses(v=6)}
PORT, DATA = st.integers(0, 65535), st.binary(max_size=40)


def parsed_of(packet: Packet) -> Parsed:
    return parse(bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / packet))[1]


def build(version: int, kind: str, tuple5: Ends, data: bytes) -> Packet:
    source, destination = (str((IPv4Address if version == 4 else IPv6Address)(value)) for value in tuple5[:2])
    outer = IP(src=source, dst=destination, id=7, ttl=9) if version == 4 else IPv6(src=source, dst=destination)
    if kind == "echo":
        return outer / (ICMP if version == 4 else ICMPv6EchoRequest)(id=tuple5.sport, seq=1) / data
    if kind == "tcp":
        return outer / TCP(sport=tuple5.sport, dport=tuple5.dport, seq=(0xFFFFFFFE + tuple5.shift) % 2**32) / data
    return outer / UDP(sport=tuple5.sport, dport=tuple5.dport) / data


@st.composite
def changes(draw: st.DrawFn) -> tuple[int, str, Ends, Ends, bytes]:
    version, kind = draw(st.sampled_from([4, 6])), draw(st.sampled_from(["udp", "tcp", "echo"]))
    addresses = ADDRESSES[version]
    old, new = (Ends(int(draw(addresses)), int(draw(addresses)), draw(PORT), draw(PORT)) for _ in range(2))
    new = new._replace(shift=draw(st.sampled_from([0, 1, 5000, -5000, 2**32 - 1])))
    if kind == "echo":
        old, new = old._replace(dport=old.sport), new._replace(dport=new.sport)
    return version, kind, old, new, draw(DATA)


@settings(max_examples=150)
@given(changes())
def test_a_rewritten_packet_is_the_one_that_scapy_builds(change: tuple[int, str, Ends, Ends, bytes]) -> None:
    version, kind, old, new, data = change
    before, after = build(version, kind, old, data), build(version, kind, new, data)
    assert rewrite(bytes(before), parsed_of(before), new) == bytes(after)
    assert ends(bytes(before), parsed_of(before)) == old


def test_a_datagram_without_a_sum_gets_none() -> None:
    packet = IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=1, dport=2, chksum=0) / b"x"
    raw = bytes(packet)
    assert IP(rewrite(raw, parsed_of(packet), Ends(1, 2, 3, 4)))[UDP].chksum == 0
    assert finish(raw, parsed_of(packet)) == raw


@pytest.mark.parametrize("layers", [UDP(sport=1, dport=2) / b"odd", TCP(sport=1, dport=2) / b"data", ICMP(id=3) / b"data"])
def test_a_sum_that_was_left_to_a_card_is_finished(layers: Packet) -> None:
    right = IP(src="10.0.0.1", dst="10.0.0.2") / layers
    begun = right.copy()
    begun.payload.chksum = 0x1234
    assert finish(bytes(begun), parsed_of(begun)) == bytes(right)


@settings(max_examples=100)
@given(size=st.integers(1, 1472), mtu=st.integers(68, 1500), ttl=st.integers(2, 255))
def test_fragments_are_those_of_scapy_one_hop_later(size: int, mtu: int, ttl: int) -> None:
    packet = IP(bytes(IP(src="10.0.0.1", dst="10.0.0.2", id=99, ttl=ttl) / UDP(sport=1, dport=2) / bytes(n % 256 for n in range(size))))
    mine = list(fragments(bytes(packet), mtu, 1))
    assert all(len(piece) <= mtu for piece in mine)
    packet.ttl -= 1
    del packet.chksum
    theirs = [bytes(piece) for piece in fragment(packet, fragsize=(mtu - 20) // 8 * 8)]  # type: ignore[no-untyped-call]
    assert mine == theirs


def test_a_fragment_is_fragmented_within_its_place() -> None:
    whole = bytes(range(200)) * 2
    packet = bytes(IP(src="10.0.0.1", dst="10.0.0.2", id=99, flags="MF", frag=10, proto=17) / whole)
    pieces = [IP(piece) for piece in fragments(packet, 220, 1)]
    assert [(piece.frag, bool(piece.flags.MF), len(piece.payload)) for piece in pieces] == [(10, True, 200), (35, True, 200)]
    assert b"".join(bytes(piece.payload) for piece in pieces) == whole
