"""What is measured, and what must come out: the rows of the table, as data.

A bar compares a figure of ours with the same figure of a reference in the same round; its ratio is the median over the rounds. A bar
against nobody is about the figure itself. `must` is the bar, `aim` what would be good.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from tests.perf import fairness, measures
from tests.perf.fairness import Flood
from tests.perf.measures import Measure


@dataclass(frozen=True, slots=True)
class Bar:
    """`against` a candidate, or "" for the figure itself, then in `unit`."""

    figure: str
    against: str
    must: float
    aim: float
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """`ours` is the candidate that is judged. `fresh`: every round gets rigs of its own. `rounds`: at most, if it takes long."""

    name: str
    what: str
    measure: Measure
    bars: tuple[Bar, ...]
    ours: str = "softena"
    better: Literal["more", "less"] = "more"
    fresh: bool = False
    rounds: int | None = None

    @property
    def candidates(self) -> tuple[str, ...]:
        """Who is measured, ours first."""
        return tuple(dict.fromkeys((self.ours, *(bar.against for bar in self.bars if bar.against))))


def flood(name: str, what: str, kind: Flood) -> Row:
    """The others' turn beside a flood: as good as a calm round trip must be, `status` in its usual time, no health check late."""
    bars = (
        Bar("p50_us", "tapfwd -q", 1.6, 1.1),
        Bar("p99_us", "tapfwd -q", 2.0, 1.1),
        Bar("status_slower", "", 5.0, 2.0),
        Bar("targets_lost", "", 0.0, 0.0),
    )
    return Row(name, what, fairness.beside(kind), bars, ours="softena, 4 queues, checked", better="less")


ROWS: Final = (
    Row(
        "frames",
        "60-byte UDP, 1,024 flows, one queue pair",
        measures.known(1024),
        (Bar("core_kpps", "tapfwd", 0.80, 1.1), Bar("kpps", "kernel", 1.3, 2.0)),
    ),
    Row("known-flows", "the same, 50,000 known flows", measures.known(50_000), (Bar("core_kpps", "tapfwd", 0.70, 1.0),)),
    Row("first-met", "the same, 50,000 flows first met", measures.first_met(50_000), (Bar("core_kpps", "tapfwd", 0.60, 0.8),)),
    Row(
        "queues",
        "the same, 1,024 flows, four queue pairs",
        measures.known(1024),
        (Bar("core_kpps", "tapfwd", 0.75, 1.0),),
        ours="softena, 4 queues",
    ),
    Row("bulk", "TCP, one stream", measures.bulk(1), (Bar("gbit", "tapfwd -v", 0.90, 1.0), Bar("gbit", "kernel", 0.70, 0.95))),
    Row("bulk-4", "TCP, four streams", measures.bulk(4), (Bar("gbit", "tapfwd -v", 0.90, 1.0), Bar("gbit", "kernel", 0.70, 0.95))),
    Row(
        "connections",
        "new TCP connections, balanced to 4 targets",
        measures.connections,
        (Bar("per_s", "kernel", 0.8, 1.3), Bar("per_s", "haproxy", 1.1, 1.8)),
    ),
    Row("new-flow", "CPU of one new flow", measures.new_flow, (Bar("us_flow", "", 40, 15, "us"),), better="less"),
    Row(
        "round-trip",
        "UDP round trip",
        measures.round_trip,
        (Bar("p50_us", "tapfwd", 1.6, 1.1), Bar("p99_us", "tapfwd", 2.0, 1.1)),
        better="less",
    ),
    Row(
        "new-kind",
        "CPU of a flow that is the first of its kind",
        measures.new_kind,
        (Bar("us_flow", "", 40, 15, "us"),),
        ours="softena, 10,000 kinds",
        better="less",
    ),
    flood("flood", "a quiet flow beside 100,000 frames/s of one queue", fairness.KNOWN),
    flood("flood-over", "the same, 800,000 offered", fairness.OVERLOAD),
    flood("flood-new", "beside 100,000 new flows/s", fairness.UNKNOWN),
    flood("flood-denied", "the same, all denied", fairness.DENIED),
    Row(
        "rules",
        "a new flow with 10,000 rules, against 10",
        measures.new_flow,
        (Bar("us_first_frame", "softena", 1.5, 1.1),),
        ours="softena, 10,000 rules",
        better="less",
    ),
    Row(
        "memory",
        "memory with 1,000,000 flows",
        measures.memory,
        (Bar("mib", "", 512, 256, "MiB"),),
        ours="softena, 1,000,000 flows",
        better="less",
        rounds=1,
    ),
    Row(
        "start",
        "start with 10,000 rules, to the first frame",
        measures.start,
        (Bar("seconds", "", 2.0, 0.5, "s"),),
        ours="softena, 10,000 rules",
        better="less",
        fresh=True,
        rounds=3,
    ),
    Row(
        "idle",
        "CPU when idle, 4 nics of 4 queue pairs",
        measures.idle,
        (Bar("percent", "", 1.0, 0.2, "%"),),
        ours="softena, 4 nics",
        better="less",
    ),
)
