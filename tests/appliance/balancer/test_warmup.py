"""Slow start in numbers: steps, deadlines, and who takes part."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.balancer.warmup import Warmups, share_of

KEY = ("web", "a")


@given(st.floats(0, 2), st.floats(0, 2))
def test_a_share_grows_from_a_tenth_to_all(one, two):
    assert 10 <= share_of(one) <= 100 and share_of(0) == 10 and share_of(1) == 100
    assert one > two or share_of(one) <= share_of(two)
    assert abs(share_of(min(one, 1)) - (10 + 90 * min(one, 1))) <= 9


def test_steps_come_when_they_are_due_and_ten_of_them_are_all():
    warmups = Warmups()
    warmups.configure({"web": 30.0})
    assert (warmups.share(KEY), warmups.deadline(0.0), warmups.look(0.0)) == (100, None, set())
    warmups.begin(KEY, 5.0)
    now, shares = 5.0, [warmups.share(KEY)]
    while (deadline := warmups.deadline(now)) is not None:
        assert warmups.look(deadline - 0.01) == set()
        now = deadline + 1e-6
        assert warmups.look(now) == {"web"}
        shares.append(warmups.share(KEY))
    assert shares == [10, 19, 28, 37, 46, 55, 64, 73, 82, 91, 100] and now == pytest.approx(35.0, abs=0.001)


def test_who_comes_back_again_begins_again_and_without_slow_start_nobody_does():
    warmups = Warmups()
    warmups.configure({"web": 10.0})
    warmups.begin(KEY, 0.0)
    warmups.look(5.0)
    warmups.begin(KEY, 6.0)
    assert warmups.share(KEY) == 10
    warmups.begin(("dns", "a"), 6.0)
    assert warmups.share(("dns", "a")) == 100
    warmups.configure({})
    assert (warmups.share(KEY), warmups.deadline(7.0)) == (100, None)
