# cython: language_level=3
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from posix.uio cimport iovec

from ena_dev.port.port cimport PortMeta, PortQueue, PortRefused
from ena_dev.port.uring cimport URING_SLOTS, Uring

cdef enum:
    TAP_BURST = URING_SLOTS // 2 # frames read, or written, by one system call
    AHEAD_ROOM = 32              # bytes before a frame that is read: for either header
    AHEAD_BYTES = 0x11000        # of a frame that is read: as long as any can be
    AHEAD_STRIDE = AHEAD_ROOM + AHEAD_BYTES + 160       # no multiple of a page, or all headers share a few cache lines
    KEPT_BYTES = 2048            # of a frame that is kept to be written; longer ones gain nothing
    KEPT_STRIDE = KEPT_BYTES + 128

cdef struct VnetHeader:          # struct virtio_net_hdr, 10 bytes, native order. Source: virtio 1.2, 5.1.6
    uint8_t flags
    uint8_t gso_type
    uint16_t hdr_len
    uint16_t gso_size
    uint16_t csum_start
    uint16_t csum_offset

cdef struct TapQueue:
    PortQueue queue
    int fd
    uint8_t vnet                 # a VnetHeader before each frame
    uint8_t tun                  # no Ethernet header on the descriptor
    uint8_t ethernet[12]         # TUN: addresses of received frames
    Uring ring                   # not open: one frame a system call, its result still here
    uint8_t *ahead               # TAP_BURST frames read ahead, AHEAD_STRIDE apart
    uint32_t next, have          # of them: the first not handed over, the end
    uint32_t ask                 # frames to ask for next time
    uint8_t *kept                # TAP_BURST frames to be written, KEPT_STRIDE apart
    uint32_t keeps               # of them
    uint32_t sizes[TAP_BURST]    # of them, as the card counts
    PortRefused lost             # of those that were kept, since the last flush
    uint64_t malformed, refused  # frames with a header not to be trusted; refused by the interface


cdef int tap_open_ring(TapQueue *tap) noexcept nogil
cdef void tap_close_ring(TapQueue *tap) noexcept nogil
cdef int tap_receive(void *ctx, iovec *buffers, int count, PortMeta *meta) noexcept nogil      # ctx: TapQueue
cdef int tap_send(void *ctx, const iovec *buffers, int count, const PortMeta *meta) noexcept nogil
cdef void tap_flush(void *ctx, PortRefused *refused) noexcept nogil
