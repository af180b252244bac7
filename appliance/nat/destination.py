"""Destination translation: which forward or service takes a flow that arrives at one of the appliance's doors."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from appliance.balancer.services import Pool
from appliance.config.limits import Protect
from appliance.config.models import Forward, Service
from appliance.nat.layers import at, layered
from appliance.policy.facts import TCP
from appliance.policy.rules import Verdict
from appliance.ranges import ends


class Door(NamedTuple):
    """Where something listens: ports low to high of an address. Either `pool` chooses a target, or `address` (and `port`) is the way in."""

    low: int
    high: int
    rule: Verdict | None  # implied: allows what the door takes, unless a written rule speaks of it
    address: int = 0
    port: int | None = None  # None: the port stays
    pool: Pool | None = None
    masquerade: bool = False
    outer: int = -1  # the number of the zone that it is meant for; -1: all that it has
    hairpin: bool = False  # who would be answered around the appliance is hidden
    own: int = 0  # the outside address of who masquerades to that zone
    guard: int = 0  # GUARD_*: whether handshakes are answered by cookies
    proxy: bool = False  # the target reads first who its client is
    owner: str | None = None  # whose flows these are: the service, or "forward NAME"
    entry: str = ""  # the entry of `nat` that it is of, "" for a service's


GUARDS: Final = {"off": 0, "under-pressure": 1, "always": 2}
"""What `install` calls them."""

Place = tuple[int, int, int, int]
"""(ingress zone, version, protocol, address): what the doors are filed under."""

Wall = tuple[list[int], list[Door | None]]
"""All doors of a place: the ports at which it changes who listens, and who does from there on; nobody below the first."""


class Doors:
    """All doors. Of two that overlap, the first added wins."""

    __slots__ = ("_doors",)

    def __init__(self, doors: Iterable[tuple[Place, Door]]) -> None:
        by_place: dict[Place, list[Door]] = {}
        for place, door in doors:
            by_place.setdefault(place, []).append(door)
        self._doors: dict[Place, Wall] = {
            place: layered([((door.low, door.high), door) for door in listed]) for place, listed in by_place.items()
        }

    def find(self, zone: int, version: int, protocol: int, address: int, port: int) -> Door | None:
        """The door a flow from `zone` comes to, None if there is none."""
        wall = self._doors.get((zone, version, protocol, address))
        return None if wall is None else at(wall, port)

    def addresses(self) -> frozenset[tuple[int, int]]:
        """Every (version, address) that has a door."""
        return frozenset((version, address) for _, version, _, address in self._doors)

    def port_cuts(self) -> Iterator[int]:
        """The ports from which on another door may be found. One that a door leads to stands alone."""
        for ports, listening in self._doors.values():
            yield from ports
            yield from ends((door.port, door.port) for door in listening if door is not None and door.port is not None)


def _guard(protocol: int, protect: Protect) -> int:
    return GUARDS[protect.syn_cookies] if protocol == TCP else 0


def forward_doors(forward: Forward, outer: int, zones: Iterable[int], own: Iterable[tuple[int, int]]) -> Iterable[tuple[Place, Door]]:
    """The doors of one forward in some zones. `outer` is the zone that it is on, `own` the (version, address) pairs of that zone's nics,
    used when it names no address."""
    low, high = forward.ports
    rule = Verdict(True, f"forward {forward.name}", forward.line)
    guard = _guard(forward.protocol, forward.protect)
    door = Door(
        low, high, rule, int(forward.to_address), forward.to_port, outer=outer, hairpin=forward.hairpin, guard=guard, owner=rule.name,
        entry=forward.name,
    )  # fmt: skip
    named = [(address.version, int(address)) for address in forward.addresses]
    for version, address in named or own:
        if version == forward.family:
            for zone in zones:
                yield (zone, version, forward.protocol, address), door


def service_doors(service: Service, zones: Iterable[int], pools: Mapping[int, Pool]) -> Iterable[tuple[Place, Door]]:
    """The doors of one service: a listen address in each zone that may reach it. `pools` by IP version."""
    zones = tuple(zones)
    rule = Verdict(True, f"service {service.name}", service.line)
    for listen in service.listen:
        pool = pools[listen.address.version]
        door = Door(
            listen.port, listen.port, rule, pool=pool, masquerade=service.hides_client, hairpin=service.hairpin,
            guard=_guard(listen.protocol, service.protect), proxy=listen.protocol == TCP and service.client_ip == "proxy-v2",
            owner=service.name,
        )  # fmt: skip
        for zone in zones:
            yield (zone, listen.address.version, listen.protocol, int(listen.address)), door
