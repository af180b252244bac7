"""Neighbours: who owns an address on one nic's link. Sans-IO; the cache of one nic and one IP version, ARP and ND alike.

A shell feeds what it hears and what it uses, runs `tick` at `deadline`, and sends what that asks for. Packets that wait for an answer
wait elsewhere. Nothing is learned from neighbours that we neither use nor hear asking for us. Source: RFC 826; RFC 4861, sections 7.2, 7.3
and 10.

Whoever scans a network has us ask for addresses that nobody has. So strangers, which have never answered, have half of the places and no
more, and are asked for within a rate. Each asker (the nic from which packets for them come, or we) has a rate of its own, and as many of
these places as he leaves free: two never take each other's. Who has answered once is no stranger for a long time: he needs neither, and a
place is made for him. Source: RFC 6583, sections 6.1 (filtering is not enough), 7.1 (priority for who is known) and 7.2 (limits).

    (none) --resolve--> incomplete --answer--> reachable --30 s--> stale --use--> delay --5 s--> probe
                            |                      ^                                               |
                            +-3 asks--> failed     +------------------answer-----------------------+--3 asks--> (none)
                                           +-3 s--> (none)
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from heapq import heapify, heappop, heappush
from random import Random
from typing import Final, NamedTuple

RETRANSMIT: Final = 1.0  # RetransTimer, seconds
REACHABLE_BASE: Final = 30.0  # BaseReachableTime, seconds, times a random factor of 0.5 to 1.5
DELAY_FIRST_PROBE: Final = 5.0  # seconds
MAX_ASKS: Final = 3  # MAX_MULTICAST_SOLICIT and MAX_UNICAST_SOLICIT
FAILED_FOR: Final = 3.0  # seconds in which a silent address is refused at once and not asked for again
OURSELVES: Final = -1  # the asker of what the appliance sends by itself
RATE: Final = 100.0  # strangers that one asker has asked for, a second,
BURST: Final = 100.0  # and at once
REMEMBERED: Final = 4096  # addresses that have answered


class State(Enum):
    """Neighbour states, RFC 4861 section 7.3.2, and failed: nobody answered lately."""

    INCOMPLETE = "incomplete"
    REACHABLE = "reachable"
    STALE = "stale"
    DELAY = "delay"
    PROBE = "probe"
    FAILED = "failed"


class Do(Enum):
    """What the shell has to do."""

    ASK = "ask"  # an ARP request to the broadcast, a neighbour solicitation to the solicited-node group
    PROBE = "probe"  # the same, sent to `mac` alone
    FAIL = "fail"  # forget the address's mac and drop what waits for it; if it is not in the cache any more, it may be asked for again


class Action(NamedTuple):
    """One thing to do for one address."""

    do: Do
    address: int
    mac: bytes | None


@dataclass(slots=True)
class Entry:
    """One neighbour. `due` is when its state runs out, None when it doesn't; `asks` were sent in this state."""

    address: int
    state: State
    mac: bytes | None = None
    due: float | None = None
    asks: int = 0


