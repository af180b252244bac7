"""Who is an outlier, against a count of every event; how long, and how many."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.balancer.outliers import Limits, Opened, Record, may_eject

LIMITS = Limits(failures=5, within=10.0, eject_for=30.0)
EVENTS = st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["answered", "refused", "silent"])), max_size=60)


def opened(events, until):
    names = [name for second, name in events if second < until]
    return Opened(*(names.count(name) for name in ("answered", "refused", "silent")))


@given(EVENTS, st.integers(1, 8), st.integers(2, 15))
def test_an_outlier_failed_often_enough_within_the_time_and_was_not_answered_more_often(events, failures, within):
    record = Record()
    for now in range(42):
        lately = [name for second, name in events if now - within <= second < now and second >= 0]
        bad, good = sum(name != "answered" for name in lately), lately.count("answered")
        why = record.judge(float(now), opened(events, now), Limits(failures, within, 30.0))
        assert bool(why) is (bad >= failures and bad >= good)
        if why:
            numbers = tuple(map(int, (word for word in why.split() if word.isdigit())))
            assert numbers == (len(lately), within, lately.count("refused"), lately.count("silent"))


def test_some_of_thousands_are_no_sign_of_anything():
    record = Record()
    record.judge(0.0, Opened(0, 0, 0), LIMITS)
    assert record.judge(1.0, Opened(1000, 900, 0), LIMITS) == ""
    assert record.judge(2.0, Opened(1000, 999, 1), LIMITS) != ""


def ejected(record, now):
    record.eject(now, "why", LIMITS)
    return record.until - now


def test_each_ejection_of_a_row_is_longer_and_time_without_one_shortens_the_row():
    record, now, lasted = Record(), 100.0, []
    for _ in range(12):
        lasted.append(ejected(record, now))
        now = record.until
        record.back(now)
        now += 29.0
    assert lasted == [30.0 * n for n in (*range(1, 11), 10, 10)]
    assert ejected(record, now - 29.0 + 30 * 9) == 60.0  # nine times thirty seconds: nine off ten, and this one
    record.back(record.until)
    assert ejected(record, now + 1e6) == 30.0


def test_who_is_back_is_judged_by_what_comes_from_then_on():
    record = Record()
    record.judge(0.0, Opened(0, 0, 0), LIMITS)
    record.eject(5.0, record.judge(5.0, Opened(0, 5, 0), LIMITS), LIMITS)
    record.back(35.0)
    assert record.judge(35.0, Opened(0, 9, 0), LIMITS) == "" and (record.until, record.why) == (None, "")
    assert record.judge(36.0, Opened(0, 13, 0), LIMITS) == ""
    assert record.judge(37.0, Opened(0, 14, 0), LIMITS) == "of 5 new connections in 10 s 5 were refused and 0 not answered"


@pytest.mark.parametrize(
    ("targets", "most", "allowed"), [(4, 0.5, 2), (3, 0.5, 1), (1, 0.5, 0), (10, 0.1, 1), (100, 0.29, 29), (3, 1.0, 3), (9, 0.0, 0)]
)
def test_no_more_are_ejected_than_their_part(targets, most, allowed):
    assert [may_eject(ejected, targets, most) for ejected in range(targets)] == [ejected < allowed for ejected in range(targets)]
