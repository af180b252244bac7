"""What the driver makes of each event of the card. Source: ENA interface, AENQ groups."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from ena_dev.abi.events import ConfNotification, Group, HintsUpdate, KeepAlive, LinkChange, NotificationSyndrome, RawEvent
from ena_dev.abi.features import HwHints
from ena_dev.abi.registers import ResetReason
from ena_dev.driver.counters import Drops
from ena_dev.driver.link import Link

log = logging.getLogger(__name__)


class Notices:
    """Handlers by group. `alive(now)`, `hints` and `wish` are told what the adapter has to act on."""

    def __init__(
        self,
        link: Link,
        drops: Drops,
        *,
        alive: Callable[[float], None],
        hints: Callable[[HwHints], None],
        wish: Callable[[ResetReason], None],
    ) -> None:
        self._link, self._drops = link, drops
        self._alive, self._hints, self._wish = alive, hints, wish

    def handlers(self) -> Mapping[int, Callable[[RawEvent], None]]:
        return {
            Group.LINK_CHANGE: self._link_change,
            Group.NOTIFICATION: self._notification,
            Group.KEEP_ALIVE: self._keep_alive,
            Group.CONF_NOTIFICATIONS: self._configuration,
            Group.DEVICE_REQUEST_RESET: lambda event: self._wish(ResetReason.DEVICE_REQUEST),
        }

    def _link_change(self, event: RawEvent) -> None:
        self._link.set(bool(LinkChange.parse(bytes(event)).link_up))

    def _keep_alive(self, event: RawEvent) -> None:
        self._alive(asyncio.get_running_loop().time())
        self._drops.update(KeepAlive.parse(bytes(event)))

    def _notification(self, event: RawEvent) -> None:
        if event.syndrome == NotificationSyndrome.UPDATE_HINTS:
            self._hints(HintsUpdate.parse(bytes(event)).hints)

    def _configuration(self, event: RawEvent) -> None:
        codes = int(ConfNotification.parse(bytes(event)).codes)
        for bit in range(64):
            if codes >> bit & 1:
                log.warning("the card calls its configuration sub-optimal, code %d", bit + 1)
