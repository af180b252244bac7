"""The neighbour cache in virtual time: RFC 4861's state table row by row, whole lives, bounds under attack."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.neighbour import Action, Do, Neighbours, State

A, B = 0x0A000001, 0x0A000002
MAC, OTHER = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")


@pytest.fixture
def cache():
    return Neighbours(Random(1), limit=8)


def state(cache, address=A):
    return {entry.address: entry.state for entry in cache}.get(address)


def run(cache, until):
    """Tick at each deadline up to `until`: (time, what was done) pairs."""
    done = []
    while (deadline := cache.deadline()) is not None and deadline <= until:
        done += [(deadline, action) for action in cache.tick(deadline)]
    return done


def bring_to(cache, wanted):
    """Lead A to a state; the time then."""
    cache.resolve(A, 0.0)
    run(cache, 0.0)
    if wanted is State.INCOMPLETE:
        return 0.5
    if wanted is State.FAILED:
        run(cache, 3.0)
        return 3.5
    cache.learned(A, MAC, 0.0, solicited=True)
    if wanted is State.REACHABLE:
        return 1.0
    run(cache, 46.0)
    if wanted is State.STALE:
        return 50.0
    cache.used(A, 50.0)
    if wanted is State.DELAY:
        return 51.0
    run(cache, 55.0)
    return 55.5


S = State
#   state         solicited  override  mac      becomes       mac afterwards, new
ADVERTISEMENTS = [
    (S.INCOMPLETE, True, False, MAC, S.REACHABLE, MAC, True),
    (S.INCOMPLETE, False, False, MAC, S.STALE, MAC, True),
    (S.REACHABLE, True, False, MAC, S.REACHABLE, MAC, False),
    (S.REACHABLE, False, True, MAC, S.REACHABLE, MAC, False),
    (S.REACHABLE, True, False, OTHER, S.STALE, MAC, False),
    (S.REACHABLE, True, True, OTHER, S.REACHABLE, OTHER, True),
    (S.REACHABLE, False, True, OTHER, S.STALE, OTHER, True),
    (S.STALE, True, False, MAC, S.REACHABLE, MAC, False),
    (S.STALE, False, True, MAC, S.STALE, MAC, False),
    (S.STALE, True, False, OTHER, S.STALE, MAC, False),
    (S.STALE, True, True, OTHER, S.REACHABLE, OTHER, True),
    (S.DELAY, True, False, MAC, S.REACHABLE, MAC, False),
    (S.DELAY, False, True, MAC, S.DELAY, MAC, False),
    (S.DELAY, False, True, OTHER, S.STALE, OTHER, True),
    (S.DELAY, True, False, OTHER, S.DELAY, MAC, False),
    (S.PROBE, True, False, MAC, S.REACHABLE, MAC, False),
    (S.PROBE, True, False, OTHER, S.PROBE, MAC, False),
    (S.PROBE, False, True, OTHER, S.STALE, OTHER, True),
    (S.PROBE, True, True, OTHER, S.REACHABLE, OTHER, True),
    (S.FAILED, True, True, MAC, S.REACHABLE, MAC, True),
    (S.FAILED, False, True, MAC, S.STALE, MAC, True),
]  # RFC 4861, appendix C


@pytest.mark.parametrize(("before", "solicited", "override", "mac", "becomes", "kept", "new"), ADVERTISEMENTS)
def test_an_advertisement_does_what_the_rfcs_table_says(cache, before, solicited, override, mac, becomes, kept, new):
    now = bring_to(cache, before)
    assert state(cache) is before
    assert cache.learned(A, mac, now, solicited, override) is new
    assert state(cache) is becomes
    assert cache.resolve(A, now) == kept


@pytest.mark.parametrize("before", [S.REACHABLE, S.STALE, S.DELAY, S.PROBE])
@pytest.mark.parametrize(("mac", "new"), [(MAC, False), (OTHER, True)])
def test_a_request_for_us_updates_the_asker_but_confirms_nothing(cache, before, mac, new):
    now = bring_to(cache, before)
    assert cache.asked(A, mac, now) is new
    assert state(cache) is (S.STALE if new else before)


def test_a_silent_address_is_asked_for_three_times_and_then_fails(cache):
    assert cache.resolve(A, 10.0) is None
    ask = Action(Do.ASK, A, None)
    assert run(cache, 13.0) == [(10.0, ask), (11.0, ask), (12.0, ask), (13.0, Action(Do.FAIL, A, None))]
    assert cache.resolve(A, 14.0) is None
    assert run(cache, 14.0) == [(14.0, Action(Do.FAIL, A, None))]  # known to be silent: refused at once
    assert A in cache
    assert run(cache, 16.0) == [(16.0, Action(Do.FAIL, A, None))]  # and now it may be asked for again
    assert state(cache) is None and A not in cache
    cache.resolve(A, 16.5)
    assert run(cache, 16.5) == [(16.5, ask)]


def test_asking_is_not_hurried_by_many_packets(cache):
    for step in range(100):
        cache.resolve(A, 10 + step / 100)
    assert [time for time, _ in run(cache, 11.5)] == [10.0, 11.0]


def test_a_neighbour_in_use_is_verified_when_its_time_is_over(cache):
    cache.resolve(A, 0.0)
    run(cache, 0.0)
    cache.learned(A, MAC, 0.1, solicited=True)
    stale_at = cache.deadline()
    assert 15.1 <= stale_at <= 45.1
    assert run(cache, 1000.0) == []
    assert state(cache) is S.STALE
    assert cache.resolve(A, 1000.0) == MAC  # still used, and verified behind
    assert run(cache, 1006.5) == [(1005.0, Action(Do.PROBE, A, MAC)), (1006.0, Action(Do.PROBE, A, MAC))]
    cache.learned(A, MAC, 1006.6, solicited=True)
    assert state(cache) is S.REACHABLE


def test_a_neighbour_that_left_is_forgotten_after_three_probes_and_asked_for_afresh(cache):
    now = bring_to(cache, S.DELAY)
    assert [action.do for _, action in run(cache, now + 10)] == [Do.PROBE, Do.PROBE, Do.PROBE, Do.FAIL]
    assert state(cache) is None
    cache.resolve(A, 100.0)
    assert run(cache, 100.0) == [(100.0, Action(Do.ASK, A, None))]


def test_an_answer_without_a_mac_confirms_the_one_that_is_known(cache):
    assert not cache.learned(A, None, 0.0, solicited=True)
    bring_to(cache, S.INCOMPLETE)
    assert not cache.learned(A, None, 0.6, solicited=True)
    assert state(cache) is S.INCOMPLETE
    cache.learned(A, MAC, 0.7, solicited=False)
    assert not cache.learned(A, None, 0.8, solicited=True)
    assert (state(cache), cache.resolve(A, 0.9)) == (S.REACHABLE, MAC)


def test_nothing_is_learned_from_who_is_neither_used_nor_asking(cache):
    assert not cache.learned(A, MAC, 0.0, solicited=False)
    assert not cache.learned(A, MAC, 0.0, solicited=True)
    assert len(cache) == 0
    assert cache.asked(A, MAC, 0.0)
    assert state(cache) is S.STALE


@pytest.mark.parametrize("mac", [b"\xff" * 6, b"\x01\x00\x5e\x00\x00\x01", bytes(6), b"\x02" * 5, b""])
def test_macs_that_no_neighbour_has_are_ignored(cache, mac):
    cache.resolve(A, 0.0)
    assert not cache.learned(A, mac, 0.0, solicited=True)
    assert not cache.asked(B, mac, 0.0)
    assert state(cache) is S.INCOMPLETE
    assert state(cache, B) is None


def test_a_full_cache_gives_up_the_longest_stale_and_says_so(cache):
    for i in range(8):
        cache.asked(A + i, MAC, float(i))
    cache.used(A, 9.0)  # in use: not the one to go
    cache.resolve(B + 100, 10.0)
    assert state(cache, A) is S.DELAY
    assert state(cache, A + 1) is None
    assert Action(Do.FAIL, A + 1, None) in cache.tick(10.0)


def test_a_full_cache_without_any_stale_refuses_the_new_and_recovers(cache):
    for i in range(8):
        cache.resolve(A + i, 0.0)
    assert cache.resolve(B + 100, 0.0) is None
    assert Action(Do.FAIL, B + 100, None) in cache.tick(0.0)
    run(cache, 10.0)
    cache.resolve(B + 100, 10.0)
    assert run(cache, 10.0) == [(10.0, Action(Do.ASK, B + 100, None))]


def test_a_neighbour_that_answers_without_end_takes_no_memory(cache):
    cache.resolve(A, 0.0)
    for i in range(1000):
        cache.learned(A, MAC, i / 1000, solicited=True)
    assert len(cache._heap) <= 33
    assert run(cache, 60.0) == []
    assert state(cache) is S.STALE


steps = st.lists(
    st.tuples(
        st.sampled_from(["resolve", "used", "learned", "asked", "tick"]),
        st.integers(0, 12),
        st.sampled_from([MAC, OTHER]),
        st.booleans(),
        st.booleans(),
        st.floats(0, 20),
    ),
    max_size=80,
)


@settings(max_examples=150)
@given(steps=steps)
def test_any_history_keeps_the_bounds_and_leaves_no_question_unanswered(steps):
    cache, now, waiting = Neighbours(Random(1), limit=6), 0.0, set()
    for step, address, mac, solicited, override, pause in steps:
        now += pause if step == "tick" else 0.0
        if step == "resolve":
            if cache.resolve(address, now) is None:
                waiting.add(address)
        elif step == "used":
            cache.used(address, now)
        elif step == "learned":
            cache.learned(address, mac, now, solicited, override)
        elif step == "asked":
            cache.asked(address, mac, now)
        else:
            waiting -= {action.address for _, action in run(cache, now) if action.do is Do.FAIL}
        known = {entry.address for entry in cache if entry.mac is not None}
        waiting -= known
        assert len(cache) <= 6
        assert all((entry.mac is None) == (entry.state in (S.INCOMPLETE, S.FAILED)) for entry in cache)
    waiting -= {action.address for _, action in run(cache, now + 10) if action.do is Do.FAIL}
    assert not waiting
