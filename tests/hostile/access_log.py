"""What a card does to a guest's memory, access by access, while the memory may change after each: see `access_log.c`."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

SOURCE = Path(__file__).with_name("access_log.c")


class Shared(Protocol):
    """Memory of a file that is mapped here, and by the card."""

    size: int

    @property
    def host_address(self) -> int: ...

    @property
    def inode(self) -> int: ...


class _Access(ctypes.Structure):
    _fields_ = [("offset", ctypes.c_uint64), ("write", ctypes.c_uint64)]


@dataclass
class AccessLog:
    """Offsets in the memory, in order; filled when the watching ends."""

    reads: list[int] = field(default_factory=list)
    writes: list[int] = field(default_factory=list)

    def read_between(self, start: int, end: int) -> list[int]:
        """Where reads began in [start, end), as offsets from `start`."""
        return [offset - start for offset in self.reads if start <= offset < end]


def compiled(folder: Path) -> ctypes.CDLL:
    """The watcher, built into `folder`."""
    library = folder / "access_log.so"
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", library, SOURCE], check=True)
    return ctypes.CDLL(str(library))


@contextmanager
def watching(library: ctypes.CDLL, ram: Shared, *, flip: int = 0) -> Iterator[AccessLog]:
    """Note the card's accesses to `ram`, which is mapped once here and once by the card. `flip`: bytes changed after each read."""
    ours, theirs = mappings(ram)
    log, notes = AccessLog(), ctypes.POINTER(_Access)()
    library.watch(ctypes.c_void_p(theirs), ctypes.c_size_t(ram.size), ctypes.c_void_p(ours), ctypes.c_size_t(flip))
    try:
        yield log
    finally:
        count = library.unwatch(ctypes.byref(notes))
        for access in notes[:count]:
            (log.writes if access.write else log.reads).append(access.offset)


def mappings(ram: Shared) -> tuple[int, int]:
    """Where the memory lies for the test, and where for the card."""
    ours = ram.host_address
    found = [int(line.split("-")[0], 16) for line in Path("/proc/self/maps").read_text().splitlines() if f" {ram.inode} " in f"{line} "]
    (theirs,) = (address for address in found if address != ours)
    return ours, theirs
