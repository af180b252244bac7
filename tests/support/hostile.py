"""Strategies for frames that nobody should send: well-formed at one layer and not at the next, with sums that get them further in."""

from __future__ import annotations

from socket import AF_INET6, inet_pton

from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6PacketTooBig,
    ICMPv6ParamProblem,
    ICMPv6TimeExceeded,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    in6_chksum,
)
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet, Raw

from tests.support.office import CLIENT, LAN, OTHER, SERVER, WAN

MACS = ("02:00:00:00:00:99", "ff:ff:ff:ff:ff:ff", "33:33:00:00:00:01", "00:00:00:00:00:00", "01:00:5e:00:00:01")
HERE = (CLIENT, OTHER, SERVER, WAN, LAN)
V4 = st.sampled_from([
    *2 * [name[4] for name in HERE], "203.0.113.77", "192.168.1.77", "192.168.1.255", "0.0.0.0", "255.255.255.255", "224.0.0.1",
    "127.0.0.1", "8.8.8.8",
])  # fmt: skip
V6 = st.sampled_from([
    *2 * [name[6] for name in HERE], "2001:db8:2::77", "2001:db8:1::77", "::", "::1", "ff02::1", "ff02::1:ff00:1",
    "fe80::1", "2001:4860::8",
])  # fmt: skip
PORTS = st.sampled_from([0, 1, 7, 22, 53, 80, 5000, 65535])
IP_OPTIONS = (b"", b"", b"", b"\x83\x07\x04\x08\x08\x08\x08\0")
EXTENSIONS = (IPv6ExtHdrHopByHop, IPv6ExtHdrDestOpt, IPv6ExtHdrRouting, IPv6ExtHdrFragment)
BYTE, BLOB = st.integers(0, 255), st.binary(max_size=120)


@st.composite
def transports(draw: st.DrawFn, v6: bool) -> Packet:
    kind = draw(st.sampled_from(["udp", "tcp", "icmp", "raw"]))
    if kind == "udp":
        return UDP(sport=draw(PORTS), dport=draw(PORTS)) / draw(BLOB)
    if kind == "tcp":
        return TCP(sport=draw(PORTS), dport=draw(PORTS), flags=draw(BYTE), dataofs=draw(st.sampled_from([None, 5, 4, 15]))) / draw(BLOB)
    if kind == "icmp" and not v6:
        return ICMP(type=draw(BYTE), code=draw(st.integers(0, 16)), id=draw(PORTS)) / draw(BLOB)
    return Raw(draw(BLOB))


@st.composite
def packets4(draw: st.DrawFn) -> Packet:
    outer = IP(src=draw(V4), dst=draw(V4), ttl=draw(st.sampled_from([0, 1, 2, 64, 255])), flags=draw(st.integers(0, 7)),
               frag=draw(st.sampled_from([0, 0, 0, 1, 8191])), options=draw(st.sampled_from(IP_OPTIONS)))
    lie = draw(st.sampled_from([None, None, None, 0, 19, 20, 65535]))
    if lie is not None:
        outer.len = lie
    return outer / draw(transports(False))


@st.composite
def packets6(draw: st.DrawFn) -> Packet:
    packet: Packet = IPv6(src=draw(V6), dst=draw(V6), hlim=draw(st.sampled_from([0, 1, 2, 64, 255])))
    for header in draw(st.lists(st.sampled_from(EXTENSIONS), max_size=3)):
        packet = packet / header()
    return packet / draw(transports(True))


ERRORS: dict[int, list[Packet]] = {4: [ICMP(type=kind) for kind in (3, 4, 5, 11, 12)],
          6: [ICMPv6DestUnreach(), ICMPv6PacketTooBig(mtu=1280), ICMPv6TimeExceeded(), ICMPv6ParamProblem()]}  # fmt: skip


#          what the appliance sent there, about a flow of the office's on port 5000
SENT = {"wan": (WAN, SERVER, 5000, 7), "lan": (SERVER, CLIENT, 7, 5000), "self": (CLIENT, LAN, 5000, 22)}


@st.composite
def errors(draw: st.DrawFn, nic: str) -> Packet:
    """An ICMP error with some packet inside: of a flow that is there or of none, whole or cut."""
    version = draw(st.sampled_from([4, 6]))
    source, destination, sport, dport = draw(st.sampled_from([SENT[nic], SENT[nic], *SENT.values()]))
    layer, anybody = (IP, V4) if version == 4 else (IPv6, V6)
    transport = draw(st.sampled_from([UDP, UDP, TCP]))(sport=sport, dport=dport)
    known = bytes(layer(src=source[version], dst=destination[version]) / transport / b"data")
    quoted = draw(st.one_of(st.just(known), st.just(known), st.integers(0, len(known)).map(lambda cut: known[:cut]), packets4().map(bytes)))
    to = draw(st.one_of(st.just(source[version]), st.just(source[version]), anybody))
    error, junk = draw(st.sampled_from(ERRORS[version])), draw(st.sampled_from([b"", b"\xff" * 20]))
    return layer(src=draw(st.one_of(st.just(destination[version]), anybody)), dst=to) / error / (quoted + junk)