class Neighbours:
    """The cache. At most `limit` addresses: the longest failed gives way to a new one, then the longest stale, and without any a new one is
    refused."""

    __slots__ = (
        "_asking", "_buckets", "_entries", "_failed", "_heap", "_limit", "_met", "_owed", "_owed_at", "_random", "_stale", "_strangers",
    )  # fmt: skip

    def __init__(self, random: Random, limit: int = 1024) -> None:
        self._entries: dict[int, Entry] = {}
        self._stale: dict[int, None] = {}  # in the order they became so
        self._failed: dict[int, None] = {}
        self._strangers: dict[int, int] = {}  # addresses that are being asked for or failed, and by whom
        self._asking: Counter[int] = Counter()  # how many of these, by asker
        self._buckets: dict[int, tuple[float, float]] = {}  # by asker: tokens, and when there were so many
        self._met: dict[int, None] = {}  # addresses that have answered, in the order of their last answer
        self._heap: list[tuple[float, int]] = []
        self._owed: dict[int, Action] = {}
        self._owed_at = 0.0
        self._limit, self._random = limit, random

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, address: int) -> bool:
        """Whether anything is known or being asked about the address; a failed one counts."""
        return address in self._entries

    def asking(self, address: int) -> bool:
        """Whether an answer may still come: it is new, and being asked for."""
        entry = self._entries.get(address)
        return entry is not None and entry.state is State.INCOMPLETE

    def __iter__(self) -> Iterator[Entry]:
        """The entries, for showing."""
        return iter(self._entries.values())

    def resolve(self, address: int, now: float, asker: int = OURSELVES) -> bytes | None:
        """The mac to send to. None: it is being asked for (tick at once), or a FAIL action is owed for it."""
        entry = self._entries.get(address)
        if entry is None:
            entry = self._create(address, now) if address in self._met or self._admits(asker, now) else None
            if entry is not None:
                if address not in self._met:
                    self._strangers[address] = asker
                    self._asking[asker] += 1
                self._enter(entry, State.INCOMPLETE, now)
        if entry is None or entry.state is State.FAILED:
            self._owe_failure(address, now)
            return None
        self.used(address, now)
        return entry.mac

    def used(self, address: int, now: float) -> None:
        """Something was sent to the address: if what we know is stale, it will be verified."""
        entry = self._entries.get(address)
        if entry is not None and entry.state is State.STALE:
            self._enter(entry, State.DELAY, now + DELAY_FIRST_PROBE)

    def learned(self, address: int, mac: bytes | None, now: float, solicited: bool, override: bool = True) -> bool:
        """Take an ARP packet's sender or a neighbour advertisement; True if the address's mac is new. Creates nothing.

        `solicited`: it answers us. `override`: the advertisement's flag; ARP always overrides. Without `mac` it confirms the known one.
        """
        entry = self._entries.get(address)
        mac = mac or (entry.mac if entry is not None else None)
        if entry is None or mac is None or not _unicast(mac):
            return False
        new = entry.mac != mac
        if new and entry.mac is not None and not override:
            if entry.state is State.REACHABLE:
                self._enter(entry, State.STALE, None)
            return False
        entry.mac = mac
        self._introduce(address)
        if solicited:
            self._met.pop(address, None)
            self._met[address] = None
            if len(self._met) > REMEMBERED:
                del self._met[next(iter(self._met))]
            self._enter(entry, State.REACHABLE, now + REACHABLE_BASE * self._random.uniform(0.5, 1.5))
        elif new:
            self._enter(entry, State.STALE, None)
        return new

    def asked(self, address: int, mac: bytes, now: float) -> bool:
        """Take the sender of a request for one of our addresses, which will want an answer; True if its mac is new."""
        if address not in self._entries and _unicast(mac):
            self._create(address, now)
        return self.learned(address, mac, now, solicited=False)

    def tick(self, now: float) -> list[Action]:
        """Let time pass; what is to be done."""
        actions = list(self._owed.values())
        self._owed.clear()
        while self._heap and self._heap[0][0] <= now:
            due, address = heappop(self._heap)
            entry = self._entries.get(address)
            if entry is not None and entry.due == due:
                action = self._timeout(entry, now)
                if action is not None:
                    actions.append(action)
        return actions

    def deadline(self) -> float | None:
        """When to tick; None while nothing is owed."""
        if self._owed:
            return self._owed_at
        while self._heap:
            due, address = self._heap[0]
            entry = self._entries.get(address)
            if entry is not None and entry.due == due:
                return due
            heappop(self._heap)
        return None

    def _timeout(self, entry: Entry, now: float) -> Action | None:
        match entry.state:
            case State.REACHABLE:
                self._enter(entry, State.STALE, None)
            case State.DELAY:
                self._enter(entry, State.PROBE, None)
                return self._ask(entry, Do.PROBE, now)
            case State.INCOMPLETE | State.PROBE if entry.asks < MAX_ASKS:
                return self._ask(entry, Do.ASK if entry.state is State.INCOMPLETE else Do.PROBE, now)
            case State.INCOMPLETE:
                self._enter(entry, State.FAILED, now + FAILED_FOR)
                return Action(Do.FAIL, entry.address, None)
            case State.PROBE | State.FAILED:
                self._remove(entry.address)
                return Action(Do.FAIL, entry.address, None)
        return None

    def _ask(self, entry: Entry, do: Do, now: float) -> Action:
        entry.asks += 1
        self._schedule(entry, now + RETRANSMIT)
        return Action(do, entry.address, entry.mac)

    def _admits(self, asker: int, now: float) -> bool:
        """Whether another stranger may be asked for."""
        tokens, at = self._buckets.get(asker, (BURST, now))
        tokens = min(BURST, tokens + (now - at) * RATE)
        self._buckets[asker] = tokens, now
        if tokens < 1.0:
            return False
        if self._asking[asker] >= self._limit // 2 - len(self._strangers):
            oldest = next((address for address in self._failed if self._strangers.get(address) == asker), None)
            if oldest is None:
                return False
            self._drop(oldest, now)
        self._buckets[asker] = tokens - 1.0, now
        return True

    def _introduce(self, address: int) -> None:
        """The address is no stranger any more, or isn't asked for any more."""
        asker = self._strangers.pop(address, None)
        if asker is not None:
            self._asking[asker] -= 1

    def _create(self, address: int, now: float) -> Entry | None:
        if len(self._entries) >= self._limit:
            strangers = self._strangers if address in self._met else ()
            oldest = next((next(iter(several)) for several in (self._failed, self._stale, strangers) if several), None)
            if oldest is None:
                return None
            self._drop(oldest, now)
        entry = self._entries[address] = Entry(address, State.INCOMPLETE)
        return entry

    def _drop(self, address: int, now: float) -> None:
        """Make room; the mac may still be in use."""
        self._remove(address)
        self._owe_failure(address, now)

    def _remove(self, address: int) -> None:
        del self._entries[address]
        self._introduce(address)
        self._stale.pop(address, None)
        self._failed.pop(address, None)

    def _enter(self, entry: Entry, state: State, due: float | None) -> None:
        self._stale.pop(entry.address, None)
        self._failed.pop(entry.address, None)
        if state is State.STALE:
            self._stale[entry.address] = None
        elif state is State.FAILED:
            self._failed[entry.address] = None
        entry.state, entry.asks = state, 0
        self._schedule(entry, due)

    def _schedule(self, entry: Entry, due: float | None) -> None:
        entry.due = due
        if due is not None:
            heappush(self._heap, (due, entry.address))
        if len(self._heap) > 4 * self._limit:  # mostly rows that were overtaken: a neighbour that answers without end fills it with them
            self._heap = [(e.due, e.address) for e in self._entries.values() if e.due is not None]
            heapify(self._heap)

    def _owe_failure(self, address: int, now: float) -> None:
        if len(self._owed) < 4 * self._limit:
            self._owed_at = now
            self._owed[address] = Action(Do.FAIL, address, None)


def _unicast(mac: bytes) -> bool:
    return len(mac) == 6 and not mac[0] & 1 and any(mac)
