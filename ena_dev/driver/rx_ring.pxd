# cython: language_level=3
from libc.stdint cimport uint64_t

from ena_dev.bus.mmio cimport Bar
from ena_dev.driver.pool cimport Pool
from ena_dev.driver.rings cimport Frame, RxRing

cdef bint rx_waiting(RxRing *ring) noexcept nogil
cdef int rx_next(RxRing *ring, Pool *pool, Frame *frame) noexcept nogil     # 1 a frame, 0 none yet, -reason: the device broke the contract
cdef int rx_post(RxRing *ring, Pool *pool, Bar *bar) noexcept nogil
cdef void rx_forget(RxRing *ring, Pool *pool) noexcept nogil
cdef bint rx_make(RxRing *ring) noexcept nogil
cdef void rx_free(RxRing *ring) noexcept nogil
cdef void rx_clear(RxRing *ring) noexcept nogil
