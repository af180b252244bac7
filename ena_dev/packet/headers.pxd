# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""One walk over the headers of an Ethernet frame, and unaligned big-endian access: header-only, compiled into each user.

    parse_frame -> parse_packet -> parse_ipv4 ----------------> parse_transport
    parse_quote --^            \-> parse_ipv6 (extensions) --^

Every read is bounded twice. `end` is where the IP packet stops by its own header: what lies beyond it is truncated or malformed.
`available` is how much of the frame lies in the first buffer: what lies beyond that is split, and a matter for a slower path.
`parse_quote` reads the packet inside an ICMP error, which may be cut after 8 bytes of its transport header.

Source: IEEE 802.3 and 802.1Q, RFC 791, RFC 8200, RFC 9293, RFC 768, RFC 792, RFC 4443.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy, memset


cdef extern from "<arpa/inet.h>" nogil:
    uint16_t ntohs(uint16_t value)
    uint16_t htons(uint16_t value)
    uint32_t ntohl(uint32_t value)
    uint32_t htonl(uint32_t value)


cdef enum:  # Parsed.flags
    PARSED_FRAGMENT = 1        # any IPv4 or IPv6 fragment; an IPv6 fragment header with offset 0 and M 0 doesn't make one
    PARSED_FIRST_FRAGMENT = 2  # set with PARSED_FRAGMENT, when the offset is 0: the transport header is here
    PARSED_OPTIONS = 4         # IPv4 options or IPv6 extension headers present
    PARSED_BROADCAST = 8       # L2 group address

cdef enum:  # results of the parsers
    PARSE_OK = 0
    PARSE_TRUNCATED = 1      # a header doesn't fit into the frame, or not into the IP packet
    PARSE_MALFORMED = 2      # a field contradicts itself or its surroundings: versions, lengths, order and number of extensions
    PARSE_UNKNOWN_L3 = 3     # neither IPv4 nor IPv6; ethertype is set
    PARSE_HEADERS_SPLIT = 4  # headers reach beyond the first buffer

cdef enum:
    ETHERTYPE_IPV4 = 0x0800
    ETHERTYPE_ARP = 0x0806
    ETHERTYPE_VLAN = 0x8100
    ETHERTYPE_IPV6 = 0x86DD
    ETHERTYPE_SERVICE_VLAN = 0x88A8

cdef enum:  # IP protocol and next header numbers
    PROTOCOL_HOP_BY_HOP = 0
    PROTOCOL_ICMP = 1
    PROTOCOL_TCP = 6
    PROTOCOL_UDP = 17
    PROTOCOL_ROUTING = 43
    PROTOCOL_FRAGMENT = 44
    PROTOCOL_ICMPV6 = 58
    PROTOCOL_DESTINATION_OPTIONS = 60

cdef enum:  # Parsed.tcp_flags
    TCP_FIN = 0x01
    TCP_SYN = 0x02
    TCP_RST = 0x04
    TCP_PSH = 0x08
    TCP_ACK = 0x10
    TCP_URG = 0x20
    TCP_ECE = 0x40
    TCP_CWR = 0x80

cdef enum:
    ETHERNET_HEADER = 14
    VLAN_TAG = 4
    IPV4_HEADER = 20        # without options
    IPV6_HEADER = 40
    TCP_HEADER = 20         # without options
    UDP_HEADER = 8
    ICMP_HEADER = 8         # with the four bytes whose meaning depends on the type
    QUOTED_TRANSPORT = 8    # what every ICMP error quotes of the transport header: both ports, or the echo identifier
    EXTENSIONS_MAX = 8      # IPv6 extension headers that a frame may carry


cdef struct Parsed:
    uint16_t ethertype         # host order; after at most one VLAN tag
    uint16_t l3_offset         # offsets count from the start of the frame; 0: not there
    uint16_t l4_offset         # 0 in a fragment that isn't the first
    uint16_t payload_offset    # after the last header known here
    uint16_t source_port       # host order; ICMP echo: both ports are the identifier
    uint16_t destination_port
    uint32_t l3_length         # IP packet by its own header, from l3_offset; IPv6: 40 + payload
    uint8_t version            # 4, 6, or 0
    uint8_t protocol           # final IP protocol number
    uint8_t tcp_flags
    uint8_t icmp_type
    uint8_t icmp_code
    uint8_t ttl                # IPv4 TTL, IPv6 hop limit
    uint8_t flags              # PARSED_*


cdef struct Bounds:            # how far a walk may read, from the start of the frame
    uint32_t end               # where the packet ends
    uint32_t available         # where the first buffer ends
    bint quoted                # inside an ICMP error: the packet may be cut


cdef inline uint16_t load_be16(const uint8_t *p) noexcept nogil:
    cdef uint16_t value
    memcpy(&value, p, 2)
    return ntohs(value)


cdef inline uint32_t load_be32(const uint8_t *p) noexcept nogil:
    cdef uint32_t value
    memcpy(&value, p, 4)
    return ntohl(value)


