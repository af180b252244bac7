"""Maglev tables against the paper's own pseudocode, and the two promises: even shares, little movement."""

from collections import Counter
from hashlib import blake2b
from itertools import cycle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.balancer.maglev import build
from ena_dev.errors import UsageError

SMALL = 2039
SEED = b"seed of the tests"


def by_definition(targets, order, size):
    """Populate() of section 3.4: whole permutations, a next index each, -1 for free; `order` is whose turn it is."""

    def word(name, purpose):
        return int.from_bytes(blake2b(name.encode(), digest_size=8, key=SEED, person=purpose).digest(), "big")

    permutation = []
    for name, _ in targets:
        offset, skip = word(name, b"offset") % size, word(name, b"skip") % (size - 1) + 1
        permutation.append([(offset + j * skip) % size for j in range(size)])
    following = [0] * len(targets)
    entry = [-1] * size
    for n, i in enumerate(cycle(order)):
        if n == size:
            return entry
        c = permutation[i][following[i]]
        while entry[c] >= 0:
            following[i] += 1
            c = permutation[i][following[i]]
        entry[c] = i
        following[i] += 1
    raise AssertionError


@settings(max_examples=25, deadline=None)
@given(names=st.lists(st.text(max_size=8), min_size=1, max_size=30, unique=True), size=st.sampled_from([31, 257, SMALL]))
def test_equal_weights_give_the_table_of_the_paper(names, size):
    targets = [(name, 3) for name in names]
    assert list(build(targets, SEED, size)) == by_definition(targets, range(len(targets)), size)


def test_weights_give_the_table_of_the_paper_with_evenly_spread_turns():
    targets = [("a", 6), ("b", 2)]
    assert list(build(targets, SEED, SMALL)) == by_definition(targets, [0, 0, 1, 0], SMALL)


@settings(max_examples=30, deadline=None)
@given(weights=st.lists(st.integers(1, 100), min_size=1, max_size=12))
def test_shares_follow_the_weights(weights):
    table = build([(f"t{i}", weight) for i, weight in enumerate(weights)], SEED, SMALL)
    counts = Counter(table)
    for i, weight in enumerate(weights):
        wanted = SMALL * weight / sum(weights)
        assert abs(counts[i] - wanted) <= weight + 1  # at most one cycle of turns is cut short


def test_equal_targets_differ_by_one_slot_in_the_full_table():
    counts = Counter(build([(f"t{i}", 1) for i in range(100)], SEED))
    assert max(counts.values()) - min(counts.values()) <= 1


def test_little_moves_between_survivors_when_one_of_many_leaves():
    names = [f"t{i}" for i in range(20)]
    before = build([(name, 1) for name in names], SEED)
    after = build([(name, 1) for name in names[:7] + names[8:]], SEED)
    left = names[:7] + names[8:]
    moved = sum(names[a] != left[b] for a, b in zip(before, after, strict=True) if a != 7)
    assert moved / len(before) < 0.02


def test_another_seed_gives_another_table():
    targets = [("a", 1), ("b", 1)]
    assert build(targets, b"one", SMALL) != build(targets, b"two", SMALL)
    assert build(targets, b"one", SMALL) == build(targets, b"one", SMALL)


@pytest.mark.parametrize("targets", [[], [("a", 0)], [(f"t{i}", 1) for i in range(32)]])
def test_what_no_table_can_hold_is_refused(targets):
    with pytest.raises(UsageError):
        build(targets, SEED, 31)


@pytest.mark.parametrize("number", [100, 300, 600])
def test_hundreds_of_targets_have_shares_within_two_percent(number):
    """NSDI 2016, section 3.4: a table a hundred times the targets differs by one percent at most, and less slots by accordingly more."""
    counts = Counter(build([(f"t{i}", 1) for i in range(number)], SEED))
    mean = 65537 / number
    assert len(counts) == number
    assert max(abs(count - mean) for count in counts.values()) / mean < 0.02


@pytest.mark.parametrize("number", [100, 300])
def test_of_hundreds_of_targets_one_that_leaves_takes_little_more_than_its_own_share_along(number):
    """NSDI 2016, section 5.3: a few percent of the entries change by one failure in a table of this size."""
    names = [f"t{i}" for i in range(number)]
    gone = number // 3
    left = names[:gone] + names[gone + 1 :]
    before, after = build([(name, 1) for name in names], SEED), build([(name, 1) for name in left], SEED)
    changed = sum(names[a] != left[b] for a, b in zip(before, after, strict=True)) / 65537
    assert 1 / number - 0.001 < changed < 1 / number + 0.03
