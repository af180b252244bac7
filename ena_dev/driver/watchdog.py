"""Watches a card and decides when only a reset helps. Time comes in, a reset reason comes out.

    what is seen at a tick                                              what follows
    ------------------------------------------------------------------  -------------------------------------
    somebody asked (an event of the card, a failed reset)               that reason
    the admin queue stopped                                             its fault: ADMIN_TO, MISSING_ADMIN_INTERRUPT, ...
    no keep-alive for 6 s                                               KEEP_ALIVE_TO
      ... though one lies unseen in the event ring                      MISSING_ADMIN_INTERRUPT
    a pair found its rings broken                                       the pair's fault
    a send without completion for 5 s                                   MISS_TX_CMPL
      ... though a completion lies unseen in the ring                   MISS_INTERRUPT
    a completion unseen at two ticks, no interrupt between              no reset: ask for the interrupt again

Source: ENA interface, Watchdogs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ena_dev.abi.features import HINT_OFF, HwHints
from ena_dev.abi.registers import ResetReason

PERIOD = 1.0  # between ticks


class WatchedAdmin(Protocol):
    @property
    def fault(self) -> ResetReason | None: ...


class WatchedEvents(Protocol):
    def pending(self) -> bool:
        """Whether an event lies there unseen."""


class WatchedPair(Protocol):
    @property
    def fault(self) -> int: ...
    @property
    def interrupts(self) -> int: ...
    def oldest_send(self) -> tuple[int, float] | None: ...
    def pending_unseen(self) -> bool: ...
    def recover_interrupt(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Limits:
    """How long to be patient, in seconds; None: not watched."""

    keep_alive: float | None = 6.0
    tx_completion: float = 5.0

    def hinted(self, hints: HwHints) -> Limits:
        """With what the card proposes; zero keeps ours, and what is not watched stays so."""
        told, tx = hints.driver_watchdog_timeout, hints.missing_tx_completion_timeout
        unwatched = self.keep_alive is None or told == HINT_OFF
        return Limits(None if unwatched else told / 1000 or self.keep_alive, tx / 1000 or self.tx_completion)


class Watchdog:
    """The checks of one card, within `limits`. `lost_interrupts` counts per pair how often an interrupt was asked for again."""

    def __init__(self, admin: WatchedAdmin, events: WatchedEvents) -> None:
        self._admin, self._events = admin, events
        self._pairs: Sequence[WatchedPair] = ()
        self._silent: dict[int, int] = {}  # interrupts of a pair when something lay unseen at the last tick
        self._wanted: ResetReason | None = None
        self._last_keep_alive: float | None = None
        self.limits = Limits()
        self.lost_interrupts: list[int] = []

    def start(self, now: float, pairs: Sequence[WatchedPair]) -> None:
        """The card is up: keep-alives are due from now on."""
        self._pairs = pairs
        self._silent, self._wanted, self._last_keep_alive = {}, None, now
        self.lost_interrupts.extend([0] * (len(pairs) - len(self.lost_interrupts)))

    def want(self, reason: ResetReason) -> None:
        """Ask for a reset at the next tick."""
        self._wanted = self._wanted or reason

    def keep_alive(self, now: float) -> None:
        """The card gave a sign of life."""
        self._last_keep_alive = now

    def excuse(self, seconds: float) -> None:
        """Nobody could listen for so long: that time does not count as the card's silence."""
        if self._last_keep_alive is not None:
            self._last_keep_alive += seconds

    def tick(self, now: float) -> ResetReason | None:
        """Look at everything once; the reason for a reset, if one is due. Asks again for interrupts that got lost."""
        reason = self._wanted or self._admin.fault or self._check_keep_alive(now)
        if reason is not None:
            return reason
        for index, pair in enumerate(self._pairs):
            reason = self._check_pair(pair, now)
            if reason is not None:
                return reason
            self._check_interrupt(index, pair)
        return None

    def _check_keep_alive(self, now: float) -> ResetReason | None:
        limit = self.limits.keep_alive
        if limit is None or self._last_keep_alive is None or now - self._last_keep_alive <= limit:
            return None
        return ResetReason.MISSING_ADMIN_INTERRUPT if self._events.pending() else ResetReason.KEEP_ALIVE_TO

    def _check_pair(self, pair: WatchedPair, now: float) -> ResetReason | None:
        if pair.fault:
            return ResetReason(pair.fault)
        oldest = pair.oldest_send()
        if oldest is None or now - oldest[1] <= self.limits.tx_completion:
            return None
        return ResetReason.MISS_INTERRUPT if pair.pending_unseen() else ResetReason.MISS_TX_CMPL

    def _check_interrupt(self, index: int, pair: WatchedPair) -> None:
        if not pair.pending_unseen():
            self._silent.pop(index, None)
        elif self._silent.get(index) == pair.interrupts:
            self.lost_interrupts[index] += 1
            pair.recover_interrupt()
        else:
            self._silent[index] = pair.interrupts
