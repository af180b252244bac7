# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""Address and port translation by deltas computed once, TTL and hop limit. Header-only, compiled into each user.

What a packet becomes is the other direction's key, reversed. Checksums move by what was added to their sum (RFC 1624): the IPv4
header by the addresses, TCP, UDP and ICMPv6 by addresses and ports, ICMP by the identifier alone: it is an echo, for nothing else of ICMP
begins a flow. A partial field holds the sum of the pseudo header, so only the addresses belong in it. A UDP datagram without a checksum
stays without.
"""

from libc.stdint cimport uint8_t, uint16_t, uint64_t
from libc.string cimport memcpy

from appliance.flow.key cimport Tuple, is_icmp
from appliance.flow.table cimport Half
from ena_dev.driver.rings cimport FRAME_PARTIAL, Frame
from ena_dev.packet.checksum cimport (
    checksum_apply, checksum_apply_partial, checksum_apply_udp, checksum_delta16, checksum_fold, load_native16, store_native16,
)
from ena_dev.packet.headers cimport PROTOCOL_TCP, PROTOCOL_UDP, Parsed


cdef inline uint64_t changed_words(const uint8_t *old, const uint8_t *new) noexcept nogil:
    """Delta of a mapped address; words that stay count nothing."""
    cdef uint64_t total = 0
    cdef int i
    for i in range(0, 16, 2):
        if load_native16(old + i) != load_native16(new + i):
            total += checksum_delta16(load_native16(old + i), load_native16(new + i))
    return total


cdef inline uint64_t changed_port(uint16_t old, uint16_t new) noexcept nogil:
    return 0 if old == new else checksum_delta16(old, new)


cdef inline void rewrite_prepare(Half *half, const Half *other) noexcept nogil:
    """The deltas of `half`, from both keys."""
    cdef const Tuple *key = &half.key
    cdef const Tuple *reply = &other.key
    cdef uint64_t addresses = changed_words(key.source, reply.destination) + changed_words(key.destination, reply.source)
    cdef uint64_t ports = changed_port(key.sport, reply.dport)
    if not is_icmp(key.version, key.protocol):
        ports += changed_port(key.dport, reply.sport)
    half.ip_delta = checksum_fold(addresses)
    if key.version == 4 and is_icmp(key.version, key.protocol):
        addresses = 0
    half.l4_delta = checksum_fold(addresses + ports)


cdef inline bint rewrite_needed(const Half *half, const Half *other) noexcept nogil:
    """Whether the packets of `half` change at all, TTL aside."""
    return (changed_words(half.key.source, other.key.destination) or changed_words(half.key.destination, other.key.source)
            or half.key.sport != other.key.dport or half.key.dport != other.key.sport)


cdef inline void rewrite_ttl(uint8_t *l3, uint8_t version) noexcept nogil:
    """One hop: the caller has checked that there is one left."""
    cdef uint16_t old
    if version == 6:
        l3[7] -= 1
        return
    old = load_native16(l3 + 8)
    l3[8] -= 1
    store_native16(l3 + 10, checksum_apply(load_native16(l3 + 10), checksum_delta16(old, load_native16(l3 + 8))))


cdef inline void rewrite_field(uint8_t *field, const Half *half, const Frame *frame, bint udp) noexcept nogil:
    """A transport checksum."""
    cdef uint16_t value = load_native16(field)
    if frame.flags & FRAME_PARTIAL:
        value = checksum_apply_partial(value, half.ip_delta)
    elif udp:
        value = checksum_apply_udp(value, half.l4_delta)
    else:
        value = checksum_apply(value, half.l4_delta)
    store_native16(field, value)


cdef inline void rewrite_tuple(Frame *frame, const Half *half, const Half *other) noexcept nogil:
    """Translate a packet that parsed well from the key of `half`; of a later fragment (PROTOCOL_FRAGMENT) the addresses alone."""
    cdef const Parsed *parsed = &frame.parsed
    cdef const Tuple *reply = &other.key
    cdef uint8_t *l3 = frame.data + parsed.l3_offset
    cdef uint8_t *l4 = frame.data + parsed.l4_offset
    if parsed.version == 4:
        memcpy(l3 + 12, &reply.destination[12], 4)
        memcpy(l3 + 16, &reply.source[12], 4)
        store_native16(l3 + 10, checksum_apply(load_native16(l3 + 10), half.ip_delta))
    else:
        memcpy(l3 + 8, reply.destination, 16)
        memcpy(l3 + 24, reply.source, 16)
    if parsed.protocol == PROTOCOL_TCP or parsed.protocol == PROTOCOL_UDP:
        memcpy(l4, &reply.dport, 2)
        memcpy(l4 + 2, &reply.sport, 2)
        rewrite_field(l4 + (16 if parsed.protocol == PROTOCOL_TCP else 6), half, frame, parsed.protocol == PROTOCOL_UDP)
    elif is_icmp(parsed.version, parsed.protocol):
        memcpy(l4 + 4, &reply.dport, 2)
        rewrite_field(l4 + 2, half, frame, False)
