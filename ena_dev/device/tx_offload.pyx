# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""Sending one packet: checksums and segmentation, in the port where it can, in software where it can't.

    plain ------------------------------------------------> port
    checksum --copy of the headers--> port that finishes it, or finished here
    TSO      --copy of the headers--> port that segments,    or segment by segment

The driver's memory is only read: headers that change are sent from a copy of the frame's start, and all that is judged is judged on
that copy. Source: ENA interface, Tx descriptor (checksum semantics, meta rules).
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset
from posix.uio cimport iovec

from ena_dev.abi.eth_io cimport L4_TCP, TX_L3_CSUM, TX_L4_CSUM, TX_L4_PARTIAL, TX_L4_PROTO_SHIFT, TX_TSO
from ena_dev.device.card cimport (DROP_MALFORMED, DROP_NONE, DROP_OFFLOAD, DROP_PORT_ERROR, DROP_PORT_FULL, DROP_TOO_LONG, DEFAULT_MTU,
                                  FRAME_SLACK, HEAD_BYTES, PAD_BYTES, card_impairs, card_shapes)
from ena_dev.device.impairment cimport WAY_OUT
from ena_dev.device.shaper cimport SHAPER_PASSES
from ena_dev.packet.chain cimport chain_length, chain_peek, chain_skip
from ena_dev.packet.checksum cimport (checksum_fold, checksum_ipv4_header, checksum_pseudo_v4, checksum_pseudo_v6,
                                      store_native16)
from ena_dev.packet.headers cimport (ETHERNET_HEADER, IPV4_HEADER, IPV6_HEADER, PARSE_OK, PARSED_FRAGMENT, PROTOCOL_TCP, PROTOCOL_UDP,
                                     TCP_CWR, TCP_HEADER, UDP_HEADER, Parsed, load_be16, parse_frame, store_be16)
from ena_dev.packet.segmentation cimport SEGMENT_MSS_MIN, finish_checksum, finish_partial_checksum, segment_tcp
from ena_dev.port.port cimport (GSO_ECN, GSO_TCP4, GSO_TCP6, META_PARTIAL, PORT_CHECKSUM, PORT_FULL, PORT_PAD, PORT_PIECES,
                                PORT_SEGMENTATION, PORT_SENT, PortMeta, PortRefused)

cdef enum:
    L4_PROTO = 0x1F            # bits of the descriptor's field, shifted down
    IP_LONGEST = 0xFFFF

cdef struct Headers:           # a frame's start, ours alone, and the rest where it lies
    uint8_t bytes[HEAD_BYTES]
    uint32_t length
    iovec rest[PORT_PIECES]
    int count
    Parsed parsed

cdef struct Cut:               # a large packet being sent segment by segment
    TxQueue *q
    PortMeta meta
    uint64_t now
    int failed                 # the last reason


cdef int send(TxQueue *q, const iovec *pieces, int count, uint32_t length, const PortMeta *meta, uint64_t now) noexcept nogil:
    """One frame to the port: DROP_NONE, or why it didn't get there. Allowances or a fault that take it are none of the sender's business."""
    cdef iovec padded[PORT_PIECES + 2]
    cdef int reason, i
    if length < PAD_BYTES and q.port.flags & PORT_PAD:
        for i in range(count):
            padded[i] = pieces[i]
        padded[count].iov_base, padded[count].iov_len = q.card.zeros, PAD_BYTES - length
        pieces, count, length = padded, count + 1, PAD_BYTES
    if q.card.shaper != NULL and card_shapes(q.card, WAY_OUT, q.port_index, pieces, count, length, meta, now) != SHAPER_PASSES:
        return DROP_NONE
    if q.card.line != NULL and card_impairs(q.card, WAY_OUT, q.port_index, pieces, count, length, meta):
        return DROP_NONE
    reason = q.port.send(q.port.ctx, pieces, count, meta)
    if reason == PORT_SENT:
        return DROP_NONE
    return DROP_PORT_FULL if reason == PORT_FULL else DROP_PORT_ERROR


cdef void tx_flush(TxQueue *q, PortRefused *refused) noexcept nogil:
    """What the port refuses only now was counted as sent: set that right."""
    memset(refused, 0, sizeof(PortRefused))
    if q.port.flush == NULL:
        return
    q.port.flush(q.port.ctx, refused)
    if refused.full or refused.error:
        q.counters.packets -= refused.full + refused.error
        q.counters.bytes -= refused.bytes
        q.counters.drops[DROP_PORT_FULL] += refused.full
        q.counters.drops[DROP_PORT_ERROR] += refused.error


cdef int send_headers(TxQueue *q, Headers *headers, uint32_t length, const PortMeta *meta, uint64_t now) noexcept nogil:
    """The same for a frame whose start was copied, and perhaps changed."""
    cdef iovec pieces[PORT_PIECES + 1]
    cdef int i
    pieces[0].iov_base, pieces[0].iov_len = headers.bytes, headers.length
    for i in range(headers.count):
        pieces[i + 1] = headers.rest[i]
    return send(q, pieces, headers.count + 1, length, meta, now)


