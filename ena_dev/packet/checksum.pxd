# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""Internet checksums: sums, folding, pseudo headers, incremental updates. Header-only, compiled into each user.

All values are in memory order: 16-bit words as the processor loads them, and results are stored as they are (`store_native16`).
The one's complement sum doesn't care (RFC 1071, 2(B)), and no word is swapped twice. Words that aren't in memory, such as a length in a
register, go through `htons` first.

A sum is a uint64_t that no frame can overflow: it is folded once, at the end. A delta is what a rewrite adds to a sum: folded
to 16 bits it can be stored and applied to any number of packets.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy
from posix.uio cimport iovec

from ena_dev.packet.headers cimport htonl


cdef inline uint16_t load_native16(const uint8_t *p) noexcept nogil:
    cdef uint16_t value
    memcpy(&value, p, 2)
    return value


cdef inline void store_native16(uint8_t *p, uint16_t value) noexcept nogil:
    memcpy(p, &value, 2)


cdef inline uint64_t checksum_sum(const uint8_t *p, size_t length, uint64_t total) noexcept nogil:
    """`total` plus the words of `length` bytes at `p`; an odd last byte counts as if a zero byte followed."""
    cdef uint64_t word, other
    cdef uint64_t spare = 0
    cdef uint32_t half
    cdef uint16_t last = 0
    while length >= 16:
        memcpy(&word, p, 8)
        memcpy(&other, p + 8, 8)
        total += (word & 0xFFFFFFFFULL) + (word >> 32)
        spare += (other & 0xFFFFFFFFULL) + (other >> 32)
        p += 16
        length -= 16
    while length >= 4:
        memcpy(&half, p, 4)
        total += half
        p += 4
        length -= 4
    if length & 2:
        total += load_native16(p)
        p += 2
    if length & 1:
        memcpy(&last, p, 1)
        total += last
    return total + spare


cdef inline uint16_t checksum_fold(uint64_t total) noexcept nogil:
    """The 16-bit one's complement sum. It is 0 only for a sum of zeros."""
    total = (total & 0xFFFFFFFFULL) + (total >> 32)
    total = (total & 0xFFFFFFFFULL) + (total >> 32)
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return <uint16_t> total


cdef inline uint64_t checksum_add(uint64_t total, const uint8_t *p, size_t length, size_t offset) noexcept nogil:
    """`total` plus the piece at `p` which begins `offset` bytes into the summed stream: at an odd offset its words lie swapped."""
    cdef uint16_t odd
    if not offset & 1:
        return checksum_sum(p, length, total)
    odd = checksum_fold(checksum_sum(p, length, 0))
    return total + <uint16_t> (odd << 8 | odd >> 8)


cdef inline uint64_t checksum_chain(uint64_t total, const iovec *pieces, int count, size_t length, size_t offset) noexcept nogil:
    """`total` plus the first `length` bytes of a chain of buffers, which begins `offset` bytes into the summed stream.

    A chain that is shorter than `length` counts as far as it goes.
    """
    cdef size_t size
    cdef int i
    for i in range(count):
        size = pieces[i].iov_len if pieces[i].iov_len < length else length
        total = checksum_add(total, <const uint8_t *> pieces[i].iov_base, size, offset)
        offset += size
        length -= size
        if not length:
            break
    return total


cdef inline uint16_t checksum_finish(uint64_t total) noexcept nogil:
    """The value of a checksum field."""
    return <uint16_t> ~checksum_fold(total)


cdef inline uint16_t checksum_finish_udp(uint64_t total) noexcept nogil:
    """The value of a UDP checksum field: zero means that there is none, so a computed zero is sent as all ones (RFC 768)."""
    cdef uint16_t value = checksum_finish(total)
    return value if value else 0xFFFF


cdef inline uint16_t checksum_ipv4_header(const uint8_t *header) noexcept nogil:
    """The sum over an IPv4 header with its options: 0xFFFF if its checksum is right, and what to invert for one that is zero."""
    return checksum_fold(checksum_sum(header, (header[0] & 15) * 4, 0))


cdef inline uint64_t checksum_pseudo_v4(const uint8_t *header, uint8_t protocol, uint32_t l4_length) noexcept nogil:
    """Pseudo header of the IPv4 header at `header`. Source: RFC 9293, 3.1."""
    return checksum_sum(header + 12, 8, <uint64_t> htonl(l4_length) + htonl(protocol))


cdef inline uint64_t checksum_pseudo_v6(const uint8_t *header, uint8_t protocol, uint32_t l4_length) noexcept nogil:
    """Pseudo header of the IPv6 header at `header`, with its own destination: not that of a routing header. Source: RFC 8200, 8.1."""
    return checksum_sum(header + 8, 32, <uint64_t> htonl(l4_length) + htonl(protocol))


cdef inline uint32_t checksum_delta16(uint16_t old, uint16_t new) noexcept nogil:
    """What replacing one 16-bit word adds to the sum: add deltas up, then fold them. Source: RFC 1624, equation 3."""
    return <uint32_t> <uint16_t> ~old + new


cdef inline uint64_t checksum_delta(const uint8_t *old, const uint8_t *new, size_t length) noexcept nogil:
    """The same for `length` bytes (even), such as an address."""
    cdef uint64_t total = 0
    cdef size_t i
    for i in range(0, length & ~(<size_t> 1), 2):
        total += checksum_delta16(load_native16(old + i), load_native16(new + i))
    return total


cdef inline uint16_t checksum_apply(uint16_t field, uint64_t delta) noexcept nogil:
    """A finished checksum field after the change `delta`."""
    return <uint16_t> ~checksum_fold(<uint64_t> <uint16_t> ~field + delta)


cdef inline uint16_t checksum_apply_udp(uint16_t field, uint64_t delta) noexcept nogil:
    """The same for UDP: a datagram without checksum stays without, one that has one never ends up with zero."""
    if not field:
        return 0
    field = checksum_apply(field, delta)
    return field if field else 0xFFFF


cdef inline uint16_t checksum_apply_partial(uint16_t field, uint64_t delta) noexcept nogil:
    """A partial field, which holds the pseudo header's sum and isn't inverted: only address, protocol and length changes belong in it."""
    return checksum_fold(<uint64_t> field + delta)
