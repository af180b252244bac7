"""Maglev: a lookup table that spreads flows evenly by weight and moves few of them when a target leaves.

Each target has a permutation of the table's slots, drawn from its name. The targets take turns, each claiming the first
slot of its permutation that is still free, until the table is full. Source: Eisenbud et al., "Maglev: A Fast and Reliable Software Network
Load Balancer", NSDI 2016, section 3.4. Weights change how often a target's turn comes, as the paper suggests: evenly spread, so that no
table prefix belongs to the heavy ones. The filling is `populate.pyx`'s.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from hashlib import blake2b

from appliance.balancer.populate import populate

SIZE = 65537
"""Slots of a table: prime, and a hundred times more than a hundred targets, so that shares differ by under one percent."""


def build(targets: Sequence[tuple[str, int]], seed: bytes, size: int = SIZE) -> array[int]:
    """The table: for each slot the index into `targets`, pairs of (name, weight), whose weights are at least 1.

    The same targets, seed and (prime) size give the same table, on any machine. `seed` has at most 64 bytes.
    Raises UsageError without targets, with too many, or with a weight below 1.
    """
    return populate([(*_permutation(name, seed, size), weight) for name, weight in targets], size)


def _permutation(name: str, seed: bytes, size: int) -> tuple[int, int]:
    """A target's (offset, skip): slot j of its permutation is (offset + j * skip) mod size."""
    word = name.encode()
    offset = int.from_bytes(blake2b(word, digest_size=8, key=seed, person=b"offset").digest(), "big")
    skip = int.from_bytes(blake2b(word, digest_size=8, key=seed, person=b"skip").digest(), "big")
    return offset % size, skip % (size - 1) + 1
