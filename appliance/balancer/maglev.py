"""Maglev: a lookup table that spreads flows evenly by weight and moves few of them when a target leaves.

Each target has a permutation of the table's slots, drawn from its name. The targets take turns, each claiming the first
slot of its permutation that is still free, until the table is full. Source: Eisenbud et al., "Maglev: A Fast and Reliable Software Network
Load Balancer", NSDI 2016, section 3.4. Weights change how often a target's turn comes, as the paper suggests.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from itertools import cycle
from math import gcd, isqrt

from ena_dev.errors import UsageError

SIZE = 65537
"""Slots of a table: prime, and a hundred times more than a hundred targets, so that shares differ by under one percent."""

MAX_TARGETS = 65535


def build(targets: Sequence[tuple[str, int]], seed: bytes, size: int = SIZE) -> array[int]:
    """The table: for each slot the index into `targets`, pairs of (name, weight), whose weights are at least 1.

    The same targets, seed and (prime) size give the same table, on any machine. `seed` has at most 64 bytes.
    Raises UsageError without targets, with too many, or with a weight below 1.
    """
    if not 0 < len(targets) <= min(MAX_TARGETS, size):
        raise UsageError(f"a Maglev table of {size} slots can't hold {len(targets)} targets")
    if any(weight < 1 for _, weight in targets):
        raise UsageError("a target of a Maglev table has a weight below 1")
    walks = [_permutation(name, seed, size) for name, _ in targets]
    turns = _turns([weight for _, weight in targets])
    return _fill(turns, [offset for offset, _ in walks], [skip for _, skip in walks], size)


def _permutation(name: str, seed: bytes, size: int) -> tuple[int, int]:
    """A target's (offset, skip): slot j of its permutation is (offset + j * skip) mod size."""
    word = name.encode()
    offset = int.from_bytes(blake2b(word, digest_size=8, key=seed, person=b"offset").digest(), "big")
    skip = int.from_bytes(blake2b(word, digest_size=8, key=seed, person=b"skip").digest(), "big")
    return offset % size, skip % (size - 1) + 1


def _turns(weights: Sequence[int]) -> list[int]:
    """One cycle of turns: target i comes weights[i] times, evenly spread, so that no table prefix belongs to the heavy ones."""
    common = gcd(*weights)
    marks = [((2 * k + 1) / (2 * weight), i) for i, weight in enumerate(w // common for w in weights) for k in range(weight)]
    return [i for _, i in sorted(marks)]


def _fill(turns: Sequence[int], at: list[int], skip: list[int], size: int) -> array[int]:
    """Let the targets claim slots in turn. `at` is where each target's permutation stands.

    A walk to the next free slot takes size / free steps, so the last few slots would cost as much as all the others: once fewer
    than the square root are free, each is instead ranked in the target's permutation, and the lowest rank taken.
    """
    table = array("H", bytes(2 * size))
    taken = bytearray(size)
    free = size
    few = isqrt(size)
    order = cycle(turns)
    for i in order:
        slot, step = at[i], skip[i]
        while taken[slot]:
            slot += step
            if slot >= size:
                slot -= size
        taken[slot] = 1
        table[slot] = i
        at[i] = slot
        free -= 1
        if free <= few:
            break
    _fill_last(order, at, skip, table, {slot for slot in range(size) if not taken[slot]})
    return table


def _fill_last(order: Iterator[int], at: list[int], skip: list[int], table: array[int], free: set[int]) -> None:
    """Give away the last free slots by rank: a target's steps to a slot from where its permutation stands, modulo the size."""
    size = len(table)
    inverse = [pow(step, -1, size) for step in skip]
    while free:
        i = next(order)
        here, back = at[i], inverse[i]
        slot = min(free, key=lambda s: (s - here) * back % size)
        table[slot] = i
        free.remove(slot)
