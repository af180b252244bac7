"""A configuration that is compiled beside the one in force changes nothing before it is adopted."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from scapy.layers.dns import DNSRR

from appliance.classes import find_cuts
from appliance.config.loader import loads
from appliance.runtime.circumstances import Circumstances
from tests.appliance.objects.test_dns import query, record, response
from tests.support.appliance_bench import AtOnce
from tests.support.office import NICS

pytestmark = pytest.mark.usefixtures("virtual_time")

NAMED = NICS + """
schedules: {night: {from: 18:00, to: 23:00}}
objects: {web: {fqdn: example.org, grace: 1h}}
policy: [web: {from: [home], to: [internet], destination: web, allow: any, when: night}]
"""
FLOW, PEER, ADDRESS = 7, (4, 1), 0xC6336401


def circumstances() -> Circumstances:
    """On the afternoon of January 12, 1970."""
    return Circumstances(asyncio.get_running_loop().time, lambda: 1_000_000.0)


def learn(found: Circumstances, *records: DNSRR) -> None:
    found.names.query(FLOW, query())
    found.names.answer(FLOW, PEER, response(list(records)))


async def test_what_names_stand_for_holds_and_is_learned_while_rules_are_compiled() -> None:
    found = circumstances()
    found.adopt(found.compile(loads(NAMED, "fw.yaml"), 1, b"seed"))
    learn(found, record("example.org", "A", "198.51.100.1"))
    assert found.names.holds(("web",), 4, ADDRESS)
    compiled = found.compile(loads(NICS, "fw.yaml"), 2, b"seed")
    assert found.names.holds(("web",), 4, ADDRESS) and found.idle() == {"web"}
    learn(found, record("example.org", "A", "198.51.100.2"))
    assert found.names.holds(("web",), 4, ADDRESS + 1)
    found.adopt(compiled)
    assert not found.names and not found.idle()


async def test_what_is_compiled_says_where_its_classes_begin_and_when_it_will_be_over() -> None:
    compiled = circumstances().compile(loads(NAMED, "fw.yaml"), 1, b"seed")
    assert compiled.cuts == find_cuts(compiled.ruleset)
    assert compiled.turn == datetime(1970, 1, 12, 18, tzinfo=UTC).timestamp()


async def test_a_set_that_a_reload_has_brought_is_looked_at_as_often_as_it_wants(tmp_path: Path) -> None:
    asyncio.get_running_loop().set_default_executor(AtOnce())
    found, listed = circumstances(), tmp_path / "drop.txt"
    listed.write_text("192.0.2.1\n")
    os.utime(listed, (1, 1))
    told: list[str] = []

    async def refresh(why: str) -> None:
        told.append(why)

    found.adopt(found.compile(loads(NICS, "fw.yaml"), 1, b"seed"))
    running = asyncio.create_task(found.run(refresh))
    await asyncio.sleep(1)
    config = loads(NICS + f"objects: {{bad: {{file: {listed}, every: 5s}}}}\n", "fw.yaml")
    await found.prepare(config, Path("fw.yaml"))
    found.adopt(found.compile(config, 2, b"seed"))
    listed.write_text("192.0.2.2\n")
    os.utime(listed, (2, 2))
    await asyncio.sleep(6)
    assert told == ["what is in bad"]
    running.cancel()
