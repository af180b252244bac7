"""Files of addresses, as others publish them: one address, network or range a line, both families, comments behind `#` or `;`.

Read within bounds of bytes and entries, and whole or not at all: one line that can't be read may mean that the file is half written.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from socket import AF_INET, AF_INET6, inet_pton
from typing import Final, NamedTuple

from appliance.collector import paused
from appliance.config.errors import quoted
from appliance.ranges import Extent, Range, merged
from ena_dev.errors import SoftenaError

BYTES_AN_ENTRY: Final = 128
"""A file may have so many for each entry, comments included; of a few entries LEAST_BYTES."""
LEAST_BYTES: Final = 1 << 20
FAMILIES: Final = ((AF_INET, 4, 32), (AF_INET6, 6, 128))


class ListError(SoftenaError):
    """A list that can't be used: what is wrong in which line (0: with the file as a whole), what was found, and what would do."""

    def __init__(self, line: int, what: str, found: str, hint: str) -> None:
        super().__init__(f"line {line}: {what}, found {found}, {hint}" if line else f"{what}, {found}, {hint}")
        self.line, self.what, self.found, self.hint = line, what, found, hint


class Unreadable(ListError):
    """It can't even be read, for the moment."""


class Version(NamedTuple):
    """By what a file is told from what it was before."""

    inode: int
    size: int
    modified: int  # nanoseconds since the epoch, like the next
    changed: int  # its rights, too


class List(NamedTuple):
    """What was in a file."""

    extent: Extent
    entries: int
    version: Version


def version_of(path: Path) -> Version:
    """Raises ListError: it isn't there, or no file."""
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise unreadable(error) from error
    return _version(status)


def _version(status: os.stat_result) -> Version:
    if not stat.S_ISREG(status.st_mode):
        raise ListError(0, "list can't be read", "not a regular file", "name a file")
    return Version(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def unreadable(error: Exception) -> Unreadable:
    """What the system says of a file."""
    why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return Unreadable(0, "list can't be read", why[:1].lower() + why[1:], "check the path, and that everyone may read it")


@paused()
def read_list(path: Path, most: int) -> List:
    """A file of at most `most` entries. Raises ListError for anything else, whatever the file holds."""
    largest = max(LEAST_BYTES, most * BYTES_AN_ENTRY)
    try:
        with open(path, "rb", opener=_open) as stream:
            version = _version(os.fstat(stream.fileno()))
            data = stream.read(largest + 1)
    except (OSError, ValueError) as error:
        raise unreadable(error) from error
    if len(data) > largest:
        raise ListError(0, "list is too large", f"more than {largest:,} bytes", "shorten it, or raise `max`")
    extent, entries = parse_list(data, most)
    return List(extent, entries, version)


def _open(path: str, flags: int) -> int:
    """A pipe in place of a file doesn't keep us waiting."""
    return os.open(path, flags | os.O_NONBLOCK)


def parse_list(data: bytes, most: int) -> tuple[Extent, int]:
    """The addresses in the text of a list, and how many entries that were."""
    ranges: dict[int, list[Range]] = {4: [], 6: []}
    entries = 0
    for number, line in enumerate(data.decode("utf-8", "replace").removeprefix("\ufeff").split("\n"), 1):
        text = line.partition("#")[0].partition(";")[0].strip()
        if not text:
            continue
        entries += 1
        if entries > most:
            raise ListError(number, "too many entries", f"more than {most:,}", "shorten the list, or raise `max`")
        version, first, last = _entry(text, number)
        ranges[version].append((first, last))
    return Extent(merged(ranges[4]), merged(ranges[6])), entries


def _entry(text: str, line: int) -> tuple[int, int, int]:
    """Version, first and last address of `192.0.2.1`, `192.0.2.0/24` or `192.0.2.1-192.0.2.9`. Bits behind a prefix don't count."""
    low, dash, high = text.partition("-")
    if dash:
        (version, first, _), (other, last, _) = _number(low.strip(), text, line), _number(high.strip(), text, line)
        if version == other and first <= last:
            return version, first, last
        raise _bad(text, line)
    host, slash, length = text.partition("/")
    version, first, bits = _number(host, text, line)
    if not slash:
        return version, first, first
    if not (length.isascii() and length.isdecimal() and len(length) < 4 and int(length) <= bits):
        raise _bad(text, line)
    behind = (1 << bits - int(length)) - 1
    return version, first & ~behind, first | behind


def _number(host: str, text: str, line: int) -> tuple[int, int, int]:
    """Version, number and bits of an address."""
    for family, version, bits in FAMILIES:
        try:
            return version, int.from_bytes(inet_pton(family, host)), bits
        except (OSError, ValueError):
            continue
    raise _bad(text, line)


def _bad(text: str, line: int) -> ListError:
    return ListError(line, "not an address or network", quoted(text), "write one such as 192.0.2.0/24 a line, comments behind #")
