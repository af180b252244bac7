"""Flows that are alike by the cuts are decided alike: configurations and pairs of flows at random, against `decide` itself."""

from bisect import bisect_right
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.classes import find_cuts, generalized
from appliance.decide import compile_ruleset, decide
from appliance.policy.facts import NO_TUPLE, TCP, UDP
from tests.appliance.any_network import OTHERS, STARTS, Flows, configs
from tests.appliance.small_network import View

PAIRS = 60


def alike(facts, flows, cuts, random):
    """Another flow that is alike, by the numbers of its classes."""
    nic, version, protocol, source, destination, _, dport, icmp_type, flags, *_ = facts

    def other(listed, this, dimension):
        return random.choice([each for each in listed if bisect_right(dimension, each) == bisect_right(dimension, this)])

    source = other(flows.addresses[version], source, cuts.sources[version])
    destination = other(flows.addresses[version], destination, cuts.destinations[version])
    ends = flows.ends(protocol, other(flows.ports, dport, cuts.ports) if protocol in (TCP, UDP) else 0)
    flags = random.choice(STARTS if flags in STARTS else OTHERS) if protocol == TCP else 0
    return type(facts)(nic, version, protocol, source, destination, *ends, icmp_type, flags)


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


@settings(max_examples=200, deadline=None)
@given(config=configs(), seed=st.integers(0, 1 << 32), down=st.sets(st.sampled_from(["t0", "t1"])))
def test_what_is_decided_about_a_flow_holds_for_all_alike(config, seed, down):
    ruleset = compile_ruleset(config, 1, b"seed", 31)
    cuts, random = find_cuts(ruleset), Random(seed)
    flows = Flows(config, ruleset.local_addresses, random)
    for _ in range(PAIRS):
        facts = flows.draw()
        judge(facts, alike(facts, flows, cuts, random), ruleset, View(down))


def judge(facts, other, ruleset, view):
    if facts.source == facts.destination or other.source == other.destination:
        return
    one = decide(facts, ruleset, view)
    two = decide(other._replace(target=one.target), ruleset, view)  # those with a target are alike as far as they share it
    told = generalized(facts, one)
    assert told == generalized(other, two)
    if told is None:
        assert one[:5] == two[:5]
        return
    expected, ends = applied(told, facts, one, other)
    assert two._replace(reply=NO_TUPLE) == expected._replace(reply=NO_TUPLE), (facts, other)
    assert two.reply[:3] == ends or (two.reply[2] == two.reply[3] and other.icmp_type >= 0 and two.reply[:2] == ends[:2])
    assert told.vary or two.reply[3] == (0 if not two.allow else other.sport)
