"""The table of exception policies, row by row: each exception is provoked under each of its choices."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from scapy.layers.inet import ICMP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from appliance.config import exceptions
from tests.support.datagrams import from_port, ports, returned
from tests.support.office import CLIENT, HIDDEN, SERVER, Office, back, ip, office

pytestmark = pytest.mark.usefixtures("virtual_time")

DOWN = """
services:
  web:
    listen: [192.168.1.1:80/tcp]
    targets: [{name: only, address: 203.0.113.9:80, weight: 0}]
limits: {flows: 1024}
"""


def udp(port: int = 5000) -> Packet:
    return ip(4, CLIENT[4], SERVER[4]) / UDP(sport=port, dport=7) / b"?"


def syn(port: int = 5000, to: str = SERVER[4]) -> Packet:
    return ip(4, CLIENT[4], to) / TCP(sport=port, dport=80, flags="S", seq=7)


async def fill(o: Office) -> None:
    """Every place of the table is taken by flows that nobody evicts."""
    wan, heard = o.server.segment, list[bytes]()

    def hear(frame: bytes) -> bool:
        if ports(frame) is not None:
            heard.append(frame)
        return ports(frame) is not None

    question = bytes(Ether(src=o.client.mac, dst=o.client.segment.mac) / udp(0))
    o.client.segment.judging, wan.shortcut = False, hear
    for first in range(1100, 2200, 50):
        asked = [from_port(question, port) for port in range(first, first + 50)]
        o.client.send(*asked)
        await o.bench.settle(0.01)
        o.server.send(*map(returned, heard))
        await o.bench.settle(0.01)
        o.client.send(*asked)
        await o.bench.settle(0.01)
        heard.clear()
    o.client.segment.judging, wan.shortcut = True, lambda frame: False
    o.client.received()


async def nothing(o: Office) -> None:
    """It needs no preparation."""


def fail(*_: object) -> None:
    raise RuntimeError("provoked")


async def break_decisions(o: Office) -> None:
    o.bench.appliance.decider.megaflows.alike = fail  # type: ignore[method-assign, assignment]


async def exhaust(o: Office) -> None:
    o.bench.appliance.decider.view.is_free = lambda *_: False  # type: ignore[method-assign]


Prepare = Callable[[Office], Awaitable[None]]
TOLD: list[tuple[str, str, Prepare, Packet]] = [
    ("state-full", "table-full", fill, syn()),
    ("state-full", "table-full", fill, udp()),
    ("mid-stream", "not-a-start", nothing, ip(4, CLIENT[4], SERVER[4]) / TCP(sport=5000, dport=80, flags="A", seq=7, ack=9)),
    ("nat-exhausted", "nat-exhausted", exhaust, syn()),
    ("no-target", "no-target", nothing, syn(to="192.168.1.1")),
    ("decision-failed", "decision-failed", break_decisions, syn()),
    ("decision-failed", "decision-failed", break_decisions, udp()),
]


@pytest.mark.parametrize("choice", ["", "drop", "reject"])
@pytest.mark.parametrize(("key", "reason", "prepare", "packet"), TOLD)
async def test_what_cannot_be_decided_is_dropped_and_told_only_where_the_file_says_so(
    key: str, reason: str, prepare: Prepare, packet: Packet, choice: str
) -> None:
    async with office(HIDDEN + DOWN + (f"exceptions: {{{key}: {choice}}}\n" if choice else "")) as o:
        await prepare(o)
        o.server.received()
        before = o.bench.drops.get(reason, 0)
        o.client.send(packet)
        await o.bench.settle()
        answers = o.client.received()
        assert o.server.received() == [] and o.bench.drops[reason] > before
        if choice != "reject":
            assert answers == []
        elif TCP in packet:
            assert "R" in str(answers[0][TCP].flags)
        else:
            assert (answers[0][ICMP].type, answers[0][ICMP].code) == (3, 13)
        assert bool(o.bench.appliance.decider.failures) is (key == "decision-failed")
        o.bench.appliance.decider.failures = 0


async def test_segments_alike_are_told_without_a_question() -> None:
    async with office(HIDDEN + "exceptions: {mid-stream: reject}\n") as o:
        for port in (5000, 5001, 5002):
            o.client.send(ip(4, CLIENT[4], SERVER[4]) / TCP(sport=port, dport=80, flags="A", seq=7, ack=900))
            await o.bench.settle()
            reset = o.client.only(TCP)[TCP]
            assert (reset.dport, str(reset.flags), reset.seq) == (port, "R", 900)
        assert o.bench.counters["alike"] == 2 and o.bench.drops == {"not-a-start": 3}


async def test_only_segments_of_tcp_are_told_that_they_belong_to_nothing() -> None:
    async with office(HIDDEN + "exceptions: {mid-stream: reject}\n") as o:
        o.client.send(ip(4, CLIENT[4], SERVER[4]) / ICMP(type=0, id=7))
        await o.bench.settle()
        assert o.client.received() == [] and o.bench.drops == {"not-a-start": 1}


@pytest.mark.parametrize(("choice", "passes"), [("", False), ("invalid: drop", False), ("invalid: pass", True)])
async def test_impossible_sequence_numbers_pass_only_where_the_file_says_so(choice: str, passes: bool) -> None:
    async with office(HIDDEN + f"exceptions: {{{choice}}}\n" if choice else HIDDEN) as o:
        last = await o.open_tcp(4)
        o.server.send(back(last, b"x", flags="PA", seq=0x7FFF0000, ack=101))
        await o.bench.settle()
        assert bool(o.client.received(TCP)) is passes
        assert o.bench.drops == ({} if passes else {"tcp-window": 1})


@pytest.mark.parametrize(("packet", "reason"), [
    (ip(4, CLIENT[4], SERVER[4]) / TCP(sport=1, dport=80, flags="S", dataofs=4), "malformed"),
    (ip(4, CLIENT[4], SERVER[4], proto=6) / Raw(b"short"), "truncated"),
    (ip(4, CLIENT[4], SERVER[4]) / UDP(sport=1, dport=7, chksum=0x1234) / b"?", "bad-checksum"),
])  # fmt: skip
async def test_what_is_malformed_is_dropped_in_silence(packet: Packet, reason: str) -> None:
    async with office(HIDDEN + "exceptions: {malformed: drop}\n") as o:
        o.client.send(packet)
        await o.bench.settle()
        assert o.server.received() == o.client.received() == [] and o.bench.drops == {reason: 1}


async def test_fragments_that_overlap_are_dropped_in_silence() -> None:
    async with office(HIDDEN + "exceptions: {reassembly: drop}\n") as o:
        there: dict[str, Any] = {"flags": "MF", "id": 9}
        o.client.send(ip(4, CLIENT[4], SERVER[4], **there) / UDP(sport=1, dport=7, len=48, chksum=0) / bytes(24))
        o.client.send(ip(4, CLIENT[4], SERVER[4], frag=2, proto=17, **there) / Raw(b"x" * 24))
        await o.bench.settle()
        assert o.bench.drops == {"fragment-overlap": 2} and o.client.received() == []


def test_every_key_is_in_the_table() -> None:
    table = str(exceptions.__doc__)
    assert [key for key in exceptions.Exceptions.file_keys() if f"    {key} " not in table] == []
