"""Bindings: one outside port for an inside end, nobody else's, for as long as a flow of it lives; and no more of them than there may be."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.nat.bindings import FLOWS, LOOK, ROOM, Binding, Bindings
from appliance.policy.facts import UDP

OUTSIDE, PEER = 0xCB007107, 0xC6336401


class Site:
    """Bindings with a clock, and the replies that flows expect."""

    def __init__(self, limit=1000):
        self.now, self.alive, self.looks = 0.0, set(), 0
        self.bindings = Bindings(self.lives, lambda: self.now, Random(3), limit)

    def lives(self, version, protocol, reply):
        self.looks += 1
        return reply in self.alive

    def begin(self, inside, port, peer=PEER, dport=53, fits=lambda port: True, keep=True):
        """A flow begins; the port that it leaves by."""
        found = self.bindings.find(4, UDP, inside, port, OUTSIDE)
        found = found or self.bindings.make(Binding(4, UDP, inside, port, OUTSIDE, 0, "out"), fits, keep)
        if found is None:
            return None
        reply = peer, OUTSIDE, dport, found.outside_port
        self.bindings.use(found, reply)
        self.alive.add(reply)
        return found.outside_port


@settings(max_examples=60)
@given(flows=st.lists(st.tuples(st.integers(1, 6), st.integers(5000, 5004), st.integers(1, 3), st.booleans()), max_size=60))
def test_an_inside_end_has_one_port_and_shares_it_with_nobody(flows):
    site, seen = Site(), {}
    for inside, port, peer, keep in flows:
        given = site.begin(inside, port, PEER + peer, keep=keep)
        assert seen.setdefault((inside, port), given) == given
        assert given % 2 == port % 2 and given >= 1024
        bound = site.bindings.at(4, UDP, OUTSIDE, given)
        assert bound is not None and (bound.inside, bound.port) == (inside, port)
    assert len(set(seen.values())) == len(seen) == len(site.bindings)


def test_a_port_that_does_not_fit_is_not_given_and_without_any_there_is_no_binding():
    site = Site()
    assert site.begin(1, 5000, fits=lambda port: port != 5000) != 5000
    assert site.begin(2, 5000, fits=lambda port: False) is None
    assert len(site.bindings) == 1


def test_it_ends_when_its_last_flow_has_and_its_port_is_free_again():
    site = Site()
    assert site.begin(1, 5000) == 5000
    for _ in range(5):
        site.now += LOOK
        site.bindings.tick()
        assert len(site.bindings) == 1
    site.alive.clear()
    site.now += LOOK
    site.bindings.tick()
    assert len(site.bindings) == 0
    assert site.bindings.at(4, UDP, OUTSIDE, 5000) is None
    assert site.begin(2, 5000) == 5000


def test_there_are_no_more_than_may_be_and_dead_ones_make_room():
    site = Site(limit=3)
    assert [site.begin(inside, 5000) is not None for inside in range(1, 5)] == [True, True, True, False]
    site.alive.clear()
    site.now += LOOK
    assert site.begin(9, 5000) == 5000


def test_of_many_flows_the_latest_are_remembered():
    site = Site()
    for dport in range(FLOWS + 50):
        site.begin(1, 5000, dport=dport)
    [binding] = site.bindings
    assert list(binding.flows) == [(PEER, OUTSIDE, dport, 5000) for dport in range(FLOWS + 50 - len(binding.flows), FLOWS + 50)]
    assert FLOWS - ROOM < len(binding.flows) <= FLOWS


def test_those_that_are_over_make_room_first():
    site = Site()
    for dport in range(FLOWS):
        site.begin(1, 5000, dport=dport)
    first, last = (PEER, OUTSIDE, 0, 5000), (PEER, OUTSIDE, FLOWS - 1, 5000)
    site.alive = {first, last}
    site.begin(1, 5000, dport=FLOWS)
    [binding] = site.bindings
    assert list(binding.flows) == [first, last, (PEER, OUTSIDE, FLOWS, 5000)]


def test_a_flow_does_not_have_all_others_looked_at():
    site = Site()
    for dport in range(FLOWS):
        site.begin(1, 5000, dport=dport)
    site.looks = 0
    for dport in range(FLOWS, 3 * FLOWS):
        site.begin(1, 5000, dport=dport)
    assert site.looks <= 2 * FLOWS * 2 * FLOWS // ROOM


def test_a_peer_is_known_while_a_flow_goes_to_it():
    site = Site()
    site.begin(1, 5000)
    [binding] = site.bindings
    assert site.bindings.knows(binding, PEER)
    assert not site.bindings.knows(binding, PEER + 1)
    site.alive.clear()
    assert not site.bindings.knows(binding, PEER)


def test_after_a_reload_only_those_of_entries_that_bind_at_addresses_of_ours_stay():
    for entries, ours, left in [({"out": 1}, True, 1), ({"other": 1}, True, 0), ({"out": 1}, False, 0)]:
        site = Site()
        site.begin(1, 5000)
        site.bindings.keep(entries, lambda version, address, ours=ours: ours)
        assert len(site.bindings) == left
