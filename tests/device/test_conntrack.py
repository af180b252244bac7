"""Connections that a card tracks, against a dictionary of what was said in each."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6EchoReply, ICMPv6EchoRequest, ICMPv6ND_NS, IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw

from ena_dev.device.allowances import Allowances
from tests.support.frames import CARD, PEER
from tests.support.io_bench import IoBench

OUT, IN = 0, 1


class Talk(NamedTuple):
    """Who talks with whom: addresses and ports of the card's side and the far side. `kind`: tcp, udp, echo or gre."""

    kind: str
    mine: str
    its: str
    ports: tuple[int, int] = (0, 0)


ITSELF = Talk("udp", "203.0.113.9", "203.0.113.9", (53, 54))
TALKS = [
    Talk("tcp", "192.0.2.1", "198.51.100.2", (1000, 80)),
    Talk("tcp", "192.0.2.1", "198.51.100.2", (1001, 80)),
    Talk("tcp", "192.0.2.1", "198.51.100.2", (80, 1000)),
    Talk("tcp", "2001:db8::2", "2001:db8::1", (1000, 80)),
    Talk("udp", "192.0.2.1", "198.51.100.2", (1000, 80)),
    Talk("udp", "203.0.113.9", "192.0.2.1", (53, 53)),
    ITSELF,
    Talk("udp", "2001:db8::1", "2001:db8::2", (53, 53)),
    Talk("echo", "192.0.2.1", "198.51.100.2", (7, 7)),
    Talk("echo", "192.0.2.1", "198.51.100.2", (8, 8)),
    Talk("echo", "2001:db8::1", "2001:db8::2", (7, 7)),
    Talk("gre", "192.0.2.1", "198.51.100.2"),
    Talk("gre", "2001:db8::1", "2001:db8::2"),
]


@cache
def packet(talk: Talk, way: int, flags: str = "A") -> bytes:
    source, destination = (talk.mine, talk.its) if way == OUT else (talk.its, talk.mine)
    sport, dport = talk.ports if way == OUT else talk.ports[::-1]
    six = ":" in talk.mine
    inner: dict[str, Packet] = {
        "tcp": TCP(sport=sport, dport=dport, flags=flags),
        "udp": UDP(sport=sport, dport=dport) / Raw(b"words"),
        "gre": Raw(bytes(8)),
        "echo": (
            (ICMPv6EchoRequest(id=sport) if way == OUT else ICMPv6EchoReply(id=sport))
            if six
            else ICMP(type=8 if way == OUT else 0, id=sport)
        ),
    }
    network = IPv6(src=source, dst=destination) if six else IP(src=source, dst=destination)
    if talk.kind == "gre":
        setattr(network, "nh" if six else "proto", 47)
    return bytes(Ether(dst=CARD if way == IN else PEER, src=PEER) / network / inner[talk.kind])


@dataclass
class Said:
    """One connection: when it was heard last, and who said what, in order."""

    seen: float = 0.0
    ways: list[int] = field(default_factory=list)
    ended: set[int] = field(default_factory=set)
    closed: bool = False


@dataclass
class Register:
    """The table by definition: a dictionary, and idle times in seconds."""

    room: int
    talks: dict[Talk, Said] = field(default_factory=dict)
    refused: int = 0

    def idle(self, talk: Talk, said: Said) -> int:
        if talk.kind == "tcp":
            return 10 if said.closed else 350 if set(said.ways) == {IN, OUT} else 60
        if talk.kind == "udp":
            answers = sum(1 for one, two in zip(said.ways, said.ways[1:], strict=False) if one == said.ways[0] != two)
            return 180 if answers > 1 else 30
        return 30 if talk.kind == "echo" else 600

    def expire(self, now: float) -> None:
        self.talks = {talk: said for talk, said in self.talks.items() if now < said.seen + self.idle(talk, said)}

    def admits(self, now: float, talk: Talk, way: int, flags: str) -> bool:
        self.expire(now)
        if talk not in self.talks and len(self.talks) == self.room:
            self.refused += 1
            return False
        said = self.talks.setdefault(talk, Said())
        if talk.kind == "tcp":
            if said.closed and flags == "S":
                said = self.talks[talk] = Said()
            said.ended |= {way} if "F" in flags else set()
            said.closed = said.closed or "R" in flags or said.ended == {IN, OUT}
        said.ways.append(way)
        said.seen = now
        return True


@dataclass
class Card:
    room: int
    bench: IoBench = field(default_factory=IoBench)

    def __post_init__(self) -> None:
        self.rx, self.tx = self.bench.rx(depth=256), self.bench.tx(depth=256)
        self.bench.engine.shaper.set(Allowances(conntrack=self.room))
        self.bench.run()

    def passes(self, frame: bytes, way: int) -> bool:
        if way == OUT:
            self.tx.send(frame)
            self.bench.run()
            return bool(self.bench.wire.take())
        self.rx.post(1)
        self.bench.wire.inject(frame)
        self.bench.run()
        return bool(self.rx.receive())

    @property
    def over(self) -> int:
        return self.bench.engine.shaper.statistics().conntrack_allowance_exceeded

    @property
    def available(self) -> int:
        return self.bench.engine.shaper.statistics().conntrack_allowance_available