cdef int tx_transmit(TxQueue *q, const Outgoing *packet, uint64_t now, int *frames) noexcept nogil:
    """Send a packet. Returns why it was dropped, or DROP_NONE; adds the frames it became to `frames`."""
    cdef PortMeta meta
    cdef Headers headers
    cdef bint large = packet.offloads & TX_TSO
    memset(&meta, 0, sizeof(meta))
    if packet.malformed or packet.length < ETHERNET_HEADER:
        return DROP_MALFORMED
    if not large and packet.length > DEFAULT_MTU + FRAME_SLACK:
        return DROP_TOO_LONG
    frames[0] += 1
    if not packet.offloads & (TX_TSO | TX_L3_CSUM | TX_L4_CSUM):
        return send(q, packet.pieces, packet.count, packet.length, &meta, now)
    headers.length = chain_peek(packet.pieces, packet.count, headers.bytes, HEAD_BYTES)
    headers.count = chain_skip(packet.pieces, packet.count, headers.length, headers.rest)
    if large:
        return segmented(q, packet, &headers, &meta, now, frames)
    if not locate(packet, &headers):
        return DROP_OFFLOAD
    if packet.offloads & TX_L3_CSUM and not finish_l3(&headers):
        return DROP_OFFLOAD
    if packet.offloads & TX_L4_CSUM and not finish_l4(q, packet, &headers, &meta):
        return DROP_OFFLOAD
    return send_headers(q, &headers, packet.length, &meta, now)


# -- where the headers are ---------------------------------------------------------------------------------------------

cdef inline bint has_ports(const Parsed *parsed) noexcept nogil:
    return parsed.l4_offset and not parsed.flags & PARSED_FRAGMENT and (
        parsed.protocol == PROTOCOL_TCP or parsed.protocol == PROTOCOL_UDP)


cdef bint locate(const Outgoing *packet, Headers *h) noexcept nogil:
    """Find the headers: by our own walk, or where the meta descriptor says when the walk ends before them (tags, tunnels)."""
    cdef int reason = parse_frame(h.bytes, h.length, packet.length, &h.parsed)
    if reason == PARSE_OK and (has_ports(&h.parsed) or not packet.offloads & TX_L4_CSUM):
        return True
    return packet.meta.l3_length != 0 and believe(packet, h)


cdef bint believe(const Outgoing *packet, Headers *h) noexcept nogil:
    """Take offset and length of the IP header from the meta descriptor, as far as the bytes there agree."""
    cdef Parsed *parsed = &h.parsed
    cdef uint32_t at = packet.meta.l3_offset, l4 = at + packet.meta.l3_length
    cdef bint tcp = packet.offloads >> TX_L4_PROTO_SHIFT & L4_PROTO == L4_TCP
    memset(parsed, 0, sizeof(Parsed))
    if l4 > h.length or packet.meta.l3_length < IPV4_HEADER or h.length - l4 < (TCP_HEADER if tcp else UDP_HEADER):
        return False
    parsed.version = h.bytes[at] >> 4
    if parsed.version == 4:
        parsed.l3_length = load_be16(h.bytes + at + 2)
    elif parsed.version == 6 and packet.meta.l3_length >= IPV6_HEADER:
        parsed.l3_length = IPV6_HEADER + <uint32_t> load_be16(h.bytes + at + 4)
    else:
        return False
    if parsed.l3_length > packet.length - at or parsed.l3_length < packet.meta.l3_length + (TCP_HEADER if tcp else UDP_HEADER):
        return False
    if not tcp and load_be16(h.bytes + l4 + 4) > parsed.l3_length - packet.meta.l3_length:
        return False
    parsed.l3_offset, parsed.l4_offset, parsed.payload_offset = at, l4, l4 + (TCP_HEADER if tcp else UDP_HEADER)
    parsed.protocol = PROTOCOL_TCP if tcp else PROTOCOL_UDP
    return True


# -- checksums ---------------------------------------------------------------------------------------------------------

cdef bint finish_l3(Headers *h) noexcept nogil:
    """The IPv4 header checksum. There is none in IPv6: nothing to do."""
    cdef uint8_t *ip = h.bytes + h.parsed.l3_offset
    if h.parsed.version != 4:
        return h.parsed.version == 6
    if (ip[0] & 15) * 4 < IPV4_HEADER or h.parsed.l3_offset + (ip[0] & 15) * 4 > h.length:
        return False
    store_native16(ip + 10, 0)
    store_native16(ip + 10, <uint16_t> ~checksum_ipv4_header(ip))
    return True


cdef inline uint32_t field_of(const Parsed *parsed) noexcept nogil:
    """Bytes from the transport header to its checksum."""
    return 16 if parsed.protocol == PROTOCOL_TCP else 6


cdef void unfinish(Headers *h, PortMeta *meta) noexcept nogil:
    """Leave the checksum to the port: the field gets the pseudo header's sum."""
    cdef Parsed *parsed = &h.parsed
    cdef uint8_t *ip = h.bytes + parsed.l3_offset
    cdef uint32_t length = parsed.l3_length - (parsed.l4_offset - parsed.l3_offset)
    cdef uint64_t total
    if parsed.version == 4:
        total = checksum_pseudo_v4(ip, parsed.protocol, length)
    else:
        total = checksum_pseudo_v6(ip, parsed.protocol, length)
    store_native16(h.bytes + parsed.l4_offset + field_of(parsed), checksum_fold(total))
    meta.flags, meta.csum_start, meta.csum_offset = META_PARTIAL, parsed.l4_offset, field_of(parsed)


