# cython: language_level=3
from libc.stdint cimport uint64_t

from ena_dev.device.impairment cimport Held

# For delay line and shaper; ctx: Card
cdef void release_impaired(void *ctx, Held *held, uint64_t now) noexcept nogil
cdef void release_shaped(void *ctx, Held *held, uint64_t now) noexcept nogil
cdef void released_all(void *ctx, uint64_t now) noexcept nogil
