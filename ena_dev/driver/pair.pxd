# cython: language_level=3
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from ena_dev.bus.executor cimport Task
from ena_dev.bus.mmio cimport Bar
from ena_dev.driver.pool cimport Pool
from ena_dev.driver.rings cimport Frame, RxRing, TxRing

cdef struct Pair
ctypedef void (*burst_t)(void *ctx, Pair *pair, Frame *frames, int count, uint64_t now) noexcept nogil

cdef struct Pair:              # one queue pair: two rings, one vector, one owner
    Task task                  # steps the lent pair; unused while a coroutine drives it
    Pool *pool
    Bar *bar
    RxRing rx
    TxRing tx
    burst_t burst              # NULL: not lent
    void *program
    uint32_t unmask            # BAR offset of the vector's unmask register
    uint32_t moderation        # delays as the unmask register has them
    uint32_t moderation_new    # 1 until the device was told
    uint16_t index
    uint8_t nic
    uint8_t running
    uint32_t fault             # 0 or a reset reason; set once, traffic stops
    uint32_t belled            # atomic: the bell was rung and the coroutine has not yet looked
    int bell                   # eventfd
    uint32_t quiet             # shutting down: no more receiving
    uint64_t interrupts, unmasks


cdef int pair_send(Pair *pair, Frame *frame, uint64_t now) noexcept nogil          # takes the frame's buffers on SEND_OK
cdef void pair_flush(Pair *pair) noexcept nogil                                    # ring what was queued since the last doorbell
cdef int pair_reap(Pair *pair, int budget, uint64_t now) noexcept nogil            # finished sends back to the pool, backlog moves up
cdef int pair_receive(Pair *pair, Frame *frames, int budget, uint64_t now) noexcept nogil
cdef int pair_refill(Pair *pair) noexcept nogil                                    # post free buffers; one doorbell
cdef void pair_bell(Pair *pair) noexcept nogil                                     # wake the coroutine that owns the pair
cdef void pair_broken(Pair *pair, uint32_t reason) noexcept nogil
cdef void pair_unmask(Pair *pair) noexcept nogil                                   # let the vector's next message come
cdef int pair_step(void *pair, uint64_t now, int budget) noexcept nogil            # one turn of a lent pair
