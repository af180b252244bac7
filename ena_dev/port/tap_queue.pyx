# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""Frames through one descriptor of a TAP or TUN: small ones in bursts, large ones without a copy.

    Linux --io_uring, several by one call--> frames read ahead --copied--> posted buffers
          `-------while large ones come: readv---------------------------^
    pieces --copied--> frames kept --flush: io_uring, several by one call--> Linux
           `-------large ones: writev--------------------------------------^

Header and frame in one piece, a copied small frame costs the kernel much less than a list of pieces would. Where there is no io_uring,
frames go one by one, in the same form. What was read ahead and finds no buffer waits here, as others do in the interface.

The virtio-net header carries unfinished checksums and large TCP packets both ways. It is the kernel's word, or that of whoever holds
the other end in a guest, so lengths and offsets are checked before anything is believed. A TUN has no Ethernet header: one is made up on
receiving and taken off on sending. Source: Linux, Documentation/networking/tuntap; virtio 1.2, 5.1.6.
"""

from libc.errno cimport EAGAIN, EBADF, EINTR, EIO, ENOBUFS, ENODEV, ENOMEM, errno
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy, memset
from posix.uio cimport iovec, readv, writev
from posix.unistd cimport read, write

from ena_dev.bus.cache cimport prefetch
from ena_dev.packet.chain cimport chain_length, chain_peek, chain_skip, chain_spread
from ena_dev.packet.headers cimport ETHERNET_HEADER, ETHERTYPE_IPV4, ETHERTYPE_IPV6, store_be16
from ena_dev.port.port cimport (GSO_ECN, GSO_NONE, GSO_TCP4, GSO_TCP6, META_CHECKED, META_PARTIAL, PORT_EMPTY, PORT_ERROR, PORT_FULL,
                                PORT_GONE, PORT_MALFORMED, PORT_PIECES, PORT_SENT, PortMeta, PortRefused)
from ena_dev.port.uring cimport URING_READ, URING_WRITE, uring_close, uring_open, uring_prepare, uring_run

cdef extern from "errno.h" nogil:
    int EBADFD

cdef enum:
    HDR_NEEDS_CSUM = 1           # VnetHeader.flags
    HDR_DATA_VALID = 2
    FEW_PIECES = 4               # more are only offered while large packets come


cdef int tap_open_ring(TapQueue *tap) noexcept nogil:
    """Bursts from here on, if the kernel allows it: 0 or an errno."""
    cdef int reason = uring_open(&tap.ring, tap.fd)
    cdef uint32_t n
    if reason:
        return reason
    for n in range(TAP_BURST):
        uring_prepare(&tap.ring, n, URING_READ, read_at(tap, n), AHEAD_BYTES)
        uring_prepare(&tap.ring, TAP_BURST + n, URING_WRITE, tap.kept + n * KEPT_STRIDE, 0)
    return 0


cdef void tap_close_ring(TapQueue *tap) noexcept nogil:
    uring_close(&tap.ring)


# -- receiving ---------------------------------------------------------------------------------------------------------

cdef int believe(const VnetHeader *header, uint32_t length, PortMeta *meta) noexcept nogil:
    """Offload state from the header of a frame of `length` bytes; 0, or PORT_MALFORMED."""
    cdef uint8_t gso = header.gso_type & ~GSO_ECN
    memset(meta, 0, sizeof(PortMeta))
    if header.flags & HDR_NEEDS_CSUM:
        if <uint32_t> header.csum_start + header.csum_offset + 2 > length:
            return PORT_MALFORMED
        meta.flags, meta.csum_start, meta.csum_offset = META_PARTIAL, header.csum_start, header.csum_offset
    elif header.flags & HDR_DATA_VALID:
        meta.flags = META_CHECKED
    if gso == GSO_NONE:
        return 0
    if (gso != GSO_TCP4 and gso != GSO_TCP6) or not header.gso_size or header.hdr_len > length:
        return PORT_MALFORMED
    meta.gso, meta.segment, meta.header_length = header.gso_type, header.gso_size, header.hdr_len
    return 0


cdef int tap_receive(void *ctx, iovec *buffers, int count, PortMeta *meta) noexcept nogil:
    cdef TapQueue *tap = <TapQueue *> ctx
    cdef int32_t length
    while True:
        while tap.next < tap.have:
            length = tap.ring.results[tap.next]
            tap.next += 1
            if length >= 0:
                return hand_over(tap, tap.next - 1, <uint32_t> length, buffers, count, meta)
            if is_gone(-length):
                return PORT_GONE
        if count > FEW_PIECES and not tap.tun:
            return receive_large(tap, buffers, count, meta)
        if not read_ahead(tap):
            return PORT_EMPTY


cdef inline bint is_gone(int reason) noexcept nogil:
    """Whether the interface was removed."""
    return reason == EBADFD or reason == EBADF or reason == EIO or reason == ENODEV


cdef inline uint8_t *read_at(TapQueue *tap, uint32_t slot) noexcept nogil:
    """Where a slot's frame is read to, with its virtio-net header right before AHEAD_ROOM."""
    return tap.ahead + slot * AHEAD_STRIDE + AHEAD_ROOM - (sizeof(VnetHeader) if tap.vnet else 0)


