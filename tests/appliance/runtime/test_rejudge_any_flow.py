"""Flows that are judged by kinds, against `decide` asked about each of them: any small network, any flows, those alike them, and flows
that a former policy has led elsewhere."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.classes import find_cuts
from appliance.decide import compile_ruleset, decide
from appliance.flow.records import FlowView
from appliance.policy.facts import ICMP, ICMPV6, SELF, TCP, UDP, Facts
from appliance.runtime import rejudge
from appliance.runtime.rejudge import Judge
from tests.appliance.any_network import SYN, Flows, configs
from tests.appliance.small_network import CONFIG, LAN, WAN, View, flow
from tests.appliance.test_classes import Likes

HOST = 3
TARGETS = ["", "one/t0", "one/t1", "two/t0", "two/t9"]
"""By the numbers that flows carry."""
DRAWS = 50


class Now:
    """What one ruleset says of flows, one by one."""

    def __init__(self, ruleset):
        self.ruleset, self.view = ruleset, View()

    def decided(self, facts):
        return decide(facts, self.ruleset, self.view)

    def judged(self, facts, flow):
        """Why the flow has to end; None if it may go on as it is."""
        made = self.decided(facts)
        if not made.allow:
            return made.reason
        outside, has_ports = flow.reply[1], flow.protocol in (TCP, UDP)
        if outside != flow.original[0] and not self.ruleset.stands(flow.version, outside):
            return "deleted"
        same = nic(made.egress) == flow.nic_out and made.reply[0] == flow.reply[0] and (not has_ports or made.reply[2] == flow.reply[2])
        return None if same else "deleted"

    def chooses_freely(self, facts):
        """Whether the flow is for a service whose choice hangs on more than the flow, and has no target yet."""
        service = self.decided(facts).service if facts.target is None else None
        return any((pool.service, pool.version) == (service, facts.version) and not pool.by_table for pool in self.ruleset.pools)


def nic(number):
    return HOST if number == SELF else number


def target_of(flow):
    return TARGETS[flow.target].partition("/")[2] or None


def judged_again(facts, target):
    """The facts that stand for a flow which is there: what it began with, as far as it shows."""
    icmp_type = {ICMP: 8, ICMPV6: 128}.get(facts.protocol, -1)
    return facts._replace(icmp_type=icmp_type, flags=SYN if facts.protocol == TCP else 0, target=TARGETS[target].partition("/")[2] or None)


def flow_of(facts, target, nic_out=WAN, reply=(0, 0, 0, 0)):
    counted = (1, 1), (1, 1), 0.0, 0.0, 0.0
    return FlowView(1, "replied", facts.version, facts.protocol, nic(facts.nic), nic_out, facts[3:7], reply, 1, 1, 0, target, *counted, "")


def led(facts, target, now, random):
    """A flow as the ruleset would lead it, or nearly so: as another one may have done before."""
    made = now.decided(facts)
    egress, (behind, outside, port, sport) = nic(made.egress), made.reply
    if not made.allow or random.random() < 0.3:
        egress = random.choice([egress, WAN, LAN, HOST])
        behind, outside = random.choice([behind, facts.destination, behind + 1]), random.choice([outside, facts.source, outside + 1])
        port = random.choice([port, facts.dport, port + 1])
    return flow_of(facts, target, egress, (behind, outside, port, sport))


@settings(max_examples=60)
@given(config=configs(), seed=st.integers(0, 1 << 32))
def test_flows_judged_by_kinds_end_as_they_would_if_each_were_judged_by_itself(config, seed):
    now, random = Now(compile_ruleset(config, 2, b"seed", 31)), Random(seed)
    flows = Flows(config, now.ruleset.local_addresses, random)
    likes = Likes(flows, find_cuts(now.ruleset), random)
    judge = Judge(now.ruleset, find_cuts(now.ruleset), HOST, target_of, now.view.bindings)
    for _ in range(DRAWS):
        drawn, target = flows.draw(), random.choice([0, 0, *range(len(TARGETS))])
        for facts in (judged_again(each, target) for each in (drawn, likes.draw(drawn), likes.draw(drawn), flows.draw())):
            was = led(facts, target, now, random)
            if not now.chooses_freely(facts):
                assert judge(was) == now.judged(facts, was), (facts, was)


def test_a_thousand_flows_of_one_kind_are_decided_once(monkeypatch):
    asked = []
    monkeypatch.setattr(rejudge, "decide", lambda facts, *rest: asked.append(facts) or decide(facts, *rest))
    ruleset = compile_ruleset(CONFIG, 2, b"seed", 31)
    judge = Judge(ruleset, find_cuts(ruleset), HOST, target_of)
    for number in range(1000):
        source, far = 0xC0A80A09 + number % 200, 0xC6336401 + number
        facts = Facts(LAN, 4, UDP, source, far, 5000 + number, 53, -1, 0)
        assert judge(flow_of(facts, 0, reply=(far, 0xCB007107, 53, 5000 + number))) is None
    assert len(asked) == 1 and judge.judged == 1000


def test_flows_of_a_service_that_carry_no_target_are_each_led_to_their_own():
    now = Now(compile_ruleset(CONFIG, 2, b"seed", 31))
    judge, verdicts = Judge(now.ruleset, find_cuts(now.ruleset), HOST, target_of), set()
    for port in range(40000, 40032):
        facts = flow(WAN, "198.51.100.9", "203.0.113.10", sport=port)
        made, to_w1 = now.decided(facts), (0x0A00010B, facts.source, 8443, port)
        verdict = judge(flow_of(facts, 0, made.egress, to_w1))
        verdicts.add(verdict)
        assert verdict == (None if made.target == "w1" else "deleted")
    assert verdicts == {None, "deleted"}


def test_kinds_beyond_the_bound_are_judged_one_by_one(monkeypatch):
    monkeypatch.setattr(rejudge, "KINDS", 0)
    ruleset = compile_ruleset(CONFIG, 2, b"seed", 31)
    judge = Judge(ruleset, find_cuts(ruleset), HOST, target_of)
    facts = Facts(LAN, 4, UDP, 0xC0A80A09, 0xC6336401, 5000, 53, -1, 0)
    assert [judge(flow_of(facts, 0, reply=(0xC6336401, 0xCB007107, 53, 5000))) for _ in range(2)] == [None, None]
