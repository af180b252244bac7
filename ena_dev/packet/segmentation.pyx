# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""TCP segmentation and transport checksums over scattered frames. The map is in segmentation.pxd.

Source: ENA interface, Tx descriptor, checksum semantics; RFC 9293; RFC 3168, 6.1.2 (CWR); RFC 6864 (identification).
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy
from posix.uio cimport iovec

from ena_dev.errors import UsageError

from ena_dev.packet.checksum cimport (checksum_chain, checksum_finish, checksum_finish_udp, checksum_fold, checksum_ipv4_header,
                                      checksum_pseudo_v4, checksum_pseudo_v6, checksum_sum, load_native16, store_native16)
from ena_dev.packet.headers cimport (IPV6_HEADER, PARSE_OK, PARSED_FRAGMENT, PROTOCOL_TCP, PROTOCOL_UDP, Parsed, TCP_CWR, TCP_FIN,
                                     TCP_PSH, load_be16, load_be32, parse_frame, store_be16, store_be32)


cdef struct Original:                             # what every segment begins with
    uint8_t headers[SEGMENT_HEADERS_MAX]          # patched for each segment in turn
    uint32_t length
    Parsed parsed
    uint32_t sequence, payload                    # of the whole, bytes
    uint16_t identification
    uint8_t tcp_flags

cdef struct Cursor:                               # how far a chain of buffers is used up
    const iovec *pieces
    int index, count
    size_t offset


cdef int segment_tcp(const uint8_t *headers, uint32_t header_length, const iovec *payload, int count, uint32_t mss,
                     emit_t emit, void *ctx) noexcept nogil:
    """Hand each segment to `emit`, first to last. Returns how many, or a negative reason; nothing is emitted but with SEGMENT_STOPPED.

    `headers`: from the start of the frame to the end of the TCP header, exactly. The IP header's length says how much of the payload counts:
    what follows is padding. Segments share all header fields but lengths, identification (one more each), checksums and sequence
    number; FIN and PSH stay on the last, CWR on the first.
    """
    cdef Original original
    cdef Cursor cursor
    cdef iovec pieces[SEGMENT_PIECES_MAX]
    cdef uint32_t done = 0, size
    cdef int taken, segments = 0
    cdef int reason = prepare(&original, headers, header_length, payload, count, mss)
    if reason:
        return reason
    cursor.pieces, cursor.index, cursor.count, cursor.offset = payload, 0, count, 0
    while done < original.payload or not segments:
        size = original.payload - done if original.payload - done < mss else mss
        taken = take(&cursor, size, pieces)
        patch(&original, done, size, segments)
        finish_checksum(original.headers, original.length, pieces, taken, &original.parsed)
        if emit(ctx, original.headers, original.length, pieces, taken):
            return SEGMENT_STOPPED
        done += size
        segments += 1
    return segments


cdef int prepare(Original *original, const uint8_t *headers, uint32_t header_length, const iovec *payload, int count,
                 uint32_t mss) noexcept nogil:
    """Judge everything once; 0 or a reason."""
    cdef Parsed *parsed = &original.parsed
    cdef uint64_t total = 0
    cdef int i
    if mss < SEGMENT_MSS_MIN:
        return SEGMENT_BAD_MSS
    if count < 0 or count > SEGMENT_PIECES_MAX:
        return SEGMENT_TOO_MANY_PIECES
    if header_length > SEGMENT_HEADERS_MAX:
        return SEGMENT_TOO_LONG
    for i in range(count):
        if payload[i].iov_len > SEGMENT_PAYLOAD_MAX - total:
            return SEGMENT_TOO_LONG
        total += payload[i].iov_len
    # The copy is parsed, not the original: a sender may still write to its buffer.
    memcpy(original.headers, headers, header_length)
    if parse_frame(original.headers, header_length, header_length + <uint32_t> total, parsed) != PARSE_OK:
        return SEGMENT_BAD_HEADERS
    if parsed.protocol != PROTOCOL_TCP or parsed.flags & PARSED_FRAGMENT:
        return SEGMENT_NOT_TCP
    if parsed.payload_offset != header_length:
        return SEGMENT_BAD_HEADERS
    original.length = header_length
    original.payload = parsed.l3_length - (header_length - parsed.l3_offset)
    original.sequence = load_be32(original.headers + parsed.l4_offset + 4)
    original.identification = load_be16(original.headers + parsed.l3_offset + 4)
    original.tcp_flags = parsed.tcp_flags
    return 0


cdef int take(Cursor *cursor, size_t size, iovec *out) noexcept nogil:
    """The next `size` bytes of the chain, which has them, as pieces. Returns how many: never more than the chain has."""
    cdef size_t left
    cdef int taken = 0
    while size and cursor.index < cursor.count:
        left = cursor.pieces[cursor.index].iov_len - cursor.offset
        if left > size:
            left = size
        if left:
            out[taken].iov_base = <uint8_t *> cursor.pieces[cursor.index].iov_base + cursor.offset
            out[taken].iov_len = left
            taken += 1
        cursor.offset += left
        size -= left
        if cursor.offset == cursor.pieces[cursor.index].iov_len:
            cursor.index += 1
            cursor.offset = 0
    return taken


