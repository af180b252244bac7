# cython: language_level=3
from libc.stdint cimport uint32_t

from ena_dev.device.card_state cimport CardState

cdef class FaultInjector:
    cdef CardState state
    cdef int impair(self, faults) except -1
    cdef int withhold(self, uint32_t count) except -1
    cdef int spoil(self, bint rx, uint32_t wrong_id, uint32_t malformed) except -1
    cdef int lose_interrupts(self, uint32_t count, vector) except -1
    cdef int clear(self) except -1
    cdef dict counters(self)
