"""A driver's side of a polled card: the BAR's file, mapped, and pages that are locked files."""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from ena_dev.bus.executor import Executor
from ena_dev.polled.huge_pages import HugePages

PAGE = 4096


class BarFile:
    """BAR 0 as a driver maps it."""

    def __init__(self, path: Path) -> None:
        fd = os.open(path, os.O_RDWR)
        self._bytes = mmap.mmap(fd, 0x4000)
        os.close(fd)

    def __getitem__(self, offset: int) -> int:
        return int(struct.unpack_from("<I", self._bytes, offset)[0])

    def __setitem__(self, offset: int, value: int) -> None:
        struct.pack_into("<I", self._bytes, offset, value)


class DriverPages:
    """Pages as EAL makes them: a file each, locked as long as its process lives. Ordinary small ones: those have addresses too."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._fds: dict[str, int] = {}
        self._maps: dict[int, mmap.mmap] = {}
        self._free = 0

    def add(self, name: str) -> int:
        """A page; returns its physical address."""
        fd = os.open(self.directory / name, os.O_RDWR | os.O_CREAT)
        fcntl.flock(fd, fcntl.LOCK_SH)
        os.ftruncate(fd, PAGE)
        self._fds[name] = fd
        address = HugePages(Executor()).locate(fd, PAGE)
        other = os.open(self.directory / name, os.O_RDWR)  # a mapping keeps its descriptor, and so would keep the lock
        self._maps[address] = mmap.mmap(other, PAGE)
        os.close(other)
        return address

    def die(self) -> None:
        """What the kernel does when the process ends: the files stay."""
        for fd in self._fds.values():
            os.close(fd)
        self._fds.clear()

    # the memory of a scripted driver

    def allocate(self, size: int) -> int:
        """Room within one page of its own."""
        assert size <= PAGE
        self._free += 1
        return self.add(f"rtemap_{self._free}")

    def poke(self, address: int, data: bytes) -> None:
        page = self._maps[address & -PAGE]
        page[address % PAGE : address % PAGE + len(data)] = data

    def peek(self, address: int, length: int) -> bytes:
        return bytes(self._maps[address & -PAGE][address % PAGE : address % PAGE + length])


@pytest.fixture
def pages() -> Iterator[DriverPages]:
    """In memory that doesn't move: a tmpfs."""
    if os.geteuid():
        pytest.skip("not root: physical addresses are not to be known")
    directory = Path("/dev/shm") / f"softena-polled-{os.getpid()}"
    directory.mkdir()
    made = DriverPages(directory)
    yield made
    made.die()
    for file in directory.iterdir():
        file.unlink()
    directory.rmdir()