cdef void patch(Original *original, uint32_t done, uint32_t size, int index) noexcept nogil:
    """Make the headers those of the segment of `size` bytes which begins `done` bytes into the payload."""
    cdef uint8_t *ip = original.headers + original.parsed.l3_offset
    cdef uint8_t *tcp = original.headers + original.parsed.l4_offset
    cdef uint8_t flags = original.tcp_flags
    cdef uint32_t length = original.length - original.parsed.l3_offset + size
    original.parsed.l3_length = length
    if original.parsed.version == 4:
        store_be16(ip + 2, length)
        store_be16(ip + 4, original.identification + index)
        store_native16(ip + 10, 0)
        store_native16(ip + 10, <uint16_t> ~checksum_ipv4_header(ip))
    else:
        store_be16(ip + 4, length - IPV6_HEADER)
    store_be32(tcp + 4, original.sequence + done)
    if index:
        flags &= ~TCP_CWR
    if done + size < original.payload:
        flags &= ~(TCP_FIN | TCP_PSH)
    tcp[13] = flags


cdef int checksum_field(const Parsed *parsed, uint32_t header_length) noexcept nogil:
    """Where the transport checksum stands, from the start of the frame, or CHECKSUM_NOT_HERE."""
    cdef uint32_t field
    if not parsed.l4_offset or parsed.flags & PARSED_FRAGMENT:
        return CHECKSUM_NOT_HERE
    if parsed.protocol == PROTOCOL_TCP:
        field = parsed.l4_offset + 16
    elif parsed.protocol == PROTOCOL_UDP:
        field = parsed.l4_offset + 6
    else:
        return CHECKSUM_NOT_HERE
    return <int> field if field + 2 <= header_length else CHECKSUM_NOT_HERE


cdef uint64_t transport_sum(const uint8_t *headers, uint32_t header_length, const iovec *rest, int count, const Parsed *parsed) noexcept nogil:
    """Pseudo header, transport header as it is, and payload; a UDP datagram ends where its own length says."""
    cdef uint32_t at = parsed.l4_offset
    cdef uint32_t length = parsed.l3_length - (at - parsed.l3_offset)
    cdef uint32_t linear = header_length - at
    cdef uint64_t total
    if parsed.protocol == PROTOCOL_UDP:
        length = load_be16(headers + at + 4)
    if parsed.version == 4:
        total = checksum_pseudo_v4(headers + parsed.l3_offset, parsed.protocol, length)
    else:
        total = checksum_pseudo_v6(headers + parsed.l3_offset, parsed.protocol, length)
    if linear >= length:
        return checksum_sum(headers + at, length, total)
    return checksum_chain(checksum_sum(headers + at, linear, total), rest, count, length - linear, linear)


cdef int finish_checksum(uint8_t *headers, uint32_t header_length, const iovec *rest, int count, const Parsed *parsed) noexcept nogil:
    """Write the TCP or UDP checksum, whatever the field held. Returns 0, or CHECKSUM_NOT_HERE.

    `parsed` is the result PARSE_OK of these very headers; they may go on into the payload. Not for fragments.
    """
    cdef int field = checksum_field(parsed, header_length)
    cdef uint64_t total
    if field < 0:
        return field
    store_native16(headers + field, 0)
    total = transport_sum(headers, header_length, rest, count, parsed)
    store_native16(headers + field, checksum_finish_udp(total) if parsed.protocol == PROTOCOL_UDP else checksum_finish(total))
    return 0


cdef int finish_partial_checksum(uint8_t *headers, uint32_t header_length, const iovec *rest, int count, uint32_t length,
                                 uint32_t start, uint32_t field) noexcept nogil:
    """Complete the checksum at `field`, which holds its pseudo header's sum, over all from `start` to `length`. Returns 0 or CHECKSUM_NOT_HERE.

    Offsets count from the start of the frame; `length` ends the packet, without padding. No header is looked at: this is the form of
    the virtio-net header too, and of whatever encapsulation. A field 6 bytes after `start` is UDP's, which never becomes zero.
    """
    cdef uint64_t total
    cdef uint32_t linear
    if length < header_length:
        header_length = length
    if header_length < 2 or field > header_length - 2 or start > field or (field - start) & 1:
        return CHECKSUM_NOT_HERE
    linear = header_length - start
    total = checksum_sum(headers + start, linear, 0)
    total = checksum_chain(total, rest, count, length - header_length, linear)
    store_native16(headers + field, checksum_finish_udp(total) if field - start == 6 else checksum_finish(total))
    return 0


