"""Flows that the compiled path decides by itself, against `decide`: any small network, any flows, and those alike them."""

import asyncio
from ipaddress import IPv4Address, IPv6Address
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers import inet as layers
from scapy.layers.inet import IP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6

from appliance.balancer.history import History
from appliance.classes import find_cuts, generalized
from appliance.decide import compile_ruleset, decide
from appliance.policy.facts import ICMP, ICMPV6, SELF, TCP, UDP, Reason
from appliance.runtime.decider import Decider, View
from appliance.runtime.megaflows import Megaflows
from tests.appliance.any_network import Flows, configs
from tests.appliance.flow.bench import Bench
from tests.appliance.test_classes import Likes

HOST = 3
GROUPS = {4: lambda address: address >= 224 << 24, 6: lambda address: address >> 120 == 0xFF}


class Free:
    """A view in which every reply is free."""

    random = Random(0)
    history = History(lambda: 0.0, lambda service, target: 0)

    def __init__(self, down):
        self._down = down

    def target_up(self, service, target):
        return target not in self._down

    def target_share(self, service, target):
        return 28 if target == "t1" else 100

    def is_free(self, version, protocol, reply):
        return True

    def comes_home(self, facts, egress, reply):
        return True


class Hood:
    """The neighbours of one nic: whoever is asked for is known, at a MAC address of its own."""

    def __init__(self, bench, nic, numbers):
        self._bench, self._nic, self._numbers = bench, nic, numbers

    def adjacency(self, version, address, now, asker):
        key = self._nic, version, address
        if key not in self._numbers:
            self._numbers[key] = len(self._numbers) + 10
            self._bench.worker.set_adjacency(self._numbers[key], self._nic, self.mac(key))
        return self._numbers[key]

    def mac(self, key):
        return b"\x06" + self._numbers[key].to_bytes(5, "big")


class Unheard:
    """Punts that nobody answers."""

    ruleset = None

    def handle(self, punt, now):
        pass


