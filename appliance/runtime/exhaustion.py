"""Outside addresses that ran out of ports: counted for each, and logged once an episode.

An episode begins with a flow that is refused for want of a port, and is over when no other was for a minute.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final

import structlog

from appliance.runtime.translate import address_of

log = structlog.get_logger("nat")

OVER: Final = 60.0
"""Seconds without a refused flow after which an episode is over."""
MOST: Final = 1024
"""Addresses that are remembered; the one that was refused longest ago makes room."""


@dataclass(slots=True)
class _Address:
    flows: int
    episodes: int
    since: float
    last: float


class Exhaustion:
    """What is known of one appliance's outside addresses. Times are seconds of the loop's clock."""

    def __init__(self) -> None:
        self._addresses: OrderedDict[tuple[int, int], _Address] = OrderedDict()

    def refused(self, version: int, outside: int, peer: int, now: float) -> None:
        """A flow to `peer` found no port at an outside address; 0: the nic that it leaves by has none."""
        known = self._addresses.get((version, outside))
        if known is None:
            known = self._addresses[version, outside] = _Address(0, 0, now, now - 2 * OVER)
            if len(self._addresses) > MOST:
                self._addresses.popitem(last=False)
        self._addresses.move_to_end((version, outside))
        if now - known.last >= OVER:
            known.episodes, known.since = known.episodes + 1, now
            self._tell(version, outside, peer)
        known.flows, known.last = known.flows + 1, now

    def _tell(self, version: int, outside: int, peer: int) -> None:
        to = str(address_of(version, peer))
        if outside:
            log.warning("no source port left: new flows are refused", outside=str(address_of(version, outside)), to=to)
        else:
            log.warning("no address to leave under: new flows are refused", family=f"IPv{version}", to=to)

    def rows(self, now: float) -> list[dict[str, Any]]:
        """For people: those refused last come last. `active`: the episode is not over."""
        return [
            {
                "outside": str(address_of(version, outside)) if outside else "",
                "flows": known.flows,
                "episodes": known.episodes,
                "active": now - known.last < OVER,
                "lasted": known.last - known.since,
                "idle": now - known.last,
            }
            for (version, outside), known in self._addresses.items()
        ]
