# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""What names one direction of a flow: 40 bytes for both families, and their keyed hash. Header-only, compiled into each user.

Everything is as it stands on the wire. An IPv4 address is mapped into the last four of sixteen bytes; the version stands beside
it, so that no IPv6 packet can carry an IPv4 flow's key. For ICMP echo both ports are the identifier and `kind` is the type: the
reply of an echo request has another kind, and a request the other way is a flow of its own.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from ena_dev.packet.headers cimport PROTOCOL_ICMP, PROTOCOL_ICMPV6, Parsed, htons
from ena_dev.packet.siphash cimport Secret, siphash13


cdef enum:
    ICMP_ECHO_REPLY = 0
    ICMP_ECHO_REQUEST = 8
    ICMPV6_ECHO_REQUEST = 128
    ICMPV6_ECHO_REPLY = 129


cdef struct Tuple:             # 40 bytes, without holes: hashed and compared as they are
    uint8_t source[16]
    uint8_t destination[16]
    uint16_t sport             # network order
    uint16_t dport
    uint8_t version            # 4 | 6
    uint8_t protocol
    uint8_t kind               # ICMP type, 0 otherwise
    uint8_t zone               # 0: one routing domain


cdef inline bint is_icmp(uint8_t version, uint8_t protocol) noexcept nogil:
    return protocol == PROTOCOL_ICMP if version == 4 else protocol == PROTOCOL_ICMPV6


cdef inline void map_ipv4(uint8_t *out, const uint8_t *address) noexcept nogil:
    """::ffff:a.b.c.d; RFC 4291, 2.5.5.2."""
    cdef uint64_t zero = 0
    cdef uint32_t prefix = 0xFFFF0000ULL
    memcpy(out, &zero, 8)
    memcpy(out + 8, &prefix, 4)
    memcpy(out + 12, address, 4)


cdef inline void key_of_frame(Tuple *key, const uint8_t *data, const Parsed *parsed) noexcept nogil:
    """The key of a frame that parsed well and has its transport header: no fragment but the first. `data`: the Ethernet header."""
    cdef const uint8_t *l3 = data + parsed.l3_offset
    if parsed.version == 4:
        map_ipv4(key.source, l3 + 12)
        map_ipv4(key.destination, l3 + 16)
    else:
        memcpy(key.source, l3 + 8, 32)
    key.sport, key.dport = htons(parsed.source_port), htons(parsed.destination_port)
    key.version, key.protocol, key.zone = parsed.version, parsed.protocol, 0
    key.kind = parsed.icmp_type if is_icmp(parsed.version, parsed.protocol) else 0


cdef inline uint8_t request_kind(uint8_t version, uint8_t protocol) noexcept nogil:
    if not is_icmp(version, protocol):
        return 0
    return ICMP_ECHO_REQUEST if version == 4 else ICMPV6_ECHO_REQUEST


cdef inline uint8_t reply_kind(uint8_t version, uint8_t protocol) noexcept nogil:
    if not is_icmp(version, protocol):
        return 0
    return ICMP_ECHO_REPLY if version == 4 else ICMPV6_ECHO_REPLY


cdef inline bint key_equal(const Tuple *a, const Tuple *b) noexcept nogil:
    return memcmp(a, b, sizeof(Tuple)) == 0


cdef inline uint64_t key_hash(const Secret *secret, const Tuple *key) noexcept nogil:
    return siphash13(secret, <const uint8_t *> key, sizeof(Tuple) // 8)
