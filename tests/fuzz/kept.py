"""Targets whose site, an appliance or a part of it, outlives their inputs: it takes much longer to make than an input to run.

    begin --> step, for as long as the input says more --> end: as it was

An input finds what the first one found, so that it does alone what it did after others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from tests.fuzz.decode import Decisions


class Site(Protocol):
    """What inputs happen to."""

    def begin(self, dice: Decisions) -> None:
        """Another input, which `dice` read."""

    def step(self, dice: Decisions) -> None:
        """One thing that happens. AssertionError: what came of it is wrong."""

    def end(self) -> None:
        """Everything is as it was before the input. AssertionError: it isn't."""

    def close(self, failed: BaseException | None = None) -> None:
        """Done with; `failed`: what ended an input."""


class Kept:
    """A target. `longest`: steps of one input; after so many `inputs` another site is made."""

    def __init__(self, make: Callable[[], Site], longest: int, inputs: int) -> None:
        self._make, self._longest, self._inputs = make, longest, inputs
        self._site: Site | None = None
        self._left = 0

    def __call__(self, data: bytes) -> None:
        site, dice = self._at_hand(), Decisions(data)
        try:
            site.begin(dice)
            for _ in range(self._longest):
                if not dice.more:
                    break
                site.step(dice)
            site.end()
        except BaseException as error:
            self._site = None
            site.close(error)
            raise
        self._left -= 1
        if not self._left:
            self._site = None
            site.close()

    def _at_hand(self) -> Site:
        if self._site is None:
            self._site, self._left = self._make(), self._inputs
        return self._site
