"""Ways to choose a target that look at other flows, not at the flow itself: each takes those that may be chosen, and marks its choice.

    round-robin   in turn, each as often as its weight says and no two turns closer than need be ("smooth" weighted round robin)
    least-conn    who has the fewest flows for its weight; of equals, one at random
    random-2      two at random by weight, then the one with fewer flows for its weight

Source of the last: Mitzenmacher, The Power of Two Choices in Randomized Load Balancing, 2001.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Final, NamedTuple

from appliance.balancer.history import History, PoolKey


class PoolTarget(NamedTuple):
    """Where a pool's flows may go."""

    name: str
    address: int
    port: int
    weight: float
    backup: bool = False


Choice = Callable[[Sequence[PoolTarget], PoolKey, History, Random], PoolTarget]
"""(at least one target, each with a weight above 0; their pool; what is remembered; chance) -> one of them."""


def round_robin(targets: Sequence[PoolTarget], pool: PoolKey, history: History, random: Random) -> PoolTarget:
    """Everybody earns its weight, who has most is chosen, and pays what all have earned."""
    for target in targets:
        history.credits[pool, target.name] = history.credits.get((pool, target.name), 0) + target.weight
    chosen = max(targets, key=lambda target: history.credits[pool, target.name])
    history.credits[pool, chosen.name] -= sum(target.weight for target in targets)
    return chosen


def least_connections(targets: Sequence[PoolTarget], pool: PoolKey, history: History, random: Random) -> PoolTarget:
    """As if the new flow was there already: so a heavy target comes first among idle ones."""
    loads = [(history.load(pool[0], target.name) + 1) / target.weight for target in targets]
    least = min(loads)
    chosen = random.choice([target for target, load in zip(targets, loads, strict=True) if load == least])
    history.give(pool[0], chosen.name)
    return chosen


def random_two(targets: Sequence[PoolTarget], pool: PoolKey, history: History, random: Random) -> PoolTarget:
    """Nearly as even as looking at all of them, without all flocking to one."""
    [one] = random.choices(targets, [target.weight for target in targets])
    others = [target for target in targets if target is not one]
    two = random.choices(others, [target.weight for target in others]) if others else []
    return least_connections([one, *two], pool, history, random)


CHOICES: Final[Mapping[str, Choice]] = {"round-robin": round_robin, "least-conn": least_connections, "random-2": random_two}
