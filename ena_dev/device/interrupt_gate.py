"""Vector 0, which tells of admin completions and events.

It is gated by INTR_MASK alone: unlike the vectors of queues it does not mask itself. What a masked gate held back is sent once it
opens, but for events only; completions posted meanwhile were polled for.
Source: ENA interface, MSI-X; INTR_MASK.
"""

from __future__ import annotations

from ena_dev.device.interfaces import Vector


class InterruptGate:
    """The mask of vector 0."""

    def __init__(self, vector: Vector) -> None:
        self._vector = vector
        self._event_held = False
        self._to_lose = 0
        self.masked = False

    def set_masked(self, masked: bool) -> None:
        self.masked = masked
        if not masked and self._event_held:
            self._event_held = False
            self._send()

    def completion_posted(self) -> None:
        if not self.masked:
            self._send()

    def event_posted(self) -> None:
        if self.masked:
            self._event_held = True
        else:
            self._send()

    def reset(self) -> None:
        self.masked = self._event_held = False
        self._to_lose = 0

    def lose(self, count: int) -> None:
        """Swallow the next `count` messages."""
        self._to_lose += count

    def _send(self) -> None:
        if self._to_lose:
            self._to_lose -= 1
        else:
            self._vector.fire()
