"""SYN cookies in a whole appliance: a flood, who is told what about a connection that two handshakes made, and what status shows."""

from __future__ import annotations

from random import Random

import pytest
from scapy.layers.inet import ICMP, IP, TCP
from scapy.packet import Packet

from tests.support.office import OFFICE, SERVER, Office, back, ip, office

pytestmark = pytest.mark.usefixtures("virtual_time")

SERVICE, TARGET = "203.0.113.80", "192.168.1.20"
ISN, THEIRS = 0xFFFFFFF0, 5000


def guarded(mode: str, more: str = "") -> str:
    return OFFICE.replace("wan: {", f"wan: {{gateway: {SERVER[4]}, ") + f"""
services:
  web:
    listen: {SERVICE}:80/tcp
    targets: [{{name: w1, address: {TARGET}:8080}}]
    protect: {{syn-cookies: {mode}}}
    {more}
limits: {{flows: 1024}}
"""


def segment(flags: str, seq: int, ack: int = 0, sport: int = 4000, source: str = SERVER[4], **more: object) -> Packet:
    """From a client outside."""
    return ip(4, source, SERVICE) / TCP(sport=sport, dport=80, flags=flags, seq=seq % 2**32, ack=ack % 2**32, **more)


def answers(packet: Packet) -> Packet | None:
    """A server that accepts."""
    if not packet.haslayer(TCP) or packet[TCP].flags != "S":
        return None
    return back(packet, flags="SA", seq=THEIRS, ack=(packet[TCP].seq + 1) % 2**32)


async def connected(o: Office, sport: int = 4000) -> int:
    """A connection of the client outside; the number of the service's first byte as it knows it."""
    o.server.send(segment("S", ISN, sport=sport, options=[("MSS", 1460), ("WScale", 7)]))
    await o.bench.settle()
    cookie = o.server.only(TCP)
    assert cookie[TCP].flags == "SA" and cookie[TCP].window == 0
    o.server.send(segment("A", ISN + 1, cookie[TCP].seq + 1, sport, window=500))
    await o.bench.settle()
    assert o.server.only(TCP)[TCP].window > 0
    return int(cookie[TCP].seq) + 1


def told(o: Office) -> dict[str, object]:
    found: dict[str, object] = o.bench.appliance.status()["services"][0]["syn-cookies"]
    return found


async def test_under_a_flood_the_table_stays_free_and_clients_get_through() -> None:
    async with office(guarded("under-pressure")) as o:
        target, random = o.bench.station("lan", TARGET), Random(3)
        for _ in range(20):
            sources = [f"198.51.{random.randrange(256)}.{random.randrange(1, 255)}" for _ in range(50)]
            o.server.send(*[segment("S", random.randrange(2**32), sport=random.randrange(65536), source=source) for source in sources])
            await o.bench.settle(0.05)
        usage = o.bench.appliance.worker.usage()
        state = told(o)
        assert usage["opening"] == 64 == state["half-open"] and state["under-pressure"] is True
        assert state["sent"] == 1000 - 64 and state["accepted"] == 0
        o.server.received()
        target.react = answers
        await connected(o)
        assert told(o)["accepted"] == 1
        await o.bench.elapse(250)
        assert told(o)["under-pressure"] is False and o.bench.appliance.worker.usage()["opening"] == 0
        o.server.send(segment("S", 7, sport=4001))
        await o.bench.settle()
        assert o.server.only(TCP)[TCP].seq == THEIRS, "the target itself answers again"


TWO_FORWARDS = OFFICE.replace("wan: {", f"wan: {{gateway: {SERVER[4]}, ") + f"""
nat:
  - busy: {{forward: {{on: internet, port: tcp/81, to: "{TARGET}:8080"}}}}
  - calm: {{forward: {{on: internet, port: tcp/82, to: "{TARGET}:8080"}}}}
  - guarded: {{forward: {{on: internet, port: tcp/83, to: "{TARGET}:8080", protect: {{syn-cookies: always}}}}}}
  - games: {{forward: {{on: internet, port: udp/84, to: "{TARGET}"}}}}
limits: {{flows: 1024}}
"""


async def test_each_forward_is_under_the_pressure_of_its_own_clients_alone() -> None:
    async with office(TWO_FORWARDS) as o:
        target = o.bench.station("lan", TARGET)

        def syn(port: int, sport: int) -> Packet:
            return ip(4, SERVER[4], "203.0.113.1") / TCP(sport=sport, dport=port, flags="S", seq=7)

        for sport in range(2000, 2100):
            o.server.send(syn(81, sport))
            await o.bench.settle(0.002)
        o.server.send(syn(82, 2000), syn(83, 2000))
        await o.bench.settle()
        told = {row["name"]: row["syn-cookies"] for row in o.bench.appliance.status()["forwards"]}
        assert len(target.received(TCP)) == 64 + 1 and len(o.server.received(TCP)) == 36 + 1
        assert {name: row and (row["under-pressure"], row["half-open"], row["sent"]) for name, row in told.items()} == {
            "busy": (True, 64, 36), "calm": (False, 1, 0), "guarded": (False, 0, 1), "games": None,
        }  # fmt: skip


async def test_a_target_that_is_told_to_leave_resets_both_ends_with_the_numbers_they_know() -> None:
    async with office(guarded("always", "drain: {timeout: 0s}")) as o:
        target = o.bench.station("lan", TARGET)
        target.react = answers
        ours = await connected(o)
        target.received()
        o.bench.appliance.drain_target("web", "w1", None)
        await o.bench.settle(2)
        here, there = o.server.only(TCP)[TCP], target.only(TCP)[TCP]
        assert ("R" in here.flags, here.seq, "R" in there.flags, there.seq) == (True, ours % 2**32, True, (ISN + 1) % 2**32)


async def test_an_error_about_what_the_target_sent_quotes_what_it_sent() -> None:
    async with office(guarded("always")) as o:
        target = o.bench.station("lan", TARGET)
        target.react = answers
        ours = await connected(o)
        target.received()
        numbers = {"seq": THEIRS + 1, "ack": (ISN + 1) % 2**32}
        target.send(IP(src=TARGET, dst=SERVER[4]) / TCP(sport=8080, dport=4000, flags="A", **numbers) / bytes(500))
        await o.bench.settle()
        seen = o.server.only(TCP)
        assert seen[TCP].seq == ours % 2**32
        o.server.send(IP(src=SERVER[4], dst=SERVICE) / ICMP(type=3, code=4, nexthopmtu=576) / bytes(seen)[:28])
        await o.bench.settle()
        error = target.only(ICMP)
        quote = IP(bytes(error)[28:])
        assert (error[ICMP].nexthopmtu, quote.src, quote.dst) == (576, TARGET, SERVER[4])
        assert bytes(quote.payload)[4:8] == (THEIRS + 1).to_bytes(4)


async def test_whom_policy_denies_gets_no_cookie() -> None:
    denied = guarded("always").replace("policy:\n", "policy:\n  - banned: {from: any, to: any, source: 198.51.100.66, deny: any}\n", 1)
    async with office(denied) as o:
        o.bench.station("lan", TARGET)
        for _ in range(3):
            o.server.send(segment("S", 1, source="198.51.100.66"))
            await o.bench.settle(1.5)
        assert o.server.received() == [] and told(o)["sent"] == 0
        o.server.send(segment("S", 1))
        await o.bench.settle()
        assert o.server.only(TCP)[TCP].flags == "SA"
