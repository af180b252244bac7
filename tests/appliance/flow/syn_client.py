"""A client of a service that answers with SYN cookies, and the target behind it, by scapy."""

from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from appliance.flow.cuts import pack
from tests.appliance.flow.bench import Bench, tuple5

PRESSURE, ALWAYS = 1, 2
ALIKE, VARY = 1, 8
SERVICE = 5
VIP = {4: "192.0.2.1", 6: "2001:db8:f::1"}
TARGET = {4: "172.16.0.1", 6: "2001:db8:e::1"}
CLIENT = {4: "10.0.0.1", 6: "2001:db8::1"}
ISN, THEIRS = 0xFFFFFFF0, 0x7FFFFFF0
OPTIONS = [("MSS", 1460), ("SAckOK", b""), ("Timestamp", (77, 0)), ("NOP", None), ("WScale", 9)]
ANSWER = [("MSS", 1400), ("WScale", 5), ("SAckOK", b"")]
FAMILIES = pytest.mark.parametrize("version", [4, 6])


def configure(bench: Bench, generation: int = 1) -> None:
    bench.worker.megaflows.configure(generation, pack({4: [], 6: []}, {4: [], 6: []}, []))


@dataclass
class Client:
    """The client's end of one connection to the service, by scapy."""

    bench: Bench
    source: str = CLIENT[4]
    sport: int = 4000
    isn: int = ISN
    options: list[Any] = field(default_factory=lambda: list(OPTIONS))
    nic: int = 0

    @property
    def version(self) -> int:
        return ip_address(self.source).version

    def packet(self, flags: str, seq: int, ack: int = 0, data: bytes = b"", **more: Any) -> Packet:
        ip = (IP if self.version == 4 else IPv6)(src=self.source, dst=VIP[self.version])
        tcp = TCP(sport=self.sport, dport=80, flags=flags, seq=seq % 2**32, ack=ack % 2**32, **more)
        return ip / tcp / data

    def sends(self, flags: str, seq: int, ack: int = 0, data: bytes = b"", **more: Any) -> None:
        self.bench.receive(self.nic, self.packet(flags, seq, ack, data, **more))

    def syn(self) -> Packet | None:
        """A SYN; what came back to the client."""
        self.sends("S", self.isn, options=self.options, window=1000)
        got = self.bench.sent(self.nic)
        return got[0].packet if got else None

    def decided(self, guard: int = ALWAYS, **more: Any) -> None:
        """Answer the questions about it as for a service."""
        for miss in self.bench.misses(self.nic):
            reply = tuple5(TARGET[self.version], self.source, 8080, self.sport)
            self.bench.allow(miss, reply, **({"alike": ALIKE | VARY} | more), guard=guard, service=SERVICE)

    def cookie(self, guard: int = ALWAYS, **more: Any) -> Packet:
        """The SYN+ACK of a SYN that gets a cookie."""
        if (answer := self.syn()) is None:
            self.decided(guard, **more)
            [answer] = [sent.packet for sent in self.bench.sent(self.nic)]
        return answer

    def accept(self, **more: Any) -> Packet:
        """Acknowledge a cookie; the SYN that the target gets."""
        cookie = self.cookie(**more)[TCP].seq
        self.sends("A", self.isn + 1, cookie + 1, window=500)
        self.decided(**more)
        [syn] = [sent.packet for sent in self.bench.sent(1)]
        return syn

    def target(self, flags: str, seq: int, ack: int, data: bytes = b"", **more: Any) -> None:
        """The target says something."""
        ip = (IP if self.version == 4 else IPv6)(src=TARGET[self.version], dst=self.source)
        tcp = TCP(sport=8080, dport=self.sport, flags=flags, seq=seq % 2**32, ack=ack % 2**32, **more)
        self.bench.receive(1, ip / tcp / data)

    def connect(self, options: list[Any] | None = None, **more: Any) -> int:
        """All of it; the number that the client knows the service's first byte by."""
        ours = self.cookie(**more)[TCP].seq + 1
        self.sends("A", self.isn + 1, ours, window=500)
        self.decided(**more)
        self.bench.sent(1)
        self.target("SA", THEIRS, self.isn + 1, window=65535, options=ANSWER if options is None else options)
        self.bench.sent(1)
        self.bench.sent(0)
        return int(ours)

    def cookies(self) -> tuple[int, int, int]:
        return self.bench.worker.service_cookies(SERVICE)[0]


def sound(packet: Packet) -> Packet:
    """The packet, if a stranger computes the same checksums."""
    again = packet.copy()
    if IP in again:
        del again[IP].chksum
    del again[TCP].chksum
    assert bytes(Ether(bytes(again))) == bytes(packet), packet.summary()
    return packet


def options_of(packet: Packet) -> dict[str, Any]:
    return {name: value for name, value in packet[TCP].options if name != "NOP"}
