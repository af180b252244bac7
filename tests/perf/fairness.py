"""Whether a flood leaves the others their turn: a quiet flow, the control socket, health checks.

    client: pktblast, the flood --one queue, or flows never seen--> the candidate --> server: dropped
            crr ask, one quiet flow <----------------- round trips ------------------> crr serve
    here:   `status`, ten times a second                       targets: probed five times a second, lost by one late answer

Whoever answers has a core to spare: the flood's generator is pinned to the first CPU, and of that takes only what the asker, the
answerer and this don't want. So the flood may be thinner than it should be: `offered_kpps` tells. A quiet flow that shares the flood's
queue waits behind it, anywhere: so a few are tried under the flood, and the one that fares best is measured.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from tests.perf.candidates import NEAR, PORT, SERVER
from tests.perf.hosts import RigError, inside
from tests.perf.measures import GAP_US, WARM_UP, Figures, Measure, asked, blast, make_known, window
from tests.perf.programs import program
from tests.perf.rig import Rig

BELOW, ABOVE = 100_000, 800_000
"""Frames a second: what every candidate carries, and what none does."""
UNSEEN: Final = 500_000
"""Flows, more than come in a turn."""
FIRST_PORT: Final = 30_000
PORTS_A_TURN: Final = 10
TURNS: Final = 300
TRIED: Final = range(20_001, 20_007)
"""Source ports of quiet flows. Of six, one has a queue without the flood, by all odds."""
TRIAL: Final = 0.1
CALM: Final = 10
STATUS_GAP: Final = 0.1
PATIENCE: Final = 30.0

_turns = itertools.count()


@dataclass(frozen=True, slots=True)
class Flood:
    """Frames at a rate (1/s), of `flows` in turn, to an address. Unless `known` none of the flows was ever seen before."""

    rate: int
    flows: int = 1
    to: str = SERVER
    known: bool = True

    def options(self) -> tuple[object, ...]:
        """The generator's."""
        port = 9 if self.known else FIRST_PORT + next(_turns) % TURNS * PORTS_A_TURN
        return "-f", self.flows, "-p", port, "-r", self.rate, "-b", 16


KNOWN, OVERLOAD = Flood(BELOW), Flood(ABOVE)
UNKNOWN, DENIED = Flood(BELOW, UNSEEN, known=False), Flood(BELOW, UNSEEN, NEAR, known=False)
"""No rule allows what is for the appliance itself."""


@contextmanager
def flooded(rig: Rig, flood: Flood) -> Iterator[None]:
    """The flood, for as long as the block lasts."""
    generator = blast(rig, *flood.options(), to=flood.to, around=("chrt", "--idle", "0"))
    try:
        time.sleep(WARM_UP)
        yield
    finally:
        generator.kill()
        generator.wait()


def ask(source: int, seconds: float) -> tuple[object, ...]:
    """The command of one quiet flow."""
    return program("crr"), "ask", SERVER, PORT, seconds, GAP_US, source


def quietest(rig: Rig) -> int:
    """The source port of a flow that the flood leaves alone, or nearly."""

    def harm(source: int) -> tuple[int, float]:
        end = asked(rig, *ask(source, TRIAL), timeout=PATIENCE)
        return end["failed"], end["p50_us"]

    return min(TRIED, key=harm)


def round_trips(rig: Rig, source: int, seconds: float, each: list[float]) -> tuple[dict[str, Any], Figures]:
    """Of the quiet flow, and what came through meanwhile; how long `status` takes is added to `each`."""
    asker = subprocess.Popen(inside(rig.client, *map(str, ask(source, seconds))), stdout=subprocess.PIPE, text=True)

    def meanwhile(_: float) -> None:
        while asker.poll() is None:
            if rig.candidate.is_ours:
                each.append(status_ms(rig))
            time.sleep(STATUS_GAP)

    try:
        figures = window(rig, seconds, meanwhile)
        return json.loads(asker.communicate()[0]), figures
    finally:
        asker.kill()
        asker.wait()


def status_ms(rig: Rig) -> float:
    """How long `status` takes."""
    began = time.monotonic()
    rig.ask("status")
    return (time.monotonic() - began) * 1e3


def lost_targets(rig: Rig) -> int:
    """Targets that health checks have found down so far."""
    changes = (line for line in rig.log_text().splitlines() if "target changed" in line)
    return sum(json.loads(line)["state"] == "down" for line in changes)


def beside(flood: Flood) -> Measure:
    """Round trips of a quiet flow beside a flood. Of the appliance also: `status` and health checks, against a calm moment before."""

    def measure(rig: Rig, seconds: float) -> Figures:
        calm, busy = list[float](), list[float]()
        if flood.known:
            make_known(rig, flood.flows)
        for source in TRIED:
            asked(rig, *ask(source, 0.01), timeout=PATIENCE)
        if rig.candidate.is_ours:
            calm, lost = [status_ms(rig) for _ in range(CALM)], lost_targets(rig)
        with flooded(rig, flood):
            end, figures = round_trips(rig, quietest(rig), seconds, busy)
        if not end["done"]:
            raise RigError(f"{rig.candidate.name}: the quiet flow got no answer")
        figures |= {name: end[name] for name in ("p50_us", "p99_us", "done", "failed")}
        if rig.candidate.is_ours:
            times = {"status_ms": median(busy), "status_worst_ms": max(busy), "status_calm_ms": median(calm)}
            figures |= times | {"status_slower": median(busy) / median(calm), "targets_lost": lost_targets(rig) - lost}
        return figures

    return measure
