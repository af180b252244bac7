"""Which rules speak of a number: one dimension of the classifier, bit vectors over elementary intervals.

The ends of all ranges cut the numbers into intervals in each of which the same rules speak. An interval is found by bisection, and its
rules are a vector of bits, in words, with a summary that has a bit for each word in which there are any: of long vectors only the words
in question are read.
Source: Lakshman, Stiliadis, High-Speed Policy-Based Packet Forwarding Using Efficient Multi-dimensional Range Matching, 1998; and
Baboescu, Varghese, Scalable Packet Classification, 2001.

Ten thousand networks have twenty thousand vectors of 700 bytes. So few of them are kept, and the others made when they are asked for, by
the changes from one that is kept. What was made is remembered, within bounds.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Final

from appliance.ranges import Ranges, ends

WORD: Final = 128
"""Rules in a word."""
KEPT: Final = 4 << 20
"""Bytes that the kept vectors of one dimension may take."""
REMEMBERED: Final = 8 << 20
"""Bytes that the remembered ones may take."""
CLOSE: Final = 8
"""Changes from one kept vector to the next, as long as their bytes suffice."""
FEW: Final = 64
"""Vectors that are remembered, however large they are."""


Vector = tuple[int, list[int]]
"""(summary, words): rule i is bit i % WORD of word i // WORD."""


def vector(numbers: Iterable[int], rules: int) -> Vector:
    """The vector of these rules, of as many as there are."""
    return _changed((0, [0] * (rules // WORD + 1)), numbers)


def common(one: Vector, other: Vector) -> Vector:
    """The rules in both."""
    words = [a & b for a, b in zip(one[1], other[1], strict=True)]
    return sum(1 << place for place, word in enumerate(words) if word), words


def _changed(old: Vector, rules: Iterable[int]) -> Vector:
    """The vector behind a place where these rules begin or end."""
    summary, words = old[0], old[1].copy()
    for rule in rules:
        place = rule // WORD
        before = words[place]
        after = words[place] = before ^ 1 << rule % WORD
        if not before or not after:
            summary ^= 1 << place
    return summary, words


class Dimension:
    """The ranges of all rules in one dimension."""

    __slots__ = ("_changes", "_ends", "_kept", "_kept_at", "_most", "_remembered")

    def __init__(self, reaches: Iterable[tuple[int, Ranges | None]], rules: int) -> None:
        """`reaches` has the number of a rule and its ranges, None for a rule that speaks of every number; `rules` is how many there are."""
        changes: dict[int, Sequence[int]] = {}
        always = []
        for rule, ranges in reaches:
            if ranges is None:
                always.append(rule)
                continue
            alone = (rule,)  # one for all of its ends: a set has very many
            for end in ends(ranges):
                others = changes.setdefault(end, alone)
                if isinstance(others, list):
                    others.append(rule)
                elif others is not alone:
                    changes[end] = [*others, rule]
        size = rules // WORD * 8 + 200
        self._ends = sorted(changes)
        self._changes = [changes[end] for end in self._ends]
        self._most = max(FEW, REMEMBERED // size)
        self._remembered: dict[int, Vector] = {}
        self._keep(vector(always, rules), max(CLOSE, sum(map(len, self._changes)) * size // KEPT))

    def _keep(self, first: Vector, distance: int) -> None:
        """Go over all intervals and keep a vector every `distance` changes."""
        self._kept, self._kept_at = [first], [0]
        since: list[int] = []
        for number, rules in enumerate(self._changes, 1):
            since += rules
            if len(since) >= distance:
                self._kept.append(_changed(self._kept[-1], since))
                self._kept_at.append(number)
                since = []

    def cuts(self) -> Sequence[int]:
        """The numbers, ascending, from which on other rules speak."""
        return self._ends

    def rules(self, number: int) -> Vector:
        """The rules that speak of a number."""
        interval = bisect_right(self._ends, number)
        return self._remembered.get(interval) or self._made(interval)

    def _made(self, interval: int) -> Vector:
        near = bisect_right(self._kept_at, interval) - 1
        changes = self._changes[self._kept_at[near] : interval]
        made = _changed(self._kept[near], (rule for rules in changes for rule in rules))
        if len(self._remembered) >= self._most:
            self._remembered.clear()
        self._remembered[interval] = made
        return made
