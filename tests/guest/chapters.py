"""The chapters of the table: a guest each, with the cards, far side and script that some capabilities need.

What a chapter's script says is the cells of one column. A chapter that breaks down leaves its cells without a verdict: they failed.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ena_dev.abi.features import FeatureId
from ena_dev.device.personality import STRANGERS_FEATURES, Hints
from ena_dev.port.tap import TapPort
from tests.guest.cards import CardInLab, Cards, personality
from tests.guest.desks import CardDesk, FrameDesk, TrafficDesk, commands
from tests.guest.lab import HERE, Answer, Far, Said, boot
from tests.guest.witness import Witness

JUMBO = 9001
QUICK = Hints(driver_watchdog_timeout=5000, missing_tx_completion_timeout=2000, missed_tx_completion_count_threshold=8)
"""Watchdogs that bark sooner than the drivers' own: 6 s, 5 s and 128 packets."""


@dataclass(frozen=True, slots=True)
class Chapter:
    """One boot. `values` are of the cards' personality."""

    name: str
    proves: tuple[str, ...]
    smp: int = 2
    cards: int = 1
    values: dict[str, Any] = field(default_factory=dict)


CHAPTERS = (
    Chapter("traffic", ("probe", "ping", "tcp", "udp", "jumbo", "views")),
    Chapter("offloads", ("checksum-on", "checksum-off", "tso-on", "tso-off", "rss", "rss-set", "channels", "rings", "moderation"), smp=4),
    Chapter("llq", ("llq",), values={"features": STRANGERS_FEATURES | {FeatureId.LLQ}}),
    Chapter("statistics", ("statistics",)),
    Chapter("life", ("mtu", "down-up", "reload", "flr-bound", "flr-unbound")),
    Chapter("two", ("two-cards",), cards=2),
    Chapter(
        "faults",
        ("fault-keep-alive", "fault-interrupt", "fault-completion", "fault-request", "fault-link", "fault-tx-id", "fault-rx-id"),
        values={"hints": QUICK},
    ),
)


def run(chapter: Chapter, kernel: str) -> Said:
    """Boot a guest with a kernel for a chapter, and hear what it says."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="softena-table-")))
        far = stack.enter_context(Far("table"))
        assert isinstance(far, Far)
        cards = stack.enter_context(Cards())
        served: list[CardInLab] = []
        desks: dict[str, Answer] = {}
        for number in range(1, chapter.cards + 1):
            card, witness = _plug(directory, far, cards, number, chapter.values)
            stack.callback(witness.close)
            served.append(card)
            desks |= _desks(far, cards, card, witness, number)
        program = directory / "setrss"
        subprocess.run(["gcc", "-static", "-O2", "-o", program, HERE / "setrss.c"], check=True)
        sockets, options = [card.socket for card in served], ["--file", f"{program}:/setrss"]
        return boot(kernel, f"table-{chapter.name}.sh", sockets, host=desks, smp=chapter.smp, options=options)


def _plug(directory: Path, far: Far, cards: Cards, number: int, values: dict[str, Any]) -> tuple[CardInLab, Witness]:
    """A card whose TAP stands in a network of its own: 169.254.9.0/24, the second's 169.254.10.0/24."""
    tap = f"far{number}"
    card = cards.serve(directory / f"{tap}.sock", far.call(TapPort, tap, 4, offloads=False), personality(number, **values))
    far.use(tap, addresses=[f"169.254.{8 + number}.1/24", f"fd{8 + number:02}::1/64"], mtu=JUMBO)
    return card, Witness(far, tap)


def _desks(far: Far, cards: Cards, card: CardInLab, witness: Witness, number: int) -> dict[str, Answer]:
    """What a script may ask for about one card; about the second by names that end in -2."""
    mac = card.device.personality.mac
    desks: Sequence[object] = (TrafficDesk(far, witness, number), FrameDesk(witness, mac), CardDesk(cards, card))
    suffix = "" if number == 1 else f"-{number}"
    return {name + suffix: answer for name, answer in commands(*desks).items()}
