"""Addresses that names stand for, as the answers on the path say: which of them are in which object, and for how long.

    query(flow, message)      of a client: remembered, if an object is about its name
    answer(flow, message)     learned from, if it answers such a query of the same flow

An address counts from its first answer until its own time to live and the object's `grace` are over. It is remembered after that, within
bounds, for flows that began by it: those go on. Only who sees the query can answer it: its flow, its number and its question must agree.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog

from appliance.config.objects import Domains
from appliance.objects.dns import Address, Question, read_answer, read_query
from appliance.ranges import Extent, holds

log = structlog.get_logger("names")

ASKED_FOR: Final = 10.0
"""Seconds for which an answer is awaited."""
MOST_ASKED: Final = 8192
LONGEST: Final = 86400.0
"""Seconds that an address holds at most, whatever its answer says."""
Place = tuple[int, int]
"""(version, address)."""


class _Learned:
    """What is known of one object: when each of its addresses ends, and the name that it is of. The one renewed longest ago comes first."""

    def __init__(self, wanted: Domains, resolvers: Extent | None) -> None:
        self.wanted, self.resolvers = wanted, resolvers
        self.places: OrderedDict[Place, tuple[float, str]] = OrderedDict()
        self.refused = 0
        self._full_until = 0.0  # of a full table: nobody's time is over before

    def add(self, place: Place, until: float, name: str, now: float) -> None:
        """Each address once, until the latest of its ends. A full table gives up one whose time is over; or else takes no more."""
        before = self.places.pop(place, None)
        if before is None and len(self.places) >= self.wanted.most and not self._makes_room(now):
            self.refused += 1
            if self.refused == 1:
                log.warning("an object has all the addresses that it may: others are not learned", object=self.wanted.name)
            return
        self.places[place] = until if before is None else max(until, before[0]), name
        self._full_until = min(self._full_until, until)

    def _makes_room(self, now: float) -> bool:
        """One whose time is over goes. Without any, nobody looks again before the next one's is: answers come as often as others like."""
        if now < self._full_until:
            return False
        over = next((place for place, (end, _) in self.places.items() if end <= now), None)
        if over is None:
            self._full_until = min(end for end, _ in self.places.values())
            return False
        del self.places[over]
        return True


class NameTable:
    """The objects with domain names of one appliance, across its configurations."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._objects: dict[str, _Learned] = {}
        self._exact: dict[str, list[_Learned]] = {}
        self._below: dict[str, list[_Learned]] = {}
        self._asked: OrderedDict[tuple[int, Question], float] = OrderedDict()

    def __bool__(self) -> bool:
        """Whether there is any object to learn for."""
        return bool(self._objects)

    def configure(self, objects: Mapping[str, Domains], resolvers: Mapping[str, Extent]) -> None:
        """Learn for these from now on. What is known of one with the same domains stays."""
        old, self._objects, self._exact, self._below = self._objects, {}, {}, {}
        for name, wanted in objects.items():
            made = self._objects[name] = _Learned(wanted, resolvers.get(name))
            if name in old and old[name].wanted.fqdn == wanted.fqdn:
                made.places = old[name].places
            for domain in wanted.fqdn:
                index, key = (self._below, domain[1:]) if domain.startswith(".") else (self._exact, domain)
                index.setdefault(key, []).append(made)

    def about(self, name: str) -> list[_Learned]:
        """The objects that a name is in."""
        found = list(self._exact.get(name, ()))
        while name and self._below:
            found += self._below.get(name, ())
            name = name.partition(".")[2]
        return found

    def query(self, flow: int, message: bytes) -> None:
        """A query leaves by a flow."""
        question = read_query(message)
        if question is None or not self.about(question.name):
            return
        now = self._clock()
        self._asked.pop((flow, question), None)
        self._asked[flow, question] = now + ASKED_FOR
        while self._asked and (len(self._asked) > MOST_ASKED or next(iter(self._asked.values())) <= now):
            self._asked.popitem(last=False)

    def answer(self, flow: int, resolver: Place, message: bytes) -> None:
        """A message comes back by a flow, from a resolver."""
        found = read_answer(message)
        if found is None or self._asked.pop((flow, found.question), 0.0) <= self._clock():
            return
        for each in self.about(found.question.name):
            if each.resolvers is None or holds(each.resolvers.ranges(resolver[0]), resolver[1]):
                for address in found.addresses:
                    self._learn(each, address, found.question.name)

    def _learn(self, each: _Learned, address: Address, name: str) -> None:
        now = self._clock()
        each.add((address.version, address.number), now + min(address.ttl, LONGEST) + each.wanted.grace, name, now)

    def holds(self, objects: tuple[str, ...], version: int, address: int) -> bool:
        """Whether an address is in one of the objects now."""
        now = self._clock()
        return any(each.places.get((version, address), (0.0, ""))[0] > now for each in self._those(objects))

    def held(self, objects: tuple[str, ...], version: int, address: int) -> bool:
        """Whether an address is in one of the objects, or was: for flows that are there already."""
        return any((version, address) in each.places for each in self._those(objects))

    def _those(self, objects: tuple[str, ...]) -> list[_Learned]:
        return [self._objects[name] for name in objects if name in self._objects]

    def status(self, show: Callable[[int, int], str]) -> list[dict[str, Any]]:
        """For people: the addresses of each object that hold now."""
        now = self._clock()
        return [
            {"name": object_name, "fqdn": list(each.wanted.fqdn), "refused": each.refused, "addresses": [
                {"address": show(*place), "of": name, "left": until - now} for place, (until, name) in each.places.items() if until > now
            ]}
            for object_name, each in self._objects.items()
        ]  # fmt: skip