cdef inline void store_be16(uint8_t *p, uint16_t value) noexcept nogil:
    value = htons(value)
    memcpy(p, &value, 2)


cdef inline void store_be32(uint8_t *p, uint32_t value) noexcept nogil:
    value = htonl(value)
    memcpy(p, &value, 4)


cdef inline int within(uint32_t offset, uint32_t size, const Bounds *bounds) noexcept nogil:
    """PARSE_OK if `size` bytes at `offset` may be read; offsets stay far below 2**32, so the sum can't wrap."""
    if offset + size > bounds.end:
        return PARSE_TRUNCATED
    if offset + size > bounds.available:
        return PARSE_HEADERS_SPLIT
    return PARSE_OK


cdef inline int parse_tcp(const uint8_t *p, uint32_t at, const Bounds *bounds, Parsed *out) noexcept nogil:
    cdef int reason = within(at, TCP_HEADER, bounds)
    cdef uint32_t header
    if reason != PARSE_OK:
        return PARSE_OK if bounds.quoted else reason
    out.tcp_flags = p[at + 13]
    header = (p[at + 12] >> 4) * 4
    if header < TCP_HEADER:
        return PARSE_MALFORMED
    if header > bounds.end - at:
        return PARSE_OK if bounds.quoted else PARSE_MALFORMED
    out.payload_offset = at + header
    return PARSE_OK if bounds.quoted else within(at, header, bounds)


cdef inline int parse_udp(const uint8_t *p, uint32_t at, const Bounds *bounds, Parsed *out) noexcept nogil:
    cdef uint32_t length = load_be16(p + at + 4)
    if length < UDP_HEADER:
        return PARSE_MALFORMED
    # A first fragment and a quote hold less than the datagram.
    if length > bounds.end - at and not out.flags & PARSED_FRAGMENT and not bounds.quoted:
        return PARSE_MALFORMED
    out.payload_offset = at + UDP_HEADER
    return PARSE_OK


cdef inline int parse_icmp(const uint8_t *p, uint32_t at, const Bounds *bounds, Parsed *out) noexcept nogil:
    cdef uint8_t kind = p[at]
    out.icmp_type = kind
    out.icmp_code = p[at + 1]
    out.payload_offset = at + ICMP_HEADER
    if (kind == 8 or kind == 0) if out.version == 4 else (kind == 128 or kind == 129):
        out.source_port = load_be16(p + at + 4)
        out.destination_port = out.source_port
    return PARSE_OK


cdef inline int parse_transport(const uint8_t *p, uint32_t at, const Bounds *bounds, Parsed *out) noexcept nogil:
    """The header at `at`, of the protocol already in `out`. Protocols unknown here have no header: their payload starts at once."""
    cdef bint icmp = out.protocol == (PROTOCOL_ICMP if out.version == 4 else PROTOCOL_ICMPV6)
    cdef int reason
    out.payload_offset = at
    if out.flags & PARSED_FRAGMENT and not out.flags & PARSED_FIRST_FRAGMENT:
        return PARSE_OK
    out.l4_offset = at
    if not (icmp or out.protocol == PROTOCOL_TCP or out.protocol == PROTOCOL_UDP):
        return PARSE_OK
    reason = within(at, QUOTED_TRANSPORT, bounds)
    if reason != PARSE_OK:
        return reason
    if icmp:
        return parse_icmp(p, at, bounds, out)
    out.source_port = load_be16(p + at)
    out.destination_port = load_be16(p + at + 2)
    return parse_tcp(p, at, bounds, out) if out.protocol == PROTOCOL_TCP else parse_udp(p, at, bounds, out)


cdef inline int parse_ipv4(const uint8_t *p, uint32_t at, Bounds *bounds, Parsed *out) noexcept nogil:
    cdef int reason = within(at, IPV4_HEADER, bounds)
    cdef uint32_t header, fragment
    if reason != PARSE_OK:
        return reason
    out.version = 4
    header = (p[at] & 15) * 4
    out.l3_length = load_be16(p + at + 2)
    if p[at] >> 4 != 4 or header < IPV4_HEADER or out.l3_length < header:
        return PARSE_MALFORMED
    if out.l3_length <= bounds.end - at:
        bounds.end = at + out.l3_length
    elif not bounds.quoted:
        return PARSE_MALFORMED
    fragment = load_be16(p + at + 6)
    if fragment & 0x3FFF:
        out.flags |= PARSED_FRAGMENT if fragment & 0x1FFF else PARSED_FRAGMENT | PARSED_FIRST_FRAGMENT
    if header > IPV4_HEADER:
        out.flags |= PARSED_OPTIONS
    out.ttl = p[at + 8]
    out.protocol = p[at + 9]
    reason = within(at, header, bounds)
    return reason if reason != PARSE_OK else parse_transport(p, at + header, bounds, out)


cdef inline int parse_fragment_header(const uint8_t *p, uint32_t at, Parsed *out) noexcept nogil:
    cdef uint32_t fragment = load_be16(p + at + 2)
    if fragment & 0xFFF8:
        out.flags |= PARSED_FRAGMENT
    elif fragment & 1:
        out.flags |= PARSED_FRAGMENT | PARSED_FIRST_FRAGMENT
    return out.flags & PARSED_FRAGMENT and not out.flags & PARSED_FIRST_FRAGMENT


