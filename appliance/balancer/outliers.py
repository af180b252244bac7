"""Passive checks: a target whose new connections fail is ejected for a while, by what is seen of its flows alone. Sans-IO.

Counters in, reasons out. A target is an outlier if within some time at least as many new connections failed as the file says, and no
fewer than were answered: some of thousands are no sign of anything. Failed are those that it refused, and those on which it was silent.

Each ejection of a row lasts longer than the last, by the first one's time: a target that fails whenever it is back is left alone for longer
and longer. Each such time that it is back without another one shortens the row. (Envoy's outlier detection does so, too.)
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

MOST_TIMES: Final = 10
"""An ejection lasts no longer than so many first ones."""


class Opened(NamedTuple):
    """How new connections to a target went, ever since. One that is answered and then refused is moved from one to the other."""

    answered: int
    refused: int
    silent: int

    @property
    def failed(self) -> int:
        """Refused, or not answered."""
        return self.refused + self.silent


class Limits(NamedTuple):
    """What makes an outlier: so many failures within so many seconds. The first ejection lasts `eject_for` seconds."""

    failures: int
    within: float
    eject_for: float


class Record:
    """What is remembered of one target."""

    __slots__ = ("_back", "_samples", "failed", "times", "until", "why")

    def __init__(self) -> None:
        self._samples: deque[tuple[float, Opened]] = deque()
        self._back = 0.0
        self.failed = 0
        """Connections that had failed when it was judged last."""
        self.times = 0
        """Ejections in a row."""
        self.until: float | None = None
        """When the ejected target is back."""
        self.why = ""

    def judge(self, now: float, opened: Opened, limits: Limits) -> str:
        """Take the counters as they are now; why the target is an outlier, or empty. Call it often within
        `limits.within`, and whenever more have failed."""
        self.failed = opened.failed
        samples = self._samples
        samples.append((now, opened))
        while len(samples) > 1 and samples[1][0] <= now - limits.within:
            samples.popleft()
        answered, refused, silent = (max(0, new - old) for new, old in zip(opened, samples[0][1], strict=True))
        if refused + silent < max(limits.failures, answered):
            return ""
        total = answered + refused + silent
        return f"of {total} new connections in {limits.within:g} s {refused} were refused and {silent} not answered"

    def eject(self, now: float, why: str, limits: Limits) -> None:
        """The target is ejected."""
        self.times = min(MOST_TIMES, max(0, self.times - int((now - self._back) / limits.eject_for)) + 1)
        self.until, self.why = now + self.times * limits.eject_for, why
        self._samples.clear()

    def back(self, now: float) -> None:
        """It is back, or was told to leave, or was found down: whatever it is, it is not ejected any more."""
        self.until, self.why, self._back = None, "", now


def may_eject(ejected: int, targets: int, most: float) -> bool:
    """Whether one more of `targets`, of which some are ejected, may be: no more than the part `most` of them, 0 to 1."""
    return ejected + 1 <= round(most * targets, 6)
