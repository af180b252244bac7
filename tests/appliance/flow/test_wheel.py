"""The wheel against a dict of due times: nobody comes out late, nobody twice, nobody is lost."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.flow.wheel import TimerWheel
from ena_dev.errors import UsageError

TICK = 2**26  # ns
TURN = 1024 * TICK
SECOND = 10**9
ENTRIES = 12

steps = st.one_of(
    st.tuples(st.just("arm"), st.integers(1, ENTRIES), st.integers(0, 3 * TURN)),
    st.tuples(st.just("cancel"), st.integers(1, ENTRIES), st.just(0)),
    st.tuples(st.just("wait"), st.just(0), st.one_of(st.integers(0, 4 * TICK), st.integers(0, 5 * TURN // 2))),
)


@settings(max_examples=200)
@given(st.integers(0, 10**15), st.lists(steps, max_size=60))
def test_an_entry_comes_out_once_and_in_time(now: int, script: list[tuple[str, int, int]]) -> None:
    wheel, due = TimerWheel(ENTRIES), dict[int, int]()
    while wheel.pop(now):
        pass
    for what, entry, value in script:
        if what == "arm":
            due[entry] = now + value
            wheel.arm(entry, due[entry])
        elif what == "cancel":
            due.pop(entry, None)
            wheel.cancel(entry)
        else:
            now += value
            while out := wheel.pop(now):
                assert out in due, "it was not armed"
                if due[out] <= now:
                    del due[out]
                else:
                    wheel.arm(out, due[out])  # alive: only looked at
            assert all(when > now - TICK for when in due.values()), "overdue"
        assert (wheel.deadline is None) == (not due)
        assert wheel.deadline is None or wheel.deadline <= min(due.values()) + TICK


def test_an_entry_does_not_come_out_early_within_a_turn() -> None:
    wheel = TimerWheel(1)
    wheel.pop(100 * SECOND)
    when = wheel.arm(1, 130 * SECOND)
    assert 130 * SECOND <= when < 130 * SECOND + TICK
    assert wheel.pop(130 * SECOND - 1) == 0
    assert wheel.pop(when) == 1
    assert wheel.pop(when) == 0


def test_work_is_bounded_by_the_budget() -> None:
    wheel = TimerWheel(100)
    for entry in range(1, 101):
        wheel.arm(entry, 5 * SECOND)
    assert wheel.pop(1000 * SECOND, 0) == 0
    out = 0
    while not out:
        out = wheel.pop(1000 * SECOND, 10)
    assert out == 1


def test_entries_that_do_not_exist_are_refused() -> None:
    with pytest.raises(UsageError):
        TimerWheel(4).arm(5, SECOND)
    with pytest.raises(UsageError):
        TimerWheel(0)
