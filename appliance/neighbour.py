"""Neighbours: who owns an address on one nic's link. Sans-IO; the cache of one nic and one IP version, ARP and ND alike.

A shell feeds what it hears and what it uses, runs `tick` at `deadline`, and sends what that asks for. Packets that wait for an answer
wait elsewhere. Nothing is learned from neighbours that we neither use nor hear asking for us. Source: RFC 826; RFC 4861, sections 7.2, 7.3
and 10.

    (none) --resolve--> incomplete --answer--> reachable --30 s--> stale --use--> delay --5 s--> probe
                            |                      ^                                               |
                            +-3 asks--> failed     +------------------answer-----------------------+--3 asks--> (none)
                                           +-3 s--> (none)
"""

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
    """The cache. At most `limit` addresses: the longest stale gives way to a new one, and without any a new one is refused."""

    __slots__ = ("_entries", "_heap", "_idle", "_limit", "_owed", "_owed_at", "_random")

    def __init__(self, random: Random, limit: int = 1024) -> None:
        self._entries: dict[int, Entry] = {}
        self._idle: dict[int, None] = {}  # stale and failed addresses, in the order they became so
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

    def resolve(self, address: int, now: float) -> bytes | None:
        """The mac to send to. None: it is being asked for (tick at once), or a FAIL action is owed for it."""
        entry = self._entries.get(address)
        if entry is None:
            entry = self._create(address, now)
            if entry is not None:
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
        if solicited:
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

    def _create(self, address: int, now: float) -> Entry | None:
        if len(self._entries) >= self._limit:
            if not self._idle:
                return None
            oldest = next(iter(self._idle))
            self._remove(oldest)
            self._owe_failure(oldest, now)  # its mac may still be in use
        entry = self._entries[address] = Entry(address, State.INCOMPLETE)
        return entry

    def _remove(self, address: int) -> None:
        del self._entries[address]
        self._idle.pop(address, None)

    def _enter(self, entry: Entry, state: State, due: float | None) -> None:
        self._idle.pop(entry.address, None)
        if state in (State.STALE, State.FAILED):
            self._idle[entry.address] = None
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
