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
