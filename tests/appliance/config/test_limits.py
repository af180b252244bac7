"""Limits and zones in the file: what may be written, what it means, and what is said of mistakes."""

from __future__ import annotations

import pytest

from appliance.config.errors import ConfigError
from appliance.config.limits import Most, Rate
from appliance.config.loader import loads

FILE = """
version: 1
nics: {{wan: {{address: [203.0.113.7/24], gateway: 203.0.113.1}}, lan: {{address: [192.168.10.1/24]}}}}
zones: {{internet: {{nics: [wan], {zone}}}, home: {{nics: [lan]}}}}
policy:
  - out: {{from: [home], to: [internet], {rule}}}
services:
  api: {{listen: 203.0.113.7:443/tcp, targets: [{{name: a, address: 192.168.10.9:443}}], {service}}}
"""


def file(zone: str = "bogons: allow", rule: str = "allow: any", service: str = "masquerade: false") -> str:
    return FILE.format(zone=zone, rule=rule, service=service)


def mistake(**parts: str) -> str:
    with pytest.raises(ConfigError) as caught:
        loads(file(**parts))
    [said] = caught.value.mistakes
    return str(said)


@pytest.mark.parametrize(
    ("written", "rates"),
    [
        ("50/s", (Rate(50, 1.0),)),
        ("10/m per source", (Rate(10, 60.0, True),)),
        ("[200/h, 1/s per source]", (Rate(200, 3600.0), Rate(1, 1.0, True))),
    ],
)
def test_rates_are_read_in_all_their_forms(written: str, rates: tuple[Rate, ...]) -> None:
    config = loads(file(rule=f"allow: any, rate: {written}", service=f"protect: {{new-flows: {written}}}"))
    assert config.policy[0].rate == config.services["api"].protect.new_flows == rates


def test_connections_are_read_and_default_to_no_limit() -> None:
    config = loads(file(rule="allow: any, connections: [100, 20 per source]"))
    assert config.policy[0].connections == (Most(100), Most(20, True))
    assert config.services["api"].protect.connections == () == config.policy[0].rate


@pytest.mark.parametrize(
    ("rule", "what", "hint"),
    [
        ("rate: 50", "rate without a time", "write 50/s, 50/m or 50/h"),
        ("rate: 50/d", "not a rate", "such as 50/s"),
        ("rate: 0/s", "out of range", "from 1 to 1000000"),
        ("rate: 10/s per zone", "not a rate", "10/s per source"),
        ("rate: [1/s, 2/s]", "two of the same kind", "keep one for all, and one `per source`"),
        ("connections: many", "not a number of connections", "such as 100 or 20 per source"),
        ("connections: 0", "out of range", "to let none begin, deny them"),
        ("connections: [1, 2, 3 per source]", "two of the same kind", "keep one"),
    ],
)
def test_mistakes_in_limits_are_told_with_what_would_do(rule: str, what: str, hint: str) -> None:
    said = mistake(rule=f"allow: any, {rule}")
    assert what in said and hint in said and ':6:' in said


@pytest.mark.parametrize("rule", ["deny: any, rate: 5/s", "reject: any, connections: 5", "allow: any, audit: on, rate: 5/s"])
def test_only_a_rule_that_lets_flows_begin_has_limits(rule: str) -> None:
    assert "only a rule that lets flows begin can have it" in mistake(rule=rule)


def test_a_bound_that_all_together_never_reach_is_a_warning() -> None:
    for parts in ({"rule": "allow: any, connections: [20, 20 per source]"}, {"service": "protect: {connections: [5, 9 per source]}"}):
        [warning] = loads(file(**parts)).warnings
        assert "one source may have as many as all together" in str(warning)


# -- zones -------------------------------------------------------------------------------------------------------------


def test_zones_are_strict_and_allow_bogons_unless_told_otherwise() -> None:
    config = loads(file(zone="antispoof: off, bogons: drop"))
    told = [(zone.antispoof, zone.bogons) for zone in config.zones.values()]
    assert told == [("off", "drop"), ("strict", "allow")]


def test_loose_beside_a_default_route_is_a_warning() -> None:
    [warning] = loads(file(zone="antispoof: loose")).warnings
    assert "refuses no source: a default route leads to each" in str(warning) and warning.line == 4
    without = file(zone="antispoof: loose").replace(", gateway: 203.0.113.1", "")
    assert loads(without).warnings == ()


@pytest.mark.parametrize("zone", ["antispoof: on", "antispoof: feasible", "bogons: deny"])
def test_other_words_are_mistakes(zone: str) -> None:
    assert "unknown word" in mistake(zone=zone)
