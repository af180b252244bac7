# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""The driver's send ring: descriptors out, completions in. Source: ENA interface, Tx descriptor, Tx meta descriptor, Tx completion.

A frame with a partial checksum goes out with checksum offload, a large one with TSO; both need a meta descriptor, which is
sent only when its content changes (the device keeps the last one). What finds no room waits in a bounded backlog, in order.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from ena_dev.abi.eth_io cimport (
    L3_IPV4, L3_IPV6, L4_TCP, L4_UDP, META_ETH_TYPE, META_EXT_VALID, META_L3_OFFSET_SHIFT, META_L4_WORDS_SHIFT, META_MSS_HIGH_SHIFT,
    META_MSS_LOW_SHIFT, META_STORE, TX_CDESC_PHASE, TX_CDESC_ZERO, TX_COMP_REQ, TX_DF, TX_FIRST, TX_L3_CSUM, TX_L4_CSUM, TX_L4_PARTIAL, TX_L4_PROTO_SHIFT,
    TX_LAST, TX_META_DESC, TX_PHASE, TX_REQ_ID_HIGH_SHIFT, TX_REQ_ID_LOW_SHIFT, TX_TSO, TxDesc,
)
from ena_dev.bus.atomic cimport load_acquire64
from ena_dev.bus.mmio cimport Bar, bar_write
from ena_dev.driver.pool cimport NO_BUFFER, OWNER_SENT, Pool, pool_address, pool_give_chain
from ena_dev.driver.rings cimport (
    FAULT_INV_TX_REQ_ID, FAULT_TX_MALFORMED, Frame, FRAME_PARTIAL, SEND_FULL, SEND_OK, SEND_REFUSED, TxRing,
)
from ena_dev.packet.headers cimport Parsed
from ena_dev.ring cimport ring_phase, ring_slot

cdef enum:
    TCP = 6
    UDP = 17
    MAX_SEGMENT = 0x3FFF


cdef inline TxDesc *next_desc(TxRing *ring, uint32_t flags) noexcept nogil:
    """The next free descriptor, its word 0 set to `flags` and the phase."""
    cdef TxDesc *desc = <TxDesc *>ring.descriptors + ring_slot(ring.tail, ring.depth)
    desc.word[0] = flags | (TX_PHASE if ring_phase(ring.tail, ring.depth) else 0)
    ring.tail += 1
    return desc


cdef int offload_words(Frame *frame, uint32_t *meta, uint32_t *word1) noexcept nogil:
    """Meta descriptor (without phase) and word 1 of a frame that asks for offloads: 1, 0 if it asks for none, -1 if it can't have them."""
    cdef Parsed *p = &frame.parsed
    cdef uint32_t l4_words = 0
    word1[0] = meta[0] = meta[2] = 0
    if not frame.segment and not frame.flags & FRAME_PARTIAL:
        return 0
    if not p.version or p.l4_offset <= p.l3_offset or p.l4_offset - p.l3_offset > 255 or p.l3_offset > 255:
        return -1
    if p.protocol != TCP and (frame.segment or p.protocol != UDP) or frame.segment > MAX_SEGMENT:
        return -1
    word1[0] = (L3_IPV4 if p.version == 4 else L3_IPV6) | TX_DF | TX_L4_CSUM
    word1[0] |= <uint32_t>(L4_TCP if p.protocol == TCP else L4_UDP) << TX_L4_PROTO_SHIFT
    if frame.segment:
        if p.payload_offset <= p.l4_offset:
            return -1
        l4_words = (p.payload_offset - p.l4_offset) >> 2
        word1[0] |= TX_TSO | (TX_L3_CSUM if p.version == 4 else 0)
    else:
        word1[0] |= TX_L4_PARTIAL
    meta[0] = META_EXT_VALID | META_ETH_TYPE | META_STORE | TX_META_DESC | (<uint32_t>(frame.segment >> 10) << META_MSS_HIGH_SHIFT)
    meta[1] = meta[3] = 0
    meta[2] = (<uint32_t>(p.l4_offset - p.l3_offset) | (<uint32_t>p.l3_offset << META_L3_OFFSET_SHIFT)
               | (l4_words << META_L4_WORDS_SHIFT) | (<uint32_t>(frame.segment & 0x3FF) << META_MSS_LOW_SHIFT))
    return 1


cdef void put_buffers(TxRing *ring, Pool *pool, Frame *frame, uint16_t req_id, uint32_t first, uint32_t word1) noexcept nogil:
    """One descriptor a buffer; request id, offload bits and the completion request stand in the first."""
    cdef uint32_t buffer = frame.first, flags = first | TX_COMP_REQ | (<uint32_t>(req_id >> 10) << TX_REQ_ID_HIGH_SHIFT)
    cdef uint64_t address = pool_address(pool, buffer) + frame.offset
    cdef uint32_t length = frame.first_length
    cdef TxDesc *desc
    word1 |= <uint32_t>(req_id & 0x3FF) << TX_REQ_ID_LOW_SHIFT
    while True:
        pool.owner[buffer] = OWNER_SENT
        desc = next_desc(ring, flags | length | (TX_LAST if pool.next[buffer] == NO_BUFFER else 0))
        desc.word[1], desc.word[2], desc.word[3] = word1, <uint32_t>address, <uint32_t>(address >> 32) & 0xFFFF
        buffer = pool.next[buffer]
        if buffer == NO_BUFFER:
            return
        flags, word1, address, length = 0, 0, pool_address(pool, buffer), pool.length[buffer]


