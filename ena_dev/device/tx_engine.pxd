# cython: language_level=3
from libc.stdint cimport uint64_t

cdef int tx_step(void *ctx, uint64_t now, int budget) noexcept nogil                 # ctx: TxQueue
