# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""A wire whose far end is Python: frames are injected and taken one by one. For tests, pcap files, and demos.

    inject --> inbound lane --receive--> card --send--> outbound lane --> take

A lane is a bounded ring with one writer and one reader, so the card's data thread and Python need no lock.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset
from posix.uio cimport iovec

from ena_dev.bus.atomic cimport load_acquire, store_release
from ena_dev.port.port cimport (GSO_ECN, GSO_TCP4, GSO_TCP6, META_CHECKED, META_PARTIAL, PORT_CHECKSUM, PORT_EMPTY, PORT_ERROR, PORT_FULL,
                                PORT_MALFORMED, PORT_PAD, PORT_SEGMENTATION, PORT_SENT)

from ena_dev.errors import PortError, UsageError
from ena_dev.port.meta import FrameMeta

cdef extern from "sys/eventfd.h" nogil:
    int eventfd(unsigned int count, int flags)
    int eventfd_write(int fd, unsigned long long value)
    int EFD_CLOEXEC, EFD_NONBLOCK

cdef extern from "unistd.h" nogil:
    int close(int fd)


cdef int lane_put(Lane *lane, const iovec *pieces, int count, const PortMeta *meta) noexcept nogil:
    cdef uint32_t tail = lane.tail
    cdef WireFrame *frame = &lane.slots[tail % WIRE_SLOTS]
    cdef size_t length = 0, at = 0
    cdef int i
    if tail - load_acquire(&lane.head) >= WIRE_SLOTS:
        lane.refused += 1
        return PORT_FULL
    for i in range(count):
        length += pieces[i].iov_len
    frame.data = <uint8_t *> malloc(length if length else 1)
    if frame.data == NULL:
        return PORT_ERROR
    for i in range(count):
        memcpy(frame.data + at, pieces[i].iov_base, pieces[i].iov_len)
        at += pieces[i].iov_len
    frame.length, frame.meta = <uint32_t> length, meta[0]
    store_release(&lane.tail, tail + 1)
    return PORT_SENT


cdef WireFrame *lane_first(Lane *lane) noexcept nogil:
    return NULL if lane.head == load_acquire(&lane.tail) else &lane.slots[lane.head % WIRE_SLOTS]


cdef void lane_drop_first(Lane *lane) noexcept nogil:
    free(lane.slots[lane.head % WIRE_SLOTS].data)
    store_release(&lane.head, lane.head + 1)


cdef int wire_receive(void *ctx, iovec *pieces, int count, PortMeta *meta) noexcept nogil:
    cdef Lane *lane = &(<WireQueue *> ctx).inbound
    cdef WireFrame *frame = lane_first(lane)
    cdef uint32_t at = 0, size
    cdef int i
    if frame == NULL:
        return PORT_EMPTY
    for i in range(count):
        size = frame.length - at
        if size > pieces[i].iov_len:
            size = <uint32_t> pieces[i].iov_len
        memcpy(pieces[i].iov_base, frame.data + at, size)
        at += size
    meta[0] = frame.meta
    lane_drop_first(lane)
    return <int> at if at else PORT_MALFORMED


cdef int wire_send(void *ctx, const iovec *pieces, int count, const PortMeta *meta) noexcept nogil:
    return lane_put(&(<WireQueue *> ctx).outbound, pieces, count, meta)


cdef class WirePort(Port):
    """`queues` wires. `checksum`, `segmentation`: the far end takes unfinished checksums and large packets, as a TAP does."""

    def __cinit__(self, int queues=1, *, bint checksum=False, bint segmentation=False):
        cdef int i
        cdef PortQueue *queue
        if not 0 < queues <= WIRE_QUEUES:
            raise UsageError(f"a wire has 1 to {WIRE_QUEUES} queues, not {queues}")
        self.wires = <WireQueue *> calloc(queues, sizeof(WireQueue))
        if self.wires == NULL:
            raise MemoryError
        self.queues = queues
        for i in range(queues):
            queue = &self.wires[i].queue
            queue.receive, queue.send, queue.ctx = wire_receive, wire_send, &self.wires[i]
            queue.flags = PORT_PAD | (PORT_CHECKSUM if checksum else 0) | (PORT_SEGMENTATION if segmentation else 0)
            queue.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)
            if queue.fd < 0:
                raise PortError("can't create an eventfd for the wire: too many open files?")

    def __dealloc__(self):
        cdef int i
        if self.wires == NULL:
            return
        for i in range(self.queues):
            while lane_first(&self.wires[i].inbound) != NULL:
                lane_drop_first(&self.wires[i].inbound)
            while lane_first(&self.wires[i].outbound) != NULL:
                lane_drop_first(&self.wires[i].outbound)
            if self.wires[i].queue.fd > 0:
                close(self.wires[i].queue.fd)
        free(self.wires)

    cdef PortQueue *port_queue(self, int index) except NULL:
        return &self._wire(index).queue

    cdef WireQueue *_wire(self, int index) except NULL:
        if not 0 <= index < self.queues:
            raise UsageError(f"the wire has {self.queues} queues, no queue {index}")
        return &self.wires[index]

    def inject(self, bytes frame not None, *, int queue=0, meta=None):
        """Put a frame on the wire towards the card; False if the wire is full."""
        cdef WireQueue *wire = self._wire(queue)
        cdef PortMeta native = to_native(meta) if meta is not None else PortMeta(0, 0, 0, 0, 0, 0)
        cdef iovec piece
        piece.iov_base, piece.iov_len = <void *> <const uint8_t *> frame, len(frame)
        if lane_put(&wire.inbound, &piece, 1, &native) != PORT_SENT:
            return False
        eventfd_write(wire.queue.fd, 1)
        return True

    def take(self, *, int queue=0):
        """The frames the card has sent since the last call, oldest first."""
        return [frame for frame, _ in self.take_with_meta(queue=queue)]

    def take_with_meta(self, *, int queue=0):
        """The same as pairs (frame, FrameMeta)."""
        cdef Lane *lane = &self._wire(queue).outbound
        cdef WireFrame *frame = lane_first(lane)
        taken = []
        while frame != NULL:
            taken.append((frame.data[:frame.length], from_native(&frame.meta)))
            lane_drop_first(lane)
            frame = lane_first(lane)
        return taken

    def waiting(self, *, int queue=0):
        """Injected frames that the card has not read yet."""
        cdef Lane *lane = &self._wire(queue).inbound
        return lane.tail - load_acquire(&lane.head)


cdef PortMeta to_native(meta) except *:
    cdef PortMeta native
    memset(&native, 0, sizeof(native))
    native.flags = (META_PARTIAL if meta.partial else 0) | (META_CHECKED if meta.checked else 0)
    native.csum_start, native.csum_offset = meta.csum_start, meta.csum_offset
    native.segment, native.header_length = meta.segment, meta.header_length
    if meta.segment:
        native.gso = (GSO_TCP6 if meta.version == 6 else GSO_TCP4) | (GSO_ECN if meta.ecn else 0)
    return native


cdef object from_native(const PortMeta *native):
    return FrameMeta(
        partial=bool(native.flags & META_PARTIAL), checked=bool(native.flags & META_CHECKED), csum_start=native.csum_start,
        csum_offset=native.csum_offset, segment=native.segment, version=6 if native.gso & ~GSO_ECN == GSO_TCP6 else 4,
        ecn=bool(native.gso & GSO_ECN), header_length=native.header_length)
