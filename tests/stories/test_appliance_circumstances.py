"""Rules that change without a reload: what is in a set's file, and the time; flows are judged again as at a reload."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from scapy.layers.inet import UDP

from tests.support.office import CLIENT, NICS, OTHER, SERVER, ip, office

pytestmark = pytest.mark.usefixtures("virtual_time")

MONDAY = datetime(2026, 11, 23, 17, 55, tzinfo=UTC).timestamp()


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Callable[[], float]:
    """The time of day by the clock of the test, from five minutes before work ends."""

    def now() -> float:
        return MONDAY + asyncio.get_running_loop().time() - 1000.0

    monkeypatch.setattr("time.time", now)
    return now


async def test_a_flow_ends_with_the_schedule_that_let_it_begin_and_others_stay(wall: Callable[[], float]) -> None:
    text = NICS + """
schedules: {office: {days: [sun-mon], from: 18:10, to: 18:00}}
policy:
  - other: {from: [home], to: [internet], allow: udp/99}
  - office: {from: [home], to: [internet], allow: udp/7, when: office}
timeouts: {udp-replied: 1d}
"""
    async with office(text) as o:
        await o.open_udp(4)
        await o.open_udp(6, port=6000, to=99)
        await asyncio.sleep(280)
        assert len(o.bench.flows) == 2 and all(rule["applies"] for rule in o.bench.appliance.status()["rules"])
        await asyncio.sleep(21)
        assert [flow["rule"] for flow in o.bench.flows if flow["state"] != "denied"] == ["other"]
        assert {rule["name"]: rule["applies"] for rule in o.bench.appliance.status()["rules"]} == {
            "other": True, "office": False, "default deny": True}  # fmt: skip
        o.client.send(ip(4, CLIENT[4], SERVER[4]) / UDP(sport=5000, dport=7) / b"late")
        await o.bench.settle()
        assert not o.server.received(UDP)
        await asyncio.sleep(600)
        assert o.bench.appliance.generation == 3
        await o.open_udp(4, port=7000)


async def test_an_end_is_an_end(wall: Callable[[], float]) -> None:
    text = NICS + "policy: [guest: {from: [home], to: [internet], allow: any, until: 2026-11-23 18:00}]\n"
    async with office(text) as o:
        await o.open_udp(4)
        await asyncio.sleep(301)
        assert not o.bench.flows


async def test_a_clock_that_is_set_is_noticed(wall: Callable[[], float], monkeypatch: pytest.MonkeyPatch) -> None:
    text = NICS + "policy: [guest: {from: [home], to: [internet], allow: any, until: 2026-11-23 18:00}]\n"
    shift = 0.0
    monkeypatch.setattr("time.time", lambda: wall() + shift)
    async with office(text) as o:
        await o.open_udp(4)
        shift = 3600.0
        await asyncio.sleep(61)
        assert not o.bench.flows
        shift = -3600.0
        await asyncio.sleep(61)
        await o.open_udp(4, port=7000)


async def test_who_is_added_to_a_file_loses_his_flows(tmp_path: Path, wall: Callable[[], float]) -> None:
    listed = tmp_path / "drop.txt"

    def write(text: str) -> None:
        listed.write_text(text)
        os.utime(listed, (wall(), wall()))

    write("198.51.100.0/24\n")
    text = NICS + f"""
objects: {{bad: {{file: {listed}, every: 10s}}}}
policy:
  - drop: {{from: [home], source: bad, deny: any}}
  - out: {{from: [home], to: [internet], allow: any}}
"""
    async with office(text) as o:
        await o.open_udp(4)
        await o.open_udp(6)
        write(f"198.51.100.0/24\n{CLIENT[4]}\n")
        await asyncio.sleep(15)
        states = {flow["original"]["source"]: flow["state"] for flow in o.bench.flows}
        assert states.keys() == {CLIENT[6]}
        write("who wrote this?\n")
        await asyncio.sleep(15)
        status = o.bench.appliance.status()["sets"][0]
        assert (status["state"], status["entries"]) == ("kept", 2) and "line 1" in status["problem"]
        o.client.send(ip(4, CLIENT[4], SERVER[4]) / UDP(sport=5001, dport=7) / b"again")
        o.client.send(ip(4, OTHER[4], SERVER[4]) / UDP(sport=5001, dport=7) / b"somebody else")
        await o.bench.settle()
        assert o.server.only(UDP).src == OTHER[4]
        assert o.bench.appliance.generation == 2
