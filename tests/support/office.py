"""A small office for stories: a network at home, the internet, both IP versions; packets between a client, a server and the appliance.

    client 192.168.1.9, 2001:db8:1::9 -- lan -- appliance -- wan -- 203.0.113.9, 2001:db8:2::9 server
                                         .1                  .1
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest, IPv6
from scapy.packet import Packet

from tests.support.appliance_bench import ApplianceBench
from tests.support.station import Station

NICS = """
version: 1
nics:
  lan: {address: [192.168.1.1/24, "2001:db8:1::1/64"]}
  wan: {address: [203.0.113.1/24, "2001:db8:2::1/64"]}
zones:
  home: {nics: [lan]}
  internet: {nics: [wan]}
"""
POLICY = """
policy:
  - out: {from: [home], to: [internet], allow: any}
  - admin: {from: [home], to: [self], allow: [ssh, ping]}
"""
OFFICE = NICS + POLICY
HIDDEN = OFFICE + """
nat:
  - hide4: {masquerade: {from: [home], to: [internet]}}
  - hide6: {masquerade: {from: [home], to: [internet], family: v6}}
"""

LAN = {4: "192.168.1.1", 6: "2001:db8:1::1"}
WAN = {4: "203.0.113.1", 6: "2001:db8:2::1"}
CLIENT = {4: "192.168.1.9", 6: "2001:db8:1::9"}
OTHER = {4: "192.168.1.10", 6: "2001:db8:1::10"}
SERVER = {4: "203.0.113.9", 6: "2001:db8:2::9"}
VERSIONS = (4, 6)


def ip(version: int, source: str, destination: str, ttl: int = 64, **fields: Any) -> Packet:
    if version == 4:
        return IP(src=source, dst=destination, ttl=ttl, **{"flags": "DF", **fields})
    return IPv6(src=source, dst=destination, hlim=ttl, **fields)


def echo(version: int, source: str, destination: str, identifier: int, *, reply: bool = False, data: bytes = b"ping") -> Packet:
    """An echo request or reply of sequence number 1."""
    outer = ip(version, source, destination)
    if version == 4:
        return outer / ICMP(type=0 if reply else 8, id=identifier, seq=1) / data
    return outer / (ICMPv6EchoReply if reply else ICMPv6EchoRequest)(id=identifier, seq=1, data=data)


def back(packet: Packet, data: bytes = b"", **tcp: Any) -> Packet:
    """What its receiver answers to a UDP datagram, TCP segment or echo request that reached it."""
    version = 6 if isinstance(packet, IPv6) else 4
    outer = ip(version, packet.dst, packet.src)
    if packet.haslayer(TCP):
        return outer / TCP(sport=packet[TCP].dport, dport=packet[TCP].sport, **tcp) / data
    if packet.haslayer(UDP):
        return outer / UDP(sport=packet[UDP].dport, dport=packet[UDP].sport) / data
    echoed = packet[ICMP] if version == 4 else packet[ICMPv6EchoRequest]
    return echo(version, packet.dst, packet.src, echoed.id, reply=True)


def hops(packet: Packet) -> int:
    """Its remaining hops."""
    left: int = packet.hlim if isinstance(packet, IPv6) else packet.ttl
    return left


@dataclass
class Office:
    """The bench of an office, with its client and its server."""

    bench: ApplianceBench
    client: Station
    server: Station

    async def open_udp(self, version: int, port: int = 5000, to: int = 7) -> Packet:
        """The client asks, the server answers; the question as the server saw it."""
        self.client.send(ip(version, CLIENT[version], SERVER[version]) / UDP(sport=port, dport=to) / b"question")
        await self.bench.settle()
        question = self.server.only(UDP)
        self.server.send(back(question, b"answer"))
        await self.bench.settle()
        assert self.client.only(UDP).payload.load == b"answer"
        return question

    async def open_tcp(self, version: int, port: int = 5000, to: int = 80) -> Packet:
        """A handshake; its last segment as the server saw it."""
        there = ip(version, CLIENT[version], SERVER[version])
        self.client.send(there / TCP(sport=port, dport=to, flags="S", seq=100))
        await self.bench.settle()
        self.server.send(back(self.server.only(TCP), flags="SA", seq=900, ack=101, window=65535))
        await self.bench.settle()
        assert self.client.only(TCP)[TCP].flags == "SA"
        self.client.send(there / TCP(sport=port, dport=to, flags="A", seq=101, ack=901))
        await self.bench.settle()
        return self.server.only(TCP)


@asynccontextmanager
async def office(text: str = OFFICE, **options: Any) -> AsyncIterator[Office]:
    """An office with its appliance running."""
    async with ApplianceBench(text, **options) as bench:
        yield Office(bench, bench.station("lan", *CLIENT.values()), bench.station("wan", *SERVER.values()))