cdef int tx_put(TxRing *ring, Pool *pool, Frame *frame, uint64_t now) noexcept nogil:
    """Queue one frame, without ringing. On SEND_OK its buffers are the ring's."""
    cdef uint32_t meta[4]
    cdef uint32_t word1, needed = frame.buffers, first = TX_FIRST
    cdef int offload = offload_words(frame, meta, &word1)
    cdef bint describe
    cdef TxDesc *desc
    cdef uint16_t req_id
    if (offload < 0 or not frame.buffers or frame.buffers > ring.max_buffers or frame.first_length == 0
            or frame.buffers + <uint32_t>offload > ring.depth - 1):          # it would block the ring for ever
        ring.refused += 1
        return SEND_REFUSED
    describe = offload and (meta[0] != ring.meta[0] or meta[2] != ring.meta[2])
    needed += 1 if describe else 0
    if ring.used + needed > ring.depth - 1 or ring.free_count == 0:
        return SEND_FULL
    ring.free_count -= 1
    req_id = ring.free_ids[ring.free_count]
    if describe:
        desc = next_desc(ring, meta[0] | TX_FIRST)
        desc.word[1], desc.word[2], desc.word[3] = 0, meta[2], 0
        ring.meta[0], ring.meta[2] = meta[0], meta[2]
        first = 0
    ring.buffer_of[req_id], ring.descs_of[req_id], ring.sent_at[req_id] = frame.first, needed, now | 1
    put_buffers(ring, pool, frame, req_id, first, word1)
    ring.used += needed
    ring.packets += 1
    ring.bytes += frame.length
    return SEND_OK


cdef void tx_ring_doorbell(TxRing *ring, Bar *bar) noexcept nogil:
    """Tell the device of all that was queued since the last doorbell."""
    if ring.rung != ring.tail:
        ring.rung = ring.tail
        ring.doorbells += 1
        bar_write(bar, ring.doorbell, ring.tail)


cdef inline uint64_t peek(TxRing *ring) noexcept nogil:
    return load_acquire64(<uint64_t *>ring.completions + ring_slot(ring.head, ring.depth))


cdef inline bint is_ours(TxRing *ring, uint64_t word) noexcept nogil:
    return <uint32_t>((word >> 24) & TX_CDESC_PHASE) == ring_phase(ring.head, ring.depth)     # byte 3: flags


cdef bint tx_waiting(TxRing *ring) noexcept nogil:
    return is_ours(ring, peek(ring))


cdef int tx_reap(TxRing *ring, Pool *pool, int budget) noexcept nogil:
    """Take up to `budget` completions; their buffers go back to the pool."""
    cdef int n = 0
    cdef uint64_t word
    cdef uint16_t req_id
    while n < budget:
        word = peek(ring)
        if not is_ours(ring, word):
            break
        if (word >> 24) & TX_CDESC_ZERO:
            return -FAULT_TX_MALFORMED
        req_id = <uint16_t>word
        if req_id >= ring.depth or ring.sent_at[req_id] == 0:
            return -FAULT_INV_TX_REQ_ID
        pool_give_chain(pool, ring.buffer_of[req_id])
        ring.used -= ring.descs_of[req_id]
        ring.sent_at[req_id] = 0
        ring.free_ids[ring.free_count] = req_id
        ring.free_count += 1
        ring.head += 1
        n += 1
    ring.polls += 1
    return n


cdef int tx_forget(TxRing *ring, Pool *pool) noexcept nogil:
    """The device no longer reaches the ring: buffers in flight and in the backlog back to the pool. Returns how many frames."""
    cdef int n = 0
    cdef uint32_t i
    for i in range(ring.depth):
        if ring.sent_at[i]:
            pool_give_chain(pool, ring.buffer_of[i])
            ring.sent_at[i] = 0
            n += 1
    while ring.backlog_count:
        pool_give_chain(pool, ring.backlog[ring.backlog_head].first)
        ring.backlog_head = (ring.backlog_head + 1) % TX_BACKLOG
        ring.backlog_count -= 1
        n += 1
    return n


cdef bint tx_make(TxRing *ring) noexcept nogil:
    """Bookkeeping for a ring of `depth`, and its backlog; False without memory. `tx_free` undoes it, in part or whole."""
    ring.buffer_of = <uint32_t *>calloc(ring.depth, sizeof(uint32_t))
    ring.descs_of = <uint16_t *>calloc(ring.depth, sizeof(uint16_t))
    ring.sent_at = <uint64_t *>calloc(ring.depth, sizeof(uint64_t))
    ring.free_ids = <uint16_t *>calloc(ring.depth, sizeof(uint16_t))
    ring.backlog = <Frame *>calloc(TX_BACKLOG, sizeof(Frame))
    return ring.buffer_of and ring.descs_of and ring.sent_at and ring.free_ids and ring.backlog


cdef void tx_free(TxRing *ring) noexcept nogil:
    free(ring.buffer_of)
    free(ring.descs_of)
    free(ring.sent_at)
    free(ring.free_ids)
    free(ring.backlog)


cdef void tx_clear(TxRing *ring) noexcept nogil:
    """As after a reset: phase 1, all request ids free."""
    cdef uint32_t i
    memset(ring.descriptors, 0, ring.depth * 16)
    memset(ring.completions, 0, ring.depth * 8)
    memset(ring.meta, 0, sizeof(ring.meta))
    ring.head = ring.tail = ring.rung = 0
    ring.used = ring.backlog_head = ring.backlog_count = 0
    ring.free_count = ring.depth
    for i in range(ring.depth):
        ring.free_ids[i] = ring.depth - 1 - i
