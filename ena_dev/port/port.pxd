# cython: language_level=3
"""What a card's network side looks like to its engines: one struct of functions per queue.

A pull port (TAP, TUN, wire) is read straight into the buffers that the driver posted; its `fd` tells when. A push port (cable) has no
`receive`: it hands each frame to the card's `deliver`, which copies once into posted buffers or drops and counts.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from posix.uio cimport iovec

cdef enum:
    # PortMeta.flags
    META_PARTIAL = 1           # the L4 checksum field holds the pseudo-header sum only: finish it from csum_start
    META_CHECKED = 2           # the L4 checksum is known to be good
    # PortMeta.gso
    GSO_NONE = 0
    GSO_TCP4 = 1
    GSO_TCP6 = 4
    GSO_ECN = 0x80
    # PortQueue.flags: what the far side can take and may give
    PORT_CHECKSUM = 1          # send: partial checksums
    PORT_SEGMENTATION = 2      # send: large TCP packets to be segmented
    PORT_PAD = 4               # send: frames have 60 bytes at least, as on a wire
    # reasons of send
    PORT_SENT = 0              # gone, or sure to go with the next `flush`
    PORT_FULL = 1              # no room: dropped
    PORT_ERROR = 2             # refused: dropped
    # what `receive` returns beside a length
    PORT_EMPTY = 0
    PORT_GONE = -1
    PORT_MALFORMED = -2        # a frame was there, but not to be trusted: the port dropped it, go on
    # iovecs of one frame, both ways
    PORT_PIECES = 32

cdef struct PortMeta:          # of one frame, both ways
    uint8_t flags
    uint8_t gso
    uint16_t header_length     # bytes to the end of L4, 0 if unknown
    uint16_t segment           # MSS, 0 if not large
    uint16_t csum_start        # bytes from the frame's start
    uint16_t csum_offset       # bytes from csum_start

cdef struct PortRefused:       # frames that `send` took and the far side then didn't
    uint32_t full, error       # as with PORT_FULL, PORT_ERROR
    uint64_t bytes             # of them all

# Reads one frame into the buffers: its length in bytes, or one of PORT_EMPTY, PORT_GONE, PORT_MALFORMED.
ctypedef int (*port_receive_t)(void *ctx, iovec *buffers, int count, PortMeta *meta) noexcept nogil
# Sends one frame gathered from the buffers, which are the caller's again on return: PORT_SENT or a reason.
ctypedef int (*port_send_t)(void *ctx, const iovec *buffers, int count, const PortMeta *meta) noexcept nogil
# Ends a burst: what `send` kept to send it together goes now. Says what of it was refused.
ctypedef void (*port_flush_t)(void *ctx, PortRefused *refused) noexcept nogil
# The card's entry for push ports: 0, or 1 when it was dropped (and counted by the card).
ctypedef int (*port_deliver_t)(void *ctx, const iovec *buffers, int count, const PortMeta *meta) noexcept nogil

cdef struct PortQueue:
    port_receive_t receive     # NULL: a push port
    port_send_t send
    port_flush_t flush         # NULL: `send` keeps nothing
    void *ctx
    int fd                     # -1: none
    uint32_t flags


cdef inline int port_send_now(PortQueue *queue, const iovec *buffers, int count, const PortMeta *meta) noexcept nogil:
    """Send one frame that is no part of a burst, while none is kept."""
    cdef PortRefused refused
    cdef int reason = queue.send(queue.ctx, buffers, count, meta)
    if reason != PORT_SENT or queue.flush == NULL:
        return reason
    queue.flush(queue.ctx, &refused)
    if refused.full:
        return PORT_FULL
    return PORT_ERROR if refused.error else PORT_SENT


cdef class Port:
    """Base of all ports: `queues` of them, each a PortQueue; `set_deliver` tells a push port where frames go."""
    cdef readonly int queues
    cdef PortQueue *port_queue(self, int index) except NULL
    cdef int set_deliver(self, port_deliver_t deliver, void *ctx) except -1    # NULL: nowhere
    cdef int set_offloads(self, bint checksum, bint large) except -1    # what the card's driver can receive
