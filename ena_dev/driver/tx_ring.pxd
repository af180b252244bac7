# cython: language_level=3
from libc.stdint cimport uint64_t

from ena_dev.bus.mmio cimport Bar
from ena_dev.driver.pool cimport Pool
from ena_dev.driver.rings cimport Frame, TxRing

cdef enum:
    TX_BACKLOG = 512

cdef int tx_put(TxRing *ring, Pool *pool, Frame *frame, uint64_t now) noexcept nogil      # SEND_OK, SEND_FULL, SEND_REFUSED
cdef void tx_ring_doorbell(TxRing *ring, Bar *bar) noexcept nogil
cdef bint tx_waiting(TxRing *ring) noexcept nogil
cdef int tx_reap(TxRing *ring, Pool *pool, int budget) noexcept nogil                      # how many, or -reason
cdef int tx_forget(TxRing *ring, Pool *pool) noexcept nogil
cdef bint tx_make(TxRing *ring) noexcept nogil
cdef void tx_free(TxRing *ring) noexcept nogil
cdef void tx_clear(TxRing *ring) noexcept nogil
