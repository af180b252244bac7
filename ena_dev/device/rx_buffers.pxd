# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""The two rings of an Rx queue: posted buffers in, completions out. Header-only, compiled into the engine that uses it.

A descriptor is copied out once and its address translated then: nothing the driver writes later can move a buffer. When the table of
memory has changed since, buffers are looked up again before they are used. A completion never lacks room, since each belongs to a
posted buffer and the completion ring is as deep.
Source: ENA interface, queue model; Rx descriptor; Rx completion.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memmove
from posix.uio cimport iovec

from ena_dev.abi.eth_io cimport RXC_BUFFER, RXC_FIRST, RXC_LAST, RXC_PHASE, RXC_ZERO, RX_PHASE, RxCdesc, RxCdescExt, RxDesc
from ena_dev.bus.atomic cimport load_acquire, load_once16, store_release
from ena_dev.bus.memory cimport BUS_READ, BUS_WRITE, bus_at
from ena_dev.device.card cimport Card, Posted, RxQueue, card_fatal, cq_slot, spoils
from ena_dev.device.rx_verdict cimport Verdict
from ena_dev.ring cimport ring_phase, ring_slot, ring_used

cdef enum:
    EXTENDED = 32              # bytes of a completion with room for the segment size
    LONGEST_PIECE = 0xFFFF     # of a frame in one buffer: what a completion's length can say, although a buffer may have one byte more


# -- buffers -----------------------------------------------------------------------------------------------------------

cdef inline void rx_fetch(RxQueue *q) noexcept nogil:
    """Copy out what the driver has posted since the last call, as far as there is room and the phase is right."""
    cdef Card *card = q.card
    cdef uint16_t tail = <uint16_t> load_acquire(&q.doorbell)
    cdef uint32_t new = ring_used(tail, q.fetched), room = q.depth - ring_used(q.fetched, q.head)
    cdef uint8_t *ring
    cdef RxDesc desc
    if q.located != card.bus.generation:
        rx_locate(q)
    if not new or card.fatal:
        return
    ring = bus_at(card.bus, q.ring, <uint64_t> q.depth * sizeof(RxDesc), BUS_READ)
    if ring == NULL:
        card_fatal(card, q.ring)
        return
    if new > room:
        q.counters.bad_doorbells += 1
        new = room
    while new:
        load_once16(ring + ring_slot(q.fetched, q.depth) * sizeof(RxDesc), &desc)
        if desc.control & RX_PHASE != ring_phase(q.fetched, q.depth):
            q.counters.bad_doorbells += 1
            return
        if not rx_post(q, &desc):
            return
        new -= 1


cdef inline void rx_locate(RxQueue *q) noexcept nogil:
    """Find the posted buffers again in a table that has changed. One that is gone stops the card."""
    cdef uint16_t n = q.head
    cdef Posted *posted
    q.located = q.card.bus.generation
    while n != q.fetched:
        posted = &q.posted[ring_slot(n, q.depth)]
        posted.host = bus_at(q.card.bus, posted.address, posted.length, BUS_WRITE)
        if posted.host == NULL:
            card_fatal(q.card, posted.address)
            return
        n += 1


cdef inline bint rx_post(RxQueue *q, const RxDesc *desc) noexcept nogil:
    """Judge one descriptor. A buffer outside of memory stops the card: nothing after it can be trusted."""
    cdef Posted *posted = &q.posted[ring_slot(q.fetched, q.depth)]
    cdef uint32_t length = desc.length if desc.length else 0x10000
    posted.length = length if length < LONGEST_PIECE else LONGEST_PIECE
    posted.address = <uint64_t> desc.address_high << 32 | desc.address_low
    posted.req_id = desc.req_id
    posted.host = bus_at(q.card.bus, posted.address, length, BUS_WRITE)
    if posted.host == NULL:
        card_fatal(q.card, posted.address)
        return False
    q.fetched += 1
    return True


cdef inline uint32_t rx_most(const RxQueue *q) noexcept nogil:
    """Posted buffers with which a packet that still finds no room never will: more than a packet may use, or than the ring can hold."""
    return q.card.max_rx_buffers if q.card.max_rx_buffers < q.depth else q.depth - 1


cdef inline int rx_reserve(RxQueue *q, uint32_t length, iovec *out) noexcept nogil:
    """The posted buffers that `length` bytes fill, in order, into `out`: how many, or 0 if too few are posted, or too many needed."""
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


cdef inline void rx_scatter(const iovec *source, int sources, const iovec *target, int targets) noexcept nogil:
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


cdef inline void rx_patch(const iovec *pieces, int count, const Verdict *v) noexcept nogil:
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

cdef inline void rx_complete(RxQueue *q, const Verdict *v, uint32_t length, uint64_t now) noexcept nogil:
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
            return
        posted = &q.posted[ring_slot(q.head, q.depth)]
        size = posted.length if posted.length < left else left
        left -= size
        if not left:
            status |= v.status | RXC_LAST
        if ring_phase(q.cq.tail, q.cq.depth):
            status |= RXC_PHASE
        rx_write_completion(q, slot, posted, size, v, now)
        if spoils(&q.card.spoil_rx.wrong_id):
            (<RxCdesc *> slot).req_id = ~posted.req_id
        if spoils(&q.card.spoil_rx.malformed):
            status |= RXC_ZERO
        store_release(&(<RxCdesc *> slot).status, status | RXC_BUFFER)
        status = 0
        q.head += 1
        q.cq.tail += 1


cdef inline void rx_write_completion(RxQueue *q, uint8_t *slot, const Posted *posted, uint32_t size, const Verdict *v,
                                     uint64_t now) noexcept nogil:
    """All of a completion but its status word."""
    cdef RxCdescExt *c = <RxCdescExt *> slot
    c.base.length, c.base.req_id = <uint16_t> size, posted.req_id
    c.base.hash, c.base.sub_qid = v.hash, q.index
    c.base.offset, c.base.flags = 0, v.flags
    if q.cq.entry >= EXTENDED:
        c.address_low, c.address_high = <uint32_t> posted.address, <uint16_t> (posted.address >> 32)
        c.segment = v.segment
        now += q.card.clock_offset
        c.timestamp_low, c.timestamp_high = <uint32_t> now, <uint32_t> (now >> 32)
