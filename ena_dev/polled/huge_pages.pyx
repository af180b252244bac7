# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""Memory by physical address: pages of a driver on this machine, each a file, neighbours mapped as one run.

    runs of pages, as files --replace--> mapped, each in one piece --under the barrier--> table that `bus_at` searches

A ring may cross from one page into its physical neighbour, and a table holds few regions: so neighbours must be one region. What the
table held before is unmapped after it was replaced: no task can be inside.
"""

import contextlib
import os

from libc.errno cimport errno
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from ena_dev.bus.executor cimport Executor
from ena_dev.bus.mapped_file cimport file_map, file_unmap
from ena_dev.bus.memory cimport BUS_READ, BUS_REGIONS, BUS_WRITE, AddressSpace

from ena_dev.errors import BusError, UsageError

MOST_RUNS = BUS_REGIONS

cdef extern from "sys/mman.h" nogil:
    void *mmap(void *address, size_t length, int prot, int flags, int fd, long offset)
    int PROT_READ, PROT_WRITE, MAP_SHARED, MAP_FIXED
    void *MAP_FAILED

cdef extern from "sys/eventfd.h" nogil:
    int eventfd(unsigned int count, int flags)
    int EFD_CLOEXEC, EFD_NONBLOCK

cdef extern from "unistd.h" nogil:
    int close(int fd)

cdef enum:
    SMALL_PAGE = 4096

FRAME = (1 << 55) - 1
PRESENT = 1 << 63
"""Bits of an entry of /proc/PID/pagemap. Source: Linux, admin-guide/mm/pagemap."""


cdef class HugePages(AddressSpace):
    """What a driver's pages hold, by physical address; nothing at first. Only tasks of `executor`, and its barrier's holders, may reach
    into it. A run whose files are cut short becomes zeros that nobody else sees, and `fileno` readable."""

    def __cinit__(self):
        self._lost = -1

    def __init__(self, Executor executor not None):
        self.executor, self._runs = executor, []
        self._lost = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)
        if self._lost < 0:
            raise OSError("can't create an eventfd")

    def __dealloc__(self):
        for _, _, host in self._runs or ():
            file_unmap(<uint8_t *><size_t> host)
        if self._lost >= 0:
            close(self._lost)

    def fileno(self):
        """A descriptor that becomes readable when pages were lost."""
        return self._lost

    def locate(self, int fd, uint64_t size):
        """The physical address of a file of one page of `size` bytes. Raises BusError without the right to know it (root), OSError.

        The page is touched, so that there is one.
        """
        cdef uint8_t *host = file_map(fd, 0, size, size, PROT_READ, self._lost)
        try:
            (<volatile uint8_t *> host)[0]
            with open("/proc/self/pagemap", "rb", buffering=0) as pagemap:
                pagemap.seek(<size_t> host // SMALL_PAGE * 8)
                entry = int.from_bytes(pagemap.read(8), "little")
        finally:
            file_unmap(host)
        if not entry & PRESENT or not entry & FRAME:
            raise BusError(0, size, "this process may not know physical addresses")
        return (entry & FRAME) * SMALL_PAGE

    def replace(self, runs):
        """Reach these pages, and no others: runs of neighbours as (physical address, bytes of a page, a file for each page).

        The caller closes the files. Raises UsageError for more runs than a bus has regions, and OSError; then nothing has changed.
        """
        mapped = []
        if len(runs) > BUS_REGIONS:
            raise UsageError(f"{len(runs)} runs of pages, more than {BUS_REGIONS}")
        try:
            for address, page, files in runs:
                mapped.append((address, page * len(files), map_run(page, files, self._lost)))
        except BaseException:
            unmap_runs(mapped)
            raise
        old, self._runs = self._runs, mapped
        self._publish()
        unmap_runs(old)
        if not mapped:
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._lost)

    @property
    def runs(self):
        """What can be reached, as (physical address, size)."""
        return [(address, size) for address, size, _ in self._runs]

    cdef void _publish(self):
        cdef uint32_t n = 0
        with self.executor.held():
            for address, size, host in self._runs:
                self.bus.regions[n].base, self.bus.regions[n].size = address, size
                self.bus.regions[n].host, self.bus.regions[n].access = <uint8_t *><size_t> host, BUS_READ | BUS_WRITE
                n += 1
            self.bus.count, self.bus.last = n, 0
            self.bus.generation += 1


cdef void unmap_runs(list runs) noexcept:
    for _, _, host in runs:
        file_unmap(<uint8_t *><size_t> host)


cdef size_t map_run(uint64_t page, list files, int lost) except 0:
    """Map pages one behind the other; returns where. They lie over a sparse file, which makes the place for them."""
    cdef uint64_t size = page * len(files), at = 0
    cdef uint8_t *host
    cdef int blank = os.memfd_create("pages"), error
    try:
        os.ftruncate(blank, size)
        host = file_map(blank, 0, size, page, PROT_READ | PROT_WRITE, lost)
    finally:
        os.close(blank)
    for fd in files:
        if mmap(host + at, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED:
            error = errno
            file_unmap(host)
            raise OSError(error, os.strerror(error))
        at += page
    return <size_t> host
