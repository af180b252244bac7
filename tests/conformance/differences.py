"""Where the two sides are told apart on purpose: by which tester, in which cases, why, and by which document."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.conformance.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Deliberate:
    """A difference on purpose. `holds` gets the case and what the tester said of the kernel and of us."""

    tester: str
    holds: Callable[[str, Verdict, Verdict], bool]
    words: str
    source: str


def explain(tester: str, case: str, kernel: Verdict, ours: Verdict) -> str:
    """What explains a difference; empty if nothing does."""
    found = next((each for each in DIFFERENCES if each.tester == tester and each.holds(case, kernel, ours)), None)
    return f"{found.words} ({found.source})" if found else ""


DIFFERENCES: Final[tuple[Deliberate, ...]] = ()
