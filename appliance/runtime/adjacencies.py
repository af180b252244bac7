"""Numbers of next hops: taken for an address, told to the compiled path, given back once no flow carries them.

    (nothing told: frames wait) --> at a mac --> failed: frames are dropped --> (nothing known: frames wait) ...

What the full command ring refuses is owed, and told by `settle`. HOST is the appliance's own stack.
"""

from __future__ import annotations

from collections import Counter
from enum import Enum
from typing import Final, Protocol

HOST: Final = 1
LIMIT: Final = 65536
QUARANTINE: Final = 10.0
"""Seconds after a flow was last given a number in which an install may still be under way with it."""


class Known(Enum):
    """What is told of a next hop whose mac is not known."""

    FAILED = "failed"  # what waits is dropped, and what comes
    NOTHING = "nothing"  # what waits is dropped; what comes then waits


class CompiledAdjacencies(Protocol):
    """What the compiled side offers for next hops."""

    def set_adjacency(self, index: int, nic: int, mac: bytes | None) -> bool: ...

    def clear_adjacency(self, index: int, nic: int) -> bool: ...

    def adjacency_used(self, index: int) -> float: ...

    def adjacency_flows(self, index: int) -> int: ...


class Adjacencies:
    """The numbers of one worker, for all its nics."""

    def __init__(self, compiled: CompiledAdjacencies, limit: int = LIMIT) -> None:
        self._compiled, self._limit = compiled, limit
        self._next = HOST + 1
        self._free: list[int] = []
        self._taken: Counter[int] = Counter()
        self._macs: dict[int, bytes] = {}
        self._owed: dict[int, tuple[int, bytes | Known]] = {}

    def take(self, nic: int = 0, stranger: bool = False) -> int | None:
        """A number that nobody uses, or None. Nothing is known of it. For strangers, of which somebody may make up many, a nic gets as many
        as it leaves free."""
        if stranger and self._taken[nic] >= self._limit - self._next + len(self._free):
            return None
        if not self._free and self._next >= self._limit:
            return None
        self._taken[nic] += 1
        if self._free:
            return self._free.pop()
        self._next += 1
        return self._next - 1

    def give(self, number: int, nic: int) -> bool:
        """Take a number back, if no flow carries it. Nobody may have given it to a flow within QUARANTINE."""
        if self._compiled.adjacency_flows(number):
            return False
        self._tell(number, nic, Known.NOTHING)
        if number in self._owed:
            return False
        self._free.append(number)
        self._taken[nic] -= 1
        return True

    def reached(self, number: int, nic: int, mac: bytes) -> None:
        """The next hop is at `mac`."""
        if self._macs.get(number) != mac:
            self._tell(number, nic, mac)

    def lost(self, number: int, nic: int, known: Known) -> None:
        """The next hop's mac is not known any more."""
        self._tell(number, nic, known)

    def used(self, number: int) -> float:
        """When a frame last went, or wanted to go, to the next hop: seconds of the executor's clock; 0.0: never."""
        return self._compiled.adjacency_used(number)

    def settle(self) -> None:
        """Tell what is owed."""
        owed, self._owed = self._owed, {}
        for number, (nic, state) in owed.items():
            self._tell(number, nic, state)

    def _tell(self, number: int, nic: int, state: bytes | Known) -> None:
        self._owed.pop(number, None)
        if isinstance(state, bytes):
            self._macs[number] = state
        else:
            self._macs.pop(number, None)
        told = self._compiled.set_adjacency(number, nic, state if isinstance(state, bytes) else None)
        if told and state is Known.NOTHING:
            told = self._compiled.clear_adjacency(number, nic)
        if not told:
            self._owed[number] = nic, state
