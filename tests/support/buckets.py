"""Allowances by definition: token buckets in fractions, packets that wait in lists, both ways. The oracle of the compiled shaper."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from fractions import Fraction

from ena_dev.device.allowances import Allowances

IN, OUT = 0, 1
BILLION = 10**9


@dataclass
class Bucket:
    """`rate` tokens a second (0: as many as you like), at most `size` at once. Times are ns."""

    rate: int
    size: int
    level: Fraction = Fraction(0)
    at: int = 0

    def __post_init__(self) -> None:
        self.level = Fraction(self.size)

    def tokens(self, now: int) -> Fraction:
        return min(Fraction(self.size), self.level + Fraction((now - self.at) * self.rate, BILLION))

    def missing(self, now: int, before: int, size: int) -> Fraction:
        """Tokens that are missing for a packet of `size` behind others of `before` in all."""
        return before + min(size, self.size) - self.tokens(now) if self.rate else Fraction(0)

    def take(self, now: int, size: int) -> None:
        if self.rate:
            self.level, self.at = self.tokens(now) - size, now

    def moment(self, now: int, size: int) -> int:
        """The first ns from `now` on at which a packet may go."""
        missing = self.missing(now, 0, size)
        return now if missing <= 0 else now + -(-missing * BILLION // self.rate)


@dataclass(frozen=True)
class Load:
    """A packet: a name, and what it is on a wire."""

    tag: int
    bits: int
    packets: int


@dataclass
class Model:
    """What passed at once or later, in `gone` as (ns, way, tag); what waits; how many were dropped, and over each limit."""

    allowances: Allowances
    gone: list[tuple[int, int, int]] = field(default_factory=list)
    dropped: int = 0
    over: list[int] = field(default_factory=lambda: [0, 0, 0])  # bandwidth in, out, pps
    turn: int = IN
    now: int = 0

    def __post_init__(self) -> None:
        rates = (self.allowances.bw_in, self.allowances.bw_out)
        self.bandwidth = [Bucket(rate, max(rate // 200, 8 * 65536)) for rate in rates]
        self.pps = Bucket(self.allowances.pps, max(self.allowances.pps // 200, 64))
        self.waiting: list[deque[Load]] = [deque(), deque()]
        self.patience = Fraction(self.allowances.max_wait).limit_denominator(BILLION)

    def arrive(self, now: int, way: int, load: Load) -> None:
        self.until(now)
        mine, other = self.waiting[way], self.waiting[1 - way]
        first = sum(each.packets for each in mine)
        if other and self.bandwidth[1 - way].moment(now, other[0].bits) == now:
            first += sum(each.packets for each in other)
        bits = self.bandwidth[way].missing(now, sum(each.bits for each in mine), load.bits)
        packets = self.pps.missing(now, first, load.packets)
        self.over[way] += load.packets * (bits > 0)
        self.over[2] += load.packets * (packets > 0)
        if not mine and bits <= 0 and packets <= 0:
            self.go(now, way, load)
        elif bits > self.patience * self.bandwidth[way].rate or packets > self.patience * self.pps.rate:
            self.dropped += 1
        else:
            mine.append(load)

    def go(self, now: int, way: int, load: Load) -> None:
        self.bandwidth[way].take(now, load.bits)
        self.pps.take(now, load.packets)
        self.gone.append((now, way, load.tag))

    def until(self, end: int) -> None:
        """Release what may go up to and at `end`. The ways take turns, except that bandwidth missing for one lets the other pass."""
        while True:
            moments = {way: self.moments(way) for way in (IN, OUT) if self.waiting[way]}
            if len(moments) == 2 and moments[self.turn][0] == self.now:
                del moments[1 - self.turn]
            due, _, way = min(((max(pair), way != self.turn, way) for way, pair in moments.items()), default=(end, True, IN))
            if due == self.now and moments:
                self.go(due, way, self.waiting[way].popleft())
                self.turn = 1 - way
                continue
            # Bandwidth may be there before anybody can go, and whose turn it is keeps the other back from then on.
            due = min([due, *(pair[0] for pair in moments.values() if pair[0] > self.now)])
            if due >= end and self.now == end:
                return
            self.now = min(due, end)

    def moments(self, way: int) -> tuple[int, int]:
        """When there is bandwidth for the first that waits, and when there are packets for it."""
        load = self.waiting[way][0]
        return self.bandwidth[way].moment(self.now, load.bits), self.pps.moment(self.now, load.packets)
