"""Maglev tables against the paper's own pseudocode, and the two promises: even shares, little movement."""

from array import array
from collections import Counter
from hashlib import blake2b
from itertools import cycle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.balancer.maglev import build
from appliance.balancer.populate import overlay, populate, takes
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


@settings(max_examples=25)
@given(names=st.lists(st.text(max_size=8), min_size=1, max_size=30, unique=True), size=st.sampled_from([31, 257, SMALL]))
def test_equal_weights_give_the_table_of_the_paper(names, size):
    targets = [(name, 3) for name in names]
    assert list(build(targets, SEED, size)) == by_definition(targets, range(len(targets)), size)


def test_weights_give_the_table_of_the_paper_with_evenly_spread_turns():
    targets = [("a", 6), ("b", 2)]
    assert list(build(targets, SEED, SMALL)) == by_definition(targets, [0, 0, 1, 0], SMALL)


@settings(max_examples=30)
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


def shares(names, weights):
    """(table, share of the slots that each target has beyond what its weight promises: 1.0 is just that)."""
    table = build([(name, weights[name]) for name in names], SEED)
    counts, total = Counter(table), sum(weights[name] for name in names)
    return table, [counts[i] * total / weights[name] / len(table) for i, name in enumerate(names)]


@pytest.mark.parametrize("number", [2, 10, 100, 300, 655])
def test_a_table_a_hundred_times_the_targets_is_even_to_one_percent(number):
    """NSDI 2016, section 3.4: M > 100 N, at most 1% difference."""
    names = [f"t{i}" for i in range(number)]
    _, found = shares(names, dict.fromkeys(names, 1))
    assert len(found) == number and max(found) / min(found) <= 1.01


@pytest.mark.parametrize("number", [2, 10, 100, 655])
def test_weights_are_met_as_evenly(number):
    """A target of weight w has w slots of a cycle, of which the last is cut short: one percent with a hundred cycles, and so on."""
    names = [f"t{i}" for i in range(number)]
    weights = {name: 1 + i * 7 % 10 for i, name in enumerate(names)}
    _, found = shares(names, weights)
    assert max(found) / min(found) <= 1 + 1.1 * sum(weights.values()) / 65537


@pytest.mark.parametrize("weighted", [False, True], ids=["equal", "weighted"])
@pytest.mark.parametrize(("number", "gone"), [(10, 1), (100, 1), (100, 10), (655, 6), (1000, 1), (1000, 20), (1000, 100)])
def test_when_some_leave_few_entries_of_the_others_change(number, gone, weighted):
    """NSDI 2016, section 5.3: with 1,000 targets and this size the entries that change beyond those of the failed are a few percent,
    and fewer when fewer fail."""
    names = [f"t{i}" for i in range(number)]
    weights = {name: 1 + i * 7 % 10 if weighted else 1 for i, name in enumerate(names)}
    failed = {names[i * 7919 % number] for i in range(gone)}
    left = [name for name in names if name not in failed]
    before, _ = shares(names, weights)
    after, _ = shares(left, weights)
    moved = sum(names[a] not in failed and names[a] != left[b] for a, b in zip(before, after, strict=True)) / 65537
    assert len(failed) == gone and moved <= (0.04 if gone > 1 else 0.015)


def test_a_walk_through_a_table_is_checked():
    for walk in [(31, 1, 1), (0, 31, 1), (0, 0, 1), (0, 1, 0), (0, 1, 1 << 20)]:
        with pytest.raises(UsageError, match="can't walk"):
            populate([walk], 31)
    for size in (0, 1, 65539):
        with pytest.raises(UsageError, match="can't hold"):
            populate([(0, 1, 1)], size)


@given(slot=st.integers(0, SMALL - 1), share=st.integers(0, 99))
def test_who_takes_more_slots_takes_those_of_less_too(slot, share):
    assert not takes(slot, 0, SMALL) and takes(slot, 100, SMALL)
    assert takes(slot, share, SMALL) <= takes(slot, share + 1, SMALL)
    assert abs(sum(takes(each, share, SMALL) for each in range(SMALL)) - SMALL * share / 100) <= 1


@given(st.data())
def test_tables_are_joined_slot_by_slot(data):
    full = array("H", data.draw(st.lists(st.integers(0, 3), min_size=31, max_size=31)))
    again = array("H", data.draw(st.lists(st.integers(0, 1), min_size=31, max_size=31)))
    given_shares, numbers = data.draw(st.lists(st.integers(0, 100), min_size=4, max_size=4)), array("H", [7, 9])
    joined = overlay(full, bytes(given_shares), again, numbers)
    for slot in range(31):
        assert joined[slot] == (full[slot] if takes(slot, given_shares[full[slot]], 31) else numbers[again[slot]])


def test_tables_that_do_not_fit_are_not_joined():
    table, numbers = array("H", [0, 1]), array("H", [0, 1])
    for full, given_shares, again, named in [
        (array("H"), b"ab", array("H"), numbers), (table, b"ab", array("H", [0]), numbers), (table, b"a", table, numbers),
        (table, b"ab", table, numbers[:1]),
    ]:  # fmt: skip
        with pytest.raises(UsageError):
            overlay(full, given_shares, again, named)
