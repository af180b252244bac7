"""What else the compiled configuration offers: addresses to answer for, targets to check, names of rules and reasons."""

import time
from ipaddress import ip_address

import pytest

from appliance.config.models import Config, Nic, Route, Rule, Service, Target, Zone
from appliance.decide import compile_ruleset, decide
from appliance.policy.facts import SELF, Reason
from ena_dev.errors import UsageError
from tests.appliance.small_network import CONFIG, LAN, RULESET, View, flow, number


def test_zones_are_numbered_in_order_and_self_is_the_last():
    assert RULESET.zone_names == ("internet", "home", "servers", "self")
    assert RULESET.zone_of_nic == (0, 1, 2)
    assert [RULESET.zone(nic) for nic in (0, 1, 2, SELF)] == [0, 1, 2, 3]


def test_local_addresses_are_those_of_nics_services_and_forwards():
    v4 = {"203.0.113.7", "203.0.113.8", "203.0.113.10", "192.168.10.1", "10.0.1.1"}
    v6 = {"2001:db8::7", "2001:db8::10", "fe80::a", "2001:db8:10::1", "2001:db8:20::1"}
    assert RULESET.local_addresses == {4: {number(a) for a in v4}, 6: {number(a) for a in v6}}


def test_the_health_checker_learns_every_target_and_where_to_probe_it():
    rows = {(t.service, t.target): (t.version, t.address, t.port, t.health) for t in RULESET.targets()}
    health = CONFIG.services["web"].health
    assert rows == {
        ("web", "w1"): (4, number("10.0.1.11"), 9000, health),
        ("web", "w2"): (4, number("10.0.1.12"), 9000, health),
        ("web", "w6"): (6, number("2001:db8:20::6"), 9000, health),
        ("dns", "d"): (4, number("10.0.1.53"), 53, None),
    }


def test_every_rule_and_reason_has_its_name_before_the_first_flow():
    names = [rule.name for rule in RULESET.rules]
    assert names[:2] == ["no games", "home out"]
    assert names[7:] == ["forward web", "forward games", "forward console", "service web", "health web", "service dns", "default deny"]
    assert RULESET.reasons == tuple(Reason)


def test_a_static_route_wins_over_a_gateway_and_a_connected_network_over_both():
    nics = {
        "a": Nic(name="a", address="10.0.0.1/24", gateway="10.0.0.254"),
        "b": Nic(name="b", address="10.0.1.1/24", gateway="10.0.1.254"),
    }
    routes = [Route(to="0.0.0.0/0", via="10.0.1.2"), Route(to="10.0.0.0/24", via="10.0.1.3")]
    zones = {"all": Zone(name="all", nics=["a", "b"])}
    with_static = compile_ruleset(Config(nics=nics, zones=zones, routes=routes), 1, b"").routes
    assert with_static.lookup(4, number("192.0.2.1")) == (1, number("10.0.1.2"))
    assert with_static.lookup(4, number("10.0.0.9")) == (0, number("10.0.0.9"))
    gateways = compile_ruleset(Config(nics=nics, zones=zones), 1, b"").routes
    assert gateways.lookup(4, number("192.0.2.1")) == (0, number("10.0.0.254"))
    assert gateways.hop_on(1, 4, number("192.0.2.1")) == number("10.0.1.254")


def test_the_same_seed_spreads_alike_and_a_longer_one_than_the_hash_takes_is_refused():
    flows = [flow(0, "198.51.100.9", "203.0.113.10", sport=port) for port in range(2000, 2100)]

    def targets(seed):
        ruleset = compile_ruleset(CONFIG, 9, seed, 2039)
        return [decide(facts, ruleset, View()).target for facts in flows]

    assert targets(b"a" * 64) == targets(b"a" * 64) != targets(b"b")
    with pytest.raises(UsageError):
        compile_ruleset(CONFIG, 1, bytes(65))


def test_ten_thousand_rules_and_a_hundred_targets_compile_in_a_moment():
    rules = [Rule(name=f"r{i}", source=[f"10.{i >> 8}.{i & 255}.0/24"], verdict="deny", services="ssh") for i in range(10_000)]
    targets = [Target(name=f"t{i}", address=ip_address(f"10.0.1.{i + 1}"), port=80) for i in range(100)]
    service = Service(name="web", listen="203.0.113.10:443/tcp", targets=targets)
    config = CONFIG.model_copy(update={"policy": tuple(rules), "services": {"web": service}})
    began = time.process_time()
    ruleset = compile_ruleset(config, 1, b"seed")
    assert not decide(flow(LAN, "10.39.15.1", "198.51.100.1", 22), ruleset, View()).allow
    assert time.process_time() - began < 3.0  # seconds; a tenth of it on an idle machine
