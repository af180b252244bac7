# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""Any port, with all that passes written down as blocks of a pcapng file.

    network --inner port--> copy in the tape --> card        `take` hands the blocks to whoever writes the file
    card --> copy in the tape --inner port--> network

What goes on is the copy that was recorded, so a guest that changes its memory meanwhile changes both or none. Only afterwards an unfinished
checksum is finished in the copy: the file shows what a wire would carry. Large packets stand in it whole. A frame that finds the tape full
passes all the same, and is counted; one that the port refused is not recorded. Source: PCAP Next Generation file format, Enhanced
Packet Block.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset
from posix.time cimport CLOCK_MONOTONIC, CLOCK_REALTIME, clock_gettime, timespec
from posix.uio cimport iovec

from ena_dev.bus.atomic cimport load_acquire64, store_release64
from ena_dev.packet.chain cimport chain_length, chain_peek, chain_spread
from ena_dev.packet.segmentation cimport finish_partial_checksum
from ena_dev.port.port cimport META_PARTIAL, PORT_SENT, PortMeta, port_send_now

from ena_dev.errors import UsageError

cdef enum:
    PACKET_BLOCK = 6
    OPTION_FLAGS = 2
    INBOUND = 1
    OUTBOUND = 2

TAPE = 1 << 24                   # bytes


cdef int64_t clock(int which) noexcept nogil:
    cdef timespec time
    clock_gettime(which, &time)
    return time.tv_sec * 1000000000LL + time.tv_nsec


# -- the tape ----------------------------------------------------------------------------------------------------------

cdef uint8_t *tape_room(Tape *tape, uint32_t length) noexcept nogil:
    """Where a frame of at most `length` bytes may be put, its block's head before it; NULL if there is no room."""
    cdef uint64_t tail = tape.tail
    if length > RECORDER_FRAME or tape.size - (tail - load_acquire64(&tape.head)) < BLOCK_HEAD + length + 3 + BLOCK_TAIL:
        return NULL
    return tape.ring + (tail & (tape.size - 1)) + BLOCK_HEAD


cdef void tape_commit(Tape *tape, uint8_t *frame, uint32_t length, const PortMeta *meta, uint32_t direction) noexcept nogil:
    """Make a block of the frame that lies where `tape_room` said."""
    cdef uint32_t *head = <uint32_t *> (frame - BLOCK_HEAD)
    cdef uint32_t padded = (length + 3) & ~<uint32_t> 3, total = BLOCK_HEAD + padded + BLOCK_TAIL
    cdef uint32_t *end = <uint32_t *> (frame + padded)
    cdef uint64_t now = <uint64_t> (clock(CLOCK_MONOTONIC) + tape.epoch), at = tape.tail & (tape.size - 1)
    if meta.flags & META_PARTIAL:
        finish_partial_checksum(frame, length, NULL, 0, length, meta.csum_start, <uint32_t> meta.csum_start + meta.csum_offset)
    head[0], head[1], head[2], head[3], head[4] = PACKET_BLOCK, total, 0, <uint32_t> (now >> 32), <uint32_t> now
    head[5] = head[6] = length
    memset(frame + length, 0, padded - length)
    end[0], end[1], end[2], end[3] = OPTION_FLAGS | 4 << 16, direction, 0, total
    tape.frames += 1
    store_release64(&tape.tail, tape.tail + (total if at + total < tape.size else tape.size - at))


# -- what passes -------------------------------------------------------------------------------------------------------

cdef int recorded_receive(void *ctx, iovec *buffers, int count, PortMeta *meta) noexcept nogil:
    """Into the tape, and from there into the buffers: as much as the inner port would have put there."""
    cdef RecordedQueue *q = <RecordedQueue *> ctx
    cdef uint32_t room = chain_length(buffers, count)
    cdef uint8_t *frame
    cdef iovec piece
    cdef int length
    if room > RECORDER_FRAME:
        room = RECORDER_FRAME
    frame = tape_room(q.tape, room)
    if frame == NULL:
        length = q.inner.receive(q.inner.ctx, buffers, count, meta)
        q.tape.lost += length > 0
        return length
    piece.iov_base, piece.iov_len = frame, room
    length = q.inner.receive(q.inner.ctx, &piece, 1, meta)
    if length > 0:
        chain_spread(frame, <uint32_t> length, buffers, count)
        tape_commit(q.tape, frame, <uint32_t> length, meta, INBOUND)
    return length


