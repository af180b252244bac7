# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""What a received frame is, and where it belongs: destination filter, parse, checksums, hash, queue.

Everything is judged on a copy of the frame's start, so that nobody can change a header between its check and its use. The payload is
only summed. Source: ENA interface, Rx completion; RSS.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcmp, memcpy
from posix.uio cimport iovec

from ena_dev.abi.eth_io cimport (L3_IPV4, L3_IPV6, L4_TCP, L4_UDP, RXC_FRAGMENT, RXC_L3_ERROR, RXC_L4_CHECKED, RXC_L4_ERROR, RXC_L4_SHIFT,
                                 RXC_PARTIAL)
from ena_dev.device.card cimport DROP_FILTER, DROP_MALFORMED, DROP_NONE, DROP_TOO_LONG, FRAME_SLACK, CARD_QUEUES
from ena_dev.device.flow_steering cimport FLOW_NO_RULE, flow_match
from ena_dev.packet.chain cimport chain_peek, chain_skip
from ena_dev.packet.checksum cimport checksum_ipv4_header
from ena_dev.packet.headers cimport (ETHERNET_HEADER, PARSE_HEADERS_SPLIT, PARSE_OK, PARSED_FRAGMENT, PROTOCOL_TCP, PROTOCOL_UDP,
                                     parse_frame)
from ena_dev.packet.segmentation cimport finish_partial_checksum, verify_checksum
from ena_dev.packet.toeplitz cimport toeplitz_v4, toeplitz_v6
from ena_dev.port.port cimport GSO_NONE, META_CHECKED, META_PARTIAL, PORT_PIECES


cdef int rx_judge(Card *card, const iovec *pieces, int count, uint32_t length, const PortMeta *meta, Verdict *out) noexcept nogil:
    """Fill `out`; returns why the frame is dropped, or DROP_NONE. `out.queue` is NULL if there is no Rx queue at all."""
    out.head_length = chain_peek(pieces, count, out.head, length if length < HEAD_BYTES else HEAD_BYTES)
    out.length, out.hash, out.status, out.segment, out.flags, out.cut, out.patched = length, 0, 0, 0, 0, 0, 0
    if length < ETHERNET_HEADER:
        return DROP_MALFORMED
    if not wanted(card, out.head):
        return DROP_FILTER
    if meta.gso == GSO_NONE and length > card.mtu + FRAME_SLACK:
        return DROP_TOO_LONG
    out.parse = parse_frame(out.head, out.head_length, length, &out.parsed)
    describe(out)
    if meta.gso != GSO_NONE:
        if not is_whole_tcp(out) or not meta.segment:
            return DROP_MALFORMED
        out.cut = not card.large
        if card.large:
            out.segment = meta.segment
    if not out.cut and not checksums(card, pieces, count, meta, out):
        return DROP_MALFORMED
    steer(card, out)
    return DROP_NONE


cdef inline bint wanted(Card *card, const uint8_t *head) noexcept nogil:
    """Group addresses and our own. Multicast is not filtered further: the contract has no list of groups."""
    return head[0] & 1 or card.promiscuous or memcmp(head, card.mac, 6) == 0


cdef inline bint has_ports(const Verdict *v) noexcept nogil:
    return (v.parse == PARSE_OK and v.parsed.l4_offset and not v.parsed.flags & PARSED_FRAGMENT
            and (v.parsed.protocol == PROTOCOL_TCP or v.parsed.protocol == PROTOCOL_UDP))


cdef inline bint is_whole_tcp(const Verdict *v) noexcept nogil:
    return has_ports(v) and v.parsed.protocol == PROTOCOL_TCP


