# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""SipHash-1-3, the keyed hash of tables whose keys are an attacker's to choose. Header-only, compiled into each user.

Source: Aumasson and Bernstein, SipHash: a fast short-input PRF; words are little-endian.
"""

from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy


cdef struct Secret:            # new at each start
    uint64_t k0
    uint64_t k1


cdef inline uint64_t rotate(uint64_t value, int bits) noexcept nogil:
    return value << bits | value >> (64 - bits)


cdef inline void sip_round(uint64_t *v) noexcept nogil:
    v[0] += v[1]
    v[2] += v[3]
    v[1] = rotate(v[1], 13) ^ v[0]
    v[3] = rotate(v[3], 16) ^ v[2]
    v[0] = rotate(v[0], 32)
    v[2] += v[1]
    v[0] += v[3]
    v[1] = rotate(v[1], 17) ^ v[2]
    v[3] = rotate(v[3], 21) ^ v[0]
    v[2] = rotate(v[2], 32)


cdef inline uint64_t siphash13(const Secret *secret, const uint8_t *data, int words) noexcept nogil:
    """The hash of `words` times eight bytes; at most 31 of them."""
    cdef uint64_t v[4]
    cdef uint64_t word
    cdef int i
    v[0] = secret.k0 ^ 0x736F6D6570736575ULL
    v[1] = secret.k1 ^ 0x646F72616E646F6DULL
    v[2] = secret.k0 ^ 0x6C7967656E657261ULL
    v[3] = secret.k1 ^ 0x7465646279746573ULL
    for i in range(words):
        memcpy(&word, data + 8 * i, 8)
        v[3] ^= word
        sip_round(v)
        v[0] ^= word
    word = <uint64_t> words << 59
    v[3] ^= word
    sip_round(v)
    v[0] ^= word
    v[2] ^= 0xFF
    for i in range(3):
        sip_round(v)
    return v[0] ^ v[1] ^ v[2] ^ v[3]