gaps = st.sampled_from([0, 0, 0, 0.5, 9, 10, 29.999999999, 30, 60, 180, 350, 599, 600])
flags = st.sampled_from(["S", "SA", "A", "A", "FA", "R", "RA"])


def conversations(talks: list[Talk]) -> st.SearchStrategy[list[tuple[float, Talk, int, str]]]:
    return st.lists(st.tuples(gaps, st.sampled_from(talks), st.sampled_from([OUT, IN]), flags), max_size=60)


said = st.lists(st.sampled_from(TALKS), min_size=1, max_size=8, unique=True).flatmap(conversations)
START, BOTH_END = [(0, TALKS[0], OUT, "S"), (0, TALKS[0], IN, "SA")], [(0, TALKS[0], OUT, "FA"), (0, TALKS[0], IN, "FA")]


@settings(max_examples=150)
@example(room=1, said=[*((0, TALKS[4], way, "") for way in (OUT, IN, OUT)), (30, TALKS[5], OUT, "")])
@example(room=1, said=[*((0, TALKS[4], way, "") for way in (OUT, IN, OUT, IN)), (30, TALKS[5], OUT, ""), (150, TALKS[5], OUT, "")])
@example(room=1, said=[*START, *BOTH_END, (10, TALKS[1], OUT, "S")])
@example(room=1, said=[*START, *BOTH_END, START[0], (60, TALKS[1], OUT, "S")])
@example(room=1, said=[(0, ITSELF, way, "") for way in (OUT, IN)])
@given(room=st.integers(1, 6), said=said)
def test_the_table_is_a_dictionary_that_forgets_what_is_idle(room: int, said: list[tuple[float, Talk, int, str]]) -> None:
    card, register = Card(room), Register(room)
    for gap, talk, way, flags in said:
        card.bench.run(gap)
        register.expire(card.bench.now)
        assert card.available == room - len(register.talks)
        assert card.passes(packet(talk, way, flags), way) == register.admits(card.bench.now, talk, way, flags)
    assert card.over == register.refused


UNTRACKED = {
    "ARP": Ether(dst=CARD) / ARP(),
    "an ICMP error": Ether(dst=CARD) / IP() / ICMP(type=3) / IP() / UDP(),
    "an ICMPv6 error": Ether(dst=CARD) / IPv6(src="2001:db8::1", dst="2001:db8::2") / ICMPv6DestUnreach() / IPv6() / UDP(),
    "neighbour discovery": Ether(dst=CARD) / IPv6(src="2001:db8::1", dst="2001:db8::2") / ICMPv6ND_NS(),
    "a group": Ether(dst="01:00:5e:00:00:01") / IP(dst="224.0.0.1") / UDP(),
    "a later fragment": Ether(dst=CARD) / IP(frag=5) / Raw(bytes(64)),
    "a service of the host": Ether(dst=CARD) / IP(src="169.254.169.254", dst="192.0.2.1") / TCP(),
    "nonsense": Ether(dst=CARD, type=0x0800) / Raw(bytes(40)),
}


@pytest.mark.parametrize("name", UNTRACKED)
def test_what_belongs_to_no_connection_passes_a_full_table(name: str) -> None:
    card = Card(1)
    assert card.passes(packet(TALKS[0], OUT), OUT)
    assert not card.passes(packet(TALKS[1], OUT), OUT)
    assert card.passes(bytes(UNTRACKED[name]), IN)
    assert (card.available, card.over) == (0, 1)


def test_the_first_fragment_belongs_to_its_connection() -> None:
    card = Card(1)
    first = bytes(Ether(dst=CARD) / IP(src="192.0.2.9", dst="192.0.2.1", flags="MF") / UDP(sport=1, dport=2, len=3000) / Raw(bytes(64)))
    assert card.passes(first, IN)
    assert card.available == 0


def test_a_full_table_is_emptied_and_filled_again() -> None:
    """Ten thousand connections through a table for a thousand: every slot is used again, none is lost."""
    card = Card(1000)
    frame = bytearray(packet(TALKS[4], OUT))
    for lap in range(3):
        for port in range(1010):
            frame[34:36] = (port + 5000 * lap).to_bytes(2)
            card.tx.send(bytes(frame), ring=port % 100 == 99)
            if port % 100 == 99:
                card.bench.run()
                card.tx.completions()
        card.tx.ring()
        card.bench.run()
        assert len(card.bench.wire.take()) == 1000
        assert (card.available, card.over) == (0, 10 * (lap + 1))
        card.bench.run(30)
        assert card.available == 1000


def test_new_limits_forget_the_connections() -> None:
    card = Card(1)
    assert card.passes(packet(TALKS[0], OUT), OUT)
    card.bench.engine.shaper.set(Allowances(conntrack=3))
    assert card.available == 3
    card.bench.engine.shaper.set(Allowances())
    assert card.available == 0
    assert all(card.passes(packet(talk, OUT), OUT) for talk in TALKS)
