# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""What a received frame is, before any flow is asked: one parse, then the sieve of what a router may not forward. Header-only.

Source: RFC 1812, 5.3.4 (link-layer broadcast) and 5.2.3; RFC 4861 (135 to 137 and their like); RFC 6980 (no fragmented neighbour
discovery); RFC 5095 and 6554 (routing headers); RFC 7126 (IPv4 options).
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcmp

from appliance.flow.engine cimport Nic, PUNT_ARP, PUNT_ICMP_ERROR, PUNT_ND
from appliance.flow.reasons cimport (
    DROP_BAD_CHECKSUM, DROP_ETHERTYPE, DROP_FRAGMENT, DROP_FRAGMENT_TINY, DROP_HEADERS_SPLIT, DROP_IP_OPTIONS, DROP_MALFORMED,
    DROP_MULTICAST, DROP_OTHER_HOST, DROP_TRUNCATED, DROP_VLAN,
)
from ena_dev.driver.rings cimport FRAME_L3_BAD, FRAME_L4_BAD, FRAME_PARTIAL, Frame
from ena_dev.packet.headers cimport (
    ETHERNET_HEADER, ETHERTYPE_ARP, EXTENSIONS_MAX, IPV6_HEADER, PARSED_BROADCAST, PARSED_FIRST_FRAGMENT, PARSED_FRAGMENT, PARSED_OPTIONS,
    PARSE_HEADERS_SPLIT, PARSE_MALFORMED, PARSE_OK, PARSE_TRUNCATED, PROTOCOL_DESTINATION_OPTIONS, PROTOCOL_FRAGMENT, PROTOCOL_HOP_BY_HOP,
    PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_ROUTING, PROTOCOL_TCP, PROTOCOL_UDP, Parsed, TCP_HEADER, load_be16, parse_frame,
)


cdef enum:  # what to do with a frame; the reason tells more
    VERDICT_FLOW = 0
    VERDICT_DROP = 1
    VERDICT_PUNT = 2
    VERDICT_FRAGMENT = 3       # of a packet that may be forwarded


cdef inline bint routed_on(const uint8_t *l3, const Parsed *parsed) noexcept nogil:
    """Whether an IPv6 packet that parsed well has a routing header with segments left: its destination isn't its last."""
    cdef uint32_t at = IPV6_HEADER
    cdef uint8_t kind = l3[6]
    cdef int n
    for n in range(EXTENSIONS_MAX):
        if kind == PROTOCOL_ROUTING and l3[at + 3]:
            return True
        if kind == PROTOCOL_FRAGMENT:
            if load_be16(l3 + at + 2) & 0xFFF8:
                return False                   # what follows is a later part of something
            kind = l3[at]
            at += 8
        elif kind == PROTOCOL_HOP_BY_HOP or kind == PROTOCOL_ROUTING or kind == PROTOCOL_DESTINATION_OPTIONS:
            kind = l3[at]
            at += (l3[at + 1] + 1) * 8
        else:
            return False
    return False


cdef inline bint to_group(const uint8_t *l3, uint8_t version) noexcept nogil:
    """Multicast, or IPv4's class E with the limited broadcast address."""
    return l3[16] >= 224 if version == 4 else l3[24] == 0xFF


cdef inline bint is_icmp_error(const Parsed *parsed) noexcept nogil:
    cdef uint8_t kind = parsed.icmp_type
    if parsed.version == 4:
        return parsed.protocol == PROTOCOL_ICMP and (kind == 3 or kind == 4 or kind == 5 or kind == 11 or kind == 12)
    return parsed.protocol == PROTOCOL_ICMPV6 and 1 <= kind <= 4    # others are unassigned, and begin no flow (RFC 4890, 4.3)


cdef inline bint is_nd(const Parsed *parsed) noexcept nogil:
    return parsed.version == 6 and parsed.protocol == PROTOCOL_ICMPV6 and 133 <= parsed.icmp_type <= 137


cdef inline bint is_tiny(const Frame *frame, int result) noexcept nogil:
    """Whether a frame doesn't parse because it is a first fragment that ends within its headers. RFC 1858, 3.1; RFC 7112."""
    cdef const Parsed *parsed = &frame.parsed
    if not parsed.flags & PARSED_FRAGMENT:
        return False
    if result == PARSE_MALFORMED and parsed.l4_offset and parsed.protocol == PROTOCOL_TCP:
        return (frame.data[parsed.l4_offset + 12] >> 4) * 4 > TCP_HEADER    # its options aren't all there
    return result == PARSE_TRUNCATED


