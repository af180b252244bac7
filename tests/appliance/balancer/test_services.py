"""A pool's choices over thousands of flows: shares, loyalty, death and return of a target."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.balancer.history import History
from appliance.balancer.services import Pool, PoolTarget
from appliance.policy.facts import TCP, Facts

SIZE = 2039
CLIENTS = [Facts(0, 4, TCP, 0x0A000000 + i, 0xCB00710A, 1024 + i * 7 % 60000, 443, -1, 2) for i in range(4000)]


class View:
    """Targets are up unless they are in `down`, and warm unless they are in `shares`; counts the questions."""

    def __init__(self, *down, **shares):
        self.down, self.shares, self.asked, self.random = set(down), shares, 0, Random(0)
        self.history = History(lambda: 0.0, lambda service, target: 0)

    def is_free(self, version, protocol, reply):
        return True

    def target_up(self, service, target):
        self.asked += 1
        return (service, target) not in {("web", name) for name in self.down}

    def target_share(self, service, target):
        return self.shares.get(target, 100)


@pytest.fixture
def pool():
    weights = {"w1": 2, "w2": 1, "w3": 1, "drained": 0}
    return Pool("web", 4, [PoolTarget(name, i + 1, 8000 + i, weight) for i, (name, weight) in enumerate(weights.items())], b"seed", SIZE)


def choices(pool, view):
    return [pool.pick(facts, view) for facts in CLIENTS]


def test_flows_spread_by_weight_and_a_drained_target_gets_none(pool):
    counts = Counter(target.name for target in choices(pool, View()))
    assert set(counts) == {"w1", "w2", "w3"}
    assert 0.46 < counts["w1"] / len(CLIENTS) < 0.54
    assert 0.21 < counts["w2"] / len(CLIENTS) < 0.29


def test_a_dead_targets_flows_spread_over_the_living_and_no_other_flow_moves(pool):
    before, after = choices(pool, View()), choices(pool, View("w2"))
    assert all(b == a for b, a in zip(before, after, strict=True) if b.name != "w2")
    heirs = Counter(a.name for b, a in zip(before, after, strict=True) if b.name == "w2")
    assert set(heirs) == {"w1", "w3"}
    assert 0.55 < heirs["w1"] / heirs.total() < 0.78


def test_a_target_that_returns_takes_exactly_its_flows_back(pool):
    before = choices(pool, View())
    choices(pool, View("w2"))
    assert choices(pool, View()) == before


def test_without_a_living_target_there_is_no_choice(pool):
    assert choices(pool, View("w1", "w2", "w3")) == [None] * len(CLIENTS)
    assert Pool("web", 4, [PoolTarget("w", 1, 1, 0)], b"", SIZE).pick(CLIENTS[0], View()) is None
    assert Pool("web", 4, [], b"", SIZE).pick(CLIENTS[0], View()) is None


def test_while_all_live_one_question_answers_a_flow(pool):
    choices(pool, view := View())
    assert view.asked == len(CLIENTS)


def test_tables_of_past_subsets_are_forgotten():
    targets = [PoolTarget(f"t{i}", i + 1, 80, 1) for i in range(12)]
    pool = Pool("web", 4, targets, b"seed", 31)
    for target in targets:
        choices(pool, View(target.name))
    assert len(pool._subsets) == 8


# -- warming up --------------------------------------------------------------------------------------------------------

NAMES = ("t0", "t1", "t2", "t3")
SHARES = st.dictionaries(st.sampled_from(NAMES), st.integers(1, 100))


def warming(*weights, algorithm="maglev", size=65537):
    targets = [PoolTarget(f"t{i}", i + 1, 80, weight) for i, weight in enumerate(weights)]
    return Pool("web", 4, targets, b"seed", size, algorithm, warms=True)


@settings(max_examples=20)
@given(weights=st.lists(st.integers(1, 20), min_size=4, max_size=4), shares=SHARES, down=st.sets(st.sampled_from(NAMES), max_size=3))
def test_each_has_the_share_of_its_weight_as_far_as_it_is_warm(weights, shares, down):
    table = Counter(warming(*weights).table(View(*down, **shares)))
    parts = {i: weights[i] * shares.get(name, 100) for i, name in enumerate(NAMES) if name not in down}
    for i, part in parts.items():
        assert abs(table[i] / 65537 - part / sum(parts.values())) < 0.02
    assert set(table) <= set(parts)


@settings(max_examples=30)
@given(weights=st.lists(st.integers(0, 5), min_size=4, max_size=4), shares=SHARES, down=st.sets(st.sampled_from(NAMES)))
def test_the_table_says_what_is_picked(weights, shares, down):
    pool, view = warming(*weights, size=SIZE), View(*down, **shares)
    table = pool.table(view)
    for facts in CLIENTS[:500]:
        picked = pool.pick(facts, view)
        assert (picked is None) is (table is None)
        assert picked is None or table[pool._slot(facts)] == pool.number(picked.name)


@settings(max_examples=15)
@given(weights=st.lists(st.integers(1, 5), min_size=4, max_size=4), other=st.sampled_from(NAMES[1:]))
def test_while_one_warms_up_no_flow_moves_between_the_others_and_it_never_gets_less(weights, other):
    pool = warming(*weights, size=SIZE)
    full = pool.table(View())
    for down in ((), (other,)):
        gained, before = 0, pool.table(View("t0", *down))
        for share in range(10, 101, 9):
            after = pool.table(View(*down, t0=share))
            moved = {slot for slot in range(SIZE) if before[slot] != after[slot]}
            lost = {slot for slot in range(SIZE) if full[slot] not in (0, *(NAMES.index(name) for name in down))}
            assert not moved & lost  # who has its own target keeps it
            assert gained <= after.count(0)
            gained, before = after.count(0), after
        assert before == pool.table(View(*down))


@pytest.mark.parametrize("algorithm", ["round-robin", "random-2", "least-conn"])
def test_other_algorithms_give_a_warming_target_its_part(algorithm):
    pool, view = warming(1, 1, algorithm=algorithm), View(t1=25)
    flows = Counter()
    view.history = History(lambda: 0.0, lambda service, target: flows[target])
    for facts in CLIENTS[:1000]:
        flows[pool.pick(facts, view).name] += 1
    assert flows["t1"] / 1000 == pytest.approx(0.2, abs=0.06)


def test_if_all_are_equally_cold_each_has_what_is_its_own():
    pool = warming(3, 2, 1)
    assert pool.table(View(t0=10, t1=10, t2=10)) == pool.table(View())
