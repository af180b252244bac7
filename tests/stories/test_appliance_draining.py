"""Targets that leave and targets that are lost: who still gets flows, when flows end, and who is told."""

from __future__ import annotations

from collections import Counter

import pytest
from scapy.layers.inet import TCP, UDP
from scapy.packet import Packet

from appliance.config.loader import loads
from ena_dev.errors import UsageError
from tests.stories.test_appliance_balancing import BALANCED, SERVICE, TARGETS, Farm, farm
from tests.support.office import SERVER, VERSIONS, back, ip
from tests.support.station import Station

pytestmark = pytest.mark.usefixtures("virtual_time")


def target(f: Farm, name: str) -> dict[str, object]:
    [service] = f.bench.appliance.status()["services"]
    found: dict[str, object] = next(each for each in service["targets"] if each["name"] == name)
    return found


def phase(f: Farm, name: str) -> tuple[object, object]:
    shown = target(f, name)
    return shown["phase"], shown["flows"]


async def connect(f: Farm, version: int, name: str, sport: int = 5000) -> tuple[Station, Packet, int]:
    """A connection to one target: it, the last segment that it got, and the client's port. Both have said ten bytes."""
    while True:
        f.client.send(ip(version, SERVER[version], SERVICE[version]) / TCP(sport=sport, dport=80, flags="S", seq=999))
        await f.bench.settle()
        [(number, station, syn)] = [(n, s, p) for n, s in f.targets.items() for p in s.received(TCP)]
        if number == name:
            break
        sport += 1
    station.send(back(syn, flags="SA", seq=4999, ack=1000))
    await f.bench.settle()
    answer = f.client.only(TCP)
    f.client.send(back(answer, b"0123456789", flags="PA", seq=1000, ack=5000))
    await f.bench.settle()
    asked = station.only(TCP)
    station.send(back(asked, b"abcdefghij", flags="PA", seq=5000, ack=1010))
    await f.bench.settle()
    assert f.client.only(TCP)[TCP].seq == 5000
    return station, asked, sport


async def test_a_drained_target_keeps_its_flows_and_gets_no_new_ones_until_it_is_restored() -> None:
    async with farm() as f:
        before = await f.ask(4, range(2000, 2090))
        assert phase(f, "b") == ("active", Counter(before.values())["b"])
        assert f.bench.appliance.drain_target("web", "b", None)["phase"] == "lame-duck"
        assert await f.ask(4, range(2000, 2090)) == before
        assert set((await f.ask(4, range(3000, 3090))).values()) == {"a", "c"}
        assert phase(f, "b") == ("lame-duck", Counter(before.values())["b"])
        await f.bench.settle(200.0)
        assert phase(f, "b") == ("drained", 0)
        assert set((await f.ask(4, range(4000, 4090))).values()) == {"a", "c"}
        assert f.bench.appliance.restore_target("web", "b")["phase"] == "active"
        assert set((await f.ask(4, range(5000, 5090))).values()) == {"a", "b", "c"}


async def test_at_the_deadline_the_last_flows_end() -> None:
    async with farm(BALANCED + "    drain: {timeout: 20s}\n") as f:
        before = await f.ask(4, range(2000, 2030))
        f.bench.appliance.drain_target("web", "a", None)
        await f.bench.settle(19.0)
        assert phase(f, "a") == ("draining", Counter(before.values())["a"])
        await f.bench.settle(2.0)
        assert phase(f, "a") == ("drained", 0)
        assert phase(f, "c") == ("active", Counter(before.values())["c"])


@pytest.mark.parametrize("version", VERSIONS)
async def test_both_ends_of_a_connection_are_told_with_the_numbers_that_they_wait_for(version: int) -> None:
    async with farm() as f:
        name = {4: "b", 6: "b6"}[version]
        station, asked, sport = await connect(f, version, "b")
        f.bench.appliance.drain_target("web", name, 0)
        await f.bench.settle(1.0)
        heard = f.client.received(TCP)
        told = {(p.src, p[TCP].sport, p[TCP].dport, str(p[TCP].flags), p[TCP].ack) for p in heard}
        assert told == {(SERVICE[version], 80, sport, "RA", 1010)}
        assert {p[TCP].seq for p in heard} == {5000, 5010}  # the client has not acknowledged the answer: either may be what it waits for
        ended = station.only(TCP)
        assert (ended.src, ended.dst, ended[TCP].sport, ended[TCP].dport) == (asked.src, asked.dst, asked[TCP].sport, asked[TCP].dport)
        assert (str(ended[TCP].flags), ended[TCP].seq, ended[TCP].ack) == ("RA", 1010, 5010)
        assert phase(f, name) == ("drained", 0) and all(flow["target"] != name for flow in f.bench.flows)


