"""Bindings of endpoint-independent mapping: an inside address and port, and the outside ones that all its flows leave under.

    inside 192.168.1.9:5000 <--> outside 203.0.113.7:5000     whoever it talks to
    others that send to the outside: let in by `filtering`

A binding lives as long as a flow of it does; nobody outside keeps it alive. It is looked at when it may be over, not at each flow's end.
Source: RFC 4787, sections 4.1, 4.3 and 5; RFC 5382, sections 4 and 5; RFC 7857, sections 3 to 5, 7 and 9.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import chain
from random import Random
from typing import Final

from appliance.nat.ports import LOWEST, RANDOM_TRIES, SPAN, Suits, random_ports
from appliance.policy.facts import Tuple5

LIMIT: Final = 65536
"""Bindings at most."""
FLOWS: Final = 256
"""Flows of one binding that are remembered, the latest: any of them keeps it alive."""
ROOM: Final = 64
"""So many of them, the oldest, make room at once, so that not each new flow has all others looked at."""
LOOK: Final = 10.0
"""Seconds between looks at whether a binding has a flow left."""
LOOKS: Final = 256
"""Bindings that are looked at in one go."""

Alive = Callable[[int, int, Tuple5], bool]
"""Whether a flow expects this reply: (version, protocol, reply)."""


@dataclass(slots=True)
class Binding:
    """`entry` names the translation that made it; `flows` are the replies that its flows expect."""

    version: int
    protocol: int
    inside: int
    port: int
    outside: int
    outside_port: int
    entry: str
    flows: dict[Tuple5, None] = field(default_factory=dict)


class Bindings:
    """All bindings. `clock`: seconds. Keys are bytes: Python hashes these with a secret."""

    def __init__(self, alive: Alive, clock: Callable[[], float], random: Random, limit: int = LIMIT) -> None:
        self._alive, self._clock, self._random, self._limit = alive, clock, random, limit
        self._by_inside: dict[bytes, Binding] = {}
        self._by_outside: dict[bytes, Binding] = {}
        self._due: list[tuple[float, bytes]] = []

    def __len__(self) -> int:
        return len(self._by_inside)

    def __iter__(self) -> Iterator[Binding]:
        return iter(self._by_inside.values())

    # -- outbound ------------------------------------------------------------------------------------------------------

    def find(self, version: int, protocol: int, inside: int, port: int, outside: int) -> Binding | None:
        """The binding of an inside end at an outside address."""
        return self._by_inside.get(_key(version, protocol, inside, port, outside))

    def make(self, found: Binding, fits: Callable[[int], bool], keep: bool, suits: Suits | None = None) -> Binding | None:
        """Bind the inside end of `found` to a port of its outside address that nobody has and that `fits`, the inside's own if told to
        `keep` it, else rather one that `suits`; None if there is none, or no room for more."""
        if len(self._by_inside) >= self._limit:
            self.tick()
        if len(self._by_inside) >= self._limit:
            return None
        ports = random_ports(self._random, found.port, RANDOM_TRIES, SPAN, suits)
        for port in chain((found.port,), ports) if keep else ports:
            outer = _key(found.version, found.protocol, found.outside, port)
            if outer not in self._by_outside and fits(port):
                found.outside_port = port
                inner = _key(found.version, found.protocol, found.inside, found.port, found.outside)
                self._by_inside[inner] = self._by_outside[outer] = found
                heappush(self._due, (self._clock() + LOOK, inner))
                return found
        return None

    def use(self, binding: Binding, reply: Tuple5) -> None:
        """A flow of the binding begins."""
        binding.flows.pop(reply, None)
        if len(binding.flows) >= FLOWS:
            self._forget_dead(binding)
            while len(binding.flows) > FLOWS - ROOM:
                del binding.flows[next(iter(binding.flows))]
        binding.flows[reply] = None

    # -- inbound -------------------------------------------------------------------------------------------------------

    def at(self, version: int, protocol: int, outside: int, port: int) -> Binding | None:
        """Whose outside address and port this is."""
        return self._by_outside.get(_key(version, protocol, outside, port))

    def knows(self, binding: Binding, peer: int) -> bool:
        """Whether a flow of the binding goes to an address outside."""
        return any(reply[0] == peer and self._alive(binding.version, binding.protocol, reply) for reply in binding.flows)

    # -- time ----------------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """End bindings that have no flow left, as many as may be looked at in one go."""
        now = self._clock()
        for _ in range(LOOKS):
            if not self._due or self._due[0][0] > now:
                return
            _, inner = heappop(self._due)
            binding = self._by_inside.get(inner)
            if binding is None:
                continue
            self._forget_dead(binding)
            if binding.flows:
                heappush(self._due, (now + LOOK, inner))
            else:
                self._end(inner, binding)

    def keep(self, entries: Mapping[str, object], stands: Callable[[int, int], bool]) -> None:
        """After a reload: end the bindings of entries that make none any more, or whose address is another's."""
        for inner, binding in list(self._by_inside.items()):
            if binding.entry not in entries or not stands(binding.version, binding.outside):
                self._end(inner, binding)

    def _forget_dead(self, binding: Binding) -> None:
        binding.flows = {reply: None for reply in binding.flows if self._alive(binding.version, binding.protocol, reply)}

    def _end(self, inner: bytes, binding: Binding) -> None:
        del self._by_inside[inner]
        del self._by_outside[_key(binding.version, binding.protocol, binding.outside, binding.outside_port)]


def _key(version: int, protocol: int, address: int, port: int, other: int = 0) -> bytes:
    return bytes((version, protocol)) + address.to_bytes(16) + port.to_bytes(2) + other.to_bytes(16)


def keeps(port: int, low: bool) -> bool:
    """Whether a port may stay behind an outside address; below 1024 only where the address is nobody's own."""
    return low or port >= LOWEST
