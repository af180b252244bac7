# cython: language_level=3
from libc.stdint cimport uint32_t, uint64_t

cdef void tx_doorbell(void *ctx, uint32_t value) noexcept nogil            # ctx: TxQueue
cdef int tx_step(void *ctx, uint64_t now, int budget) noexcept nogil                 # ctx: TxQueue
