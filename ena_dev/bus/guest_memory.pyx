# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""The memory of a guest that runs in another process: ranges of its bus, mapped from the descriptors that it passes.

    map, reserve --> ranges, sorted and apart --publish, under the barrier--> table that `bus_at` searches
    unmap        --> taken off the table under the barrier, then unmapped: no task can be inside

A guest may map and unmap at any time, also while its card is at work. A range without a descriptor is known, so that it can be
unmapped, but not accessible. Nothing is, while the card may not master the bus. A file that is cut short under a mapping leaves zeros
(`mapped_file`), and an eventfd that tells: what the card does from then on reaches nobody.
"""

import os
import select
import stat
from bisect import insort

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from ena_dev.bus.executor cimport Executor
from ena_dev.bus.mapped_file cimport file_map, file_unmap
from ena_dev.bus.memory cimport BUS_READ, BUS_REGIONS, BUS_WRITE, AddressSpace

from ena_dev.errors import BusError

cdef extern from "sys/mman.h" nogil:
    int PROT_READ, PROT_WRITE

PAGE = 4096
LARGEST_PAGE = 1 << 30
MOST_RANGES = 256
"""Ranges of one guest, with and without a descriptor."""


cdef class GuestMemory(AddressSpace):
    """One guest's address space, empty at first. Only tasks of `executor`, and its barrier's holders, may reach into it."""

    def __cinit__(self):
        self._lost = -1

    def __init__(self, Executor executor not None):
        self.executor, self._ranges, self._enabled = executor, [], True
        if self._lost < 0:
            self._lost = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def __dealloc__(self):
        for _, _, host, _ in self._ranges or ():
            if host:
                file_unmap(<uint8_t *><size_t>host)
        if self._lost >= 0:
            os.close(self._lost)

    def map(self, uint64_t address, uint64_t size, int fd, uint64_t offset, *, bint readable=True, bint writable=True):
        """Map `size` bytes of a file from `offset` at a bus address. `readable`, `writable`: by the card. The caller closes `fd`.

        Raises BusError, and changes nothing, for a range that is not whole pages, lies over another or beyond the file, or is one too
        many; OSError when the system refuses.
        """
        cdef uint32_t access = (BUS_READ if readable else 0) | (BUS_WRITE if writable else 0)
        cdef uint8_t *host
        self._check(address, size)
        if not access:
            raise BusError(address, size, "a range that the card may neither read nor write")
        if sum([1 for _, _, at, _ in self._ranges if at]) == BUS_REGIONS:
            raise BusError(address, size, f"more than {BUS_REGIONS} mapped ranges")
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or offset > status.st_size or size > status.st_size - offset:
            raise BusError(address, size, "beyond the end of the file passed for it, or no file")
        host = file_map(fd, offset, size, min(max(PAGE, status.st_blksize), LARGEST_PAGE),
                        (PROT_READ if readable else 0) | (PROT_WRITE if writable else 0), self._lost)
        insort(self._ranges, (address, size, <size_t>host, access))
        self._publish()

    def reserve(self, uint64_t address, uint64_t size):
        """Remember a range that can't be reached. Raises BusError as `map` does."""
        self._check(address, size)
        insort(self._ranges, (address, size, 0, 0))

    def unmap(self, uint64_t address, uint64_t size):
        """Forget a range, given exactly as it was mapped. Raises BusError if there is none."""
        found = [known for known in self._ranges if known[:2] == (address, size)]
        if not found:
            raise BusError(address, size, "not mapped as one range")
        self._drop(found)

    def unmap_all(self):
        """Forget all ranges, and that any was lost. Idempotent."""
        self._drop(list(self._ranges))
        if self.lost:
            os.eventfd_read(self._lost)

    def fileno(self):
        """A descriptor that becomes readable when a mapping was lost: its file was cut short, or could not hold it."""
        return self._lost

    @property
    def lost(self):
        """Whether a mapping was lost since the last `unmap_all`. Its bytes are zeros that nobody else sees."""
        return bool(select.select([self._lost], [], [], 0)[0])

    @property
    def enabled(self):
        """Whether anything can be reached: the card's right to master the bus."""
        return self._enabled

    def enable(self, bint enabled):
        """Give or take the card's right to master the bus."""
        if enabled != self._enabled:
            self._enabled = enabled
            self._publish()

    @property
    def ranges(self):
        """All ranges as (address, size, readable, writable) by address; neither, without a descriptor."""
        return [(address, size, bool(access & BUS_READ), bool(access & BUS_WRITE)) for address, size, _, access in self._ranges]

    def _check(self, uint64_t address, uint64_t size):
        if size == 0 or (address | size) & (PAGE - 1) or size - 1 > 0xFFFFFFFFFFFFFFFFULL - address:
            raise BusError(address, size, "not whole pages of the bus")
        if len(self._ranges) >= MOST_RANGES:
            raise BusError(address, size, f"more than {MOST_RANGES} ranges")
        for base, length, _, _ in self._ranges:
            if address <= base + (length - 1) and base <= address + (size - 1):
                raise BusError(address, size, f"lies over the range at {base:#x}")

    def _drop(self, gone):
        self._ranges = [known for known in self._ranges if known not in gone]
        self._publish()
        for _, _, host, _ in gone:
            if host:
                file_unmap(<uint8_t *><size_t>host)

    def _publish(self):
        """Bring the table to what is mapped and allowed, with no task inside."""
        cdef uint32_t n = 0
        mapped = [known for known in self._ranges if known[2]] if self._enabled else []
        with self.executor.held():
            for address, size, host, access in mapped:
                self.bus.regions[n].base, self.bus.regions[n].size = address, size
                self.bus.regions[n].host, self.bus.regions[n].access = <uint8_t *><size_t>host, access
                n += 1
            self.bus.count, self.bus.last = n, 0
            self.bus.generation += 1
