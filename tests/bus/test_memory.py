"""Host memory against a plain model: a range is reachable exactly when one mapping holds all of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ena_dev.bus.memory import ARENA_BASE, Memory
from ena_dev.errors import BusError, UsageError

SIZE = 1 << 20


@pytest.fixture(scope="module")
def memory() -> Memory:
    return Memory(SIZE)


def test_what_was_written_is_read_back(memory: Memory) -> None:
    address = memory.allocate(64)
    memory.write(address + 3, b"softena")
    assert memory.read(address, 12) == b"\0\0\0softena\0\0"


def test_given_back_memory_is_zeroed_before_it_is_used_again(memory: Memory) -> None:
    first = memory.allocate(5000)
    memory.write(first, b"x" * 5000)
    memory.free(first)
    again = memory.allocate(5000)
    assert (again, memory.read(again, 5000)) == (first, bytes(5000))


def test_a_full_arena_refuses_and_stays_whole() -> None:
    memory = Memory(8192)
    first, second = memory.allocate(4096), memory.allocate(1)
    assert first != second
    with pytest.raises(MemoryError):
        memory.allocate(1)
    memory.free(first)
    assert memory.allocate(4096) == first


def test_giving_back_what_was_not_taken_is_a_bug_of_the_caller(memory: Memory) -> None:
    with pytest.raises(UsageError):
        memory.free(ARENA_BASE + 12345)


@given(
    address=st.one_of(st.integers(0, 2**64 - 1), st.integers(ARENA_BASE - 100, ARENA_BASE + SIZE + 100)), length=st.integers(1, 2**64 - 1)
)
def test_a_range_is_readable_exactly_when_the_arena_holds_all_of_it(memory: Memory, address: int, length: int) -> None:
    inside = address >= ARENA_BASE and address + length <= ARENA_BASE + SIZE
    if inside:
        assert len(memory.read(address, length)) == length
    else:
        with pytest.raises(BusError):
            memory.read(address, length)
        if length <= 4096:
            with pytest.raises(BusError):
                memory.write(address, bytes(length))


def test_nothing_is_written_by_a_refused_write(memory: Memory) -> None:
    with pytest.raises(BusError):
        memory.write(ARENA_BASE + SIZE - 2, b"abcd")
    assert memory.read(ARENA_BASE + SIZE - 2, 2) == b"\0\0"