@st.composite
def plausible(draw: st.DrawFn, nic: str) -> Packet:
    """What might well come there, but for what is inside."""
    version, wan = draw(st.sampled_from([4, 6])), SENT["wan"]
    source, destination = {"lan": (draw(st.sampled_from([CLIENT, OTHER])), wan[1]), "wan": (wan[1], wan[0]), "self": (wan[0], wan[1])}[nic]
    layer = IP if version == 4 else IPv6
    return layer(src=source[version], dst=destination[version]) / draw(transports(version == 6))


@st.composite
def neighbour_messages(draw: st.DrawFn) -> Packet:
    """ND messages of any type and body, with a good checksum; options of any length."""
    body = bytes([draw(st.integers(133, 138)), draw(st.sampled_from([0, 0, 0, 1])), 0, 0]) + draw(st.binary(min_size=4, max_size=4))
    if draw(st.booleans()):
        body += inet_pton(AF_INET6, draw(V6))
    for kind, length in draw(st.lists(st.tuples(st.sampled_from([1, 2, 3, 5, 14]), st.integers(0, 4)), max_size=3)):
        body += bytes([kind, length]) + draw(st.binary(min_size=6, max_size=6))
    body += draw(st.binary(max_size=9))
    packet = IPv6(src=draw(V6), dst=draw(V6), nh=58, hlim=draw(st.sampled_from([255, 255, 255, 64])))
    value = in6_chksum(58, packet / Raw(body), body)  # type: ignore[no-untyped-call]
    return packet / Raw(body[:2] + value.to_bytes(2, "big") + body[4:])


@st.composite
def arps(draw: st.DrawFn) -> Packet:
    return ARP(op=draw(st.integers(0, 4)), hwtype=draw(st.sampled_from([1, 1, 1, 6])), ptype=draw(st.sampled_from([0x800, 0x800, 0x86DD])),
               hwsrc=draw(st.sampled_from(MACS)), hwdst=draw(st.sampled_from(MACS)), psrc=draw(V4), pdst=draw(V4))


@st.composite
def fragments(draw: st.DrawFn, nic: str) -> Packet:
    """A part of one of a few packets, which others overlap, repeat, contradict, or never complete."""
    version, wan = draw(st.sampled_from([4, 6])), SENT["wan"]
    source, destination = {"lan": (CLIENT, wan[1]), "wan": (wan[1], wan[0]), "self": (wan[0], wan[1])}[nic]
    at, more, name = draw(st.sampled_from([0, 0, 1, 2, 3, 8190])), draw(st.integers(0, 1)), draw(st.integers(1, 3))
    data = bytes(UDP(sport=5000, dport=7, len=64, chksum=1) / bytes(56))
    part = data[8 * at if at < 8 else 0 :][: draw(st.sampled_from([8, 8, 16, 24, 64, 0, 5]))]
    if version == 4:
        return IP(src=source[4], dst=destination[4], proto=17, id=name, frag=at, flags=more) / Raw(part)
    header = IPv6ExtHdrFragment(nh=draw(st.sampled_from([17, 17, 60, 58])), offset=at, m=more, id=name)
    return IPv6(src=source[6], dst=destination[6]) / header / Raw(part)


@st.composite
def frames(draw: st.DrawFn, nic: str, mac: str) -> bytes:
    """One frame towards the card of a nic; some of them then damaged, cut or lengthened."""
    inside = draw(st.one_of(packets4(), packets6(), plausible(nic), errors(nic), errors(nic), neighbour_messages(), arps(),
                            fragments(nic), fragments(nic), BLOB.map(Raw)))
    link = Ether(src=draw(st.sampled_from(MACS)), dst=draw(st.sampled_from([*6 * [mac], *MACS])))
    if draw(st.integers(0, 19)) == 19:
        link = link / Dot1Q(vlan=draw(st.integers(0, 4095)))
    frame = bytearray(bytes(link / inside))
    for _ in range(draw(st.sampled_from([0, 0, 0, 0, 1, 3]))):
        frame[draw(st.integers(12, len(frame) - 1))] = draw(BYTE)
    cut = len(frame) if draw(st.integers(0, 7)) else draw(st.integers(1, len(frame)))
    return bytes(frame[:cut]) + draw(st.sampled_from([b"", b"", b"\0" * 30]))