class Run:
    """One network: real worker, real decider, flows that come one by one."""

    def __init__(self, config, down):
        self.bench = Bench(flows=4096, mtus=(1500,) * 4)
        self.bench.worker.set_adjacency(1, HOST, self.bench.HOSTS[HOST])  # what the decider calls HOST
        self.numbers = {}
        self.hoods = {nic: Hood(self.bench, nic, self.numbers) for nic in range(HOST)}
        self.ruleset = compile_ruleset(config, 1, b"seed", 31)
        worker, now = self.bench.worker, lambda: self.bench.now
        self.free, history = Free(down), History(now, lambda service, target: 0)
        view = View(worker, lambda service, target: target not in down, Random(1), now, history, self.free.target_share)
        self.free.bindings = view.bindings
        self.decider = Decider(worker, view, now, HOST, self.hoods, Unheard(), Megaflows(worker.megaflows, view))
        self.decider.configure(self.ruleset)
        self.decider.megaflows.configure(self.ruleset, find_cuts(self.ruleset))

    def nic(self, facts):
        return HOST if facts.nic == SELF else facts.nic

    async def meet(self, facts):
        """A flow's first frame. Returns whether Python was asked; None if the flow was there already, or its frame is none to forward."""
        nic = self.nic(facts)
        five = facts.source, facts.destination, facts.sport, facts.dport
        if GROUPS[facts.version](facts.destination) or self.bench.worker.lookup(facts.version, facts.protocol, *five):
            return None
        before, cookies = self.bench.worker.counters()["misses"], self.cookies()
        self.bench.receive(nic, frame_of(facts))
        if self.bench.worker.counters()["misses"] == before:
            return None if self.cookies() == cookies else False
        work = self.bench.cards[nic][0].program.take()
        asked = bool(work.misses)
        while work.misses or work.refused:
            await self.decider.handle(work)
            self.bench.round()
            work = self.bench.cards[nic][0].program.take()
        return asked

    def cookies(self):
        """SYN cookies sent."""
        return sum(self.bench.worker.service_cookies(service)[0][0] for service in range(len(self.decider.services.names)))

    def chosen_freely(self, facts):
        """The targets that such a flow may have got, if it is for a service whose choice hangs on more than the flow; otherwise none."""
        service = decide(facts, self.ruleset, self.free).service
        pools = [pool for pool in self.ruleset.pools if (pool.service, pool.version) == (service, facts.version) and not pool.by_table]
        return [target.name for pool in pools for target in pool._living(self.free)]

    def decided(self, facts, flow):
        """What `decide` says of a flow; where it may choose freely, of one of its choices, and that the flow's own if it shows."""
        own = self.decider.services.names[flow.target].partition("/")[2]
        free = [facts._replace(target=name) for name in self.chosen_freely(facts) if own in ("", name)] or [facts]
        said = [decide(each, self.ruleset, self.free) for each in free]
        return next((each for each in said if (each.rule, each.reason) == (self.decider.rules.names[flow.rule], flow.reason)), said[0])

    def right(self, facts):
        """The flow is as `decide` says, and its frame went where that leads. Returns whether it has to prove itself first."""
        five = facts.source, facts.destination, facts.sport, facts.dport
        found = self.bench.worker.lookup(facts.version, facts.protocol, *five)
        if found is None:
            return self.answered_by_a_cookie(facts)
        flow, _ = found
        decision = self.decided(facts, flow)
        egress = HOST if decision.egress == SELF else decision.egress
        sent = {nic: [each.packet for each in self.bench.sent(nic)] for nic in range(HOST + 1)}
        if flow.reason == Reason.NAT_EXHAUSTED:
            return False  # its reply is another's, and it has nothing to vary
        assert self.decider.rules.names[flow.rule] == decision.rule and flow.generation == 1
        if not decision.allow:
            assert (flow.state, flow.reason) == ("denied", decision.reason) and not any(sent.values())
            return False
        assert flow.nic_out == egress and flow.reply[:2] == decision.reply[:2]
        assert flow.reply[2] == (flow.reply[3] if facts.icmp_type >= 0 else decision.reply[2])
        assert flow.reply[3] == facts.sport or flow.reply[3] >= 1024 or facts.nic == SELF
        assert self.decider.services.names[flow.service] == (decision.service or "")
        assert self.decider.services.names[flow.target].partition("/")[2] == (decision.target or "")
        self.arrived(sent[egress], egress, facts.version, decision.next_hop, facts.nic)
        self.bench.receive(egress, answer(facts, flow.reply, sent[egress][0]))
        back = [each.packet for each in self.bench.sent(self.nic(facts))]
        self.arrived(back, self.nic(facts), facts.version, decision.reply_hop, decision.egress)
        return False

    def answered_by_a_cookie(self, facts):
        """There is no flow before the client has proved to be there: it alone was answered."""
        decision = decide(facts, self.ruleset, self.free)
        assert decision.allow and decision.guard == 2, decision
        [answer] = [each.packet for each in self.bench.sent(self.nic(facts))]
        assert answer[layers.TCP].flags == "SA" and answer[layers.TCP].ack == 1
        assert not any(self.bench.sent(nic) for nic in range(HOST + 1))
        return True

    def arrived(self, packets, nic, version, hop, came_in):
        """One packet, one hop further, at the right neighbour."""
        [packet] = packets
        assert packet.dst == (self.bench.HOSTS[HOST] if nic == HOST else self.hoods[nic].mac((nic, version, hop))).hex(":")
        hops = packet[IP].ttl if version == 4 else packet[IPv6].hlim
        assert hops == (64 if nic == HOST or came_in == SELF else 63)


def answer(facts, reply, arrived):
    """What the other end says to the first packet, as it has arrived there."""
    source, destination, sport, dport = reply
    back = frame_of(facts._replace(source=source, destination=destination, sport=sport, dport=dport))
    if facts.protocol == TCP:
        begins = facts.flags & 0x02 != 0
        back[layers.TCP].flags, back[layers.TCP].ack = "SA" if begins else "A", (arrived[layers.TCP].seq + begins) % (1 << 32)
    if facts.protocol == ICMP:
        back[layers.ICMP].type = 0
    if facts.protocol == ICMPV6:
        back[ICMPv6EchoRequest].type = 129
    return back


