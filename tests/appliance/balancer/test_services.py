"""A pool's choices over thousands of flows: shares, loyalty, death and return of a target."""

from collections import Counter
from random import Random

import pytest

from appliance.balancer.services import Pool, PoolTarget
from appliance.policy.facts import TCP, Facts

SIZE = 2039
CLIENTS = [Facts(0, 4, TCP, 0x0A000000 + i, 0xCB00710A, 1024 + i * 7 % 60000, 443, -1, 2) for i in range(4000)]


class View:
    """Targets are up unless they are in `down`; counts the questions."""

    def __init__(self, *down):
        self.down, self.asked, self.random = set(down), 0, Random(0)

    def is_free(self, version, protocol, reply):
        return True

    def target_up(self, service, target):
        self.asked += 1
        return (service, target) not in {("web", name) for name in self.down}


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


def test_preparing_builds_the_table_before_a_flow_needs_it(pool):
    pool.prepare(View("w2"))
    (tables,) = pool._subsets.values()
    choices(pool, View("w2"))
    assert list(pool._subsets.values()) == [tables]
    pool.prepare(View())
    pool.prepare(View("w1", "w2", "w3"))
    assert len(pool._subsets) == 1


def test_tables_of_past_subsets_are_forgotten():
    targets = [PoolTarget(f"t{i}", i + 1, 80, 1) for i in range(12)]
    pool = Pool("web", 4, targets, b"seed", 31)
    for target in targets:
        pool.prepare(View(target.name))
    assert len(pool._subsets) == 8