cdef int recorded_send(void *ctx, const iovec *buffers, int count, const PortMeta *meta) noexcept nogil:
    cdef RecordedQueue *q = <RecordedQueue *> ctx
    cdef uint32_t length = chain_length(buffers, count)
    cdef uint8_t *frame = tape_room(q.tape, length)
    cdef iovec piece
    cdef int reason
    if frame == NULL:
        reason = port_send_now(q.inner, buffers, count, meta)
        q.tape.lost += reason == PORT_SENT
        return reason
    chain_peek(buffers, count, frame, length)
    piece.iov_base, piece.iov_len = frame, length
    reason = port_send_now(q.inner, &piece, 1, meta)
    if reason == PORT_SENT:
        tape_commit(q.tape, frame, length, meta, OUTBOUND)
    return reason


cdef int recorded_deliver(void *ctx, const iovec *buffers, int count, const PortMeta *meta) noexcept nogil:
    cdef Delivery *to = <Delivery *> ctx
    cdef uint32_t length = chain_length(buffers, count)
    cdef uint8_t *frame = tape_room(to.tape, length)
    cdef iovec piece
    cdef int dropped
    if frame == NULL:
        to.tape.lost += 1
        return to.deliver(to.ctx, buffers, count, meta)
    chain_peek(buffers, count, frame, length)
    piece.iov_base, piece.iov_len = frame, length
    dropped = to.deliver(to.ctx, &piece, 1, meta)
    tape_commit(to.tape, frame, length, meta, INBOUND)
    return dropped


# -- the port ----------------------------------------------------------------------------------------------------------

cdef class RecordingPort(Port):
    """`inner`, recorded on a tape of `tape` bytes (a power of two with room for a large frame). It stays its opener's to close.

    Interface 0 of the blocks; times are nanoseconds since 1970 by a clock that never goes back.
    """

    def __cinit__(self, Port inner not None, *, uint64_t tape=TAPE):
        if tape & (tape - 1) or tape < BLOCK_MOST:
            raise UsageError(f"a tape has a power of two of bytes, at least {BLOCK_MOST}, not {tape}")
        if not 0 < inner.queues <= RECORDER_QUEUES:
            raise UsageError(f"a port of 1 to {RECORDER_QUEUES} queues can be recorded, not of {inner.queues}")
        self.inner, self.queues = inner, inner.queues
        self.tape.ring, self.tape.size = <uint8_t *> malloc(tape + BLOCK_MOST), tape
        if self.tape.ring == NULL:
            raise MemoryError
        self.tape.epoch = clock(CLOCK_REALTIME) - clock(CLOCK_MONOTONIC)

    def __dealloc__(self):
        free(self.tape.ring)

    cdef PortQueue *port_queue(self, int index) except NULL:
        cdef RecordedQueue *recorded
        cdef PortQueue *inner = self.inner.port_queue(index)
        if not 0 <= index < self.queues:
            raise UsageError(f"this port has {self.queues} queues, no queue {index}")
        recorded = &self.recorded[index]
        recorded.inner, recorded.tape, recorded.queue = inner, &self.tape, inner[0]
        recorded.queue.send, recorded.queue.flush, recorded.queue.ctx = recorded_send, NULL, recorded
        if inner.receive != NULL:
            recorded.queue.receive = recorded_receive
        return &recorded.queue

    cdef int set_deliver(self, port_deliver_t deliver, void *ctx) except -1:
        self.delivery.deliver, self.delivery.ctx, self.delivery.tape = deliver, ctx, &self.tape
        if deliver == NULL:
            return self.inner.set_deliver(NULL, NULL)
        return self.inner.set_deliver(recorded_deliver, &self.delivery)

    cdef int set_offloads(self, bint checksum, bint large) except -1:
        return self.inner.set_offloads(checksum, large)

    def steer(self, bytes key, unsigned int initial, table):
        self.inner.steer(key, initial, table)

    def take(self):
        """The blocks written since the last call, oldest first, in pieces that belong together."""
        cdef uint64_t head = self.tape.head, tail = load_acquire64(&self.tape.tail), lap, at, end
        pieces = []
        while head != tail:
            at = end = head & (self.tape.size - 1)
            lap = head - at
            while lap + end != tail and end < self.tape.size:
                end += (<uint32_t *> (self.tape.ring + end))[1]
            head = lap + min(end, self.tape.size)
            pieces.append(self.tape.ring[at:end])
        store_release64(&self.tape.head, head)
        return b"".join(pieces)

    @property
    def frames(self):
        """Frames recorded."""
        return self.tape.frames

    @property
    def lost(self):
        """Frames that passed, but found the tape full."""
        return self.tape.lost
