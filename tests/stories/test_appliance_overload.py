"""More than can be decided, remembered or sent: bounded, counted, and none of the business of flows that are known."""

import pytest
from scapy.layers.inet import TCP, UDP

from appliance.config.errors import ConfigError
from appliance.config.loader import loads
from appliance.flow.table import bytes_of
from ena_dev.packet import build
from tests.support.office import CLIENT, HIDDEN, LAN, OFFICE, SERVER, WAN, Office, back, ip, office

pytestmark = pytest.mark.usefixtures("virtual_time")


def flood(o: Office, count: int, first: int = 0, size: int = 10) -> int:
    """Datagrams of as many flows as the wire takes at once, up to `count`; how many."""
    client, mac, wire = bytes.fromhex(o.client.mac.replace(":", "")), o.bench.mac("lan"), o.client.segment.wire
    for number in range(first, first + count):
        source = f"192.168.1.{100 + number // 60000 % 100}"
        frame = build.ethernet(mac, client, build.udp(source, SERVER[4], 1024 + number % 60000, 9, b"x" * size))
        if not wire.inject(frame):
            return number - first
    return count


async def known_flow_works(o: Office, marker: bytes) -> None:
    o.client.send(ip(4, CLIENT[4], SERVER[4]) / UDP(sport=5000, dport=7) / marker)
    await o.bench.settle()
    assert marker in [packet[UDP].payload.load for packet in o.server.received(UDP) if packet[UDP].dport == 7]


async def test_a_burst_of_new_flows_is_bounded_and_harms_no_known_one() -> None:
    """Nobody decides meanwhile: all of them come within one turn of the event loop."""
    async with office(HIDDEN) as o:
        question = await o.open_udp(4)
        o.server.segment.judging = False
        came = 0
        while came < 8000:
            came += flood(o, 8000 - came, came)
            for _ in range(3):
                o.bench.appliance.executor.run_until_idle(o.bench.appliance._loop.time())
            o.bench.world.wires["wan"].take()
        await o.bench.settle(0.5)
        counters, drops = o.bench.counters, o.bench.drops
        assert drops["miss-full"] + drops.get("pending-full", 0) + drops.get("parking-full", 0) > 1000
        assert counters["installed"] > 500
        assert counters["misses"] + drops["miss-full"] + drops.get("pending-full", 0) >= 8000
        o.server.segment.judging = True
        await known_flow_works(o, b"one")
        o.server.send(back(question, b"two"))
        await o.bench.settle()
        assert o.client.only(UDP).payload.load == b"two"
        o.bench.check()


async def test_known_flows_go_on_while_nobody_decides() -> None:
    async with office(HIDDEN) as o:
        await o.open_udp(4)
        loop, executor = o.bench.appliance._loop, o.bench.appliance.executor
        for number in range(50):
            flood(o, 20, number * 20)
            o.client.send(ip(4, CLIENT[4], SERVER[4]) / UDP(sport=5000, dport=7) / bytes([number]))
            executor.run_until_idle(loop.time())  # the data thread, while the event loop is busy with something else
        o.server.segment.poll()
        known = [packet[UDP].payload.load for packet in o.server.received(UDP) if packet[UDP].dport == 7]
        assert known == [bytes([number]) for number in range(50)]


async def test_a_full_table_gives_up_the_unanswered_and_keeps_the_established() -> None:
    async with office(HIDDEN + "limits: {flows: 1024}\n") as o:
        await o.open_udp(4)
        last = await o.open_tcp(4)
        o.server.segment.judging = False
        for number in range(60):
            flood(o, 50, number * 50)
            await o.bench.settle(0.01)
        o.server.segment.judging = True
        usage = o.bench.appliance.status()["flows"]
        assert usage["used"] <= 1024 and o.bench.counters["evicted-unreplied"] > 1500
        await known_flow_works(o, b"still")
        o.server.send(back(last, b"here", flags="PA", seq=901, ack=101))
        await o.bench.settle()
        assert o.client.received()


async def test_a_table_bounded_in_bytes_has_as_many_flows_as_fit() -> None:
    async with office(HIDDEN + "limits: {memory: 1MiB}\n") as o:
        usage = o.bench.appliance.status()["flows"]
        assert usage["limit"] == o.bench.appliance.worker.usage()["limit"] > 2000
        assert usage["limit-bytes"] == bytes_of(usage["limit"]) <= 2**20 < bytes_of(usage["limit"] + 1)


async def test_a_denied_flood_is_counted_and_its_memory_is_bounded() -> None:
    async with office(OFFICE.replace("policy:", "policy:\n  - stop: {from: [home], deny: [udp/9]}")) as o:
        await o.open_udp(4)
        for number in range(100):
            flood(o, 50, number * 50)
            await o.bench.settle(0.01)
        rules = {row["name"]: row["flows"] for row in o.bench.appliance.status()["rules"]}
        assert rules["stop"] == 5000
        assert o.bench.drops["policy"] == 5000
        assert len(o.bench.appliance.decider._chosen) <= 4096
        await known_flow_works(o, b"still")


