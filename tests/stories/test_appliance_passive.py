"""Passive checks: a target whose new connections fail is ejected for a while, though its health checks are content; others never are."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from scapy.layers.inet import TCP
from scapy.packet import Packet

from appliance.config.loader import loads
from tests.stories.test_appliance_balancing import BALANCED, SERVICE, TARGETS, Farm, farm
from tests.stories.test_appliance_draining import phase, target
from tests.support.office import SERVER, VERSIONS, back, ip

pytestmark = pytest.mark.usefixtures("virtual_time")

WATCHED = BALANCED + "    passive: {failures: 5, within: 10s, eject-for: 30s, max-ejected: 34%}\n"


def accepts(packet: Packet) -> Packet | None:
    return back(packet, flags="SA", seq=1, ack=packet[TCP].seq + 1) if packet[TCP].flags == "S" else None


def refuses(packet: Packet) -> Packet:
    return back(packet, flags="RA", seq=0, ack=packet[TCP].seq + 1)


def hangs_up(packet: Packet) -> Packet | None:
    """Accepts, and resets as soon as it is spoken to."""
    return accepts(packet) or back(packet, flags="R", seq=2)


def ignores(packet: Packet) -> Packet | None:
    return None


def behave(f: Farm, **how: Callable[[Packet], Packet | None]) -> None:
    for name, station in f.targets.items():
        way = how.get(name, accepts)
        station.react = lambda packet, way=way: way(packet) if packet.haslayer(TCP) else None  # type: ignore[misc]


async def open_some(f: Farm, ports: range, version: int = 4, again: int = 0) -> None:
    """Connections from each port, whose SYN is repeated as often as said if nobody answers; who is answered says something."""
    there = ip(version, SERVER[version], SERVICE[version])
    waiting = set(ports)
    f.client.send(there / TCP(sport=min(ports) - 1, dport=80, flags="S", seq=999))
    await f.bench.settle(0.1)  # the neighbours are known now, and nothing waits for them
    f.client.received()
    for _ in range(1 + again):
        f.client.send(*(there / TCP(sport=port, dport=80, flags="S", seq=999) for port in sorted(waiting)))
        await f.bench.settle(0.1)
        answers = f.client.received(TCP)
        f.client.send(*(back(a, b"hello", flags="PA", seq=1000, ack=a[TCP].seq + 1) for a in answers if a[TCP].flags == "SA"))
        waiting -= {answer[TCP].dport for answer in answers}
    await f.bench.settle(2.0)
    f.client.received()
    for station in f.targets.values():
        station.received()


@pytest.mark.parametrize(("fails", "again", "why"), [
    (refuses, 0, "were refused and 0 not answered"), (ignores, 2, "0 were refused and"), (hangs_up, 0, "were refused and 0 not answered"),
])  # fmt: skip
@pytest.mark.parametrize("version", VERSIONS)
async def test_who_refuses_new_connections_is_ejected_and_gets_another_chance(
    version: int, fails: Callable[[Packet], Packet | None], again: int, why: str
) -> None:
    async with farm(WATCHED) as f:
        name = {4: "b", 6: "b6"}[version]
        behave(f, b=fails)
        await open_some(f, range(2000, 2060), version, again)
        shown = target(f, name)
        assert (shown["phase"], shown["up"]) == ("ejected", True)
        ejected = shown["ejected"]
        assert isinstance(ejected, dict) and why in ejected["why"] and ejected["times"] == 1
        assert all(phase(f, other)[0] == "active" for other in ("a", "c", "a6", "c6"))
        asked = await f.ask(version, range(3000, 3040))
        assert set(asked.values()) == {"a", "c"}
        await f.bench.settle(31.0)
        assert (phase(f, name)[0], target(f, name)["ejected"]) == ("active", None)
        behave(f)
        await open_some(f, range(4000, 4060), version)
        assert phase(f, name)[0] == "active"
        assert set((await f.ask(version, range(5000, 5040))).values()) == set(TARGETS)


async def test_a_client_that_is_fast_meets_few_more_failures_than_it_takes() -> None:
    """Twenty connections, one each 10 ms."""
    async with farm(WATCHED.replace("failures: 5", "failures: 3")) as f:
        behave(f, b=refuses)
        await open_some(f, range(1999, 2000))
        refused = 0
        for port in range(3000, 3060):
            f.client.send(ip(4, SERVER[4], SERVICE[4]) / TCP(sport=port, dport=80, flags="S", seq=999))
            await f.bench.settle(0.01)
            answers = f.client.received(TCP)
            refused += sum(answer[TCP].flags == "RA" for answer in answers)
            f.client.send(*(back(a, b"hi", flags="PA", seq=1000, ack=a[TCP].seq + 1) for a in answers if a[TCP].flags == "SA"))
        assert phase(f, "b")[0] == "ejected" and 3 <= refused <= 8


async def test_the_second_time_lasts_twice_as_long() -> None:
    async with farm(WATCHED) as f:
        behave(f, b=refuses)
        await open_some(f, range(2000, 2060))
        await f.bench.settle(31.0)
        assert phase(f, "b")[0] == "active"
        await open_some(f, range(3000, 3060))
        assert phase(f, "b")[0] == "ejected"
        await f.bench.settle(50.0)
        assert phase(f, "b")[0] == "ejected"
        await f.bench.settle(11.0)
        assert phase(f, "b")[0] == "active"


async def test_no_more_are_ejected_than_may_be_and_never_the_last_one() -> None:
    async with farm(WATCHED) as f:
        behave(f, a=refuses, b=refuses, c=refuses)
        await open_some(f, range(2000, 2060))
        assert sorted(str(phase(f, name)[0]) for name in TARGETS) == ["active", "active", "ejected"]
    async with farm(WATCHED.replace("34%", "100%")) as f:
        behave(f, a=refuses, b=refuses, c=refuses)
        await open_some(f, range(2000, 2060))
        await open_some(f, range(3000, 3060))
        assert sorted(str(phase(f, name)[0]) for name in TARGETS) == ["active", "ejected", "ejected"]


async def test_who_answers_more_often_than_not_stays_and_clients_that_give_up_count_for_nothing() -> None:
    async with farm(WATCHED) as f:
        times = 0

        def sometimes(packet: Packet) -> Packet | None:
            nonlocal times
            times += packet[TCP].flags == "S"
            return refuses(packet) if times % 3 == 0 else accepts(packet)

        behave(f, b=sometimes)
        await open_some(f, range(2000, 2300))  # a hundred for each target, give or take
        assert target(f, "b")["opened"]["refused"] >= 5 and phase(f, "b")[0] == "active"  # type: ignore[index]
        behave(f, b=ignores)
        there = ip(4, SERVER[4], SERVICE[4])
        f.client.send(*(there / TCP(sport=port, dport=80, flags="S", seq=999) for port in range(3000, 3060)))
        await f.bench.settle(1.0)
        f.client.send(*(there / TCP(sport=port, dport=80, flags="R", seq=1000) for port in range(3000, 3060)))
        await f.bench.settle(40.0)
        assert target(f, "b")["opened"]["silent"] == 0 and phase(f, "b")[0] == "active"  # type: ignore[index]


async def test_a_flow_that_ends_unanswered_counts_and_the_flows_it_has_may_last() -> None:
    async with farm(WATCHED + "timeouts: {tcp-opening: 30s}\n") as f:
        asked = await f.ask(4, range(2000, 2040))
        behave(f, b=ignores)
        there = ip(4, SERVER[4], SERVICE[4])
        f.client.send(*(there / TCP(sport=port, dport=80, flags="S", seq=999) for port in range(3000, 3060)))
        for _ in range(4):
            await f.bench.settle(8.0)
            f.targets["b"].received()
            again = await f.ask(4, range(2000, 2040))
        assert phase(f, "b")[0] == "ejected" and again == asked


async def test_the_operator_has_the_last_word_and_health_checks_have_theirs() -> None:
    async with farm(WATCHED) as f:
        appliance = f.bench.appliance
        behave(f, b=refuses)
        await open_some(f, range(2000, 2060))
        assert appliance.restore_target("web", "b")["phase"] == "active"
        await open_some(f, range(3000, 3060))
        assert appliance.drain_target("web", "b", None)["phase"] == "lame-duck"
        await f.bench.settle(70.0)
        assert phase(f, "b")[0] == "drained" and target(f, "b")["ejected"] is None
        appliance.restore_target("web", "b")
        await open_some(f, range(4000, 4060))
        assert phase(f, "b")[0] == "ejected"
        f.dead.add("b")
        await f.bench.settle(5.0)
        assert phase(f, "b")[0] == "unhealthy"
        f.dead.clear()
        await f.bench.settle(5.0)
        assert phase(f, "b")[0] == "active"
        await open_some(f, range(5000, 5060))
        appliance.config = appliance.config.model_copy(update={"services": loads(BALANCED, "bench.yaml").services})
        appliance._configure(appliance._compile(appliance.config))
        assert phase(f, "b")[0] == "active"
