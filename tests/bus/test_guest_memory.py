"""A guest's memory against a plain model, by what files hold afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ena_dev.bus.executor import Executor
from ena_dev.bus.guest_memory import MOST_RANGES, GuestMemory
from ena_dev.errors import BusError

PAGE = 4096


@pytest.fixture(scope="module")
def file() -> Iterator[int]:
    fd = os.memfd_create("guest")
    os.ftruncate(fd, 16 * PAGE)
    yield fd
    os.close(fd)


def test_what_the_card_writes_stands_in_the_file_and_the_other_way(file: int) -> None:
    memory = GuestMemory(Executor())
    memory.map(0x10000, 2 * PAGE, file, PAGE)
    memory.write(0x10004, b"card")
    assert os.pread(file, 4, PAGE + 4) == b"card"
    os.pwrite(file, b"host", 2 * PAGE)
    assert memory.read(0x10000 + PAGE, 4) == b"host"


def test_ranges_keep_to_their_access(file: int) -> None:
    memory = GuestMemory(Executor())
    memory.map(0, PAGE, file, 0, writable=False)
    memory.map(PAGE, PAGE, file, 0, readable=False)
    memory.reserve(2 * PAGE, PAGE)
    memory.read(0, 8)
    memory.write(PAGE, b"x")
    for refused in (lambda: memory.write(0, b"x"), lambda: memory.read(PAGE, 1), lambda: memory.read(2 * PAGE, 1)):
        with pytest.raises(BusError):
            refused()
    assert memory.ranges == [(0, PAGE, True, False), (PAGE, PAGE, False, True), (2 * PAGE, PAGE, False, False)]


def test_a_card_that_may_not_master_the_bus_reaches_nothing(file: int) -> None:
    memory = GuestMemory(Executor())
    memory.enable(False)
    memory.map(0, PAGE, file, 0)
    with pytest.raises(BusError):
        memory.read(0, 1)
    memory.enable(True)
    memory.read(0, 1)


@pytest.mark.parametrize(
    ("address", "size", "offset"),
    [(1, PAGE, 0), (0, 0, 0), (0, 100, 0), (0, 17 * PAGE, 0), (0, PAGE, 16 * PAGE), (0, PAGE, 2**64 - PAGE), (2**64 - PAGE, 2 * PAGE, 0)],
)
def test_ranges_that_make_no_sense_are_refused(file: int, address: int, size: int, offset: int) -> None:
    memory = GuestMemory(Executor())
    with pytest.raises(BusError):
        memory.map(address, size, file, offset)
    assert memory.ranges == []


def test_no_file_no_mapping() -> None:
    reader, writer = os.pipe()
    with pytest.raises(BusError):
        GuestMemory(Executor()).map(0, PAGE, reader, 0)
    os.close(reader)
    os.close(writer)


def test_the_number_of_ranges_is_bounded(file: int) -> None:
    memory = GuestMemory(Executor())
    with pytest.raises(BusError, match="64 mapped"):
        for n in range(MOST_RANGES):
            memory.map(2 * n * PAGE, PAGE, file, 0)
    with pytest.raises(BusError, match="256 ranges"):
        for n in range(MOST_RANGES):
            memory.reserve(2 * (n + 1000) * PAGE, PAGE)
    memory.unmap_all()
    assert memory.ranges == []


def test_memory_that_its_owner_cuts_off_turns_to_zeros_and_is_told_of() -> None:
    fd, memory = os.memfd_create("guest"), GuestMemory(Executor())
    os.ftruncate(fd, 4 * PAGE)
    os.pwrite(fd, b"guest", 2 * PAGE)
    memory.map(0x10000, 4 * PAGE, fd, 0)
    os.ftruncate(fd, PAGE)
    assert not memory.lost
    assert memory.read(0x10000 + 2 * PAGE, 5) == bytes(5)
    assert memory.lost
    memory.write(0x10000 + 3 * PAGE, b"card")
    assert memory.read(0x10000 + 3 * PAGE, 4) == b"card"
    memory.write(0x10000, b"card")
    assert os.pread(fd, 4, 0) == bytes(4), "what is left of the file is not reached any more"
    memory.unmap_all()
    assert not memory.lost
    os.close(fd)


def test_an_error_of_the_bus_that_is_nobodys_memory_still_ends_the_process() -> None:
    script = """
import mmap, os
from ena_dev.bus.executor import Executor
from ena_dev.bus.guest_memory import GuestMemory
fd, memory = os.memfd_create("guest"), GuestMemory(Executor())
os.ftruncate(fd, 4096)
memory.map(0, 4096, fd, 0)
other = mmap.mmap(fd, 4096)
os.ftruncate(fd, 0)
assert memory.read(0, 1) == bytes(1)
other[0]
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -signal.SIGBUS


def test_a_mapping_has_neighbours_that_nobody_may_touch() -> None:
    fd, memory = os.memfd_create("fenced"), GuestMemory(Executor())
    os.ftruncate(fd, 2 * PAGE)
    memory.map(0, 2 * PAGE, fd, 0)
    lines = Path("/proc/self/maps").read_text().splitlines()
    at = next(n for n, line in enumerate(lines) if "memfd:fenced" in line)
    before, here, after = (line.split()[:2] for line in lines[at - 1 : at + 2])
    assert (before[1], here[1], after[1]) == ("---p", "rw-s", "---p")
    assert before[0].split("-")[1] == here[0].split("-")[0]
    assert here[0].split("-")[1] == after[0].split("-")[0]
    os.close(fd)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 12), st.integers(1, 4)), max_size=25))
def test_the_table_is_what_was_mapped_and_not_unmapped(file: int, steps: list[tuple[bool, int, int]]) -> None:
    memory, model = GuestMemory(Executor()), dict[int, int]()
    for mapping, first, pages in steps:
        if mapping:
            taken = {page for base, count in model.items() for page in range(base, base + count)}
            if taken & set(range(first, first + pages)):
                with pytest.raises(BusError):
                    memory.map(first * PAGE, pages * PAGE, file, 0)
            else:
                memory.map(first * PAGE, pages * PAGE, file, 0)
                model[first] = pages
        elif model.get(first) == pages:
            memory.unmap(first * PAGE, pages * PAGE)
            del model[first]
        else:
            with pytest.raises(BusError):
                memory.unmap(first * PAGE, pages * PAGE)
    assert [(address // PAGE, size // PAGE) for address, size, _, _ in memory.ranges] == sorted(model.items())
    for page in range(17):
        if any(base <= page < base + count for base, count in model.items()):
            assert len(memory.read(page * PAGE, PAGE)) == PAGE
        else:
            with pytest.raises(BusError):
                memory.read(page * PAGE, 1)
