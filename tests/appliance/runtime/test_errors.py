"""An ICMP error about a translated flow, as its sender must see it: judged by scapy."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPerror, TCPerror, UDPerror
from scapy.layers.inet6 import ICMPv6PacketTooBig, IPerror6, IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from appliance.runtime.errors import translate_error
from appliance.runtime.translate import Ends

FLOW_ID = 40000


def number(text: str) -> int:
    return int(ip_address(text))


def ends(source: str, destination: str, sport: int, dport: int) -> Ends:
    return Ends(number(source), number(destination), sport, dport)


@pytest.mark.parametrize(("l4", "quoted"), [
    (UDP(sport=1024, dport=53) / b"question", UDPerror),
    (TCP(sport=1024, dport=53, seq=7), TCPerror),
])  # fmt: skip
@pytest.mark.parametrize("reporter", ["192.0.2.10", "192.0.2.99"])
def test_the_quote_is_the_packet_that_the_client_sent(l4: Packet, quoted: type[Packet], reporter: str) -> None:
    sent_by_us = IP(bytes(IP(src="192.0.2.1", dst="192.0.2.10", ttl=63, id=9) / l4))
    error = Ether() / IP(src=reporter, dst="192.0.2.1") / ICMP(type=3, code=3) / bytes(sent_by_us)
    asked = []

    def lookup(version: int, protocol: int, received: Ends, kind: int, sequence: int | None, later: int | None) -> Ends | None:
        assert later is None and kind == 0
        asked.append((version, protocol, received))
        return ends("10.1.0.20", "203.0.113.5", FLOW_ID, 8080)  # the client called the server 203.0.113.5:8080

    translated = translate_error(bytes(error), lookup)

    assert asked == [(4, sent_by_us.proto, ends("192.0.2.10", "192.0.2.1", 53, 1024))]
    assert translated is not None
    assert (translated.version, translated.destination) == (4, number("10.1.0.20"))
    packet = IP(translated.packet)
    assert (packet.src, packet.dst) == ("203.0.113.5", "10.1.0.20"), "who is behind a translation stays there"
    assert (packet[ICMP].type, packet[ICMP].code) == (3, 3)
    inner = packet[IPerror]
    assert (inner.src, inner.dst, inner[quoted].sport, inner[quoted].dport) == ("10.1.0.20", "203.0.113.5", FLOW_ID, 8080)
    assert bytes(inner) == _as_sent("10.1.0.20", "203.0.113.5", FLOW_ID, 8080, l4)
    assert _resummed(packet) == translated.packet


def _as_sent(source: str, destination: str, sport: int, dport: int, l4: Packet) -> bytes:
    """The quoted packet with checksums that scapy computes."""
    layer = l4.copy()
    layer.sport, layer.dport = sport, dport
    return bytes(IP(src=source, dst=destination, ttl=63, id=9) / layer)


def _resummed(packet: Packet) -> bytes:
    fresh = packet.copy()
    del fresh.chksum, fresh[ICMP].chksum
    return bytes(fresh)


def test_an_ipv6_error_keeps_its_mtu_and_the_flows_own_addresses() -> None:
    quote = IPv6(src="2001:db8:1::10", dst="2001:db8:2::10") / UDP(sport=5000, dport=53) / (b"x" * 100)
    error = Ether() / IPv6(src="2001:db8:2::77", dst="2001:db8:1::10") / ICMPv6PacketTooBig(mtu=1300) / bytes(quote)
    own = ends("2001:db8:1::10", "2001:db8:2::10", 5000, 53)
    translated = translate_error(bytes(error), lambda version, protocol, received, *_: own if received == own.back else None)
    assert translated is not None
    packet = IPv6(translated.packet)
    assert (packet.src, packet.dst, packet[ICMPv6PacketTooBig].mtu) == ("2001:db8:2::77", "2001:db8:1::10", 1300)
    assert bytes(packet[IPerror6]) == bytes(quote)


def test_an_error_about_nobodys_flow_is_nothing() -> None:
    quote = IP(src="192.0.2.1", dst="192.0.2.10") / UDP(sport=1, dport=2)
    error = bytes(Ether() / IP(src="192.0.2.10", dst="192.0.2.1") / ICMP(type=3, code=3) / bytes(quote))
    assert translate_error(error, lambda *_: None) is None


def test_an_error_to_somebody_else_than_the_quotes_sender_is_nothing() -> None:
    quote = IP(src="192.0.2.1", dst="192.0.2.10") / UDP(sport=1, dport=2)
    error = bytes(Ether() / IP(src="192.0.2.10", dst="192.0.2.55") / ICMP(type=3, code=3) / bytes(quote))
    assert translate_error(error, lambda *_: ends("10.1.0.20", "192.0.2.10", 1, 2)) is None


@pytest.mark.parametrize("hops", [1, 2, 64])
def test_what_the_reporter_wrote_into_its_header_stays_but_for_one_hop(hops: int) -> None:
    quote = IP(src="192.0.2.1", dst="192.0.2.10") / UDP(sport=1, dport=2)
    error = Ether() / IP(src="192.0.2.99", dst="192.0.2.1", tos=0xC0, id=4711, flags="DF", ttl=hops) / ICMP(type=11) / bytes(quote)
    translated = translate_error(bytes(error), lambda *_: ends("10.1.0.20", "192.0.2.10", 1, 2))
    assert translated is not None and translated.hops == hops - 1
    packet = IP(translated.packet)
    assert (packet.tos, packet.id, packet.flags, packet.ttl) == (0xC0, 4711, "DF", max(hops - 1, 1))
    assert _resummed(packet) == translated.packet


def test_the_traffic_class_and_flow_label_of_an_ipv6_error_stay() -> None:
    quote = IPv6(src="2001:db8:1::10", dst="2001:db8:2::10") / UDP(sport=5000, dport=53) / b"x"
    reporter = IPv6(src="2001:db8:2::77", dst="2001:db8:1::10", tc=0xC0, fl=0x12345, hlim=9)
    error = Ether() / reporter / ICMPv6PacketTooBig(mtu=1300) / bytes(quote)
    translated = translate_error(bytes(error), lambda *_: ends("2001:db8:1::10", "2001:db8:2::10", 5000, 53))
    assert translated is not None
    packet = IPv6(translated.packet)
    assert (packet.tc, packet.fl, packet.hlim) == (0xC0, 0x12345, 8)


@pytest.mark.parametrize("kind", [4, 5])
def test_source_quench_and_redirects_go_no_further(kind: int) -> None:
    quote = IP(src="192.0.2.1", dst="192.0.2.10") / UDP(sport=1, dport=2)
    error = bytes(Ether() / IP(src="192.0.2.10", dst="192.0.2.1") / ICMP(type=kind) / bytes(quote))
    assert translate_error(error, lambda *_: ends("10.1.0.20", "192.0.2.10", 1, 2)) is None
