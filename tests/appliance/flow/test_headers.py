"""IPv6 extension headers and ICMPv6: what becomes of each kind of packet, by the RFCs' words; scapy makes the packets."""

from typing import Any

import pytest
from scapy.layers.inet import TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoRequest,
    ICMPv6MLReport,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6ND_Redirect,
    ICMPv6ND_RS,
    ICMPv6PacketTooBig,
    ICMPv6ParamProblem,
    ICMPv6TimeExceeded,
    ICMPv6Unknown,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    PadN,
    RouterAlert,
)  # fmt: skip
from scapy.packet import Packet, Raw

from tests.appliance.flow.bench import Bench

LAN, WAN, MID = "2001:db8:1::9", "2001:db8:2::9", "2001:db8:2::77"
FLOW, GONE = "asked", "dropped"


def v6(**fields: Any) -> Packet:
    return IPv6(src=LAN, dst=WAN, **fields)


def syn() -> Packet:
    return TCP(sport=1, dport=80, flags="S")


def hop() -> Packet:
    return IPv6ExtHdrHopByHop(options=[PadN(optdata=b"\0" * 4)])


def options() -> Packet:
    return IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0" * 4)])


def routing(kind: int, left: int) -> Packet:
    return IPv6ExtHdrRouting(type=kind, segleft=left, addresses=[MID])


def raw(protocol: int) -> Packet:
    return v6(nh=protocol) / Raw(bytes(range(24)))


def outcome(bench: Bench, packet: Packet) -> tuple[str, object]:
    """("asked", protocol), ("dropped", reason) or ("punted", reason)."""
    before = bench.drops()
    bench.receive(0, packet)
    work = bench.cards[0][0].program.take()
    dropped = [reason for reason, count in bench.drops().items() if count > before.get(reason, 0)]
    found = [(FLOW, miss.protocol) for miss in work.misses] + [("punted", punt.reason) for punt in work.punts]
    found += [(GONE, reason) for reason in dropped]
    [one] = found
    assert bench.sent(1) == []
    return one


@pytest.mark.parametrize(("packet", "expected"), [
    # RFC 7045, 2.1: forwarded whatever standard header is there; RFC 8200, 4.1: in any order but for hop-by-hop options
    (v6() / hop() / syn(), (FLOW, 6)),
    (v6() / IPv6ExtHdrHopByHop(options=[RouterAlert()]) / syn(), (FLOW, 6)),
    (v6() / options() / UDP(sport=1, dport=2), (FLOW, 17)),
    (v6() / options() / options() / options() / syn(), (FLOW, 6)),
    (v6() / hop() / options() / routing(2, 0) / IPv6ExtHdrFragment(offset=0, m=0, id=7) / options() / syn(), (FLOW, 6)),
    # RFC 8200, 4.1 and 4.3: first or nowhere
    (v6() / options() / hop() / syn(), (GONE, "malformed")),
    # RFC 5095: type 0 is dropped; without segments left it says nothing. The same policy for all types: who judges must see where it ends
    (v6() / routing(0, 1) / syn(), (GONE, "ip-options")),
    (v6() / routing(0, 0) / syn(), (FLOW, 6)),
    (v6() / routing(2, 1) / syn(), (GONE, "ip-options")),
    (v6() / routing(4, 1) / syn(), (GONE, "ip-options")),
    (v6() / hop() / options() / routing(0, 3) / syn(), (GONE, "ip-options")),
    # RFC 8200, 4.7: no next header. Protocols that policy names by their number: GRE, ESP, AH, mobility, HIP, shim6, experiments
    *((raw(protocol), (FLOW, protocol)) for protocol in (59, 47, 50, 51, 132, 135, 139, 140, 253, 254)),
    # bounds
    (v6() / options() / options() / options() / options() / options() / options() / options() / options() / syn(), (FLOW, 6)),
    (v6() / options() / options() / options() / options() / options() / options() / options() / options() / options() / syn(),
     (GONE, "malformed")),
    (v6(nh=60) / Raw(b"\x06\x20" + bytes(14)), (GONE, "truncated")),
    (v6(nh=0) / Raw(b"\x06\x00" + bytes(4)), (GONE, "truncated")),
    # RFC 7112: all headers in the first fragment
    (v6() / IPv6ExtHdrFragment(nh=60, m=1, id=1) / Raw(b"\x06\x02" + bytes(14)), (GONE, "fragment-tiny")),
    (v6() / IPv6ExtHdrFragment(nh=6, m=1, id=2) / Raw(bytes(16)), (GONE, "fragment-tiny")),
    (v6() / IPv6ExtHdrFragment(nh=60, m=1, id=3) / Raw(b"\x06\x00" + bytes(6)), (GONE, "fragment-tiny")),
    (v6() / IPv6ExtHdrFragment(nh=44, m=1, id=4) / Raw(b"\x06\x00\x00\x01" + bytes(20)), (GONE, "malformed")),
])  # fmt: skip
def test_extension_headers(bench: Bench, packet: Packet, expected: tuple[str, object]) -> None:
    assert outcome(bench, packet) == expected