@pytest.mark.parametrize("version", VERSIONS)
async def test_who_waits_for_an_answer_to_a_syn_is_refused(version: int) -> None:
    async with farm() as f:
        f.client.send(ip(version, SERVER[version], SERVICE[version]) / TCP(sport=5000, dport=80, flags="S", seq=999))
        await f.bench.settle()
        [name] = [name for name, station in f.targets.items() if station.received(TCP)]
        f.dead.add(name)
        await f.bench.settle(5.0)
        refusal = f.client.only(TCP)
        assert (str(refusal[TCP].flags), refusal[TCP].ack) == ("RA", 1000)


@pytest.mark.parametrize(("chosen", "told", "left"), [("reset", True, 0), ("keep", False, 1), ("rebalance", False, 0)])
async def test_the_flows_of_a_lost_target_end_as_the_service_says(chosen: str, told: bool, left: int) -> None:
    async with farm(BALANCED + f"    lost-flows: {chosen}\n") as f:
        station, *_ = await connect(f, 4, "c")
        asked = await f.ask(4, range(2000, 2060))
        lost = [port for port, name in asked.items() if name == "c"]
        f.dead.add("c")
        await f.bench.settle(5.0)
        assert bool(f.client.received(TCP)) is told and bool(station.received(TCP)) is told
        assert phase(f, "c") == ("unhealthy", left * (1 + len(lost)))
        again = await f.ask(4, range(2000, 2060))
        assert {again[port] for port in lost} == ({"c"} if chosen == "keep" else {"a", "b"})
        assert {port: name for port, name in again.items() if port not in lost} == {p: n for p, n in asked.items() if n != "c"}
        assert set((await f.ask(4, range(3000, 3050))).values()) == {"a", "b"}


async def test_who_leaves_stays_away_whatever_health_checks_say_and_a_reload() -> None:
    async with farm() as f:
        appliance = f.bench.appliance
        appliance.drain_target("web", "a", 3600)
        f.dead.add("a")
        await f.bench.settle(5.0)
        f.dead.clear()
        await f.bench.settle(5.0)
        assert target(f, "a")["state"] == "up" and phase(f, "a")[0] == "drained"
        appliance._configure(appliance._compile(appliance.config))
        assert phase(f, "a")[0] == "drained"
        f.dead.add("a")
        await f.bench.settle(5.0)
        assert appliance.restore_target("web", "a")["phase"] == "unhealthy"
        f.dead.clear()
        await f.bench.settle(5.0)
        assert phase(f, "a")[0] == "active"


async def test_a_weight_of_0_tells_a_target_to_leave_and_no_command_overrules_the_file() -> None:
    async with farm(BALANCED.replace("192.168.1.21:8080", "192.168.1.21:8080, weight: 0")) as f:
        assert phase(f, "a") == ("drained", 0)
        with pytest.raises(UsageError, match="weight of 0"):
            f.bench.appliance.restore_target("web", "a")
        with pytest.raises(UsageError, match="there is no target web/nobody"):
            f.bench.appliance.drain_target("web", "nobody", None)
        assert set((await f.ask(4, range(2000, 2050))).values()) == {"b", "c"}
        f.bench.appliance.config = f.bench.appliance.config.model_copy(update={"services": loads(BALANCED, "bench.yaml").services})
        f.bench.appliance._configure(f.bench.appliance._compile(f.bench.appliance.config))
        await f.bench.settle(3.0)
        assert phase(f, "a")[0] == "active"
        assert set((await f.ask(4, range(3000, 3050))).values()) == set(TARGETS)


async def test_flows_are_counted_by_target_until_they_end() -> None:
    async with farm() as f:
        asked = Counter((await f.ask(4, range(2000, 2060))).values())
        assert {name: phase(f, name)[1] for name in TARGETS} == asked
        f.client.send(*(ip(4, SERVER[4], SERVICE[4]) / UDP(sport=port, dport=53) / b"q" for port in range(2000, 2060)))
        await f.bench.settle()
        assert {name: phase(f, name)[1] for name in TARGETS} == asked
        await f.bench.settle(200.0)
        assert {name: phase(f, name)[1] for name in TARGETS} == dict.fromkeys(TARGETS, 0)
