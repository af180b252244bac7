# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
from libc.stdint cimport uint32_t, uint64_t

cdef enum:
    WHEEL_SHIFT = 26           # a tick is 2**26 ns, 67 ms
    WHEEL_SLOTS = 1024         # 69 seconds around

cdef struct Wheel:
    uint32_t *next             # of entries 1..entries, then of one sentinel a slot; 0: not armed
    uint32_t *prev
    uint32_t entries
    uint64_t cursor            # the tick that is being emptied

cdef uint64_t wheel_arm(Wheel *wheel, uint32_t entry, uint64_t due) noexcept nogil       # when the wheel wants to be asked, ns
cdef void wheel_cancel(Wheel *wheel, uint32_t entry) noexcept nogil                      # no harm if it isn't armed
cdef uint32_t wheel_pop(Wheel *wheel, uint64_t now, int *budget) noexcept nogil          # an entry to look at, or 0
cdef uint64_t wheel_deadline(const Wheel *wheel) noexcept nogil                          # NO_DEADLINE: nothing is armed

cdef inline size_t wheel_bytes(uint32_t entries) noexcept nogil:
    """What both lists of a wheel take."""
    return 2 * (<size_t> entries + 1 + WHEEL_SLOTS) * sizeof(uint32_t)


cdef class TimerWheel:
    cdef Wheel wheel
    cdef size_t bytes
    cdef int check(self, uint32_t entry) except -1
