# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""Where a frame goes on that faults or allowances held back.

    in:  port --> delay line --> shaper --> rx_engine
    out: tx_engine --> shaper --> delay line --> port

One that nothing holds back takes the same way within the engines, without a copy.
"""

from libc.stdint cimport uint64_t
from posix.uio cimport iovec

from ena_dev.device.card cimport DROP_PORT_ERROR, DROP_PORT_FULL, Card, card_impairs, card_shapes
from ena_dev.device.impairment cimport WAY_IN, WAY_OUT, Held
from ena_dev.device.rx_engine cimport rx_announce, rx_arrive
from ena_dev.device.shaper cimport SHAPER_PASSES
from ena_dev.port.port cimport PORT_FULL, PORT_SENT, PortQueue, port_send_now


cdef void release_impaired(void *ctx, Held *held, uint64_t now) noexcept nogil:
    """A frame leaves the delay line: one that comes in meets the allowances next."""
    cdef Card *card = <Card *> ctx
    cdef iovec piece
    piece.iov_base, piece.iov_len = held.data, held.length
    if held.way != WAY_IN:
        to_port(card, held, &piece)
    elif card.shaper == NULL or card_shapes(card, WAY_IN, 0, &piece, 1, held.length, &held.meta, now) == SHAPER_PASSES:
        rx_arrive(card, &piece, 1, held.length, &held.meta, now)


cdef void release_shaped(void *ctx, Held *held, uint64_t now) noexcept nogil:
    """A frame had to wait for an allowance: one that goes out meets the faults next."""
    cdef Card *card = <Card *> ctx
    cdef iovec piece
    piece.iov_base, piece.iov_len = held.data, held.length
    if held.way == WAY_IN:
        rx_arrive(card, &piece, 1, held.length, &held.meta, now)
    elif card.line == NULL or not card_impairs(card, WAY_OUT, held.queue, &piece, 1, held.length, &held.meta):
        to_port(card, held, &piece)


cdef void to_port(Card *card, const Held *held, const iovec *piece) noexcept nogil:
    cdef PortQueue *port = card.egress[held.queue]
    cdef int reason = port_send_now(port, piece, 1, &held.meta)
    if reason != PORT_SENT:
        card.tx_total.drops[DROP_PORT_FULL if reason == PORT_FULL else DROP_PORT_ERROR] += 1


cdef void released_all(void *ctx, uint64_t now) noexcept nogil:
    rx_announce(<Card *> ctx, now)
