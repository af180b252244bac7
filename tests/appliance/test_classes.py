"""Flows that are alike by the cuts are decided alike: configurations and pairs of flows at random, against `decide` itself."""

import time
from bisect import bisect_right
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.classes import Alike, find_cuts, generalized
from appliance.config.models import Rule
from appliance.decide import compile_ruleset, decide
from appliance.policy.facts import NO_TUPLE, SELF, TCP, UDP
from tests.appliance.any_network import ACK, BITS, MIDDLES, OTHERS, STARTS, Flows, configs
from tests.appliance.small_network import CONFIG, LAN, RULESET, WAN, View, ask, flow, forward, ping, reply

PAIRS = 60


class Classes:
    """The members of each class of one dimension."""

    def __init__(self, cuts, numbers, random):
        self._cuts, self._random = cuts, random
        self._members = {}
        for number in numbers:
            self._members.setdefault(bisect_right(cuts, number), []).append(number)

    def other(self, number):
        """A member of a number's class, maybe the number itself."""
        return self._random.choice(self._members[bisect_right(self._cuts, number)])


class Likes:
    """Other flows that are alike, by the numbers of their classes."""

    def __init__(self, flows, cuts, random):
        self._flows, self._random = flows, random
        self._sources = {version: Classes(cuts.sources[version], flows.addresses[version], random) for version in (4, 6)}
        self._destinations = {version: Classes(cuts.destinations[version], flows.addresses[version], random) for version in (4, 6)}
        self._ports = Classes(cuts.ports, flows.ports, random)

    def draw(self, facts):
        version, protocol = facts.version, facts.protocol
        source, destination = self._sources[version].other(facts.source), self._destinations[version].other(facts.destination)
        sport, dport = self._flows.ends(protocol, self._ports.other(facts.dport) if protocol in (TCP, UDP) else 0)
        flags = self._random.choice(next(kind for kind in (STARTS, MIDDLES, OTHERS) if facts.flags in kind)) if protocol == TCP else 0
        return facts._replace(source=source, destination=destination, sport=sport, dport=dport, flags=flags)


def applied(told, facts, decision, other):
    """What one flow's decision means for another, by the definition; the reply's destination port is left out."""
    if not decision.allow:
        return decision, NO_TUPLE[:3]
    behind, outside, port, _ = decision.reply
    behind = other.destination if behind == facts.destination else behind
    outside = other.source if outside == facts.source else outside
    port = other.dport if port == facts.dport else port
    next_hop = behind if told.direct else decision.next_hop
    reply_hop = other.source if told.reply_direct else decision.reply_hop
    return decision._replace(next_hop=next_hop, reply_hop=reply_hop), (behind, outside, port)


@settings(max_examples=200)
@given(config=configs(), seed=st.integers(0, 1 << 32), down=st.sets(st.sampled_from(["t0", "t1"])))
def test_what_is_decided_about_a_flow_holds_for_all_alike(config, seed, down):
    ruleset = compile_ruleset(config, 1, b"seed", 31)
    random = Random(seed)
    flows = Flows(config, ruleset.local_addresses, random)
    likes = Likes(flows, find_cuts(ruleset), random)
    for _ in range(PAIRS):
        facts = flows.draw()
        judge(facts, likes.draw(facts), ruleset, View(down))


def judge(facts, other, ruleset, view):
    if facts.source == facts.destination or other.source == other.destination:
        return
    one = decide(facts, ruleset, view)
    two = decide(other._replace(target=one.target), ruleset, view)  # those with a target are alike as far as they share it,
    if one.alone or two.alone:
        assert generalized(facts, one) is None is generalized(other, two)
        return
    if (one.pool, one.outside) != (two.pool, two.outside):  # and those of a pool as far as they share its address
        assert one.pool == two.pool >= 0
        assert two.outside == ruleset.source_pools[two.pool].address(other.source)
        return
    told = generalized(facts, one)
    assert told == generalized(other, two)
    assert one.service == two.service
    if told is None:
        assert one[:5] == two[:5]
        return
    expected, ends = applied(told, facts, one, other)
    assert two._replace(reply=NO_TUPLE) == expected._replace(reply=NO_TUPLE), (facts, other)
    assert two.reply[:3] == ends or (two.reply[2] == two.reply[3] and other.icmp_type >= 0 and two.reply[:2] == ends[:2])
    assert told.vary or two.reply[3] == (0 if not two.allow else other.sport)


# -- what one decision says of the others ------------------------------------------------------------------------------


def test_a_hidden_flow_takes_a_gateway_and_its_port_may_change():
    facts = flow(LAN, "192.168.10.50", "198.51.100.1")
    for view in (View(), View(taken={reply("198.51.100.1", "203.0.113.7", 443, 40000)})):
        assert generalized(facts, ask(facts, view)) == Alike(direct=False, reply_direct=True, vary=True, hidden=True)