cdef int verify_checksum(const uint8_t *headers, uint32_t header_length, const iovec *rest, int count, const Parsed *parsed) noexcept nogil:
    """1: the TCP or UDP checksum is right, or IPv4 UDP has none; 0: wrong; CHECKSUM_NOT_HERE. Arguments as for finish_checksum.

    Source: RFC 768; RFC 8200, 8.1 (UDP over IPv6 must have one).
    """
    cdef int field = checksum_field(parsed, header_length)
    if field < 0:
        return field
    if parsed.protocol == PROTOCOL_UDP and not load_native16(headers + field):
        return parsed.version == 4
    return checksum_fold(transport_sum(headers, header_length, rest, count, parsed)) == 0xFFFF


# What follows is for Python callers: whole frames as bytes.

cdef struct Scattered:                            # a frame's headers, and the rest in pieces
    Parsed parsed
    uint32_t length
    iovec pieces[SEGMENT_PIECES_MAX]
    int count


cdef const uint8_t *scatter(bytes frame, cuts, Scattered *out) except NULL:
    """Fill `out` with pieces of `cuts` bytes each after the headers, and one with what is left."""
    cdef const uint8_t *p = frame
    cdef size_t size, left
    if len(frame) > 0x7FFFFFFF or parse_frame(p, <uint32_t> len(frame), <uint32_t> len(frame), &out.parsed) != PARSE_OK:
        raise UsageError("the frame's headers can't be parsed")
    out.length = out.parsed.payload_offset
    out.count = 0
    left = <size_t> len(frame) - out.length
    for cut in [*cuts, left]:
        if out.count == SEGMENT_PIECES_MAX or cut < 0:
            raise UsageError(f"a frame has at most {SEGMENT_PIECES_MAX} pieces of 0 bytes or more")
        size = min(<size_t> cut, left)
        out.pieces[out.count].iov_base = <void *> (p + len(frame) - left)
        out.pieces[out.count].iov_len = size
        out.count += 1
        left -= size
    return p


cdef int collect(void *ctx, const uint8_t *headers, uint32_t header_length, iovec *payload, int count) noexcept with gil:
    cdef int i
    try:
        segment_bytes = bytearray(headers[:header_length])
        for i in range(count):
            segment_bytes += (<const uint8_t *> payload[i].iov_base)[:payload[i].iov_len]
        (<list> ctx).append(bytes(segment_bytes))
    except MemoryError:
        return 1
    return 0


REASONS = {
    SEGMENT_BAD_MSS: f"the MSS is below {SEGMENT_MSS_MIN}", SEGMENT_BAD_HEADERS: "the headers can't be parsed",
    SEGMENT_NOT_TCP: "it isn't whole TCP", SEGMENT_TOO_LONG: "it is too long",
    SEGMENT_TOO_MANY_PIECES: "it has too many pieces", SEGMENT_STOPPED: "memory is short",
}


def segment(bytes frame not None, uint32_t mss, cuts=()):
    """Cut a TCP frame into frames of at most `mss` payload bytes. UsageError says why it can't be.

    `cuts`: lengths of the buffers over which the payload lies scattered; one more holds what they leave.
    """
    cdef Scattered scattered
    cdef const uint8_t *p = scatter(frame, cuts, &scattered)
    cdef list segments = []
    cdef int result = segment_tcp(p, scattered.length, scattered.pieces, scattered.count, mss, collect, <void *> segments)
    if result < 0:
        raise UsageError(f"no segmentation of this frame: {REASONS.get(result)}")
    return segments


def finish(bytes frame not None, cuts=(), *, bint partial=False):
    """The frame with its TCP or UDP checksum written; `partial`: its field holds the pseudo header's sum."""
    cdef Scattered scattered
    cdef const uint8_t *p = scatter(frame, cuts, &scattered)
    cdef Parsed *parsed = &scattered.parsed
    cdef bytearray headers = bytearray(p[:scattered.length])
    cdef int result
    if partial:
        result = finish_partial_checksum(headers, scattered.length, scattered.pieces, scattered.count, parsed.l3_offset + parsed.l3_length,
                                         parsed.l4_offset, parsed.l4_offset + (16 if parsed.protocol == PROTOCOL_TCP else 6))
    else:
        result = finish_checksum(headers, scattered.length, scattered.pieces, scattered.count, parsed)
    if result < 0:
        raise UsageError("the frame has no transport checksum")
    return bytes(headers) + frame[scattered.length:]


def verify(bytes frame not None, cuts=()):
    """Is the TCP or UDP checksum right? None: there is none to verify (another protocol, a fragment)."""
    cdef Scattered scattered
    cdef const uint8_t *p = scatter(frame, cuts, &scattered)
    cdef int result = verify_checksum(p, scattered.length, scattered.pieces, scattered.count, &scattered.parsed)
    return None if result < 0 else result == 1