cdef inline int parse_extensions(const uint8_t *p, uint32_t at, const Bounds *bounds, Parsed *out) noexcept nogil:
    """Walk IPv6 extension headers from `at`, then the transport header. `out.protocol` holds the first next-header number."""
    cdef int count, reason
    cdef bint fragmented = False
    cdef uint8_t kind
    for count in range(EXTENSIONS_MAX + 1):
        kind = out.protocol
        if (kind != PROTOCOL_HOP_BY_HOP and kind != PROTOCOL_ROUTING and kind != PROTOCOL_FRAGMENT
                and kind != PROTOCOL_DESTINATION_OPTIONS):
            return parse_transport(p, at, bounds, out)
        # Hop-by-hop options are first or nowhere (RFC 8200, 4.3); a fragment of a fragment hides what it carries.
        if (kind == PROTOCOL_HOP_BY_HOP and count) or (kind == PROTOCOL_FRAGMENT and fragmented):
            return PARSE_MALFORMED
        reason = within(at, 8, bounds)
        if reason != PARSE_OK:
            return reason
        out.flags |= PARSED_OPTIONS
        out.protocol = p[at]
        if kind == PROTOCOL_FRAGMENT:
            fragmented = True
            if parse_fragment_header(p, at, out):
                return parse_transport(p, at + 8, bounds, out)
            at += 8
        else:
            at += (p[at + 1] + 1) * 8
    return PARSE_MALFORMED


cdef inline int parse_ipv6(const uint8_t *p, uint32_t at, Bounds *bounds, Parsed *out) noexcept nogil:
    cdef int reason = within(at, IPV6_HEADER, bounds)
    if reason != PARSE_OK:
        return reason
    out.version = 6
    if p[at] >> 4 != 6:
        return PARSE_MALFORMED
    out.l3_length = IPV6_HEADER + <uint32_t> load_be16(p + at + 4)
    if out.l3_length <= bounds.end - at:
        bounds.end = at + out.l3_length
    elif not bounds.quoted:
        return PARSE_MALFORMED
    out.protocol = p[at + 6]
    out.ttl = p[at + 7]
    return parse_extensions(p, at + IPV6_HEADER, bounds, out)


cdef inline int parse_frame(const uint8_t *p, uint32_t available, uint32_t length, Parsed *out) noexcept nogil:
    """Fill `out` from the frame at `p`: `length` bytes long, of which `available` lie at `p`. Returns PARSE_*.

    Bytes after the IP packet are padding and no error. After any result but PARSE_OK, `out` holds what was read so far.
    """
    cdef Bounds bounds
    cdef uint32_t at = ETHERNET_HEADER
    cdef int reason
    memset(out, 0, sizeof(Parsed))
    bounds.end = length
    bounds.available = available if available < length else length
    bounds.quoted = False
    reason = within(0, ETHERNET_HEADER, &bounds)
    if reason != PARSE_OK:
        return reason
    if p[0] & 1:
        out.flags |= PARSED_BROADCAST
    out.ethertype = load_be16(p + 12)
    if out.ethertype == ETHERTYPE_VLAN or out.ethertype == ETHERTYPE_SERVICE_VLAN:
        reason = within(ETHERNET_HEADER, VLAN_TAG, &bounds)
        if reason != PARSE_OK:
            return reason
        out.ethertype = load_be16(p + 16)
        at += VLAN_TAG
    out.l3_offset = at
    if out.ethertype == ETHERTYPE_IPV4:
        return parse_ipv4(p, at, &bounds, out)
    if out.ethertype == ETHERTYPE_IPV6:
        return parse_ipv6(p, at, &bounds, out)
    return PARSE_UNKNOWN_L3


cdef inline int parse_quote(const uint8_t *p, uint32_t available, uint32_t length, const Parsed *error, Parsed *out) noexcept nogil:
    """Fill `out` from the packet quoted by the ICMP error that `parse_frame` read into `error`. Returns PARSE_*.

    Offsets count from the start of the outer frame. The quoted packet may be cut: l3_length is what its header says, and may
    reach beyond the frame. Of a TCP header that is cut, payload_offset is its own start, and tcp_flags may be 0.
    The caller has checked that the message is an error. Source: RFC 792; RFC 4443, section 3.
    """
    cdef Bounds bounds
    cdef uint32_t at = error.payload_offset
    memset(out, 0, sizeof(Parsed))
    bounds.end = error.l3_offset + error.l3_length
    if bounds.end > length:
        return PARSE_MALFORMED
    bounds.available = available if available < bounds.end else bounds.end
    bounds.quoted = True
    out.l3_offset = at
    if error.version == 4:
        out.ethertype = ETHERTYPE_IPV4
        return parse_ipv4(p, at, &bounds, out)
    out.ethertype = ETHERTYPE_IPV6
    return parse_ipv6(p, at, &bounds, out)