cdef bint finish_l4(TxQueue *q, const Outgoing *packet, Headers *h, PortMeta *meta) noexcept nogil:
    cdef Parsed *parsed = &h.parsed
    cdef uint32_t end = parsed.l3_offset + parsed.l3_length
    cdef bint port = q.port.flags & PORT_CHECKSUM
    if packet.offloads & TX_L4_PARTIAL:
        if port:
            meta.flags, meta.csum_start, meta.csum_offset = META_PARTIAL, parsed.l4_offset, field_of(parsed)
            return True
        q.counters.summed += 1
        return not finish_partial_checksum(h.bytes, h.length, h.rest, h.count, end, parsed.l4_offset, parsed.l4_offset + field_of(parsed))
    if port and end == packet.length:      # padding would count in the port's sum
        unfinish(h, meta)
        return True
    q.counters.summed += 1
    return not finish_checksum(h.bytes, h.length, h.rest, h.count, parsed)


# -- segmentation ------------------------------------------------------------------------------------------------------

cdef bint tell_length(const Outgoing *packet, Headers *h) noexcept nogil:
    """Write the packet's length into the IP header: drivers leave what they like there when the card is to segment."""
    cdef uint32_t at = packet.meta.l3_offset if packet.meta.l3_length else ETHERNET_HEADER
    cdef uint32_t length = packet.length - at
    if at + IPV4_HEADER > h.length:
        return False
    if h.bytes[at] >> 4 == 4 and length <= IP_LONGEST:
        store_be16(h.bytes + at + 2, length)
    elif h.bytes[at] >> 4 == 6 and length >= IPV6_HEADER and length - IPV6_HEADER <= IP_LONGEST:
        store_be16(h.bytes + at + 4, length - IPV6_HEADER)
    else:
        return False
    return True


cdef int segmented(TxQueue *q, const Outgoing *packet, Headers *h, PortMeta *meta, uint64_t now, int *frames) noexcept nogil:
    """A large TCP packet: to a port that segments as it is, to others in segments."""
    cdef Parsed *parsed = &h.parsed
    cdef uint8_t flags
    cdef int reason
    if packet.meta.mss < SEGMENT_MSS_MIN or not tell_length(packet, h):
        return DROP_OFFLOAD
    if parse_frame(h.bytes, h.length, packet.length, parsed) != PARSE_OK or parsed.protocol != PROTOCOL_TCP or not has_ports(parsed):
        return DROP_OFFLOAD
    if not q.port.flags & PORT_SEGMENTATION:
        return cut(q, packet, h, now, frames)
    flags = h.bytes[parsed.l4_offset + 13]
    finish_l3(h)
    unfinish(h, meta)
    if packet.length - parsed.payload_offset > packet.meta.mss:
        meta.gso = (GSO_TCP4 if parsed.version == 4 else GSO_TCP6) | (GSO_ECN if flags & TCP_CWR else 0)
        meta.segment, meta.header_length = packet.meta.mss, parsed.payload_offset
    reason = send_headers(q, h, packet.length, meta, now)
    return reason


cdef int cut(TxQueue *q, const Outgoing *packet, Headers *h, uint64_t now, int *frames) noexcept nogil:
    cdef Cut state
    cdef iovec payload[PORT_PIECES]
    cdef PortRefused refused
    cdef int segments, n
    tx_flush(q, &refused)                  # of the packets before
    n = chain_skip(packet.pieces, packet.count, h.parsed.payload_offset, payload)
    state.q, state.now, state.failed = q, now, DROP_NONE
    memset(&state.meta, 0, sizeof(PortMeta))
    segments = segment_tcp(h.bytes, h.parsed.payload_offset, payload, n, packet.meta.mss, send_segment, &state)
    if segments < 0:
        return DROP_OFFLOAD
    if q.port.flush != NULL:
        q.port.flush(q.port.ctx, &refused)
        if refused.full or refused.error:
            state.failed = DROP_PORT_FULL if refused.full else DROP_PORT_ERROR
    q.counters.segmented += 1
    frames[0] += segments - 1
    return state.failed


cdef int send_segment(void *ctx, const uint8_t *headers, uint32_t header_length, iovec *payload, int count) noexcept nogil:
    """A segment that finds no room doesn't keep the others: TCP sends it again."""
    cdef Cut *state = <Cut *> ctx
    cdef iovec pieces[PORT_PIECES + 1]
    cdef int i, reason
    pieces[0].iov_base, pieces[0].iov_len = <void *> headers, header_length
    for i in range(count):
        pieces[i + 1] = payload[i]
    reason = send(state.q, pieces, count + 1, header_length + chain_length(payload, count), &state.meta, state.now)
    if reason != DROP_NONE:
        state.failed = reason
    return 0
