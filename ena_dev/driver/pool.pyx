# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""Packet buffers of one worker, in host memory: taken last in, first out, each with exactly one owner at any time.

    pool -> posted(Rx ring) -> burst(program) -> parked | sent(Tx ring) -> pool

The owner map makes a lost or doubled buffer visible: `census` counts them all. One thread at a time uses a pool: the data
thread, or whoever holds the executor's barrier.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from ena_dev.bus.memory cimport BUS_READ, BUS_WRITE, Memory, bus_at
from ena_dev.errors import UsageError


cdef class BufferPool:
    """`count` buffers of `size` bytes (at most 16 KiB, so that lengths fit a descriptor)."""

    def __cinit__(self, Memory memory not None, uint32_t count, uint32_t size=4096):
        cdef uint32_t i
        if not count or count >= NO_BUFFER or size < 2048 or size > 16384:
            raise UsageError(f"a pool of {count} buffers of {size} bytes makes no sense")
        memset(&self.pool, 0, sizeof(Pool))
        self.memory = memory
        self._address = memory.allocate(<uint64_t>count * size)
        self.pool.host = bus_at(&memory.bus, self._address, <uint64_t>count * size, BUS_READ | BUS_WRITE)
        self.pool.base, self.pool.size, self.pool.count = self._address, size, count
        self.pool.free = <uint32_t *>calloc(count, sizeof(uint32_t))
        self.pool.next = <uint32_t *>calloc(count, sizeof(uint32_t))
        self.pool.length = <uint16_t *>calloc(count, sizeof(uint16_t))
        self.pool.owner = <uint8_t *>calloc(count, 1)
        if not (self.pool.host and self.pool.free and self.pool.next and self.pool.length and self.pool.owner):
            raise MemoryError(f"no memory for a pool of {count} buffers")
        for i in range(count):
            self.pool.free[i] = count - 1 - i
            self.pool.next[i] = NO_BUFFER
        self.pool.free_count = count

    def __dealloc__(self):
        free(self.pool.free)
        free(self.pool.next)
        free(self.pool.length)
        free(self.pool.owner)

    def close(self):
        """Give the memory back. No ring may use it any more."""
        if self._address:
            self.memory.free(self._address)
            self._address = 0

    @property
    def count(self):
        return self.pool.count

    @property
    def free(self):
        return self.pool.free_count

    @property
    def mistakes(self):
        """Buffers given back that were not out: must stay 0."""
        return self.pool.mistakes

    def census(self):
        """Buffers by owner: pool, posted, burst, parked, sent. The sum is `count`, and `pool` equals `free`, or one was lost."""
        cdef uint64_t counts[OWNERS]
        cdef uint32_t i
        memset(counts, 0, sizeof(counts))
        for i in range(self.pool.count):
            counts[self.pool.owner[i] % OWNERS] += 1
        return {"pool": counts[OWNER_POOL], "posted": counts[OWNER_POSTED], "burst": counts[OWNER_BURST],
                "parked": counts[OWNER_PARKED], "sent": counts[OWNER_SENT]}
