"""Destination translation: which forward or service takes a flow that arrives at one of the appliance's doors."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from appliance.balancer.services import Pool
from appliance.config.models import Forward, Service
from appliance.policy.rules import Verdict


class Door(NamedTuple):
    """Where something listens: ports low to high of an address. Either `pool` chooses a target, or `address` (and `port`) is the way in."""

    low: int
    high: int
    rule: Verdict  # implied: allows what the door takes, unless a written rule speaks of it
    address: int = 0
    port: int | None = None  # None: the port stays
    pool: Pool | None = None
    masquerade: bool = False


Place = tuple[int, int, int, int]
"""(ingress zone, version, protocol, address): what the doors are filed under."""


class Doors:
    """All doors. Of two that overlap, the first added wins."""

    __slots__ = ("_doors",)

    def __init__(self, doors: Iterable[tuple[Place, Door]]) -> None:
        self._doors: dict[Place, list[Door]] = {}
        for place, door in doors:
            self._doors.setdefault(place, []).append(door)

    def find(self, zone: int, version: int, protocol: int, address: int, port: int) -> Door | None:
        """The door a flow from `zone` comes to, None if there is none."""
        for door in self._doors.get((zone, version, protocol, address), ()):
            if door.low <= port <= door.high:
                return door
        return None

    def addresses(self) -> frozenset[tuple[int, int]]:
        """Every (version, address) that has a door."""
        return frozenset((version, address) for _, version, _, address in self._doors)


def forward_doors(forward: Forward, zone: int, own: Iterable[tuple[int, int]]) -> Iterable[tuple[Place, Door]]:
    """The doors of one forward. `own` are the (version, address) pairs of its zone's nics, used when it names no address."""
    low, high = forward.ports
    door = Door(low, high, Verdict(True, f"forward {forward.name}", forward.line), int(forward.to_address), forward.to_port)
    named = [(address.version, int(address)) for address in forward.addresses]
    for version, address in named or own:
        if version == forward.to_address.version:
            yield (zone, version, forward.protocol, address), door


def service_doors(service: Service, zones: Iterable[int], pools: Mapping[int, Pool]) -> Iterable[tuple[Place, Door]]:
    """The doors of one service: a listen address in each zone that may reach it. `pools` by IP version."""
    zones = tuple(zones)
    rule = Verdict(True, f"service {service.name}", service.line)
    for listen in service.listen:
        pool = pools[listen.address.version]
        door = Door(listen.port, listen.port, rule, pool=pool, masquerade=service.masquerade)
        for zone in zones:
            yield (zone, listen.address.version, listen.protocol, int(listen.address)), door
