"""Which pages a driver has: the files `rtemap_*` of a directory on hugetlbfs that a living process has locked.

    directory --look--> files, locked --locate--> physical addresses --replace--> HugePages

Pages come and go while a driver starts, and later too: `look` is cheap as long as nothing has changed. EAL keeps a shared lock on each
page that it uses, and a lock ends with its process, however that ends. So a driver that was killed has no pages, though its files stay.
Source: DPDK programmer's guide, Environment Abstraction Layer; proc(5), /proc/locks.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from ena_dev.errors import BusError
from ena_dev.polled.huge_pages import MOST_RUNS, HugePages

log = logging.getLogger(__name__)

PATTERN: Final = "rtemap_"
MOST_PAGES: Final = 256
LOCKS: Final = Path("/proc/locks")

Run = tuple[int, int, list[int]]  # physical address, bytes of a page, a file for each page


class Pages:
    """Keeps `memory` at what a driver has in `directory`."""

    def __init__(self, directory: Path, memory: HugePages) -> None:
        self._directory, self._memory = directory, memory
        self._known: frozenset[int] = frozenset()

    def look(self) -> None:
        """See to it that all pages there are now can be reached, and no others. What can't be used is logged and left out."""
        found = self._found()
        if found.keys() == self._known:
            return
        with ExitStack() as opened:
            runs = in_runs({at: (size, fd) for path in found.values() for at, size, fd in self._opened(path, opened)})
            try:
                self._memory.replace(runs[:MOST_RUNS])
            except OSError as error:
                log.warning("%s: pages can't be mapped: %s", self._directory, error)
                self._memory.replace([])
        # Files that had no page yet are looked at again.
        self._known = frozenset(inode for inode, path in found.items() if _size(path))
        log.debug("%s: %d pages in %d runs", self._directory, len(found), len(runs))
        if len(runs) > MOST_RUNS:
            log.warning("%s: pages are scattered over %d places; those beyond %d can't be reached", self._directory, len(runs), MOST_RUNS)

    def drop(self) -> None:
        """Let go of all pages."""
        self._known = frozenset()
        self._memory.replace([])

    def __bool__(self) -> bool:
        """Whether a driver was there at the last look."""
        return bool(self._known)

    def _found(self) -> dict[int, Path]:
        """Pages in use, by inode."""
        try:
            with os.scandir(self._directory) as entries:
                found = {entry.inode(): Path(entry.path) for entry in entries if entry.name.startswith(PATTERN)}
        except OSError:
            return {}
        if not found:
            return found
        used = locked(os.stat(self._directory).st_dev)
        kept = sorted((path, inode) for inode, path in found.items() if inode in used)
        return {inode: path for path, inode in kept[:MOST_PAGES]}

    def _opened(self, path: Path, stack: ExitStack) -> Iterator[tuple[int, int, int]]:
        """The page in a file, as (physical address, size, file): none if it isn't a file of just one page of its file system."""
        try:
            fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            log.debug("%s: not opened: %s", path, error)
            return
        stack.callback(os.close, fd)
        status, size = os.fstat(fd), os.fstatvfs(fd).f_bsize
        if not stat.S_ISREG(status.st_mode) or status.st_size != size:
            if status.st_size:
                log.warning("%s: not a file of one page of %d bytes", path, size)
            return
        try:
            yield self._memory.locate(fd, size), size, fd
        except (BusError, OSError) as error:
            log.warning("%s: no page to use: %s", path, error)


def in_runs(pages: Mapping[int, tuple[int, int]]) -> list[Run]:
    """Pages by address, as (size, file), joined to runs of neighbours of one size."""
    runs: list[Run] = []
    for address, (size, fd) in sorted(pages.items()):
        if runs and runs[-1][1] == size and address == runs[-1][0] + size * len(runs[-1][2]):
            runs[-1][2].append(fd)
        else:
            runs.append((address, size, [fd]))
    return runs


def locked(device: int) -> frozenset[int]:
    """Inodes on a device that a living process has locked whole."""
    place = f"{os.major(device):02x}:{os.minor(device):02x}:"
    fields = (line.split() for line in LOCKS.read_text().splitlines())
    files = (words[5] for words in fields if len(words) > 5 and words[1] == "FLOCK")
    return frozenset(int(file.removeprefix(place)) for file in files if file.startswith(place))


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0