def test_a_ping_that_is_hidden_has_another_identifier_and_no_translated_port():
    facts = ping(LAN, "192.168.10.50", "198.51.100.1")
    taken = View(taken={reply("198.51.100.1", "203.0.113.7", 7, 7)})
    assert generalized(facts, ask(facts, taken)) == Alike(direct=False, reply_direct=True, vary=True, hidden=True)


def test_a_flow_that_is_routed_keeps_its_port():
    facts = flow(LAN, "2001:db8:10::5", "2001:db8:20::6")
    assert generalized(facts, ask(facts)) == Alike(direct=True, reply_direct=True, vary=False, hidden=False)


def test_a_forwarded_flow_goes_to_where_it_leads():
    facts = flow(WAN, "198.51.100.9", "203.0.113.8", 80)
    assert generalized(facts, ask(facts)) == Alike(direct=True, reply_direct=False, vary=True, hidden=False)


def test_a_forward_to_another_port_of_the_same_address_may_vary():
    here = forward("here", 1, TCP, (2222, 2222), to_address="203.0.113.8", to_port=22, addresses=["203.0.113.8"])
    ruleset = compile_ruleset(CONFIG.model_copy(update={"nat": (here,)}), 1, b"", 31)
    facts = flow(WAN, "198.51.100.9", "203.0.113.8", 2222)
    assert generalized(facts, decide(facts, ruleset, View())) == Alike(direct=False, reply_direct=False, vary=True, hidden=False)


def test_a_flow_to_the_appliance_has_no_next_hop():
    facts = flow(LAN, "192.168.10.50", "192.168.10.1", 22)
    assert generalized(facts, ask(facts)) == Alike(direct=False, reply_direct=True, vary=False, hidden=False)


def test_a_flow_of_the_appliance_has_no_next_hop_back_and_gives_way():
    facts = flow(SELF, "10.0.1.1", "10.0.1.11", 9000)
    assert generalized(facts, ask(facts)) == Alike(direct=True, reply_direct=False, vary=True, hidden=False)


@pytest.mark.parametrize(
    "facts",
    [
        flow(LAN, "192.168.10.50", "127.0.0.1"),
        flow(LAN, "192.168.10.50", "198.51.100.1", flags=16),
        flow(WAN, "198.51.100.9", "203.0.113.7", 22),
        flow(WAN, "198.51.100.66", "203.0.113.8", 5005, UDP),
    ],
)
def test_a_refusal_says_no_more_than_itself(facts):
    assert generalized(facts, ask(facts)) == Alike(direct=False, reply_direct=False, vary=False, hidden=False)


def test_what_hangs_on_more_than_the_class_is_not_applied_to_others():
    lost = flow(WAN, "198.51.100.9", "203.0.113.10")
    assert generalized(lost, ask(lost, View(down=["w1", "w2"]))) is None  # who is up
    kept = lost._replace(target="w1")
    assert generalized(kept, ask(kept)) is None  # what it had before
    taken = flow(LAN, "192.168.10.50", "198.51.100.1", 0, 47, 0)
    assert generalized(taken, ask(taken, View(taken={reply("198.51.100.1", "203.0.113.7", 0, 0)}))) is None  # other flows
    itself = flow(WAN, "198.51.100.9", "198.51.100.9")
    assert generalized(itself, ask(itself)) is None


def test_what_begins_in_the_middle_hangs_on_the_target_that_was_chosen():
    old = Rule(name="old", destination=["10.0.1.11/32"], verdict="allow", services="tcp", pickup=True)
    ruleset = compile_ruleset(CONFIG.model_copy(update={"policy": (old, *CONFIG.policy)}), 1, b"", 31)
    flows = [flow(WAN, "198.51.100.9", "203.0.113.10", sport=port, flags=ACK) for port in range(1024, 1064)]
    decisions = [decide(facts, ruleset, View()) for facts in flows]
    assert {(made.allow, made.reason, made.target) for made in decisions} == {(True, "allowed", "w1"), (False, "not-a-start", "w2")}


def test_cuts_are_ascending_within_their_dimension():
    cuts = find_cuts(RULESET)
    for listed, bits in [*((of[v], bits) for of in cuts[:2] for v, bits in BITS.items()), (cuts.ports, 16)]:
        assert listed == sorted(set(listed))
        assert all(0 < cut < 1 << bits for cut in listed)


def test_the_cuts_of_ten_thousand_rules_are_found_in_a_moment():
    rules = [Rule(name=f"r{i}", source=[f"10.{i >> 8}.{i & 255}.0/24"], verdict="deny", services=f"tcp/{i + 1}") for i in range(10_000)]
    ruleset = compile_ruleset(CONFIG.model_copy(update={"policy": tuple(rules)}), 1, b"")
    began = time.process_time()
    assert len(find_cuts(ruleset).ports) > 10_000
    assert time.process_time() - began < 1.0  # seconds; a fiftieth of it on an idle machine
