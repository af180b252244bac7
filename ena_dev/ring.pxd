# cython: language_level=3
"""Slot and phase arithmetic of a ring with free-running 16-bit indices: the one behaviour both sides share.

Source: ENA interface, queue model. `depth` is a power of two; the producer's phase starts at 1 and flips at each wrap.
"""

from libc.stdint cimport uint16_t, uint32_t


cdef inline uint32_t ring_slot(uint32_t index, uint32_t depth) noexcept nogil:
    return index & (depth - 1)


cdef inline uint32_t ring_phase(uint32_t index, uint32_t depth) noexcept nogil:
    """1 on the first lap, 0 on the second, and so on."""
    return 0 if index & depth else 1


cdef inline uint32_t ring_used(uint16_t tail, uint16_t head) noexcept nogil:
    return <uint16_t>(tail - head)
