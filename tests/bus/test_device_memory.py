"""A card's own memory as another process has it: mapped from the descriptor, and not to be shrunk under the card."""

from __future__ import annotations

import gc
import mmap
import os

import pytest

from ena_dev.bus.device_memory import DeviceMemory
from ena_dev.errors import BusError, UsageError

SIZE = 0x10000


def test_what_is_stored_through_the_descriptor_is_there_for_the_card() -> None:
    memory = DeviceMemory(SIZE)
    assert memory.read(0, SIZE) == bytes(SIZE)
    with mmap.mmap(memory.fd, SIZE) as mapped:
        mapped[SIZE - 4 :] = b"line"
        assert memory.read(SIZE - 4, 4) == b"line"
        memory.write(8, b"by message")
        assert mapped[8:18] == b"by message"


@pytest.mark.parametrize("size", [0, SIZE - 4096, SIZE + 4096])
def test_its_size_is_for_ever(size: int) -> None:
    memory = DeviceMemory(SIZE)
    with pytest.raises(PermissionError):
        os.ftruncate(memory.fd, size)
    again = os.open(f"/proc/self/fd/{memory.fd}", os.O_RDWR)
    with pytest.raises(PermissionError):
        os.ftruncate(again, size)
    os.close(again)


@pytest.mark.parametrize(("offset", "length"), [(SIZE - 1, 2), (SIZE, 1), (SIZE + 1, 0), (2**64 - 1, 2), (0, SIZE + 1)])
def test_nothing_lies_beyond_its_end(offset: int, length: int) -> None:
    memory = DeviceMemory(SIZE)
    with pytest.raises(BusError):
        memory.read(offset, length)
    with pytest.raises(BusError):
        memory.write(offset, bytes(length))
    assert memory.read(SIZE, 0) == b""


@pytest.mark.parametrize("size", [0, 2048, 3 * 4096])
def test_it_has_the_size_of_a_bar(size: int) -> None:
    with pytest.raises(UsageError):
        DeviceMemory(size)


def test_who_kept_the_descriptor_of_renewed_memory_reaches_nothing() -> None:
    memory = DeviceMemory(SIZE)
    with mmap.mmap(memory.fd, SIZE) as kept:
        kept[:6] = b"before"
        memory.renew()
        assert memory.read(0, 6) == bytes(6)
        kept[:6] = b"later!"
        assert memory.read(0, 6) == bytes(6)


def test_no_descriptor_is_left_behind() -> None:
    gc.collect()  # what other tests left
    before = len(os.listdir("/proc/self/fd"))
    memory = DeviceMemory(SIZE)
    for _ in range(3):
        memory.renew()
    assert len(os.listdir("/proc/self/fd")) == before + 1
    del memory
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before
