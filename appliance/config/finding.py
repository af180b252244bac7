"""What a cross check says, and what it may look at."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from appliance.config.models import Config
from appliance.config.places import Path


@dataclass(frozen=True, slots=True)
class Finding:
    """Something odd at `path`. Without `found` the text of the file is shown; `at_key` points at the key instead of the value."""

    path: Path
    what: str
    hint: str
    found: str = ""
    warning: bool = False
    at_key: bool = False


class Prefixes:
    """Networks with their owners, found by any address inside: a dictionary for each length in use."""

    def __init__(self) -> None:
        self._owners: dict[tuple[int, int], dict[int, str]] = {}  # (IP version, prefix length) -> leading bits -> owner

    def add(self, network: IPv4Network | IPv6Network, owner: str) -> str | None:
        """Add a network. Returns who had exactly this one before, and keeps them."""
        key = (network.version, network.prefixlen)
        bits = int(network.network_address) >> (network.max_prefixlen - network.prefixlen)
        before = self._owners.setdefault(key, {}).setdefault(bits, owner)
        return None if before == owner else before

    def owners(self, address: IPv4Address | IPv6Address, longest: int = 128) -> list[str]:
        """Who has a network around `address`, at most `longest` bits long; the longest prefix first."""
        found = []
        for version, length in sorted(self._owners, reverse=True):
            if version == address.version and length <= longest:
                owner = self._owners[version, length].get(int(address) >> (address.max_prefixlen - length))
                found += [] if owner is None else [owner]
        return found


@dataclass(frozen=True)
class Scope:
    """A configuration and what was left out of it."""

    config: Config
    broken: frozenset[Path]

    def lost(self, section: str) -> bool:
        """Whether anything of the section was left out."""
        return any(path[:1] == (section,) for path in self.broken)

    def unknown(self, section: str) -> bool:
        """Whether the whole section was left out, so that nobody knows its names."""
        return (section,) in self.broken

    @cached_property
    def nics(self) -> frozenset[str]:
        """Names of all nics in the file, sound or not."""
        return frozenset(self.config.nics) | self._lost_names("nics")

    @cached_property
    def zones(self) -> frozenset[str]:
        """Names of all zones in the file, sound or not."""
        return frozenset(self.config.zones) | self._lost_names("zones")

    def _lost_names(self, section: str) -> frozenset[str]:
        return frozenset(str(path[1]) for path in self.broken if len(path) == 2 and path[0] == section)

    @cached_property
    def connected(self) -> Prefixes:
        """Each connected network with the nic that had it first."""
        prefixes = Prefixes()
        for nic in self.config.nics.values():
            for address in nic.address:
                prefixes.add(address.network, nic.name)
        return prefixes

    @cached_property
    def adopts(self) -> bool:
        """Whether some nic learns its addresses at start: then the file doesn't know every network."""
        return any(nic.uplink and not nic.address for nic in self.config.nics.values())

    @cached_property
    def own(self) -> dict[IPv4Address | IPv6Address, str]:
        """Each of the appliance's addresses with its nic."""
        return {address.ip: nic.name for nic in self.config.nics.values() for address in nic.address}
