# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""The driver's receive ring: post buffers, gather completions into frames. Source: ENA interface, Rx descriptor, Rx completion.

What the device writes is believed only after a check: request ids must be in flight, lengths within the buffer, first and
last bits where they belong. Anything else is a reset reason.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from ena_dev.abi.eth_io cimport (
    L3_IPV4, L4_TCP, L4_UDP, RX_COMP_REQ, RX_FIRST, RX_LAST, RXC_FIRST, RXC_FRAGMENT, RXC_L3_ERROR, RXC_L4_CHECKED, RXC_L4_ERROR,
    RXC_L4_SHIFT, RXC_LAST, RXC_PARTIAL, RXC_PHASE, RXC_ZERO, RxCdesc, RxCdescExt, RxDesc,
)
from ena_dev.bus.atomic cimport load_acquire
from ena_dev.bus.mmio cimport Bar, bar_write
from ena_dev.driver.pool cimport (
    NO_BUFFER, OWNER_BURST, OWNER_POSTED, Pool, pool_address, pool_data, pool_give, pool_give_chain, pool_take,
)
from ena_dev.driver.rings cimport (
    FAULT_INV_RX_REQ_ID, FAULT_RX_MALFORMED, FAULT_TOO_MANY_RX_DESCS, Frame, FRAME_L3_BAD, FRAME_L4_BAD, FRAME_L4_GOOD, FRAME_PARTIAL,
    MAX_RX_BUFFERS, RxRing,
)
from ena_dev.ring cimport ring_phase, ring_slot


cdef inline RxCdesc *completion(RxRing *ring, uint16_t index) noexcept nogil:
    return <RxCdesc *>(ring.completions + <uint64_t>ring_slot(index, ring.depth) * ring.completion_bytes)


cdef inline bint is_ours(RxRing *ring, uint16_t index) noexcept nogil:
    cdef uint32_t status = load_acquire(&completion(ring, index).status)
    return (1 if status & RXC_PHASE else 0) == ring_phase(index, ring.depth)


cdef bint rx_waiting(RxRing *ring) noexcept nogil:
    """Whether a completion waits to be looked at."""
    return is_ours(ring, ring.head)


cdef int packet_length(RxRing *ring) noexcept nogil:
    """Completions of the packet at the head: their number, 0 while the last is not there, or a negative reason."""
    cdef int n
    cdef uint32_t status
    for n in range(MAX_RX_BUFFERS):
        if not is_ours(ring, <uint16_t>(ring.head + n)):
            return 0
        status = completion(ring, <uint16_t>(ring.head + n)).status
        if (1 if status & RXC_FIRST else 0) != (1 if n == 0 else 0) or status & RXC_ZERO:
            return -FAULT_RX_MALFORMED
        if status & RXC_LAST:
            return n + 1
    return -FAULT_TOO_MANY_RX_DESCS


cdef int take_buffer(RxRing *ring, Pool *pool, Frame *frame, RxCdesc *done, uint32_t *previous) noexcept nogil:
    """Pass the buffer of one completion from the ring to the frame; 0 or a negative reason. `previous`: the frame's last buffer so far."""
    cdef uint16_t req_id = done.req_id
    cdef uint32_t length = done.length, offset = done.offset if previous[0] == NO_BUFFER else 0
    cdef uint32_t buffer
    if req_id >= ring.depth or ring.buffer_of[req_id] == NO_BUFFER:
        return -FAULT_INV_RX_REQ_ID
    if length == 0 or length + offset > pool.size:
        return -FAULT_RX_MALFORMED
    buffer = ring.buffer_of[req_id]
    ring.buffer_of[req_id] = NO_BUFFER
    ring.free_ids[ring.free_count] = req_id
    ring.free_count += 1
    pool.owner[buffer], pool.next[buffer], pool.length[buffer] = OWNER_BURST, NO_BUFFER, length
    if previous[0] == NO_BUFFER:
        frame.first, frame.first_length, frame.offset, frame.data = buffer, length, offset, pool_data(pool, buffer) + offset
    else:
        pool.next[previous[0]] = buffer
    previous[0] = buffer
    frame.length += length
    return 0


