"""What the names in rules mean at the moment: a configuration whose rules have addresses alone.

    objects --(sets read from files, addresses that nics have by now)--> Extent --> in place of its name in policy and nat

A forward to an object of both families becomes one of each. What isn't known yet (`Extent.sure`) stands for no address here; who
compares rules with each other has to mind that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address, IPv6Interface, IPv6Network
from typing import Final

from appliance.config.models import Config, Forward, Nic
from appliance.config.nat import Translation
from appliance.config.objects import Domains, FileSet, Group, Host, ObjectName, Place, Relative
from appliance.config.rules import Rule
from appliance.ranges import Extent, merged, network_range

DEEPEST: Final = 100
"""Names inside each other that are followed: more than a sound file has."""
UNKNOWN: Final = Extent((), (), sure=False)
BY_NAME: Final = frozenset((ObjectName, Relative))
UNIQUE_LOCAL: Final = IPv6Network("fc00::/7")
"""Source: RFC 4193, section 3.1."""


class Meanings:
    """What each name of one configuration stands for. `sets`: what was read from the files of sets, by the name of the object."""

    def __init__(self, config: Config, sets: Mapping[str, Extent] | None = None) -> None:
        self._config, self._sets = config, sets or {}
        self._found: dict[str, Extent] = {}
        self._depth = 0

    def of(self, name: str) -> Extent:
        """The addresses of an object; none that is known for one that isn't there, or that stands for itself."""
        found = self._found.get(name)
        if found is None:
            self._found[name] = UNKNOWN  # until it is known: circles end here
            self._depth += 1
            found = self._found[name] = self._meaning(name) if self._depth <= DEEPEST else UNKNOWN
            self._depth -= 1
        return found

    def _meaning(self, name: str) -> Extent:
        match self._config.objects.get(name):
            case Host() as host:
                return self.sum((*host.v4, *host.v6))
            case Group() as group:
                return self.sum(group.members)
            case FileSet():
                return self._sets.get(name, UNKNOWN)
            case Domains():
                return Extent((), (), sure=False, names=(name,))
        return UNKNOWN

    def sum(self, places: Iterable[Place]) -> Extent:
        """All addresses of some places."""
        parts = [self.place(place) for place in places]
        if len(parts) == 1:
            return parts[0]
        four, six = (merged(each for part in parts for each in part.ranges(version)) for version in (4, 6))
        names = tuple(dict.fromkeys(name for part in parts for name in part.names))
        return Extent(four, six, all(part.sure for part in parts), names)

    def place(self, place: Place) -> Extent:
        """The addresses of one place."""
        if isinstance(place, Extent):
            return place
        if isinstance(place, ObjectName):
            return self.of(place)
        if isinstance(place, Relative):
            network = completed(place, self._config.nics.get(place.nic))
            if network is None:
                return UNKNOWN
            place = network
        ranges = (network_range(place),)
        return Extent(ranges, ()) if place.version == 4 else Extent((), ranges)


def unresolved(config: Config) -> Iterator[str]:
    """What is written as an address by its end, and has no beginning at the moment."""
    for item in config.objects.values():
        if isinstance(item, Group | Host):
            places = item.members if isinstance(item, Group) else item.v6
            for place in places:
                if isinstance(place, Relative) and completed(place, config.nics.get(place.nic)) is None:
                    yield f"{place.suffix} via {place.nic}"


def completed(relative: Relative, nic: Nic | None) -> IPv6Network | None:
    """The end of an address with the beginning that a nic's network gives it; None while it has none that leaves room for it."""
    prefix = None if nic is None else prefix_of(nic)
    if prefix is None or relative.suffix.prefixlen < prefix.prefixlen or int(relative.suffix.network_address) & int(prefix.netmask):
        return None
    return IPv6Network((int(prefix.network_address) | int(relative.suffix.network_address), relative.suffix.prefixlen))


def prefix_of(nic: Nic) -> IPv6Network | None:
    """The first global network of a nic; a unique local one, if it has no other."""
    networks = [address.network for address in nic.address if isinstance(address, IPv6Interface) and not address.ip.is_link_local]
    return min(networks, key=lambda network: network.subnet_of(UNIQUE_LOCAL), default=None)


def resolve(config: Config, sets: Mapping[str, Extent] | None = None) -> Config:
    """The configuration with addresses in place of all names in its policy and its translations."""
    meanings = Meanings(config, sets)
    policy = tuple([_plain(rule, meanings) for rule in config.policy])
    nat = tuple(each for entry in config.nat for each in _translations(entry, meanings))
    return config.model_copy(update={"policy": policy, "nat": nat})


def _plain(rule: Rule, meanings: Meanings) -> Rule:
    if not (_named(rule.source) or _named(rule.destination)):
        return rule
    return rule.model_copy(update={"source": _meant(rule.source, meanings), "destination": _meant(rule.destination, meanings)})


def _named(places: tuple[object, ...]) -> bool:
    return not BY_NAME.isdisjoint(map(type, places))


def _meant(places: Iterable[Place], meanings: Meanings) -> tuple[Place, ...]:
    return tuple(meanings.place(place) if type(place) in BY_NAME else place for place in places)


def _translations(entry: Translation, meanings: Meanings) -> Iterator[Translation]:
    """The same without names. A forward to an object becomes one for each family that the object has one address of."""
    fields = {name: value for name, value in entry if isinstance(value, tuple) and _named(value)}
    entry = entry.model_copy(update={name: _meant(value, meanings) for name, value in fields.items()}) if fields else entry
    if not isinstance(entry, Forward) or not isinstance(entry.to_address, ObjectName):
        yield entry
        return
    for address in single_addresses(meanings.of(entry.to_address)):
        yield entry.model_copy(update={"to_address": address})


def single_addresses(extent: Extent) -> list[IPv4Address | IPv6Address]:
    """The one address of each family of which there is just one."""
    alone = [(version, ranges[0][0]) for version in (4, 6) if len(ranges := extent.ranges(version)) == 1 and ranges[0][0] == ranges[0][1]]
    return [IPv4Address(number) if version == 4 else IPv6Address(number) for version, number in alone]
