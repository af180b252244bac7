"""The card's link: up, down, or down for a while.

Time comes in with `poll`; a flap asked for now begins at the next one.
"""

from __future__ import annotations


class Link:
    """Link state. The operator's wish, the carrier from the far end and flaps combine: up only if all agree."""

    def __init__(self) -> None:
        self._wanted = self._carrier = True
        self._flap: float | None = None  # how long, until the flap begins
        self._up_at: float | None = None

    @property
    def up(self) -> bool:
        return self._wanted and self._carrier and self._flap is None and self._up_at is None

    def set(self, up: bool) -> None:
        self._wanted = up

    def set_carrier(self, there: bool) -> None:
        self._carrier = there

    def flap(self, down_for: float) -> None:
        """Go down, and come up again after `down_for` seconds. A flap during a flap starts it over."""
        self._flap = down_for

    def poll(self, now: float) -> bool:
        """Let time pass; returns whether the link is up."""
        if self._flap is not None:
            self._up_at, self._flap = now + self._flap, None
        if self._up_at is not None and now >= self._up_at:
            self._up_at = None
        return self.up

    def deadline(self) -> float | None:
        return self._up_at