QUOTE = IPv6(src=WAN, dst=LAN) / UDP(sport=1, dport=2) / b"quoted"


@pytest.mark.parametrize(("packet", "expected"), [
    # RFC 4890, 4.3.1: must not be dropped: errors about live flows, echo
    (v6() / ICMPv6DestUnreach() / QUOTE, ("punted", "icmp-error")),
    (v6() / ICMPv6PacketTooBig(mtu=1280) / QUOTE, ("punted", "icmp-error")),
    (v6() / ICMPv6TimeExceeded() / QUOTE, ("punted", "icmp-error")),
    (v6() / ICMPv6ParamProblem() / QUOTE, ("punted", "icmp-error")),
    (v6() / hop() / ICMPv6PacketTooBig(mtu=1280) / QUOTE, ("punted", "icmp-error")),
    (v6() / ICMPv6EchoRequest(id=7), (FLOW, 58)),
    # 4.3.3: stays on its link, whatever its hop limit and whatever stands before it
    *((v6(hlim=hops) / message, ("punted", "nd")) for hops in (255, 64)
      for message in (ICMPv6ND_NS(tgt=WAN), ICMPv6ND_NA(tgt=WAN), ICMPv6ND_RS(), ICMPv6ND_RA(), ICMPv6ND_Redirect())),
    (v6(hlim=255) / hop() / ICMPv6ND_RA(), ("punted", "nd")),
    (v6(hlim=255) / options() / options() / ICMPv6ND_RA(), ("punted", "nd")),
    # RFC 6980: neither is it fragmented
    (v6(hlim=255) / IPv6ExtHdrFragment(m=1, id=1) / ICMPv6ND_RA() / bytes(8), (GONE, "fragment")),
    (v6(hlim=255) / IPv6ExtHdrFragment(m=1, id=1) / options() / ICMPv6ND_RA(), (GONE, "fragment")),
    (IPv6(src="fe80::9", dst="ff02::16") / ICMPv6MLReport(), (GONE, "multicast")),
    # 4.3.2: Mobile IPv6. 4.3.4: unassigned errors and information, Seamoby. 4.3.5: node information, renumbering, experiments, expansion.
    # They begin no flow: see the decision
    *((v6() / ICMPv6Unknown(type=kind) / bytes(16), (FLOW, 58))
      for kind in (144, 145, 146, 147, 5, 99, 150, 202, 138, 139, 140, 100, 200, 127, 255)),
])  # fmt: skip
def test_icmpv6(bench: Bench, packet: Packet, expected: tuple[str, object]) -> None:
    assert outcome(bench, packet) == expected


@pytest.mark.parametrize(("headers", "expected"), [(1, (FLOW, 17)), (5, (GONE, "headers-split")), (7, (GONE, "headers-split"))])
def test_headers_that_reach_beyond_the_first_buffer_are_split(headers: int, expected: tuple[str, object]) -> None:
    bench = Bench(mtus=(9000, 9000, 9000))
    packet = v6()
    for _ in range(headers):
        packet = packet / IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(250))] * 4)
    assert outcome(bench, packet / UDP(sport=1, dport=2)) == expected
    bench.close()
