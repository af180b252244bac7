"""Translation of sources: pools and the appliance's own address, in one small network.

    internet -- wan 203.0.113.7 -- appliance -- lan 192.168.10.1 -- home
                 pool .32 to .39                   guest 192.168.20.1 -- guests
"""

from collections import Counter

import pytest

from appliance.config.loader import loads
from appliance.decide import compile_ruleset, decide
from appliance.policy.facts import ICMP, SELF, UDP, Reason
from tests.appliance.small_network import View, flow, number, ping, reply

WAN, LAN, GUEST = 0, 1, 2
FILE = """
version: 1
nics:
  wan: {address: [203.0.113.7/24, "2001:db8::7/64"], gateway: [203.0.113.1, "2001:db8::1"]}
  lan: {address: [192.168.10.1/24, "fd00:1::1/64"]}
  guest: {address: 192.168.20.1/24}
zones: {internet: {nics: [wan]}, home: {nics: [lan]}, guests: {nics: [guest]}}
policy:
  - out: {from: [home, guests], to: [internet], allow: any}
nat:
  - servers: {snat: {from: [home], to: [internet], source: 192.168.10.64/26, pool: 203.0.113.40}}
  - home:    {snat: {from: [home], to: [internet], pool: [203.0.113.32-203.0.113.39, "2001:db8::40/126"]}}
  - guests:  {snat: {from: [guests], to: [internet], pool: 203.0.113.7}}
"""
RULESET = compile_ruleset(loads(FILE), 1, b"seed", 31)
POOL = range(number("203.0.113.32"), number("203.0.113.40"))


def ask(facts, view=None):
    return decide(facts, RULESET, view or View())


def test_an_inside_address_leaves_under_the_same_outside_address_wherever_it_goes():
    for host in range(2, 64):
        source = f"192.168.10.{host}"
        flows = [flow(LAN, source, "198.51.100.1"), flow(LAN, source, "198.51.100.9", 53, UDP), ping(LAN, source, "192.0.2.1")]
        flows.append(flow(LAN, source, "198.51.100.1", 0, 47, 0))
        made = [ask(facts) for facts in flows]
        assert all(decision.allow for decision in made)
        assert len({decision.reply[1] for decision in made}) == 1
        assert {decision.reply[1] for decision in made} == {decision.outside for decision in made} <= set(POOL)


def test_the_hosts_of_a_network_are_spread_over_the_pool():
    used = Counter(ask(flow(LAN, f"192.168.10.{host}", "198.51.100.1")).reply[1] for host in range(2, 64))
    assert set(used) == set(POOL)


def test_the_first_entry_that_speaks_of_a_flow_wins():
    assert ask(flow(LAN, "192.168.10.70", "198.51.100.1")).reply[1] == number("203.0.113.40")


def test_a_flow_of_the_other_version_leaves_by_the_addresses_of_its_own():
    decision = ask(flow(LAN, "fd00:1::5", "2001:db8:99::1"))
    assert decision.reply[1] - number("2001:db8::40") in range(4)


@pytest.mark.parametrize(("nic", "source", "kept"), [(LAN, "192.168.10.5", True), (GUEST, "192.168.20.5", False)])
def test_a_port_below_1024_stays_where_the_address_is_nobodys_own(nic, source, kept):
    decision = ask(flow(nic, source, "198.51.100.1", 123, UDP, 123))
    assert decision.keeps_port is kept
    assert (decision.reply[3] == 123) is kept


def test_nobody_outside_may_use_an_address_of_a_pool_and_none_can_be_reached():
    assert ask(flow(WAN, "203.0.113.33", "203.0.113.7")).reason == "bad-address"
    for nic, source in [(WAN, "198.51.100.9"), (LAN, "192.168.10.5"), (SELF, "203.0.113.7")]:
        assert ask(flow(nic, source, "203.0.113.33", 80)).reason == "no-route"


