"""Port choice: whatever is busy, the reply is free and belongs to the flow; and it ends."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.nat.ports import RANDOM_TRIES, SPAN, free_reply
from appliance.policy.facts import ICMP, ICMPV6, TCP, UDP

OURS, THEIRS = 0xCB007107, 0xC6336401


class View:
    """A table of expected replies; `busy` ports are taken towards everybody."""

    def __init__(self, busy=frozenset(), seed=1):
        self.random, self.busy, self.flows, self.asked = Random(seed), busy, set(), 0

    def is_free(self, version, protocol, reply):
        self.asked += 1
        return reply[3] not in self.busy and (version, protocol, reply) not in self.flows

    def target_up(self, service, target):
        return True


@settings(max_examples=60)
@given(
    protocol=st.sampled_from([TCP, UDP, ICMP, ICMPV6]),
    sport=st.integers(0, 65535),
    hidden=st.booleans(),
    busy=st.sets(st.integers(0, 65535), max_size=50),
    seed=st.integers(0, 1000),
)
def test_the_reply_is_free_mirrors_the_flow_and_keeps_the_port_where_it_may(protocol, sport, hidden, busy, seed):
    view = View(frozenset(busy), seed)
    echo = protocol in (ICMP, ICMPV6)
    dport = sport if echo else 443
    reply = free_reply(view, 4, protocol, (OURS, THEIRS, sport, dport), hidden)
    assert reply is not None
    source, destination, answered, port = reply
    assert (source, destination) == (THEIRS, OURS)
    assert answered == (port if echo else 443)
    assert port not in busy
    if sport not in busy and (sport >= 1024 or echo or not hidden):
        assert port == sport
    else:
        assert 1024 <= port <= 65535


@pytest.mark.parametrize(("sport", "kept"), [(0, False), (1023, False), (1024, True), (65535, True)])
def test_a_hidden_source_keeps_its_port_from_1024_up(sport, kept):
    reply = free_reply(View(), 4, TCP, (OURS, THEIRS, sport, 443), True)
    assert reply is not None
    assert (reply[3] == sport) is kept


def test_as_many_flows_as_there_are_ports_nearly_all_fit():
    view = View()
    for _ in range(50_000):
        reply = free_reply(view, 4, UDP, (OURS, THEIRS, 40_000, 53), True)
        assert reply is not None
        view.flows.add((4, UDP, reply))
    assert len(view.flows) == 50_000


def test_the_sequence_finds_what_chance_misses_and_wraps_round():
    # All busy but the lowest: only reachable in sequence, past the highest.
    only = View(frozenset(range(1025, 65536)))
    only.random.randint = lambda low, high: 65530
    assert free_reply(only, 4, TCP, (OURS, THEIRS, 2000, 80), True) == (THEIRS, OURS, 80, 1024)


def test_when_everything_is_busy_the_search_ends():
    view = View(frozenset(range(65536)))
    assert free_reply(view, 4, TCP, (OURS, THEIRS, 2000, 80), True) is None
    assert view.asked == 1 + RANDOM_TRIES + SPAN


@pytest.mark.parametrize("sport", [40_000, 40_001])
def test_a_port_that_is_drawn_brings_the_reply_home_and_keeps_its_parity(sport):
    view = View()
    for _ in range(1000):
        reply = free_reply(view, 4, UDP, (OURS, THEIRS, sport, 53), True, True, lambda reply: reply[3] // 2 % 4 == 3)
        assert reply is not None and reply[3] // 2 % 4 == 3 and reply[3] % 2 == sport % 2
        view.flows.add((4, UDP, reply))


def test_where_no_port_brings_the_reply_home_any_free_one_will_do_and_a_port_that_may_stay_stays():
    assert free_reply(View(), 4, UDP, (OURS, THEIRS, 40_000, 53), True, False, lambda reply: False) == (THEIRS, OURS, 53, 40_000)
    view = View()
    assert free_reply(view, 4, UDP, (OURS, THEIRS, 40_000, 53), True, True, lambda reply: False) is not None
    full = View(frozenset(port for port in range(65536) if port // 2 % 4 == 3))
    reply = free_reply(full, 4, UDP, (OURS, THEIRS, 40_000, 53), True, True, lambda reply: reply[3] // 2 % 4 == 3)
    assert reply is not None and reply[3] % 2 == 0


def test_an_identifier_of_echo_is_nobodys_queue():
    def never(reply):
        raise AssertionError

    assert free_reply(View(), 4, ICMP, (OURS, THEIRS, 7, 7), True, True, never) is not None


@pytest.mark.parametrize("hidden", [True, False])
def test_a_protocol_without_ports_fits_once_for_each_peer(hidden):
    view = View()
    reply = free_reply(view, 4, 47, (OURS, THEIRS, 0, 0), hidden)
    assert reply == (THEIRS, OURS, 0, 0)
    view.flows.add((4, 47, reply))
    assert free_reply(view, 4, 47, (OURS, THEIRS, 0, 0), hidden) is None