cdef int rx_next(RxRing *ring, Pool *pool, Frame *frame) noexcept nogil:
    """Take the next whole packet, if there is one: its buffers pass from the ring to the burst."""
    cdef int i, result, n = packet_length(ring)
    cdef RxCdesc done
    cdef uint32_t previous = NO_BUFFER
    if n <= 0:
        return n
    frame.length = frame.segment = frame.flags = 0
    frame.first = NO_BUFFER
    for i in range(n):
        done = completion(ring, ring.head)[0]             # copied once, then judged
        result = take_buffer(ring, pool, frame, &done, &previous)
        if result < 0:
            pool_give_chain(pool, frame.first)
            return result
        ring.head += 1
    frame.buffers, frame.hash = n, done.hash
    judge(ring, completion(ring, <uint16_t>(ring.head - 1)), frame)
    ring.packets += 1
    ring.bytes += frame.length
    return 1


cdef void judge(RxRing *ring, RxCdesc *last, Frame *frame) noexcept nogil:
    """What the device says of checksums, from the packet's last completion."""
    cdef uint32_t status = last.status, l4 = (status >> RXC_L4_SHIFT) & 0x1F
    if status & 0x1F == L3_IPV4 and status & RXC_L3_ERROR:
        frame.flags |= FRAME_L3_BAD
    if ring.completion_bytes == sizeof(RxCdescExt):
        frame.segment = (<RxCdescExt *>last).segment
        if last.flags & RXC_PARTIAL:
            frame.flags |= FRAME_PARTIAL
    if status & RXC_FRAGMENT or not (l4 == L4_TCP or l4 == L4_UDP):
        return
    if status & RXC_L4_CHECKED:
        frame.flags |= FRAME_L4_BAD if status & RXC_L4_ERROR else FRAME_L4_GOOD
        if status & RXC_L4_ERROR:
            ring.csum_bad += 1
        else:
            ring.csum_good += 1
    else:
        ring.csum_unchecked += 1


cdef int rx_post(RxRing *ring, Pool *pool, Bar *bar) noexcept nogil:
    """Post free buffers, all but one slot of the ring, and ring once. Returns how many."""
    cdef int posted = 0
    cdef uint32_t buffer
    cdef uint64_t address
    cdef uint16_t req_id
    cdef RxDesc *desc
    while ring.free_count > 1:
        buffer = pool_take(pool, OWNER_POSTED)
        if buffer == NO_BUFFER:
            ring.refill_partial += 1
            break
        ring.free_count -= 1
        req_id = ring.free_ids[ring.free_count]
        ring.buffer_of[req_id] = buffer
        address = pool_address(pool, buffer)
        desc = <RxDesc *>ring.descriptors + ring_slot(ring.tail, ring.depth)
        desc.length, desc.reserved, desc.req_id, desc.reserved6 = <uint16_t>pool.size, 0, req_id, 0
        desc.address_low, desc.address_high, desc.reserved14 = <uint32_t>address, <uint16_t>(address >> 32), 0
        desc.control = RX_FIRST | RX_LAST | RX_COMP_REQ | ring_phase(ring.tail, ring.depth)
        ring.tail += 1
        posted += 1
    if posted:
        bar_write(bar, ring.doorbell, ring.tail)
    elif ring.free_count == ring.depth:
        ring.empty += 1
    return posted


cdef void rx_forget(RxRing *ring, Pool *pool) noexcept nogil:
    """The device no longer reaches the ring: every posted buffer back to the pool."""
    cdef uint32_t i
    for i in range(ring.depth):
        if ring.buffer_of[i] != NO_BUFFER:
            pool_give(pool, ring.buffer_of[i])
            ring.buffer_of[i] = NO_BUFFER


cdef bint rx_make(RxRing *ring) noexcept nogil:
    """Bookkeeping for a ring of `depth`; False without memory. `rx_free` undoes it, in part or whole."""
    ring.buffer_of = <uint32_t *>malloc(ring.depth * sizeof(uint32_t))
    ring.free_ids = <uint16_t *>malloc(ring.depth * sizeof(uint16_t))
    if ring.buffer_of == NULL or ring.free_ids == NULL:
        return False
    memset(ring.buffer_of, 0xFF, ring.depth * sizeof(uint32_t))
    return True


cdef void rx_free(RxRing *ring) noexcept nogil:
    free(ring.buffer_of)
    free(ring.free_ids)


cdef void rx_clear(RxRing *ring) noexcept nogil:
    """As after a reset: phase 1, all request ids free."""
    cdef uint32_t i
    memset(ring.descriptors, 0, ring.depth * 16)
    memset(ring.completions, 0, ring.depth * ring.completion_bytes)
    ring.head = ring.tail = 0
    ring.free_count = ring.depth
    for i in range(ring.depth):
        ring.free_ids[i] = ring.depth - 1 - i
