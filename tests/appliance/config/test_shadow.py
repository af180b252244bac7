"""Hidden rules against the definition: a rule is hidden when one earlier rule matches every packet it matches."""

from __future__ import annotations

from ipaddress import ip_network
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.config import shadow
from appliance.config.models import Config, Nic, Rule, ServiceMatch, Zone
from appliance.config.shadow import check

ZONES = ("home", "internet", "self")
PREFIXES = ("10.0.0.0/31", "10.0.0.2/31", "10.0.0.0/30", "10.0.0.1/32", "0.0.0.0/0", "::/0", "2001:db8::/127")
NETWORKS = [ip_network(text) for text in PREFIXES]
ADDRESSES = [int(ip_network(text)[0]) for text in ("10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.3", "192.0.2.1")]
PACKET_ADDRESSES = [(4, address) for address in ADDRESSES] + [(6, 0), (6, int(ip_network("2001:db8::1")[0]))]
SERVICES = [
    ServiceMatch(), ServiceMatch(6), ServiceMatch(6, (1, 4)), ServiceMatch(6, (1, 2)), ServiceMatch(6, (3, 5)), ServiceMatch(6, (2, 2)),
    ServiceMatch(17, (1, 4)), ServiceMatch(1), ServiceMatch(1, None, 8), ServiceMatch(58, None, 128),
]  # fmt: skip
KINDS = [(6, port, -1) for port in (0, 1, 2, 3, 4, 5, 65535)] + [(17, 1, -1), (17, 9, -1), (1, 0, 8), (1, 0, 3), (58, 0, 128), (132, 0, -1)]

RULES = st.builds(
    Rule,
    name=st.just("rule"),
    from_zones=st.lists(st.sampled_from(("any", *ZONES)), min_size=1, max_size=2).map(tuple),
    to_zones=st.just(("any",)),
    source=st.lists(st.sampled_from(NETWORKS), max_size=3).map(tuple),
    destination=st.just(()),
    verdict=st.just("allow"),
    audit=st.sampled_from((False, False, True)),
    services=st.lists(st.sampled_from(SERVICES), min_size=1, max_size=3).map(tuple),
)


def matched(rule: Rule) -> set[tuple[object, ...]]:
    """Every packet of a small world that the rule is about, by looking at each."""
    return {
        (zone, source, kind)
        for zone, source, kind in product(ZONES, PACKET_ADDRESSES, KINDS)
        if (zone in rule.from_zones or ("any" in rule.from_zones and zone != "self"))
        and (not rule.source or any(net.version == source[0] and int(net[0]) <= source[1] <= int(net[-1]) for net in rule.source))
        and any(_about(service, *kind) for service in rule.services)
    }


def _about(service: ServiceMatch, protocol: int, port: int, icmp_type: int) -> bool:
    return (
        service.protocol in (None, protocol)
        and (service.ports is None or service.ports[0] <= port <= service.ports[1])
        and service.icmp_type in (None, icmp_type)
    )


@settings(max_examples=200)
@given(st.lists(RULES, min_size=2, max_size=4))
def test_a_rule_is_reported_when_an_earlier_one_matches_all_its_packets(rules: list[Rule]) -> None:
    nics = {name: Nic(name=name) for name in ("lan", "wan")}
    zones = {"home": Zone(name="home", nics=("lan",)), "internet": Zone(name="internet", nics=("wan",))}
    found = {finding.path[1] for finding in check(Config(nics=nics, zones=zones, policy=tuple(rules)))}

    worlds = [matched(rule) for rule in rules]
    taken = [set() if rule.audit else world for rule, world in zip(rules, worlds, strict=True)]
    assert found == {i for i, world in enumerate(worlds) if any(earlier >= world for earlier in taken[:i])}


def test_neighbouring_ranges_of_one_rule_count_as_one() -> None:
    zones = {"home": Zone(name="home", nics=("lan",))}
    halves = Rule(name="halves", source=tuple(NETWORKS[:2]), verdict="allow", services=(ServiceMatch(6, (1, 2)), ServiceMatch(6, (3, 5))))
    whole = Rule(name="whole", source=(NETWORKS[2],), verdict="deny", services=(ServiceMatch(6, (1, 4)),))
    config = Config(nics={"lan": Nic(name="lan")}, zones=zones, policy=(halves, whole))
    assert [finding.path for finding in check(config)] == [("policy", 1)]


def many(count: int, *more: Rule) -> Config:
    apart = [Rule(name=f"{i}", source=(ip_network((0x0A000000 + i, 32)),), verdict="allow") for i in range(count)]
    return Config(nics={"lan": Nic(name="lan")}, zones={"home": Zone(name="home", nics=("lan",))}, policy=(*apart, *more))


def test_a_rule_hidden_far_above_is_found_among_thousands() -> None:
    late = Rule(name="late", source=(ip_network("10.0.0.3/32"),), verdict="deny", services=(ServiceMatch(6, (1, 2)),))
    assert [(finding.path, finding.hint.split()[3]) for finding in check(many(2000, late))] == [(("policy", 2000), "`3`,")]


def test_where_judging_ends_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadow, "MOST_RULES", 10)
    assert [finding.path for finding in check(many(10))] == []
    assert [(finding.path, finding.warning) for finding in check(many(12))] == [(("policy", 10), True)]

    gaps = [Rule(name=f"{i}", source=(NETWORKS[0], ip_network(f"10.1.{i}.0/24")), verdict="allow") for i in range(4)]
    ends = Rule(name="ends", source=(ip_network("10.0.0.0/31"), ip_network("10.2.0.0/24")), verdict="allow")
    monkeypatch.setattr(shadow, "MOST_COMPARED", 0)
    assert [finding.path for finding in check(many(0, *gaps, ends, ends, ends))] == [("policy", 5), ("policy", 6)]
