# cython: language_level=3
from libc.stdint cimport uint32_t, uint64_t

cdef enum:
    BAR_BYTES = 0x4000           # the whole of BAR 0
    BAR_CONTROL = 0x1000         # below: control registers (Python); above: doorbells (compiled)
    BAR_SLOTS = 0xC00            # (BAR_BYTES - BAR_CONTROL) / 4

ctypedef void (*register_write_t)(void *ctx, uint32_t value) noexcept nogil

cdef struct Slot:
    register_write_t write
    void *ctx

cdef struct Bar:
    Slot slots[BAR_SLOTS]
    uint64_t ignored             # writes to doorbells that nobody owns


cdef inline void bar_write(Bar *bar, uint32_t offset, uint32_t value) noexcept nogil:
    """A 32-bit doorbell write. Offsets outside the doorbell pages, unaligned or unowned are ignored and counted."""
    cdef Slot *slot
    if offset < BAR_CONTROL or offset >= BAR_BYTES or offset & 3:
        bar.ignored += 1
        return
    slot = &bar.slots[(offset - BAR_CONTROL) >> 2]
    if slot.write == NULL:
        bar.ignored += 1
        return
    slot.write(slot.ctx, value)


cdef class RegisterBar:
    cdef Bar bar
    cdef public object control
    cdef int claim(self, uint32_t offset, register_write_t write, void *ctx) except -1
    cdef int disclaim(self, uint32_t offset) except -1
