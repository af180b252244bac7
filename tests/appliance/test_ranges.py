"""Ranges against sets of numbers and `ipaddress`."""

from ipaddress import ip_network
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance import ranges as ranges_module
from appliance.ranges import covers, holds, merged, network_range, ordered

PAIRS = st.tuples(st.integers(0, 30), st.integers(0, 30)).map(lambda pair: (min(pair), max(pair)))
LISTS = st.lists(PAIRS, max_size=5)


def members(ranges):
    return {number for low, high in ranges for number in range(low, high + 1)}


@given(LISTS)
def test_merged_ranges_are_the_same_numbers_sorted_and_apart(ranges):
    found = merged(ranges)
    assert members(found) == members(ranges)
    assert all(earlier[1] + 1 < later[0] for earlier, later in pairwise(found))


@given(LISTS, LISTS, st.integers(-1, 31))
def test_ranges_hold_and_cover_what_their_numbers_do(large, small, number):
    assert covers(merged(large), small) == (members(large) >= members(small))
    assert holds(merged(large), number) == (number in members(large))


def test_a_network_is_the_range_of_its_addresses():
    for text in ("0.0.0.0/0", "10.1.0.0/16", "192.0.2.1/32", "::/0", "2001:db8::/127", "2001:db8::1/128"):
        net = ip_network(text)
        assert network_range(net) == (int(net[0]), int(net[-1]))


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 30)), max_size=120))
def test_sorting_by_pieces_is_sorting(ranges: list[tuple[int, int]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranges_module, "PIECE", 16)
        assert ordered(ranges) == ordered(sorted(ranges)) == sorted(ranges)
