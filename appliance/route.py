"""Routes: longest prefix over connected networks, static routes and gateways, both IP versions, on integers."""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

BITS: Final = {4: 32, 6: 128}
LINK_LOCAL: Final = 0xFE80 << 112
LINK_LOCAL_MASK: Final = 0xFFC0 << 112


class Entry(NamedTuple):
    """One route. `via` is the next hop's address, 0 for a network that the nic is connected to."""

    version: int
    network: int  # host bits clear
    prefix: int
    nic: int
    via: int = 0


class Hop(NamedTuple):
    """The way to a destination: the nic to leave by, and the address to resolve there."""

    nic: int
    address: int


Levels = tuple[tuple[int, dict[int, tuple[int, int]]], ...]
"""(mask, network -> (nic, via)) for each prefix length in use, the longest first."""


class RouteTable:
    """Finds the way to an address. Of two entries for the same network the first given wins."""

    __slots__ = ("_all", "_behind", "_of_nic")

    def __init__(self, entries: Iterable[Entry]) -> None:
        entries = tuple(entries)
        self._all = {version: _levels(version, entries) for version in BITS}
        self._behind = {version: _nics(version, entries) for version in BITS}
        nics = {entry.nic for entry in entries}
        self._of_nic = {(nic, version): _levels(version, [e for e in entries if e.nic == nic]) for nic in nics for version in BITS}

    def lookup(self, version: int, address: int) -> Hop | None:
        """The way to `address`; None if there is none."""
        for mask, networks in self._all[version]:
            found = networks.get(address & mask)
            if found is not None:
                nic, via = found
                return Hop(nic, via or address)
        return None

    def behind(self, version: int, address: int) -> frozenset[int]:
        """The nics that the longest prefix with `address` is behind: several, if it is given for several."""
        for mask, networks in self._behind[version]:
            found = networks.get(address & mask)
            if found is not None:
                return found
        return frozenset()

    def names(self, version: int, address: int) -> bool:
        """Whether a route that is no default route leads to `address`."""
        return any(mask and address & mask in networks for mask, networks in self._behind[version])

    def hop_on(self, nic: int, version: int, address: int) -> int:
        """The next hop towards `address` by this nic; the address itself if none of the nic's routes leads there.

        Replies leave by the nic their flow came in on, whatever the best route would be.
        """
        if version == 6 and address & LINK_LOCAL_MASK == LINK_LOCAL:
            return address
        for mask, networks in self._of_nic.get((nic, version), ()):
            found = networks.get(address & mask)
            if found is not None:
                return found[1] or address
        return address

    def cuts(self, version: int) -> Iterator[int]:
        """The addresses from which on the way, or the way back by some nic, may be another. One that is a next hop stands alone."""
        whole = (1 << BITS[version]) - 1
        for (_, of_version), levels in self._of_nic.items():
            if of_version == version:
                for mask, networks in levels:
                    for network, (_, via) in networks.items():
                        yield from (network, network + (whole ^ mask) + 1, via, via + 1)


def _nics(version: int, entries: Iterable[Entry]) -> tuple[tuple[int, dict[int, frozenset[int]]], ...]:
    """(mask, network -> all nics that have it) for each prefix length in use, the longest first."""
    levels: dict[int, dict[int, frozenset[int]]] = {}
    for entry in entries:
        if entry.version == version:
            networks = levels.setdefault(entry.prefix, {})
            networks[entry.network] = networks.get(entry.network, frozenset()) | {entry.nic}
    return tuple((_mask(version, prefix), levels[prefix]) for prefix in sorted(levels, reverse=True))


def _mask(version: int, prefix: int) -> int:
    whole = (1 << BITS[version]) - 1
    return whole ^ (whole >> prefix)


def _levels(version: int, entries: Iterable[Entry]) -> Levels:
    levels: dict[int, dict[int, tuple[int, int]]] = {}
    for entry in entries:
        if entry.version == version:
            levels.setdefault(entry.prefix, {}).setdefault(entry.network, (entry.nic, entry.via))
    return tuple((_mask(version, prefix), levels[prefix]) for prefix in sorted(levels, reverse=True))
