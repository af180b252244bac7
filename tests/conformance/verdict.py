"""What a tester says about one side, and both sides in a row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from tests.conformance.site import Side, Site

NOT_TOLD: Final = "n/a"
"""The word of a tester that can't say anything of a case; the detail is why."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a tester said of one case: both sides' `word` must be the same, `detail` is only told."""

    word: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.word} ({self.detail})" if self.detail else self.word


Verdicts = Mapping[str, Verdict]
"""By case, in the tester's order."""


@dataclass(frozen=True, slots=True)
class Tester:
    """A program that nobody in this project wrote. `look` runs it against one side.

    `needs` are programs, or Python modules as `import NAME`; `side` is how the device under test is set up for it; `alone`: it measures, so
    the two sides take turns; `waits`: most of the time it waits for what doesn't come.
    """

    __test__ = False  # to pytest

    name: str
    title: str
    needs: tuple[str, ...]
    look: Callable[[Site], Verdicts]
    side: Side = Side.FIREWALL
    alone: bool = False
    waits: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One case on both sides. `explanation` is of a difference; empty without one, or if nothing explains it."""

    case: str
    kernel: Verdict
    ours: Verdict
    explanation: str = ""

    @property
    def differs(self) -> bool:
        """Whether the two sides were told apart."""
        return self.kernel.word != self.ours.word and NOT_TOLD not in (self.kernel.word, self.ours.word)

    @property
    def unexplained(self) -> bool:
        """Whether nobody knows why."""
        return self.differs and not self.explanation
