# cython: language_level=3
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from posix.uio cimport iovec

from ena_dev.device.card cimport Card, RxQueue
from ena_dev.port.port cimport PortMeta

cdef void rx_doorbell(void *ctx, uint32_t value) noexcept nogil                              # ctx: RxQueue
cdef int rx_ingress_step(void *ctx, uint64_t now, int budget) noexcept nogil                 # ctx: Ingress
cdef int rx_deliver(void *ctx, const iovec *pieces, int count, const PortMeta *meta) noexcept nogil   # ctx: Card
cdef int rx_arrive(Card *card, const iovec *pieces, int count, uint32_t length, const PortMeta *meta, uint64_t now) noexcept nogil
cdef void rx_announce(Card *card, uint64_t now) noexcept nogil
cdef int rx_announcer_step(void *ctx, uint64_t now, int budget) noexcept nogil               # ctx: Card
