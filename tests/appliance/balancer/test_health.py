"""The health check in virtual time: its table row by row, its deadlines, and a target's life."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.balancer.health import TRANSITIONS, HealthCheck, HealthState, Streak, failing_open


def check(now=100.0, every=5.0, rise=3, fall=2):
    return HealthCheck(now, every, rise, fall, Random(1))


def feed(target, results, now=100.0):
    """Run a probe for each result at its deadline; the states that were entered."""
    changes = []
    for ok in results:
        now = max(now, target.deadline())
        assert target.due(now)
        changes.append(target.result(now + 0.01, ok))
    return changes


@pytest.mark.parametrize("state", HealthState)
@pytest.mark.parametrize("ok", [True, False])
def test_a_streak_long_enough_enters_the_state_the_table_names(state, ok):
    target = check()
    target.state = state
    needed, becomes = {
        (HealthState.UNKNOWN, True): (1, HealthState.UP),
        (HealthState.UNKNOWN, False): (1, HealthState.DOWN),
        (HealthState.DOWN, True): (3, HealthState.UP),
        (HealthState.UP, False): (2, HealthState.DOWN),
    }.get((state, ok), (1, None))
    assert feed(target, [ok] * needed) == [None] * (needed - 1) + [becomes]
    assert target.state is (becomes or state)


def test_every_row_of_the_table_leads_to_another_state_by_a_named_streak():
    assert all(state is not becomes and streak in Streak for (state, _), (streak, becomes) in TRANSITIONS.items())


def test_an_interrupted_streak_counts_for_nothing():
    target = check()
    assert feed(target, [True, False, True, False, True]) == [HealthState.UP, None, None, None, None]
    assert feed(target, [False, False], 200) == [None, HealthState.DOWN]
    assert feed(target, [True, True, False, True, True], 300) == [None] * 5
    assert not target.up
    assert feed(target, [True], 400) == [HealthState.UP]


@given(results=st.lists(st.booleans(), max_size=60), rise=st.integers(1, 4), fall=st.integers(1, 4))
def test_the_state_is_what_the_last_long_enough_run_says(results, rise, fall):
    target = check(rise=rise, fall=fall)
    up = None
    for n, ok in enumerate(results, 1):
        feed(target, [ok], 100 + 10 * n)
        if up is None:
            up = ok
        elif not up and results[:n][-rise:] == [True] * rise:
            up = True
        elif up and results[:n][-fall:] == [False] * fall:
            up = False
        assert target.up is up


def test_the_first_probe_comes_soon_and_the_period_counts_from_start_to_start():
    target = check(every=5.0)
    first = target.deadline()
    assert 100.0 <= first <= 100.5
    assert not target.due(first - 0.001)
    assert target.due(first)
    assert target.deadline() is None  # the result is owed
    assert not target.due(first + 60)
    target.result(first + 2, True)
    assert first + 4.5 <= target.deadline() <= first + 5.5


def test_a_result_later_than_the_period_makes_the_next_probe_due_at_once():
    target = check(every=1.0)
    target.due(200.0)
    target.result(205.0, False)
    assert target.deadline() == 205.0


def test_checks_with_one_period_do_not_stay_in_step():
    random = Random(3)
    checks = [HealthCheck(0.0, 5.0, 1, 1, random) for _ in range(50)]
    for _ in range(3):
        for target in checks:
            now = target.deadline()
            target.due(now)
            target.result(now, True)
    assert len({round(target.deadline(), 3) for target in checks}) > 45


def test_without_jitter_periods_are_exact_and_with_all_of_it_they_may_vanish():
    exact, loose = HealthCheck(0.0, 5.0, 1, 1, Random(1), 0.0), HealthCheck(0.0, 5.0, 1, 1, Random(1), 1.0)
    pauses = []
    for _ in range(30):
        for target in (exact, loose):
            started = target.deadline()
            target.due(started)
            target.result(started, True)
            pauses.append(target.deadline() - started)
    assert pauses[::2] == pytest.approx([5.0] * 30)
    assert min(pauses[1::2]) < 1.0 and max(pauses[1::2]) > 9.0 and max(pauses) <= 10.0


@given(states=st.lists(st.sampled_from(HealthState), min_size=1, max_size=10), below=st.sampled_from([0.0, 0.2, 0.5, 1.0]))
def test_all_count_as_up_only_if_each_was_judged_and_too_few_are_up(states, below):
    up = sum(state is HealthState.UP for state in states)
    known = all(state is not HealthState.UNKNOWN for state in states)
    assert failing_open(states, below) is (known and up / len(states) < below and up < len(states))