def frame_of(facts):
    """The first packet of a flow."""
    source, destination = text(facts.version, facts.source), text(facts.version, facts.destination)
    packet = IP(src=source, dst=destination, ttl=64) if facts.version == 4 else IPv6(src=source, dst=destination, hlim=64)
    if facts.protocol == TCP:
        return packet / layers.TCP(sport=facts.sport, dport=facts.dport, flags=facts.flags)
    if facts.protocol == UDP:
        return packet / layers.UDP(sport=facts.sport, dport=facts.dport)
    if facts.protocol == ICMP:
        return packet / layers.ICMP(type=facts.icmp_type, id=facts.sport)
    if facts.protocol == ICMPV6:
        return packet / ICMPv6EchoRequest(id=facts.sport)
    setattr(packet, "proto" if facts.version == 4 else "nh", facts.protocol)
    return packet / b"0123"


def text(version, address):
    return str(IPv4Address(address) if version == 4 else IPv6Address(address))


def meant(facts):
    """Whether such a packet is one of a flow at all: echo requests of the right version are, of ICMP."""
    return facts.protocol not in (ICMP, ICMPV6) or (facts.protocol, facts.icmp_type) == ({4: (ICMP, 8), 6: (ICMPV6, 128)}[facts.version])


class Known:
    """What Python has been asked, and so what it must not be asked again."""

    def __init__(self, run):
        self._run, self._hops = run, set()

    def hear(self, facts):
        if self._run.chosen_freely(facts):
            return
        decision = decide(facts, self._run.ruleset, self._run.free)
        told = generalized(facts, decision)
        if told is not None:
            self._hops |= set(self._needed(facts, decision, told))

    def answers(self, facts, other):
        """Whether the decision about `facts` is enough for `other`, which is alike."""
        if self._run.chosen_freely(facts):
            return False
        one, two = (decide(each, self._run.ruleset, self._run.free) for each in (facts, other))
        told = generalized(facts, one)
        if told is None or facts.source == facts.destination or other.source == other.destination or one.target != two.target:
            return False
        if one.pool >= 0 and (one.outside != two.outside or one.target is not None):
            return False  # of two pools the compiled path asks only one
        varies = told.vary and other.protocol in (TCP, UDP, ICMP, ICMPV6)
        free = varies or not two.allow or self._run.bench.worker.is_free(other.version, other.protocol, *two.reply)
        return free and self._hops.issuperset(self._needed(other, two, told))

    def _needed(self, facts, decision, told):
        if told.direct:
            yield decision.egress, facts.version, decision.reply[0]
        if told.reply_direct:
            yield facts.nic, facts.version, facts.source


@settings(max_examples=80)
@given(config=configs(), seed=st.integers(0, 1 << 32), down=st.sets(st.sampled_from(["t0", "t1"])))
def test_the_compiled_path_decides_as_python_would_and_asks_no_more_than_it_must(config, seed, down):
    run, random = Run(config, down), Random(seed)
    flows = Flows(config, run.ruleset.local_addresses, random)
    likes, known = Likes(flows, find_cuts(run.ruleset), random), Known(run)

    async def meet(facts):
        asked = await run.meet(facts) if meant(facts) else None
        if asked is not None:
            proving = run.right(facts)
            assert asked or proving or not run.chosen_freely(facts)
        if asked:
            known.hear(facts)
        return asked

    async def all_of_them():
        for _ in range(25):
            facts = flows.draw()
            if await meet(facts) is None:
                continue
            other = likes.draw(facts)
            enough = known.answers(facts, other)
            asked = await meet(other)
            assert not (asked and enough), (facts, other)

    asyncio.run(all_of_them())
    run.bench.close()