def test_without_a_port_left_a_flow_is_refused_and_the_address_named():
    class Full(View):
        def is_free(self, version, protocol, reply):
            return reply[0] != number("198.51.100.1")

    refused = ask(flow(LAN, "192.168.10.70", "198.51.100.1"), Full())
    assert (refused.allow, refused.reason, refused.outside) == (False, Reason.NAT_EXHAUSTED, number("203.0.113.40"))
    assert ask(flow(LAN, "192.168.10.70", "198.51.100.2"), Full()).allow


def test_two_pings_of_one_identifier_are_told_apart():
    facts = ping(LAN, "192.168.10.70", "198.51.100.1")
    decision = ask(facts, View(taken={reply("198.51.100.1", "203.0.113.40", 7, 7)}))
    assert facts.protocol == ICMP
    assert decision.reply[2] == decision.reply[3] != 7


# -- static entries ----------------------------------------------------------------------------------------------------

STATIC = """
version: 1
nics:
  wan: {address: [203.0.113.7/24, "2001:db8::7/64"], gateway: [203.0.113.1, "2001:db8::1"]}
  lan: {address: [192.168.10.1/24, "fd01:203:405:1::1/64"]}
  guest: {address: 192.168.20.1/24}
zones: {internet: {nics: [wan]}, home: {nics: [lan]}, guests: {nics: [guest]}}
policy:
  - out:  {from: [home, guests], to: [internet], allow: any}
  - web:  {from: [internet, home], to: [home], destination: [192.168.10.20, 192.168.10.66, "fd01:203:405:1::1234"], allow: [tcp/80, ping]}
nat:
  - server: {one-to-one: {on: internet, outside: 203.0.113.20, inside: 192.168.10.20}}
  - block:  {netmap: {on: internet, outside: 203.0.113.64/26, inside: 192.168.10.64/26}}
  - prefix: {nptv6: {on: internet, outside: "2001:db8:1::/48", inside: "fd01:203:405::/48"}}
  - hide:   {masquerade: {from: [home], to: [internet]}}
  - door:   {forward: {on: internet, port: tcp/8080, to: "192.168.10.30:80"}}
  - closed: {forward: {on: internet, port: tcp/8081, to: "192.168.10.30:80", hairpin: off}}
services:
  api: {listen: 203.0.113.9:443/tcp, targets: [{name: a, address: 192.168.10.31:8443}]}
  raw: {listen: 203.0.113.9:444/tcp, hairpin: off, targets: [{name: a, address: 192.168.10.31:8443}]}
"""
STATICS = compile_ruleset(loads(STATIC), 1, b"seed", 31)
PAIRS = [
    ("192.168.10.20", "203.0.113.20", "198.51.100.1"),
    ("192.168.10.66", "203.0.113.66", "198.51.100.1"),
    ("fd01:203:405:1::1234", "2001:db8:1:d550::1234", "2001:db8:99::1"),
]


def told(facts, view=None):
    return decide(facts, STATICS, view or View())


@pytest.mark.parametrize(("inside", "outside", "peer"), PAIRS)
@pytest.mark.parametrize("port", [22, 40000])
def test_a_static_entry_is_the_source_of_what_leaves_with_its_port(inside, outside, peer, port):
    decision = told(flow(LAN, inside, peer, sport=port))
    assert (decision.allow, decision.rule, decision.reply) == (True, "out", reply(peer, outside, 443, port))


@pytest.mark.parametrize(("inside", "outside", "peer"), PAIRS)
def test_from_outside_it_leads_in_as_far_as_policy_goes(inside, outside, peer):
    decision = told(flow(WAN, peer, outside, 80))
    assert (decision.allow, decision.rule, decision.egress, decision.next_hop) == (True, "web", LAN, number(inside))
    assert decision.reply == reply(inside, peer, 80, 40000)
    refused = told(flow(WAN, peer, outside, 81))
    assert (refused.allow, refused.rule) == (False, "default deny")


