"""Special-purpose addresses: which blocks are for one network, one link or documents alone, and never for the Internet.

Source: IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890, as updated by RFC 8190), column "Globally Reachable". Blocks for
which it says N/A (6to4, Teredo) are left to those who route them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_network
from typing import Final

from appliance.ranges import Range, Ranges, holds, merged, network_range

REGISTRY: Final[tuple[tuple[str, bool, str], ...]] = (
    # block, globally reachable, what it is
    ("0.0.0.0/8", False, "this network, RFC 791"),
    ("10.0.0.0/8", False, "private use, RFC 1918"),
    ("100.64.0.0/10", False, "shared address space, RFC 6598"),
    ("127.0.0.0/8", False, "loopback, RFC 1122"),
    ("169.254.0.0/16", False, "link local, RFC 3927"),
    ("172.16.0.0/12", False, "private use, RFC 1918"),
    ("192.0.0.0/24", False, "IETF protocol assignments, RFC 6890"),
    ("192.0.0.9/32", True, "port control protocol anycast, RFC 7723"),
    ("192.0.0.10/32", True, "TURN anycast, RFC 8155"),
    ("192.0.2.0/24", False, "documentation, RFC 5737"),
    ("192.168.0.0/16", False, "private use, RFC 1918"),
    ("198.18.0.0/15", False, "benchmarking, RFC 2544"),
    ("198.51.100.0/24", False, "documentation, RFC 5737"),
    ("203.0.113.0/24", False, "documentation, RFC 5737"),
    ("240.0.0.0/4", False, "reserved, RFC 1112; with the limited broadcast, RFC 8190"),
    ("::/128", False, "unspecified, RFC 4291"),
    ("::1/128", False, "loopback, RFC 4291"),
    ("::ffff:0:0/96", False, "IPv4-mapped, RFC 4291"),
    ("64:ff9b:1::/48", False, "IPv4-IPv6 translation, RFC 8215"),
    ("100::/64", False, "discard only, RFC 6666"),
    ("100:0:0:1::/64", False, "dummy prefix, RFC 9780"),
    ("2001::/23", False, "IETF protocol assignments, RFC 2928"),
    ("2001::/32", True, "Teredo, RFC 4380: N/A"),
    ("2001:1::1/128", True, "port control protocol anycast, RFC 7723"),
    ("2001:1::2/128", True, "TURN anycast, RFC 8155"),
    ("2001:1::3/128", True, "DNS-SD service registration anycast, RFC 9665"),
    ("2001:3::/32", True, "AMT, RFC 7450"),
    ("2001:4:112::/48", True, "AS112, RFC 7535"),
    ("2001:20::/28", True, "ORCHIDv2, RFC 7343"),
    ("2001:30::/28", True, "drone remote identification, RFC 9374"),
    ("2001:db8::/32", False, "documentation, RFC 3849"),
    ("3fff::/20", False, "documentation, RFC 9637"),
    ("5f00::/16", False, "segment routing identifiers, RFC 9602"),
    ("fc00::/7", False, "unique local, RFC 4193"),
    ("fe80::/10", False, "link local, RFC 4291"),
)
"""Blocks that are reachable and lie in none that isn't are left out."""


def _without(ranges: Iterable[Range], holes: Ranges) -> Iterator[Range]:
    for first, last in ranges:
        for low, high in holes:
            if first <= low and high <= last:
                yield first, low - 1
                first = high + 1
        yield first, last


def _bogons(version: int) -> Ranges:
    blocks = [(ip_network(block), reachable) for block, reachable, _ in REGISTRY]
    local = merged(network_range(block) for block, reachable in blocks if block.version == version and not reachable)
    holes = merged(network_range(block) for block, reachable in blocks if block.version == version and reachable)
    return tuple((first, last) for first, last in _without(local, holes) if first <= last)


BOGONS: Final = {version: _bogons(version) for version in (4, 6)}
"""By IP version, the addresses that nobody on the Internet has."""


def is_bogon(version: int, address: int) -> bool:
    """Whether nobody on the Internet has this address."""
    return holds(BOGONS[version], address)
