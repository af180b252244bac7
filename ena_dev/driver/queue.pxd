# cython: language_level=3
from libc.stdint cimport uint8_t, uint64_t

from ena_dev.bus.executor cimport Executor
from ena_dev.bus.interrupts cimport MsixVector
from ena_dev.bus.memory cimport Memory
from ena_dev.bus.mmio cimport RegisterBar
from ena_dev.driver.pair cimport Pair, burst_t
from ena_dev.driver.pool cimport BufferPool

cdef class Program:
    """What a queue pair can be lent to: a compiled burst function. Subclasses set `burst` and `context`, and know what to hand the coroutine."""
    cdef burst_t burst
    cdef void *context

cdef class QueuePair:
    cdef Pair pair
    cdef Executor executor
    cdef Memory memory
    cdef BufferPool pool
    cdef RegisterBar bar
    cdef MsixVector vector
    cdef object _addresses, _program
    cdef readonly int index
    cdef readonly int nic
    cdef bint large_receive
    cdef uint8_t *_host(self, uint64_t address, uint64_t length) except NULL
    cdef uint64_t _now(self)
    cdef Pair *raw(self) noexcept
    cdef int lend(self, Program program) except -1
    cdef int take_back(self) except -1
