"""Each way to choose over thousands of flows: shares by weight, evenness against chance, and who is never chosen."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.balancer.choices import CHOICES, PoolTarget
from appliance.balancer.history import MOST_CLIENTS, History
from appliance.balancer.services import Pool
from appliance.policy.facts import TCP, Facts

POOL = ("web", 4)


class Site:
    """Targets and the flows that they have; `tell` says when those that were given appear in the table."""

    def __init__(self, *weights):
        self.targets = [PoolTarget(f"t{i}", i + 1, 80, weight) for i, weight in enumerate(weights)]
        self.flows, self.given, self.now, self.down = Counter(), Counter(), 0.0, set()
        self.history = History(lambda: self.now, lambda service, target: self.flows[target])
        self.random = Random(7)

    def target_up(self, service, target):
        return target not in self.down

    def choose(self, algorithm, times, tell=True):
        """What each of so many flows is given; they stay."""
        names = []
        for _ in range(times):
            names.append(CHOICES[algorithm](self.targets, POOL, self.history, self.random).name)
            (self.flows if tell else self.given)[names[-1]] += 1
        return names

    def end(self, name, count):
        self.flows[name] -= count


def facts(source, sport=40000):
    return Facts(0, 4, TCP, source, 0xCB00710A, sport, 443, -1, 2)


def test_turns_come_by_weight_and_as_far_apart_as_can_be():
    site = Site(5, 1, 1)
    assert site.choose("round-robin", 14) == ["t0", "t0", "t1", "t0", "t2", "t0", "t0"] * 2  # as nginx has it


@given(st.lists(st.integers(1, 100), min_size=1, max_size=8))
def test_a_cycle_of_turns_is_the_weights(weights):
    site = Site(*weights)
    assert Counter(site.choose("round-robin", sum(weights))) == {f"t{i}": weight for i, weight in enumerate(weights)}


@given(st.lists(st.integers(1, 10), min_size=1, max_size=6), st.integers(0, 200))
def test_the_least_loaded_gets_the_flow(weights, count):
    site = Site(*weights)
    for name in site.choose("least-conn", count):
        assert name in {target.name for target in site.targets}
    loads = [(site.flows[target.name] / target.weight, 1 / target.weight) for target in site.targets]
    assert max(load - one for load, one in loads) <= min(load + one for load, one in loads)  # nobody is ahead by more than a flow


def test_who_lost_its_flows_is_filled_up_first():
    site = Site(1, 1, 1)
    site.choose("least-conn", 300)
    site.end("t1", 50)
    assert site.choose("least-conn", 50) == ["t1"] * 50


@pytest.mark.parametrize("algorithm", ["least-conn", "random-2"])
def test_a_burst_whose_flows_are_not_in_the_table_yet_does_not_flock_to_one(algorithm):
    site = Site(1, 1, 1, 1)
    counts = Counter(site.choose(algorithm, 400, tell=False))
    assert max(counts.values()) - min(counts.values()) <= 12
    site.flows.update(site.given)  # now they are: nothing is counted twice
    assert [site.history.load("web", target.name) for target in site.targets] == [site.flows[target.name] for target in site.targets]


def test_what_was_given_and_refused_is_no_load_for_long():
    site = Site(1, 1)
    site.choose("least-conn", 9, tell=False)
    site.now += 1.5
    assert [site.history.load("web", name) for name in ("t0", "t1")] == [0, 0]


def test_two_random_choices_are_far_more_even_than_one():
    site, random = Site(*[1] * 100), Random(3)
    counts = Counter(site.choose("random-2", 10_000))
    chance = Counter(random.choices(range(100), k=10_000))
    assert max(counts.values()) - 100 <= 5 < max(chance.values()) - 100
    weighted = Counter(Site(3, 1).choose("random-2", 4000))
    assert 2900 <= weighted["t0"] <= 3100
    assert set(Site(1).choose("random-2", 5)) == {"t0"}


@pytest.mark.parametrize("algorithm", ["maglev", *CHOICES])
def test_backups_are_chosen_while_no_other_target_is_up(algorithm):
    site = Site()
    spare, old = PoolTarget("spare", 3, 80, 1, backup=True), PoolTarget("old", 4, 80, 0)
    targets = [spare, PoolTarget("a", 1, 80, 1), PoolTarget("b", 2, 80, 1), old]
    pool = Pool("web", 4, targets, b"seed", 2039, algorithm)

    def chosen():
        site.now += 2.0  # what was given before is forgotten: no flow came of it
        found = [pool.pick(facts(n, n), site) for n in range(1, 200)]
        names = {target.name if target else None for target in found}
        table = pool.table(site)
        if pool.by_table:
            assert names == ({None} if table is None else {t.name for t in targets if pool.number(t.name) in set(table)})
            slots = [pool._slot(facts(n, n)) for n in range(1, 200)]
            assert table is None or [pool.number(target.name) for target in found] == [table[slot] for slot in slots]
        else:
            assert table is None and pool.number("a") is None
        return names

    assert chosen() == {"a", "b"}
    site.down = {"a"}
    assert chosen() == {"b"}
    site.down = {"a", "b"}
    assert chosen() == {"spare"}
    site.down = {"a", "b", "spare"}
    assert chosen() == {None}
    site.down = {"spare"}
    assert chosen() == {"a", "b"}


@pytest.mark.parametrize("algorithm", ["maglev", *CHOICES])
def test_a_client_keeps_its_target_until_it_was_away_for_the_timeout_or_that_takes_no_flows(algorithm):
    site = Site(1, 1, 1, 1)
    pool = Pool("web", 4, site.targets, b"seed", 2039, algorithm, affinity=60.0)
    own = {client: pool.pick(facts(client), site).name for client in range(1, 50)}
    for _ in range(5):  # each flow begins the time anew
        site.now += 50.0
        assert all(pool.pick(facts(client, 1000 + int(site.now)), site).name == name for client, name in own.items())
    site.down = {"t2"}
    moved = {client: pool.pick(facts(client, 7), site).name for client in own}
    assert all(moved[client] == name for client, name in own.items() if name != "t2") and "t2" not in moved.values()
    site.down = set()
    assert {client: pool.pick(facts(client, 8), site).name for client in own} == moved  # nobody goes back
    site.now += 61.0
    assert {client: pool.pick(facts(client, 9), site).name for client in own} != moved
    assert not pool.by_table and pool.table(site) is None and pool.number("t0") is None


def test_the_oldest_clients_are_forgotten_when_there_are_too_many():
    site = Site(1)
    for client in range(MOST_CLIENTS + 1):
        site.history.remember(POOL, client, "t0")
    assert site.history.recall(POOL, 0, 60.0) is None and site.history.recall(POOL, 1, 60.0) == "t0"
    assert site.history.recall(("web", 6), 1, 60.0) is None