@pytest.mark.parametrize(("inside", "outside", "peer"), PAIRS)
def test_nothing_is_said_of_others_by_an_entry_of_many_addresses(inside, outside, peer):
    many = inside != "192.168.10.20"
    assert told(flow(LAN, inside, peer)).alone is many
    assert told(flow(WAN, peer, outside, 81)).alone is many


def test_a_neighbour_inside_reaches_an_outside_address_and_is_seen_by_its_own():
    """RFC 4787, section 6, REQ-9: hairpinned packets have the external source."""
    decision = told(flow(LAN, "192.168.10.66", "203.0.113.20", 80))
    assert (decision.allow, decision.reply) == (True, reply("192.168.10.20", "203.0.113.66", 80, 40000))
    masqueraded = told(flow(LAN, "192.168.10.5", "203.0.113.20", 80))
    assert masqueraded.reply == reply("192.168.10.20", "192.168.10.1", 80, 40000)


def test_an_address_that_nothing_maps_is_unreachable():
    """RFC 6296, section 3.4."""
    assert told(flow(LAN, "fd01:203:405:ffff::1", "2001:db8:99::1")).reason in ("no-route", "spoofed")
    assert told(flow(WAN, "2001:db8:99::1", "2001:db8:1:ffff::1")).reason == "no-route"


@pytest.mark.parametrize(
    ("facts", "dnat", "snat"),
    [
        (flow(LAN, "192.168.10.20", "198.51.100.1"), "", "server"),
        (flow(WAN, "198.51.100.1", "203.0.113.20", 80), "server", ""),
        (flow(LAN, "192.168.10.66", "203.0.113.20", 80), "server", "block"),
        (flow(LAN, "192.168.10.5", "203.0.113.20", 80), "server", ""),
        (flow(WAN, "2001:db8:99::1", "2001:db8:1:d550::1234", 80), "prefix", ""),
        (flow(LAN, "192.168.10.5", "198.51.100.1"), "", "hide"),
        (flow(WAN, "198.51.100.1", "203.0.113.7", 8080), "door", ""),
        (flow(GUEST, "192.168.20.5", "198.51.100.1"), "", ""),
        (flow(WAN, "198.51.100.1", "203.0.113.9", 443), "", ""),
    ],
)
def test_a_decision_names_the_entries_that_translate_the_flow(facts, dnat, snat):
    decision = told(facts)
    assert (decision.allow, decision.dnat, decision.snat) == (True, dnat, snat)


# -- hairpin -----------------------------------------------------------------------------------------------------------


def test_a_forward_is_reached_by_its_outside_address_from_inside_and_the_answer_comes_back():
    decision = told(flow(LAN, "192.168.10.5", "203.0.113.7", 8080))
    assert (decision.allow, decision.rule) == (True, "forward door")
    assert decision.reply == reply("192.168.10.30", "192.168.10.1", 80, 40000)


def test_from_another_nic_the_client_is_seen_as_itself():
    decision = told(flow(GUEST, "192.168.20.5", "203.0.113.7", 8080))
    assert (decision.allow, decision.reply) == (True, reply("192.168.10.30", "192.168.20.5", 80, 40000))


def test_a_forward_without_hairpin_is_for_its_zone_alone():
    assert told(flow(WAN, "198.51.100.1", "203.0.113.7", 8081)).allow
    decision = told(flow(LAN, "192.168.10.5", "203.0.113.7", 8081))
    assert (decision.allow, decision.egress) == (False, SELF)


def test_a_service_is_reached_by_neighbours_of_its_targets():
    decision = told(flow(LAN, "192.168.10.5", "203.0.113.9", 443))
    assert (decision.target, decision.reply) == ("a", reply("192.168.10.31", "192.168.10.1", 8443, 40000))
    assert told(flow(LAN, "192.168.10.5", "203.0.113.9", 444)).reply == reply("192.168.10.31", "192.168.10.5", 8443, 40000)
    assert told(flow(WAN, "198.51.100.1", "203.0.113.9", 443)).reply == reply("192.168.10.31", "198.51.100.1", 8443, 40000)