cdef bint read_ahead(TapQueue *tap) noexcept nogil:
    """Read what there is, at most twice as much as last time: asking in vain costs, too. False: nothing was there."""
    cdef uint32_t asked = tap.ask, got = 0, i
    if tap.ring.fd >= 0:
        if uring_run(&tap.ring, 0, asked):
            uring_close(&tap.ring)
        for i in range(asked):
            got += tap.ring.results[i] != -EAGAIN
            prefetch(tap.ahead + i * AHEAD_STRIDE + AHEAD_ROOM)
        tap.next, tap.have, tap.ask = 0, asked, min(2 * asked, <uint32_t> TAP_BURST) if got == asked else max(got, <uint32_t> 1)
        if got or tap.ring.fd >= 0:
            return got
    tap.ring.results[0] = <int32_t> read(tap.fd, read_at(tap, 0), AHEAD_BYTES)
    if tap.ring.results[0] < 0:
        tap.ring.results[0] = -errno
    tap.next, tap.have = 0, 1
    return tap.ring.results[0] != -EAGAIN and tap.ring.results[0] != -EINTR


cdef int hand_over(TapQueue *tap, uint32_t slot, uint32_t length, iovec *buffers, int count, PortMeta *meta) noexcept nogil:
    """The next frame that was read ahead."""
    cdef uint8_t *frame = tap.ahead + slot * AHEAD_STRIDE + AHEAD_ROOM
    cdef VnetHeader header
    if tap.vnet:
        memcpy(&header, frame - sizeof(header), sizeof(header))
        length = length - sizeof(header) if length > sizeof(header) else 0
    else:
        memset(&header, 0, sizeof(header))
    if not length or believe(&header, length, meta):
        tap.malformed += 1
        return PORT_MALFORMED
    if tap.tun:
        if not add_ethernet(tap, frame, meta):
            tap.malformed += 1
            return PORT_MALFORMED
        frame -= ETHERNET_HEADER
        length += ETHERNET_HEADER
    chain_spread(frame, length, buffers, count)
    return <int> length


cdef bint add_ethernet(TapQueue *tap, uint8_t *packet, PortMeta *meta) noexcept nogil:
    """Put an Ethernet header before an IP packet, in place of its virtio-net header. False if it is none."""
    cdef uint8_t version = packet[0] >> 4
    if version != 4 and version != 6:
        return False
    memcpy(packet - ETHERNET_HEADER, tap.ethernet, 12)
    store_be16(packet - 2, ETHERTYPE_IPV4 if version == 4 else ETHERTYPE_IPV6)
    if meta.flags & META_PARTIAL:
        meta.csum_start += ETHERNET_HEADER
    if meta.header_length:
        meta.header_length += ETHERNET_HEADER
    return True


cdef int receive_large(TapQueue *tap, iovec *buffers, int count, PortMeta *meta) noexcept nogil:
    """One frame straight into the buffers."""
    cdef VnetHeader header
    cdef iovec pieces[PORT_PIECES + 1]
    cdef ssize_t length
    cdef int first = 1 if tap.vnet else 0, i
    memset(&header, 0, sizeof(header))
    pieces[0].iov_base, pieces[0].iov_len = &header, sizeof(header)
    for i in range(count):
        pieces[first + i] = buffers[i]
    length = readv(tap.fd, pieces, first + count)
    if length < 0:
        return PORT_GONE if is_gone(errno) else PORT_EMPTY
    if tap.vnet:
        length -= sizeof(header)
    if length <= 0 or believe(&header, <uint32_t> length, meta):
        tap.malformed += 1
        return PORT_MALFORMED
    return <int> length


# -- sending -----------------------------------------------------------------------------------------------------------

