"""Vectors of a dimension against a scan over all ranges, with little and with much memory to keep them in."""

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.policy import dimension
from appliance.policy.dimension import WORD, Dimension, common, vector
from appliance.ranges import merged

RANGES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 12)).map(lambda pair: (pair[0], pair[0] + pair[1])), max_size=3)
REACHES = st.lists(st.one_of(st.none(), RANGES), max_size=12)


def numbers(found):
    summary, words = found
    assert [bool(word) for word in words] == [bool(summary >> place & 1) for place in range(len(words))]
    return {place * WORD + bit for place, word in enumerate(words) for bit in range(WORD) if word >> bit & 1}


@settings(max_examples=150)
@given(reaches=REACHES, apart=st.sampled_from([1, 100]), kept=st.sampled_from([1, 4 << 20]))
def test_a_vector_has_the_rules_whose_ranges_hold_the_number(reaches, apart, kept):
    before = dimension.KEPT
    dimension.KEPT = kept
    try:
        spaced = [(i * apart, None if ranges is None else merged(ranges)) for i, ranges in enumerate(reaches)]
        made = Dimension(spaced, len(reaches) * apart)
    finally:
        dimension.KEPT = before
    for number in 2 * list(range(80)):  # made, then remembered
        expected = {i * apart for i, ranges in enumerate(reaches) if ranges is None or any(low <= number <= high for low, high in ranges)}
        assert numbers(made.rules(number)) == expected


def test_what_is_remembered_has_a_bound(monkeypatch):
    monkeypatch.setattr(dimension, "REMEMBERED", 1)
    made = Dimension(((i, ((2 * i, 2 * i),)) for i in range(500)), 500)
    for i in range(500):
        assert numbers(made.rules(2 * i)) == {i}
        assert len(made._remembered) <= dimension.FEW


@given(st.sets(st.integers(0, 999)), st.sets(st.integers(0, 999)))
def test_what_two_vectors_have_in_common(one, other):
    assert numbers(common(vector(one, 1000), vector(other, 1000))) == one & other
