# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""Receiving: fetch posted buffers, take frames from the port, scatter, complete.

    pull port --readv--> buffers of the queue next to it --judge--> stays: complete in place
                                                          `-> another queue, or too large for the driver: copy
    push port --deliver--> judge --> copy into posted buffers, or drop and count

A descriptor is copied out once and its address translated then: nothing the driver writes later can move a buffer. A completion never
lacks room, since each belongs to a posted buffer and the completion ring is as deep. Source: ENA interface, IO path.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memmove
from posix.uio cimport iovec

from ena_dev.abi.eth_io cimport (RXC_BUFFER, RXC_FIRST, RXC_LAST, RXC_L3_ERROR, RXC_L4_CHECKED, RXC_L4_ERROR, RXC_PHASE, RX_PHASE,
                                 RxCdesc, RxCdescExt, RxDesc)
from ena_dev.bus.atomic cimport load_acquire, store_release
from ena_dev.bus.executor cimport task_wake
from ena_dev.bus.interrupts cimport NOTIFY_RX
from ena_dev.bus.memory cimport BUS_READ, BUS_WRITE, bus_at
from ena_dev.device.card cimport (DROP_LINK, DROP_MALFORMED, DROP_NONE, DROP_OVERRUN, DROP_TOO_LONG, FRAME_SLACK, Ingress,
                                  LARGE_OFFER, Posted, SPILL_BYTES, card_fatal, card_impairs, cq_notify, cq_slot)
from ena_dev.device.impairment cimport WAY_IN
from ena_dev.device.rx_verdict cimport Verdict, rx_judge
from ena_dev.packet.chain cimport chain_cut, chain_length, chain_peek, chain_skip
from ena_dev.packet.segmentation cimport segment_tcp
from ena_dev.port.port cimport PORT_EMPTY, PORT_GONE, PORT_PIECES
from ena_dev.ring cimport ring_phase, ring_slot, ring_used

cdef enum:
    EXTENDED = 32              # bytes of a completion with room for the segment size
    LONGEST_PIECE = 0xFFFF     # of a frame in one buffer: what a completion's length can say, although a buffer may have one byte more

cdef struct Cut:               # a large packet being delivered segment by segment
    Card *card
    Verdict *verdict
    uint64_t now


# -- buffers -----------------------------------------------------------------------------------------------------------

cdef void fetch(RxQueue *q) noexcept nogil:
    """Copy out what the driver has posted since the last call, as far as there is room and the phase is right."""
    cdef Card *card = q.card
    cdef uint16_t tail = <uint16_t> load_acquire(&q.doorbell)
    cdef uint32_t new = ring_used(tail, q.fetched), room = q.depth - ring_used(q.fetched, q.head)
    cdef uint8_t *ring
    cdef RxDesc desc
    if not new or q.stopped:
        return
    ring = bus_at(card.bus, q.ring, <uint64_t> q.depth * sizeof(RxDesc), BUS_READ)
    if ring == NULL:
        q.stopped = 1
        card_fatal(card, q.ring)
        return
    if new > room:
        q.counters.bad_doorbells += 1
        new = room
    while new:
        memcpy(&desc, ring + ring_slot(q.fetched, q.depth) * sizeof(RxDesc), sizeof(RxDesc))
        if desc.control & RX_PHASE != ring_phase(q.fetched, q.depth):
            q.counters.bad_doorbells += 1
            return
        if not post(q, &desc):
            return
        new -= 1


cdef bint post(RxQueue *q, const RxDesc *desc) noexcept nogil:
    """Judge one descriptor. A buffer outside of memory stops the queue: nothing after it can be trusted."""
    cdef Posted *posted = &q.posted[ring_slot(q.fetched, q.depth)]
    cdef uint32_t length = desc.length if desc.length else 0x10000
    posted.length = length if length < LONGEST_PIECE else LONGEST_PIECE
    posted.address = <uint64_t> desc.address_high << 32 | desc.address_low
    posted.req_id = desc.req_id
    posted.host = bus_at(q.card.bus, posted.address, length, BUS_WRITE)
    if posted.host == NULL:
        q.stopped = 1
        card_fatal(q.card, posted.address)
        return False
    q.fetched += 1
    return True


cdef int reserve(RxQueue *q, uint32_t length, iovec *out) noexcept nogil:
    """The posted buffers that `length` bytes fill, in order, into `out`: how many, or 0 if there aren't enough of them or they are too many."""
    cdef uint32_t posted = ring_used(q.fetched, q.head), n = 0
    cdef Posted *buffer
    while length:
        if n == posted or n == q.card.max_rx_buffers:
            return 0
        buffer = &q.posted[ring_slot(<uint16_t> (q.head + n), q.depth)]
        out[n].iov_base = buffer.host
        out[n].iov_len = buffer.length if buffer.length < length else length
        length -= <uint32_t> out[n].iov_len
        n += 1
    return <int> n


cdef void scatter(const iovec *source, int sources, const iovec *target, int targets) noexcept nogil:
    """Copy; the chains may share memory if a driver posts one buffer twice."""
    cdef int i, t = 0
    cdef size_t done, at = 0, size
    for i in range(sources):
        done = 0
        while done < source[i].iov_len and t < targets:
            size = source[i].iov_len - done
            if size > target[t].iov_len - at:
                size = target[t].iov_len - at
            memmove(<uint8_t *> target[t].iov_base + at, <const uint8_t *> source[i].iov_base + done, size)
            done += size
            at += size
            if at == target[t].iov_len:
                t += 1
                at = 0


cdef void patch(const iovec *pieces, int count, const Verdict *v) noexcept nogil:
    """Store the finished checksum, which may straddle two buffers."""
    cdef uint32_t skip = v.patch_at
    cdef int i, n
    for n in range(2):
        skip = v.patch_at + n
        for i in range(count):
            if skip < pieces[i].iov_len:
                (<uint8_t *> pieces[i].iov_base)[skip] = v.patch[n]
                break
            skip -= <uint32_t> pieces[i].iov_len


# -- completions -------------------------------------------------------------------------------------------------------

cdef void complete(RxQueue *q, const Verdict *v, uint32_t length, uint64_t now) noexcept nogil:
    """One completion for each buffer that the frame fills, the last one with the parse results. Status words are stored last, in order."""
    cdef uint32_t left = length, size, status
    cdef Posted *posted
    cdef uint8_t *slot
    status = RXC_FIRST
    q.counters.packets += 1
    q.counters.bytes += length
    q.touched = 1
    while left:
        slot = cq_slot(q.card, q.cq)
        if slot == NULL:
            q.stopped = 1
            return
        posted = &q.posted[ring_slot(q.head, q.depth)]
        size = posted.length if posted.length < left else left
        left -= size
        if not left:
            status |= v.status | RXC_LAST
        if ring_phase(q.cq.tail, q.cq.depth):
            status |= RXC_PHASE
        write_completion(q, slot, posted, size, v, now)
        store_release(&(<RxCdesc *> slot).status, status | RXC_BUFFER)
        status = 0
        q.head += 1
        q.cq.tail += 1


cdef void write_completion(RxQueue *q, uint8_t *slot, const Posted *posted, uint32_t size, const Verdict *v, uint64_t now) noexcept nogil:
    """All of a completion but its status word."""
    cdef RxCdescExt *c = <RxCdescExt *> slot
    c.base.length, c.base.req_id = <uint16_t> size, posted.req_id
    c.base.hash, c.base.sub_qid = v.hash, q.index
    c.base.offset, c.base.flags = 0, v.flags
    if q.cq.entry >= EXTENDED:
        c.address_low, c.address_high = <uint32_t> posted.address, <uint16_t> (posted.address >> 32)
        c.segment = v.segment
        c.timestamp_low, c.timestamp_high = <uint32_t> now, <uint32_t> (now >> 32)


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
    fetch(q)
    n = 0 if q.stopped else reserve(q, length, target)
    if not n and v.segment and ring_used(q.fetched, q.head) >= card.max_rx_buffers:
        return deliver_cut(card, v, pieces, count, v.segment, now)
    if not n:
        q.counters.drops[DROP_OVERRUN] += 1
        return 1
    scatter(pieces, count, target, n)
    if v.patched:
        patch(target, n, v)
    complete(q, v, length, now)
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
    """A frame that lies in memory which is not its queue's: judge, then copy. 0, or 1 when it was dropped and counted."""
    cdef Verdict v
    cdef int reason
    if not card.link:
        return drop(card, DROP_LINK)
    reason = rx_judge(card, pieces, count, length, meta, &v)
    if reason != DROP_NONE:
        return drop(card, reason)
    if v.cut:
        return deliver_cut(card, &v, pieces, count, meta.segment, now)
    return copy_in(card, &v, pieces, count, length, now)


cdef int rx_deliver(void *ctx, const iovec *pieces, int count, const PortMeta *meta) noexcept nogil:
    """The entry of push ports."""
    cdef Card *card = <Card *> ctx
    cdef uint64_t now = card.exec.now
    cdef uint32_t length = chain_length(pieces, count)
    if count > PORT_PIECES or length > SPILL_BYTES:
        return drop(card, DROP_TOO_LONG)
    if card.line != NULL and card_impairs(card, WAY_IN, 0, pieces, count, length, meta, now):
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

    0 if none is posted: the frame waits in the port for the doorbell.
    """
    cdef Card *card = ingress.card
    cdef RxQueue *q = ingress.home
    cdef uint32_t need = LARGE_OFFER if card.large else card.mtu + FRAME_SLACK
    cdef uint32_t offered = 0, posted, n = 0
    cdef Posted *buffer
    if card.link:
        if q == NULL:
            return 0
        fetch(q)
        posted = 0 if q.stopped else ring_used(q.fetched, q.head)
        if not posted:
            return 0
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
    if q == NULL:
        return False
    fetch(q)
    if not reserve(q, length, pieces) and ring_used(q.fetched, q.head) < ingress.card.max_rx_buffers and not q.stopped:
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
    count = chain_cut(pieces, count, length)
    if card.line != NULL and card_impairs(card, WAY_IN, 0, pieces, count, length, meta, now):
        return 0
    reason = rx_judge(card, pieces, count, length, meta, &v)
    if reason != DROP_NONE:
        return drop(card, reason)
    if v.cut or (v.segment and count > posted and <uint32_t> posted == card.max_rx_buffers):
        # Its segments go where it lies: it moves away first.
        whole.iov_base, whole.iov_len = card.bounce, chain_peek(pieces, count, card.bounce, SPILL_BYTES)
        return deliver_cut(card, &v, &whole, 1, meta.segment, now)
    if v.queue != q:
        v.queue.counters.copied += 1
        return copy_in(card, &v, pieces, count, length, now)
    if count > posted:
        if <uint32_t> posted == card.max_rx_buffers:
            return drop(card, DROP_TOO_LONG)
        park(ingress, pieces, count, meta)
        return 0
    if v.patched:
        patch(pieces, count, &v)
    complete(q, &v, length, now)
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