async def test_with_a_thousand_hidden_flows_each_has_a_port_of_its_own() -> None:
    async with office(HIDDEN) as o:
        await o.open_udp(4)
        o.server.received()
        for number in range(20):
            for host in range(10, 15):
                for port in range(10):
                    frame = ip(4, f"192.168.1.{host}", SERVER[4]) / UDP(sport=6000 + number * 10 + port, dport=9)
                    o.client.send(frame)
            await o.bench.settle(0.01)
        ports = [packet[UDP].sport for packet in o.server.received(UDP)]
        assert len(ports) == len(set(ports)) == 1000


CROWDED = OFFICE.replace("policy:", "policy:\n  - checks: {from: [self], to: [internet], allow: tcp/9000}") + "limits: {flows: 1024}\n"


def crowd(o: Office, kind: str, first: int, count: int) -> None:
    """The first packets of flows that stay in the table as one kind."""
    client, server = (bytes.fromhex(station.mac.replace(":", "")) for station in (o.client, o.server))
    for port in range(first, first + count):
        ends = CLIENT[4], SERVER[4], port, 9
        packet = build.tcp(*ends, flags=2) if kind == "opening" else build.udp(*ends, b"x")
        o.client.segment.wire.inject(build.ethernet(o.bench.mac("lan"), client, packet))
    if kind in ("answered", "established"):
        o.bench.appliance.executor.run_until_idle(o.bench.appliance._loop.time())
        for port in range(first, first + count):
            o.server.segment.wire.inject(build.ethernet(o.bench.mac("wan"), server, build.udp(SERVER[4], CLIENT[4], 9, port, b"y")))
    if kind == "established":
        o.bench.appliance.executor.run_until_idle(o.bench.appliance._loop.time())
        crowd(o, "unreplied", first, count)


@pytest.mark.parametrize("kind", ["opening", "unreplied", "answered", "established"])
async def test_with_a_table_full_of_any_kind_ssh_opens_and_health_checks_are_made(kind: str) -> None:
    async with office(CROWDED) as o:
        own = o.bench.station("self", LAN[4], WAN[4])
        await o.open_udp(4)
        o.client.segment.judging = o.server.segment.judging = False
        for number in range(22):
            crowd(o, kind, 10000 + number * 50, 50)
            await o.bench.settle(0.005)
        o.client.segment.judging = o.server.segment.judging = True
        usage = o.bench.appliance.status()["flows"]
        assert usage[kind] > 900 and usage["used"] == usage["limit"] - usage["self-reserve"]
        o.server.received()
        for attempt in range(12):
            o.client.send(ip(4, CLIENT[4], LAN[4]) / TCP(sport=5000 + attempt, dport=22, flags="S"))
            own.send(ip(4, WAN[4], SERVER[4]) / TCP(sport=6000 + attempt, dport=9000, flags="S"))
            await o.bench.settle()
        assert len(o.server.received(TCP)) == 12
        assert len(own.received(TCP)) >= 2
        assert o.bench.appliance.status()["flows"]["used"] <= usage["limit"]


@pytest.mark.parametrize("written", ["", "exceptions: {overload: drop}\n"])
async def test_while_decisions_lag_new_flows_are_dropped_in_silence_and_later_ones_are_decided(written: str) -> None:
    """Python is away for three seconds: what nobody decides within one is given up, and nobody is told."""
    async with office(HIDDEN + written) as o:
        await o.open_udp(4)
        appliance, before = o.bench.appliance, o.bench.counters
        now, came = appliance._loop.time(), 0
        for second in range(4):
            while came < 1500 * (second + 1) and (more := flood(o, 100, came)):
                came += more
                appliance.executor.run_until_idle(now + second)
            o.client.send(ip(4, CLIENT[4], SERVER[4]) / UDP(sport=5000, dport=7) / bytes([second]))
            appliance.executor.run_until_idle(now + second)
        drops = o.bench.drops
        assert set(drops) == {"miss-full", "undecided"} and drops["miss-full"] + drops["undecided"] > came // 2
        await o.bench.settle(5.0)
        after, known = o.bench.counters, [packet[UDP].payload.load for packet in o.server.received() if packet[UDP].dport == 7]
        assert known == [bytes([second]) for second in range(4)], "a known flow has noticed it"
        assert o.client.received() == [] and appliance.status()["unanswered"] == {}
        assert set(o.bench.drops) <= {"miss-full", "pending-full", "parking-full", "undecided"}
        assert after["sent"] - before["sent"] + sum(o.bench.drops.values()) == came + 4
        o.client.send(ip(4, CLIENT[4], SERVER[4]) / UDP(sport=999, dport=9) / b"later")
        await o.bench.settle()
        assert o.server.only(UDP).payload.load == b"later"


def test_nothing_else_can_be_chosen_for_overload() -> None:
    with pytest.raises(ConfigError, match=r"overload.*drop"):
        loads(OFFICE + "exceptions: {overload: pass}\n")
