"""Memory that ends where nothing may be read."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable

import pytest

PAGES = 4


@pytest.fixture(scope="session")
def guarded() -> Callable[[bytes, int], memoryview]:
    """(data, readable) -> data in place, of which only the first `readable` bytes can be read: the next one is a segmentation fault."""
    size = mmap.PAGESIZE * PAGES
    area = mmap.mmap(-1, 2 * size)
    base = ctypes.addressof(ctypes.c_char.from_buffer(area))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mprotect(ctypes.c_void_p(base + size), ctypes.c_size_t(size), 0):
        raise OSError(ctypes.get_errno(), "mprotect")

    def place(data: bytes, readable: int) -> memoryview:
        area[size - readable : size] = data[:readable]
        return memoryview(area)[size - readable : size - readable + len(data)]

    return place
