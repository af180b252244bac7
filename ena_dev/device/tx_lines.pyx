# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""Sending from device memory: the packet at the head of a queue whose driver writes lines (LLQ).

    line 0   | meta | data |  header: the frame's first bytes            |     descriptors before the header: 1, 2, 4 or 8
    line 1   | data | data | data | ...                                  |     or one alone, by the stride
                ^-- phase of the line, in each descriptor                      the frame: header, then buffers

The index counts lines. A packet begins with a line of its own and ends with the descriptor marked last. The driver can write to the lines
at any time: descriptors are copied out one by one, the header once, when its length is known and fits the line.
Source: ENA interface, LLQ (device placement).
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from ena_dev.abi.eth_io cimport TX_FIRST, TX_HEADER_LENGTH_SHIFT, TX_LAST, TX_META_DESC, TX_PHASE, TxDesc
from ena_dev.bus.atomic cimport store_release
from ena_dev.bus.device_memory cimport DeviceMemory
from ena_dev.bus.executor cimport task_wake
from ena_dev.device.card cimport LINE_HEADER, Lines, TxQueue
from ena_dev.device.tx_descriptors cimport tx_begin, tx_fetch, tx_read_data, tx_read_meta
from ena_dev.device.tx_offload cimport Outgoing
from ena_dev.ring cimport ring_phase, ring_slot, ring_used

from ena_dev.errors import UsageError

cdef enum Found:               # what a line was to the packet
    GOES_ON
    LAST                       # the packet ends here
    MISSING                    # nothing was written yet
    ANOTHER                    # the next packet begins
    NOWHERE                    # an address is nobody's


cdef int lines_init(Lines *lines, DeviceMemory memory, uint32_t depth, layout) except -1:
    """Where a queue of `depth` lines lies, cleared: what an earlier queue left there has phases too. Raises UsageError, BusError."""
    cdef uint64_t offset = layout.offset
    cdef uint32_t entry = layout.entry, before = layout.before_header, following = layout.following
    if memory is None:
        raise UsageError("a card without device memory has no queue there")
    if entry not in (128, 256) or before not in (1, 2, 4, 8) or following not in (1, entry // sizeof(TxDesc)):
        raise UsageError(f"lines of {entry} bytes with {before} descriptors, then {following}")
    if not depth or depth & (depth - 1) or depth > 0x8000 or offset % entry:
        raise UsageError(f"{depth} lines at {offset:#x}")
    memory._check(offset, <uint64_t> depth * entry)
    lines.memory, lines.entry, lines.before, lines.following = memory.host + offset, entry, before, following
    lines.cached_meta, lines.burst = layout.cached_meta, layout.max_burst
    memset(lines.memory, 0, <uint64_t> depth * entry)
    return 0


cdef void tx_lines_doorbell(void *ctx, uint32_t value) noexcept nogil:
    """As any Tx queue's. More lines than the card asked for at a time are counted, and sent all the same."""
    cdef TxQueue *q = <TxQueue *> ctx
    if q.lines.burst and ring_used(<uint16_t> value, <uint16_t> q.doorbell) > q.lines.burst:
        q.counters.long_bursts += 1
    store_release(&q.doorbell, value)
    task_wake(&q.task)


cdef inline const uint8_t *line_at(TxQueue *q, uint16_t index) noexcept nogil:
    return q.lines.memory + <uint64_t> ring_slot(index, q.depth) * q.lines.entry


cdef void take_header(TxQueue *q, const TxDesc *desc, Outgoing *packet) noexcept nogil:
    """The bytes pushed into the packet's first line, as many as its first data descriptor says."""
    cdef uint32_t length = desc.word[3] >> TX_HEADER_LENGTH_SHIFT, at = q.lines.before * sizeof(TxDesc)
    if length > q.lines.entry - at or length > LINE_HEADER:
        packet.malformed = 1
        return
    if not length:
        return
    memcpy(q.lines.header, line_at(q, q.head) + at, length)
    packet.pieces[0].iov_base, packet.pieces[0].iov_len = q.lines.header, length
    packet.count, packet.length = 1, length


cdef Found take_line(TxQueue *q, uint16_t at, uint32_t count, Outgoing *packet) noexcept nogil:
    """One line of at most `count` descriptors. The first one's phase tells whether it was written; a slip behind breaks the packet."""
    cdef const uint8_t *line = line_at(q, at)
    cdef uint32_t i
    cdef bint begins
    cdef TxDesc desc
    for i in range(count):
        tx_fetch(line + i * sizeof(TxDesc), &desc)
        begins = at == q.head and i == 0
        if (desc.word[0] & TX_PHASE != 0) != ring_phase(at, q.depth):
            if i == 0:
                return MISSING
            packet.malformed = 1
            return GOES_ON
        if (desc.word[0] & TX_FIRST != 0) != begins:
            packet.malformed = 1
            if i == 0 and not begins:
                return ANOTHER
        if desc.word[0] & TX_META_DESC:
            if not begins:
                packet.malformed = 1
            tx_read_meta(q, &desc, packet)
        else:
            if not packet.named:
                take_header(q, &desc, packet)
            if not tx_read_data(q, &desc, packet):
                return NOWHERE
        if desc.word[0] & TX_LAST:
            return LAST
    return GOES_ON


cdef bint tx_gather_lines(TxQueue *q, uint16_t tail, Outgoing *packet) noexcept nogil:
    """The packet at the head of the queue; False if its rest isn't there yet, or an address is nobody's."""
    cdef uint16_t at = q.head
    cdef uint32_t count = q.lines.before
    cdef Found found
    tx_begin(q, packet)
    if not q.lines.cached_meta:
        memset(&packet.meta, 0, sizeof(packet.meta))
    while at != tail:
        found = take_line(q, at, count, packet)
        if found == MISSING:
            q.counters.bad_doorbells += 1
        if found == MISSING or found == NOWHERE:
            return False
        if found == ANOTHER:                   # this one has no end
            packet.end = at
            return True
        at += 1
        if found == LAST:
            packet.end = at
            return True
        count = q.lines.following
    packet.end, packet.malformed = at, 1
    return ring_used(at, q.head) == q.depth
