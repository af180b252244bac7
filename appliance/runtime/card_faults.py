"""Faults as people write them: `loss=1%,delay=5ms` of packets, and `miss-keep-alives=8,link-flap=2s`, which are spent once.

A text is read as a whole before anything of it is done, so that a mistake changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from ena_dev.device.faults import Faults
from ena_dev.device.interfaces import DataFaults
from ena_dev.errors import UsageError

PACKETS: Final = {"loss": "loss", "duplicate": "duplication", "delay": "delay", "jitter": "jitter", "reorder": "reorder", "seed": "seed"}
ONCE: Final[dict[str, Callable[[Faults, int], None]]] = {
    "miss-keep-alives": Faults.miss_keep_alives,
    "lose-interrupts": Faults.lose_interrupts,
    "lose-admin-interrupts": Faults.lose_admin_interrupts,
    "ignore-admin": Faults.ignore_admin,
    "withhold-completions": Faults.withhold_tx_completions,
    "spoil-tx": Faults.spoil_tx_completions,
    "spoil-rx": Faults.spoil_rx_completions,
    "malform-tx": Faults.malform_tx_completions,
    "malform-rx": Faults.malform_rx_completions,
}
FLAP: Final = "link-flap"
NONE: Final = "none"
MOST: Final = 1_000_000_000  # times
LONGEST: Final = 3600.0  # seconds
NUMBER: Final = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,12})?)(us|ms|s|%)?")
SCALE: Final = {"": 1.0, "us": 1e-6, "ms": 1e-3, "s": 1.0, "%": 0.01}


@dataclass(frozen=True, slots=True)
class FaultOrder:
    """What one text asks for: settings of packet faults by DataFaults' names, faults spent once, and a time without link in seconds."""

    packets: dict[str, float]
    none: bool = False
    once: tuple[tuple[str, int], ...] = ()
    flap: float = 0.0

    def data(self, before: DataFaults) -> DataFaults:
        """The packet faults after this order: what it doesn't name stays, unless it says `none`."""
        settings: dict[str, float] = {name: value for name, value in self.packets.items() if name != "seed"}
        base = DataFaults(seed=before.seed) if self.none else before
        return replace(base, seed=int(self.packets.get("seed", base.seed)), **settings)

    def give(self, faults: Faults) -> None:
        """Have a card misbehave so."""
        if self.packets or self.none:
            faults.set_data(self.data(faults.data))
        for name, count in self.once:
            ONCE[name](faults, count)
        if self.flap:
            faults.link_flap(self.flap)


def read(text: str) -> FaultOrder:
    """An order from `KEY=VALUE,...`, or `none`: no packet faults. Raises UsageError naming what would do."""
    packets: dict[str, float] = {}
    once: list[tuple[str, int]] = []
    none, flap = False, 0.0
    for part in text.split(","):
        key, _, value = (piece.strip() for piece in part.partition("="))
        if key in PACKETS:
            packets[PACKETS[key]] = _packet(key, value)
        elif key in ONCE:
            once.append((key, _whole(key, value, MOST)))
        elif key == FLAP:
            flap = _seconds(key, value)
        elif part.strip() == NONE:
            none = True
        else:
            raise UsageError(f"{part.strip()!r} is no fault; write KEY=VALUE with one of {', '.join((*PACKETS, *ONCE, FLAP))}, or {NONE}")
    return FaultOrder(packets, none, tuple(once), flap)


def read_packets(text: str) -> DataFaults:
    """The faults that a card begins with. Raises UsageError, also for those spent once: the first driver's reset would end them."""
    order = read(text) if text else FaultOrder({})
    wrong = [name for name, _ in order.once] + [FLAP] * bool(order.flap)
    if wrong:
        raise UsageError(
            f"{wrong[0]} is spent once, and a driver's first reset would end it: "
            f"give it to the card that runs, with `softena card fault PATH {wrong[0]}=...`"
        )
    return order.data(DataFaults())


def _packet(key: str, value: str) -> float:
    match key:
        case "seed":
            return _whole(key, value, 2**53)
        case "delay" | "jitter":
            return _seconds(key, value, zero=True)
    share = _number(value, ("", "%"))
    if share is None or share > 1:
        raise UsageError(f"{key}={value}: write a share from 0 to 1, or from 0% to 100%")
    return share


def _seconds(key: str, value: str, *, zero: bool = False) -> float:
    seconds = _number(value, ("", "us", "ms", "s"))
    if seconds is None or seconds > LONGEST or not (seconds or zero):
        raise UsageError(f"{key}={value}: write a time of at most {LONGEST:g} s, as 20ms or 2s")
    return seconds


def _whole(key: str, value: str, most: int) -> int:
    if not re.fullmatch("[0-9]{1,20}", value) or int(value) > most:
        raise UsageError(f"{key}={value}: write a whole number from 0 to {most}")
    return int(value)


def _number(value: str, units: tuple[str, ...]) -> float | None:
    found = NUMBER.fullmatch(value)
    unit = (found[2] or "") if found else None
    return None if found is None or unit not in units else float(found[1]) * SCALE[unit]
