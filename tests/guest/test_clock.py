"""The stock Linux driver reads the card's PTP clock: what a program in the guest is told is the host's time."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from ena_dev.port.tap import TapPort
from tests.guest.cards import Cards, personality
from tests.guest.lab import HERE, KERNELS, Far, boot

WITHOUT_CLOCK = ("6.1", "6.12")  # their drivers were written before it


class Desk:
    """Notes when the guest is about to read, and compares what it was told with this host's clock."""

    def __init__(self) -> None:
        self.before = 0

    def note(self, words: list[str]) -> None:
        self.before = time.time_ns()

    def told(self, words: list[str]) -> None:
        assert self.before <= int(words[0]) <= time.time_ns(), f"{words[0]} is not between {self.before} and {time.time_ns()}"


@pytest.mark.guest
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_guest_reads_the_hosts_time_from_the_cards_clock(far: Far, cards: Cards, tmp_path: Path, kernel: str) -> None:
    reader, desk = tmp_path / "phctime", Desk()
    subprocess.run(["gcc", "-static", "-O2", "-o", reader, HERE / "phctime.c"], check=True)
    card = cards.serve(tmp_path / "card.sock", far.call(TapPort, "far", 4), personality())
    far.use("far")
    host = {"before": desk.note, "told": desk.told}
    said = boot(kernel, "clock.sh", [card.socket], host=host, options=["--file", f"{reader}:/phctime"])
    assert said.well, said
    words = {name: verdict.word for name, verdict in said.verdicts.items() if name.startswith("clock")}
    if kernel in WITHOUT_CLOCK:
        assert words == {"clock-enabled": "n/a"}
    else:
        assert words == dict.fromkeys(("clock-enabled", "clock-tells-the-hosts-time", "clock-counted"), "ok")
