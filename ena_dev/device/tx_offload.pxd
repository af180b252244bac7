# cython: language_level=3
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from posix.uio cimport iovec

from ena_dev.device.card cimport Meta, TxQueue
from ena_dev.port.port cimport PortRefused

cdef enum:
    TX_PIECES = 24             # data descriptors of a packet, at most

cdef struct Outgoing:          # a packet as its descriptors said
    iovec pieces[TX_PIECES]
    int count
    uint32_t length
    uint32_t offloads          # word 1 of the first data descriptor
    uint16_t req_id
    uint16_t end               # the ring index after it
    uint8_t named              # a data descriptor was there: req_id counts
    uint8_t malformed
    Meta meta

cdef int tx_transmit(TxQueue *q, const Outgoing *packet, uint64_t now, int *frames) noexcept nogil
cdef void tx_flush(TxQueue *q, PortRefused *refused) noexcept nogil        # the burst is over: the port sends what it kept
