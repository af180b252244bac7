# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""Receiving: take frames from the port, bring each to its queue's buffers, complete.

    pull port --readv--> buffers of the queue next to it --judge--> stays: complete in place
                                                          `-> another queue, or too large for the driver: copy
    push port --deliver--> judge --> copy into posted buffers, or drop and count

Source: ENA interface, IO path.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from posix.uio cimport iovec

from ena_dev.abi.eth_io cimport RXC_L3_ERROR, RXC_L4_CHECKED, RXC_L4_ERROR
from ena_dev.bus.atomic cimport store_release
from ena_dev.bus.cache cimport prefetch_write
from ena_dev.bus.executor cimport task_wake
from ena_dev.bus.interrupts cimport NOTIFY_RX
from ena_dev.device.card cimport (DROP_LINK, DROP_MALFORMED, DROP_NONE, DROP_OVERRUN, DROP_TOO_LONG, FRAME_SLACK, LARGE_OFFER, SPILL_BYTES,
                                  Card, Ingress, Posted, RxQueue, card_impairs, card_shapes, cq_notify)
from ena_dev.device.impairment cimport WAY_IN
from ena_dev.device.rx_buffers cimport rx_complete, rx_fetch, rx_most, rx_patch, rx_reserve, rx_scatter
from ena_dev.device.rx_verdict cimport Verdict, rx_judge
from ena_dev.device.shaper cimport SHAPER_PASSES
from ena_dev.packet.chain cimport chain_cut, chain_length, chain_peek, chain_skip
from ena_dev.packet.segmentation cimport segment_tcp
from ena_dev.port.port cimport PORT_EMPTY, PORT_GONE, PORT_PIECES, PortMeta
from ena_dev.ring cimport ring_slot, ring_used

cdef enum:
    SOON = 4                   # frames after which a buffer that is fetched into the cache now will be there
    LARGE_FOLLOW = 64          # frames after a large one that may be large again

cdef struct Cut:               # a large packet being delivered segment by segment
    Card *card
    Verdict *verdict
    uint64_t now


cdef void rx_doorbell(void *ctx, uint32_t value) noexcept nogil:
    """Store the tail and wake who reads into this queue's buffers. A queue that only gets copies looks at its tail when one comes."""
    cdef RxQueue *q = <RxQueue *> ctx
    cdef uint32_t i
    store_release(&q.doorbell, value)
    for i in range(q.card.port_queues):
        if q.card.ingress[i].home == q:
            task_wake(&q.card.ingress[i].task)


# -- announcing ---------------------------------------------------------------------------------------------------------

cdef void rx_announce(Card *card, uint64_t now) noexcept nogil:
    """One notification for each queue that got completions since the last call."""
    cdef uint32_t i
    for i in range(card.rx_count):
        if card.rx_order[i].touched:
            card.rx_order[i].touched = 0
            cq_notify(card.rx_order[i].cq, now, NOTIFY_RX)


# -- the ways in -------------------------------------------------------------------------------------------------------

cdef int drop(Card *card, int reason) noexcept nogil:
    card.rx_total.drops[reason] += 1
    return 1


cdef int copy_in(Card *card, Verdict *v, const iovec *pieces, int count, uint32_t length, uint64_t now) noexcept nogil:
    """Into the posted buffers of the frame's queue, or dropped: 0 or 1."""
    cdef iovec target[PORT_PIECES]
    cdef RxQueue *q = v.queue
    cdef int n
    if q == NULL:
        return drop(card, DROP_OVERRUN)
    rx_fetch(q)
    n = 0 if card.fatal else rx_reserve(q, length, target)
    if not n and v.segment and ring_used(q.fetched, q.head) >= rx_most(q):
        return deliver_cut(card, v, pieces, count, v.segment, now)
    if not n:
        q.counters.drops[DROP_OVERRUN] += 1
        return 1
    rx_scatter(pieces, count, target, n)
    if v.patched:
        rx_patch(target, n, v)
    rx_complete(q, v, length, now)
    return 0


cdef int deliver_segment(void *ctx, const uint8_t *headers, uint32_t header_length, iovec *payload, int count) noexcept nogil:
    cdef Cut *cut = <Cut *> ctx
    cdef iovec pieces[PORT_PIECES + 1]
    cdef int i
    pieces[0].iov_base, pieces[0].iov_len = <void *> headers, header_length
    for i in range(count):
        pieces[i + 1] = payload[i]
    copy_in(cut.card, cut.verdict, pieces, count + 1, header_length + chain_length(payload, count), cut.now)
    return 0


cdef int deliver_cut(Card *card, Verdict *v, const iovec *pieces, int count, uint16_t mss, uint64_t now) noexcept nogil:
    """A large packet for a driver that takes none, or has too small buffers: as a wire would have brought it, with finished checksums."""
    cdef Cut cut
    cdef iovec payload[PORT_PIECES]
    cdef int n = chain_skip(pieces, count, v.parsed.payload_offset, payload)
    from_software(v)
    cut.card, cut.verdict, cut.now = card, v, now
    if segment_tcp(v.head, v.parsed.payload_offset, payload, n, mss, deliver_segment, &cut) < 0:
        return drop(card, DROP_MALFORMED)
    card.rx_total.segmented += 1
    return 0


cdef void from_software(Verdict *v) noexcept nogil:
    """What segmentation makes has right checksums, and no part of it is finished later."""
    v.status = (v.status & ~<uint32_t> (RXC_L3_ERROR | RXC_L4_ERROR)) | RXC_L4_CHECKED
    v.patched, v.flags, v.segment = 0, 0, 0


cdef int rx_arrive(Card *card, const iovec *pieces, int count, uint32_t length, const PortMeta *meta, uint64_t now) noexcept nogil:
    """A frame that lies in memory which is not its queue's: judge, then copy. 0, or 1 when it was dropped and counted.

    Of fewer than PORT_PIECES. A sender may still write to it: the start that was judged is the start that arrives.
    """
    cdef Verdict v
    cdef iovec judged[PORT_PIECES]
    cdef int reason
    if not card.link:
        return drop(card, DROP_LINK)
    reason = rx_judge(card, pieces, count, length, meta, &v)
    if reason != DROP_NONE:
        return drop(card, reason)
    if v.cut:
        return deliver_cut(card, &v, pieces, count, meta.segment, now)
    judged[0].iov_base, judged[0].iov_len = v.head, v.head_length
    return copy_in(card, &v, judged, 1 + chain_skip(pieces, count, v.head_length, judged + 1), length, now)


cdef int rx_deliver(void *ctx, const iovec *pieces, int count, const PortMeta *meta) noexcept nogil:
    """The entry of push ports."""
    cdef Card *card = <Card *> ctx
    cdef uint64_t now = card.exec.now
    cdef uint32_t length = chain_length(pieces, count)
    if count >= PORT_PIECES or length > SPILL_BYTES:
        return drop(card, DROP_TOO_LONG)
    if card.line != NULL and card_impairs(card, WAY_IN, 0, pieces, count, length, meta):
        return 0
    if card.shaper != NULL and card_shapes(card, WAY_IN, 0, pieces, count, length, meta, now) != SHAPER_PASSES:
        return 0
    if rx_arrive(card, pieces, count, length, meta, now):
        return 1
    if not card.announcer.ready:
        task_wake(&card.announcer)
    return 0


cdef int rx_announcer_step(void *ctx, uint64_t now, int budget) noexcept nogil:
    """Tell the driver of what a push port delivered: later in the same round, when the sender's burst is over."""
    rx_announce(<Card *> ctx, now)
    return 0


# -- pull ports --------------------------------------------------------------------------------------------------------

cdef int offer(Ingress *ingress, iovec *out) noexcept nogil:
    """Buffers to read a frame into: posted ones as far as a frame may need them, then the spill, so that nothing is ever cut off.

    A long list of buffers costs as much as a small frame itself, so those that a large one would need are only offered after a large one.
    0 if none is posted: the frame waits in the port for the doorbell.
    """
    cdef Card *card = ingress.card
    cdef RxQueue *q = ingress.home
    cdef uint32_t need = LARGE_OFFER if card.large and ingress.large_ahead else card.mtu + FRAME_SLACK
    cdef uint32_t offered = 0, posted, n = 0
    cdef Posted *buffer
    if card.link:
        if q == NULL:
            return 0
        rx_fetch(q)
        posted = 0 if card.fatal else ring_used(q.fetched, q.head)
        if not posted:
            return 0
        prefetch_write(q.posted[ring_slot(<uint16_t> (q.head + SOON), q.depth)].host)
        while n < posted and n < card.max_rx_buffers and offered < need:
            buffer = &q.posted[ring_slot(<uint16_t> (q.head + n), q.depth)]
            out[n].iov_base, out[n].iov_len = buffer.host, buffer.length
            offered += buffer.length
            n += 1
    out[n].iov_base, out[n].iov_len = card.spill, SPILL_BYTES
    return <int> n + 1


cdef void park(Ingress *ingress, const iovec *pieces, int count, const PortMeta *meta) noexcept nogil:
    ingress.parked_length = chain_peek(pieces, count, ingress.parked, SPILL_BYTES)
    ingress.parked_meta = meta[0]


cdef bint unpark(Ingress *ingress, uint64_t now) noexcept nogil:
    """Deliver the parked frame if there are buffers for it now; False while it must wait."""
    cdef iovec pieces[PORT_PIECES]
    cdef RxQueue *q = ingress.home
    cdef uint32_t length = ingress.parked_length
    if ingress.card.link:
        if q == NULL:
            return False
        rx_fetch(q)
        if not rx_reserve(q, length, pieces) and ring_used(q.fetched, q.head) < rx_most(q) and not ingress.card.fatal:
            return False
    ingress.parked_length = 0
    pieces[0].iov_base, pieces[0].iov_len = ingress.parked, length
    rx_arrive(ingress.card, pieces, 1, length, &ingress.parked_meta, now)
    return True


cdef int settle(Ingress *ingress, iovec *pieces, int count, uint32_t length, const PortMeta *meta, uint64_t now) noexcept nogil:
    """A frame just read: complete it where it lies if it may stay there, copy it otherwise."""
    cdef Card *card = ingress.card
    cdef RxQueue *q = ingress.home
    cdef Verdict v
    cdef iovec whole
    cdef int posted = count - 1, reason
    if not card.link:
        return drop(card, DROP_LINK)
    if length > card.mtu + FRAME_SLACK:
        ingress.large_ahead = LARGE_FOLLOW
    elif ingress.large_ahead:
        ingress.large_ahead -= 1
    count = chain_cut(pieces, count, length)
    if card.line != NULL and card_impairs(card, WAY_IN, 0, pieces, count, length, meta):
        return 0
    if card.shaper != NULL and card_shapes(card, WAY_IN, 0, pieces, count, length, meta, now) != SHAPER_PASSES:
        return 0
    reason = rx_judge(card, pieces, count, length, meta, &v)
    if reason != DROP_NONE:
        return drop(card, reason)
    if v.cut or (v.segment and count > posted and <uint32_t> posted >= rx_most(q)):
        # Its segments go where it lies: it moves away first.
        whole.iov_base, whole.iov_len = card.bounce, chain_peek(pieces, count, card.bounce, SPILL_BYTES)
        return deliver_cut(card, &v, &whole, 1, meta.segment, now)
    if v.queue != q:
        v.queue.counters.copied += 1
        return copy_in(card, &v, pieces, count, length, now)
    if count > posted:
        if <uint32_t> posted >= rx_most(q):
            return drop(card, DROP_TOO_LONG)
        park(ingress, pieces, count, meta)
        return 0
    if v.patched:
        rx_patch(pieces, count, &v)
    rx_complete(q, &v, length, now)
    return 0


cdef int rx_ingress_step(void *ctx, uint64_t now, int budget) noexcept nogil:
    """Read the port until it is empty, the buffers run out or the budget is spent. Returns the frames read."""
    cdef Ingress *ingress = <Ingress *> ctx
    cdef iovec pieces[PORT_PIECES]
    cdef PortMeta meta
    cdef int done = 0, n, length
    while done < budget and not ingress.gone:
        if ingress.parked_length:
            if not unpark(ingress, now):
                break
            done += 1
            continue
        n = offer(ingress, pieces)
        if not n:
            break
        length = ingress.port.receive(ingress.port.ctx, pieces, n, &meta)
        if length == PORT_EMPTY:
            break
        done += 1
        if length == PORT_GONE:
            ingress.gone = 1
        elif length < 0:
            drop(ingress.card, DROP_MALFORMED)
        else:
            settle(ingress, pieces, n, <uint32_t> length, &meta, now)
    if done:
        rx_announce(ingress.card, now)
    return done