cdef void describe(Verdict *v) noexcept nogil:
    """Parse results of the completion. A packet that can't be read is of no protocol: a driver looks no further then."""
    cdef const uint8_t *ip = v.head + v.parsed.l3_offset
    cdef bint fragment = v.parsed.flags & PARSED_FRAGMENT
    if v.parse != PARSE_OK and v.parse != PARSE_HEADERS_SPLIT:
        return
    if v.parsed.version == 4:
        v.status |= L3_IPV4
        if v.parsed.l3_offset + (ip[0] & 15) * 4 > v.head_length or checksum_ipv4_header(ip) != 0xFFFF:
            v.status |= RXC_L3_ERROR
        if fragment:
            v.status |= RXC_FRAGMENT
    elif v.parsed.version == 6:
        v.status |= L3_IPV6
        if fragment:                 # the fragment bit is IPv4's: say nothing of the transport
            return
    if v.parsed.protocol == PROTOCOL_TCP:
        v.status |= L4_TCP << RXC_L4_SHIFT
    elif v.parsed.protocol == PROTOCOL_UDP:
        v.status |= L4_UDP << RXC_L4_SHIFT


cdef bint checksums(Card *card, const iovec *pieces, int count, const PortMeta *meta, Verdict *v) noexcept nogil:
    """Verify or finish the transport checksum; False if the port's word about it contradicts the frame."""
    cdef iovec rest[PORT_PIECES]
    cdef int n, right
    if meta.flags & META_PARTIAL:
        return partial(card, pieces, count, meta, v)
    if not has_ports(v):
        return True
    if meta.flags & META_CHECKED or v.segment:
        v.status |= RXC_L4_CHECKED
        return True
    n = chain_skip(pieces, count, v.head_length, rest)
    right = verify_checksum(v.head, v.head_length, rest, n, &v.parsed)
    card.rx_total.summed += 1
    if right >= 0:
        v.status |= RXC_L4_CHECKED if right else RXC_L4_CHECKED | RXC_L4_ERROR
    return True


cdef bint partial(Card *card, const iovec *pieces, int count, const PortMeta *meta, Verdict *v) noexcept nogil:
    """A checksum that is only a pseudo header's sum: pass it on to a driver that knows the form, or finish it."""
    cdef iovec rest[PORT_PIECES]
    cdef uint32_t field = <uint32_t> meta.csum_start + meta.csum_offset
    cdef uint32_t end = v.length
    cdef bint known = has_ports(v) and meta.csum_start == v.parsed.l4_offset and (
        meta.csum_offset == (16 if v.parsed.protocol == PROTOCOL_TCP else 6))
    cdef int n
    if known:
        v.status |= RXC_L4_CHECKED
        if card.large:
            v.flags = RXC_PARTIAL
            return True
        end = v.parsed.l3_offset + v.parsed.l3_length
    n = chain_skip(pieces, count, v.head_length, rest)
    if finish_partial_checksum(v.head, v.head_length, rest, n, end, meta.csum_start, field):
        return False
    card.rx_total.summed += 1
    v.patched, v.patch_at = 1, field
    memcpy(v.patch, v.head + field, 2)
    return True


cdef void steer(Card *card, Verdict *v) noexcept nogil:
    """The hash and the queue: the one a flow rule names, else the hash's. Without ports it is the first, as it is for an entry of none."""
    cdef const uint8_t *ip = v.head + v.parsed.l3_offset
    cdef const uint8_t *ports = v.head + v.parsed.l4_offset
    cdef uint16_t index
    cdef int named = flow_match(card.flows, v.head, &v.parsed, has_ports(v)) if v.parse == PARSE_OK else FLOW_NO_RULE
    v.queue = card.rx_order[0] if card.rx_count else NULL
    if card.hash != NULL and has_ports(v):
        v.hash = toeplitz_v4(card.hash, ip + 12, ports) if v.parsed.version == 4 else toeplitz_v6(card.hash, ip + 8, ports)
    if named >= 0 and <uint32_t> named < card.rx_count:
        v.queue = card.rx_order[named]
    elif card.hash != NULL and has_ports(v) and card.table_size:
        index = card.table[v.hash & (card.table_size - 1)]
        if index < CARD_QUEUES and card.rx[index] != NULL:
            v.queue = card.rx[index]