cdef inline int sift_link(const Nic *nic, const Frame *frame, int result, uint8_t *reason) noexcept nogil:
    """The verdict by parser and Ethernet header; VERDICT_FLOW: look on."""
    cdef const Parsed *parsed = &frame.parsed
    if result == PARSE_TRUNCATED or result == PARSE_MALFORMED or result == PARSE_HEADERS_SPLIT:
        reason[0] = (DROP_FRAGMENT_TINY if is_tiny(frame, result) else DROP_TRUNCATED if result == PARSE_TRUNCATED
                     else DROP_MALFORMED if result == PARSE_MALFORMED else DROP_HEADERS_SPLIT)
        return VERDICT_DROP
    if not parsed.flags & PARSED_BROADCAST and not nic.is_self and memcmp(frame.data, nic.mac, 6) != 0:
        reason[0] = DROP_OTHER_HOST
        return VERDICT_DROP
    if parsed.l3_offset != ETHERNET_HEADER:
        reason[0] = DROP_VLAN
        return VERDICT_DROP
    if result != PARSE_OK:
        reason[0] = PUNT_ARP if parsed.ethertype == ETHERTYPE_ARP else DROP_ETHERTYPE
        return VERDICT_PUNT if parsed.ethertype == ETHERTYPE_ARP else VERDICT_DROP
    return VERDICT_FLOW


cdef inline int sift_fragment(const Frame *frame, uint8_t *reason) noexcept nogil:
    """The verdict on a fragment. Only the first tells what its packet is."""
    cdef const Parsed *parsed = &frame.parsed
    cdef const uint8_t *l3 = frame.data + ETHERNET_HEADER
    if parsed.flags & PARSED_BROADCAST or to_group(l3, parsed.version):
        reason[0] = DROP_MULTICAST
    elif parsed.flags & PARSED_OPTIONS and (parsed.version == 4 or routed_on(l3, parsed)):
        reason[0] = DROP_IP_OPTIONS
    elif frame.segment or frame.flags & FRAME_PARTIAL:
        reason[0] = DROP_MALFORMED             # what a card is to finish is whole
    elif parsed.flags & PARSED_FIRST_FRAGMENT and (is_nd(parsed) or is_icmp_error(parsed)):
        reason[0] = DROP_FRAGMENT
    else:
        return VERDICT_FRAGMENT
    return VERDICT_DROP


cdef inline int sift_packet(const Frame *frame, uint8_t *reason) noexcept nogil:
    """The verdict on an IP packet that parsed well."""
    cdef const Parsed *parsed = &frame.parsed
    cdef const uint8_t *l3 = frame.data + ETHERNET_HEADER
    if parsed.flags & PARSED_FRAGMENT:
        return sift_fragment(frame, reason)
    if is_nd(parsed):
        reason[0] = PUNT_ND
        return VERDICT_PUNT
    if parsed.flags & PARSED_BROADCAST or to_group(l3, parsed.version):
        reason[0] = DROP_MULTICAST
        return VERDICT_DROP
    if parsed.flags & PARSED_OPTIONS and (parsed.version == 4 or routed_on(l3, parsed)):
        reason[0] = DROP_IP_OPTIONS
        return VERDICT_DROP
    if is_icmp_error(parsed):
        reason[0] = PUNT_ICMP_ERROR
        return VERDICT_PUNT
    return VERDICT_FLOW


cdef inline bint trim(Frame *frame) noexcept nogil:
    """Cut off what follows the IP packet: padding. False: more than one buffer, which no padding explains."""
    cdef uint32_t end = ETHERNET_HEADER + frame.parsed.l3_length
    if end < frame.length:
        if frame.buffers != 1:
            return False
        frame.length = frame.first_length = end
    return True


cdef inline bint unsummed(const Frame *frame) noexcept nogil:
    """Whether a frame that parsed well is UDP over IPv6 without a checksum, as tunnels send it: its receiver judges that (RFC 6936, 5)."""
    cdef const Parsed *parsed = &frame.parsed
    return (not frame.flags & FRAME_L3_BAD and parsed.version == 6 and parsed.protocol == PROTOCOL_UDP and parsed.l4_offset
            and load_be16(frame.data + parsed.l4_offset + 6) == 0)


cdef inline int classify(const Nic *nic, Frame *frame, uint8_t *reason) noexcept nogil:
    """Parse a frame and judge it: VERDICT_*, with the drop's or the punt's reason."""
    cdef int verdict = parse_frame(frame.data, frame.first_length, frame.length, &frame.parsed)
    if frame.flags & (FRAME_L3_BAD | FRAME_L4_BAD) and not (verdict == PARSE_OK and unsummed(frame)):
        reason[0] = DROP_BAD_CHECKSUM
        return VERDICT_DROP
    verdict = sift_link(nic, frame, verdict, reason)
    if verdict == VERDICT_FLOW:
        verdict = sift_packet(frame, reason)
    if (verdict == VERDICT_FLOW or verdict == VERDICT_FRAGMENT) and not trim(frame):
        reason[0] = DROP_MALFORMED
        verdict = VERDICT_DROP
    return verdict
