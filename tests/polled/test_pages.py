"""Which pages a driver has: files that a living process has locked, found by their physical addresses."""

from __future__ import annotations

import os
import threading
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ena_dev.bus.executor import Executor
from ena_dev.errors import BusError, UsageError
from ena_dev.polled.huge_pages import MOST_RUNS, HugePages
from ena_dev.polled.pages import Pages, in_runs
from tests.polled.conftest import PAGE, DriverPages


def test_what_the_card_writes_stands_in_the_drivers_page_and_the_other_way(pages: DriverPages) -> None:
    memory = HugePages(Executor())
    known = Pages(pages.directory, memory)
    address = pages.add("rtemap_0")
    known.look()
    memory.write(address + 4, b"card")
    pages.poke(address + 100, b"driver")
    assert pages.peek(address + 4, 4) == b"card"
    assert memory.read(address + 100, 6) == b"driver"


def test_pages_come_and_go_and_end_with_their_process(pages: DriverPages) -> None:
    memory = HugePages(Executor())
    known = Pages(pages.directory, memory)
    known.look()
    assert not known
    first, second = pages.add("rtemap_0"), pages.add("rtemap_1")
    pages.add("other")
    known.look()
    assert sum(size for _, size in memory.runs) == 2 * PAGE
    (pages.directory / "rtemap_1").unlink()
    known.look()
    assert memory.runs == [(first, PAGE)]
    with pytest.raises(BusError):
        memory.read(second, 1)
    pages.die()
    known.look()
    assert not known
    assert memory.runs == []


def test_a_file_that_has_no_page_yet_is_looked_at_again(pages: DriverPages) -> None:
    memory = HugePages(Executor())
    known = Pages(pages.directory, memory)
    address = pages.add("rtemap_0")
    os.truncate(pages.directory / "rtemap_0", 0)
    known.look()
    assert memory.runs == []
    os.truncate(pages.directory / "rtemap_0", PAGE)
    known.look()
    assert len(memory.runs) == 1
    assert address  # its first page is gone for good: another may have come in its place


def test_files_that_are_no_page_are_left_out(pages: DriverPages, tmp_path: Path) -> None:
    memory = HugePages(Executor())
    known = Pages(pages.directory, memory)
    pages.add("rtemap_0")
    os.truncate(pages.directory / "rtemap_0", 3 * PAGE)
    (pages.directory / "rtemap_link").symlink_to(tmp_path)
    (pages.directory / "rtemap_unlocked").write_bytes(bytes(PAGE))
    known.look()
    assert memory.runs == []


def test_without_a_directory_there_is_no_driver(tmp_path: Path) -> None:
    known = Pages(tmp_path / "none", HugePages(Executor()))
    known.look()
    assert not known


@given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from([1, 2])), unique_by=lambda page: page[0]))
def test_runs_hold_each_page_once_and_no_two_could_be_joined(places: list[tuple[int, int]]) -> None:
    pages = {at * 4: (size, at) for at, size in places}
    runs = in_runs(pages)
    assert {address + size * n: (size, file) for address, size, files in runs for n, file in enumerate(files)} == pages
    assert [address for address, _, _ in runs] == sorted(address for address, _, _ in runs)
    for (address, size, files), (following, other, _) in pairwise(runs):
        assert size != other or address + size * len(files) != following


def test_neighbours_are_one_piece_here_as_well(tmp_path: Path) -> None:
    """A ring may cross from one page into the next."""
    memory = HugePages(Executor())
    files = [os.open(tmp_path / name, os.O_RDWR | os.O_CREAT) for name in "abc"]
    for fd in files:
        os.ftruncate(fd, PAGE)
    memory.replace([(0x10000, PAGE, files)])
    memory.write(0x10000 + PAGE - 2, b"across")
    assert os.pread(files[0], 2, PAGE - 2) + os.pread(files[1], 4, 0) == b"across"
    memory.replace([])
    with pytest.raises(BusError):
        memory.read(0x10000, 1)
    with pytest.raises(UsageError):
        memory.replace([(n * 2 * PAGE, PAGE, [files[0]]) for n in range(MOST_RUNS + 1)])
    for fd in files:
        os.close(fd)


def test_pages_cut_short_are_lost_and_nothing_else(tmp_path: Path) -> None:
    memory = HugePages(Executor())
    fd = os.open(tmp_path / "page", os.O_RDWR | os.O_CREAT)
    os.ftruncate(fd, PAGE)
    memory.replace([(0, PAGE, [fd])])
    os.ftruncate(fd, 0)
    memory.write(8, b"still here")
    assert os.eventfd_read(memory.fileno()) >= 1
    os.close(fd)


def test_a_table_is_replaced_under_a_running_executor(tmp_path: Path) -> None:
    executor = Executor()
    memory = HugePages(executor)
    fd = os.open(tmp_path / "page", os.O_RDWR | os.O_CREAT)
    os.ftruncate(fd, PAGE)
    executor.start()
    try:
        done = threading.Thread(target=lambda: [memory.replace([(PAGE * (n % 2), PAGE, [fd])]) for n in range(200)], daemon=True)
        done.start()
        done.join()
    finally:
        executor.stop()
    assert memory.runs == [(PAGE, PAGE)]
    os.close(fd)
