"""Where classes of flows begin, as the compiled path reads it.

Made apart from what takes it over, in any thread: sets bring very many, and the event loop has others to serve meanwhile.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from typing import NamedTuple


class Packed(NamedTuple):
    """Ascending numbers: IPv4 addresses and ports as native 32-bit numbers, IPv6 addresses as 16 bytes each in network order."""

    sources: tuple[bytes, bytes]
    """IPv4, IPv6."""
    destinations: tuple[bytes, bytes]
    ports: bytes


def pack(sources: Mapping[int, Iterable[int]], destinations: Mapping[int, Iterable[int]], ports: Iterable[int]) -> Packed:
    """Ascending numbers, those of addresses by IP version. What lies beyond their dimension cuts nothing."""
    return Packed((_small(sources[4]), _large(sources[6])), (_small(destinations[4]), _large(destinations[6])), _small(ports))


def _small(numbers: Iterable[int]) -> bytes:
    return array("I", (number for number in numbers if 0 < number < 1 << 32)).tobytes()


def _large(numbers: Iterable[int]) -> bytes:
    return b"".join(number.to_bytes(16) for number in numbers if 0 < number < 1 << 128)