cdef void tell(const PortMeta *meta, uint16_t skipped, VnetHeader *header) noexcept nogil:
    """The header of a frame whose first `skipped` bytes stay behind."""
    memset(header, 0, sizeof(VnetHeader))
    if meta.flags & META_PARTIAL:
        header.flags, header.csum_start, header.csum_offset = HDR_NEEDS_CSUM, meta.csum_start - skipped, meta.csum_offset
    elif meta.flags & META_CHECKED:
        header.flags = HDR_DATA_VALID
    if meta.gso != GSO_NONE:
        header.gso_type, header.gso_size, header.hdr_len = meta.gso, meta.segment, meta.header_length - skipped


cdef int tap_send(void *ctx, const iovec *buffers, int count, const PortMeta *meta) noexcept nogil:
    """A small frame is copied, and kept for the flush if bursts are written; a large one is written from where it lies."""
    cdef TapQueue *tap = <TapQueue *> ctx
    cdef iovec rest[PORT_PIECES + 2]
    cdef uint32_t skip = ETHERNET_HEADER if tap.tun else 0, size = chain_length(buffers, count), length
    cdef uint8_t *slot
    if count > PORT_PIECES + 2 or (skip and meta.flags & META_PARTIAL and meta.csum_start < skip):
        return PORT_ERROR
    if skip:
        count = chain_skip(buffers, count, skip, rest)
        buffers = rest
    length = size - skip if size > skip else 0
    if length > KEPT_BYTES:
        return send_large(tap, buffers, count, meta, skip)
    slot = tap.kept + tap.keeps * KEPT_STRIDE
    if tap.vnet:
        tell(meta, skip, <VnetHeader *> slot)
        slot += sizeof(VnetHeader)
    chain_peek(buffers, count, slot, length)
    if tap.vnet:
        length += sizeof(VnetHeader)
    if tap.ring.fd < 0:
        return PORT_SENT if write_one(tap.fd, tap.kept, length) >= 0 else refused_for(tap, errno)
    tap.ring.requests[TAP_BURST + tap.keeps].length, tap.sizes[tap.keeps] = length, size
    tap.keeps += 1
    if tap.keeps == TAP_BURST:
        write_kept(tap)
    return PORT_SENT


cdef int send_large(TapQueue *tap, const iovec *buffers, int count, const PortMeta *meta, uint32_t skip) noexcept nogil:
    cdef VnetHeader header
    cdef iovec pieces[PORT_PIECES + 3]
    cdef int first = 1 if tap.vnet else 0, i
    cdef ssize_t sent
    write_kept(tap)                          # they come first
    tell(meta, skip, &header)
    pieces[0].iov_base, pieces[0].iov_len = &header, sizeof(header)
    for i in range(count):
        pieces[first + i] = buffers[i]
    sent = writev(tap.fd, pieces, first + count)
    while sent < 0 and errno == EINTR:
        sent = writev(tap.fd, pieces, first + count)
    return PORT_SENT if sent >= 0 else refused_for(tap, errno)


cdef inline ssize_t write_one(int fd, const uint8_t *data, uint32_t length) noexcept nogil:
    cdef ssize_t sent = write(fd, data, length)
    while sent < 0 and errno == EINTR:
        sent = write(fd, data, length)
    return sent


cdef int refused_for(TapQueue *tap, int reason) noexcept nogil:
    """Count a frame that the interface didn't take."""
    tap.refused += 1
    return PORT_FULL if reason == EAGAIN or reason == ENOBUFS or reason == ENOMEM else PORT_ERROR


cdef void write_kept(TapQueue *tap) noexcept nogil:
    cdef uint32_t n = tap.keeps, i
    cdef int32_t *results = &tap.ring.results[TAP_BURST]
    if not n:
        return
    tap.keeps = 0
    if uring_run(&tap.ring, TAP_BURST, n):
        uring_close(&tap.ring)               # what was not written is refused
    for i in range(n):
        if results[i] < 0:
            lose(tap, i, -results[i])


cdef void lose(TapQueue *tap, uint32_t slot, int reason) noexcept nogil:
    tap.lost.bytes += tap.sizes[slot]
    if refused_for(tap, reason) == PORT_FULL:
        tap.lost.full += 1
    else:
        tap.lost.error += 1


cdef void tap_flush(void *ctx, PortRefused *refused) noexcept nogil:
    cdef TapQueue *tap = <TapQueue *> ctx
    write_kept(tap)
    refused[0] = tap.lost
    memset(&tap.lost, 0, sizeof(PortRefused))
