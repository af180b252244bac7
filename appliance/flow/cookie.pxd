# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""SYN cookies: the first number of a connection that nothing is remembered of, made so that its acknowledgement proves it. Header-only.

    31 .. 9   SipHash over both ends, the nic, the SYN's number, the bits below, by the secret of the time
    8         which of the two last secrets
    7 .. 5    the SYN's MSS, rounded down to one of eight
    4         it permits SACK
    3 .. 0    its window scale; 15: it has none

A secret makes cookies for PERIOD seconds, and for as long again those are taken. All that a connection needs is in the number: the SYN+ACK
offers no timestamps. Source: RFC 4987, 3.6; D. J. Bernstein, SYN cookies; the layout is like that of FreeBSD's syncache.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from appliance.flow.key cimport Tuple
from ena_dev.packet.siphash cimport Secret, siphash13


cdef extern from * nogil:
    """
    static const uint16_t softena_cookie_mss[8] = {216, 536, 1220, 1360, 1400, 1440, 1460, 8940};
    """
    const uint16_t *COOKIE_MSS "softena_cookie_mss"


cdef enum:
    PERIOD = 32                # seconds
    BELOW = 9                  # bits under the hash


cdef struct Cookies:
    Secret root
    Secret secrets[2]          # of the last two periods, by the last bit of their numbers
    uint64_t periods[2]
    uint64_t until             # ns; after this no cookie is taken that was made


cdef inline const Secret *secret_of(Cookies *cookies, uint64_t period) noexcept nogil:
    cdef Secret *secret = &cookies.secrets[period & 1]
    cdef uint64_t words[2]
    if cookies.periods[period & 1] != period:
        words[0], words[1] = period, 0
        secret.k0 = siphash13(&cookies.root, <const uint8_t *> words, 2)
        words[1] = 1
        secret.k1 = siphash13(&cookies.root, <const uint8_t *> words, 2)
        cookies.periods[period & 1] = period
    return secret


cdef inline uint32_t sealed(const Secret *secret, const Tuple *key, uint8_t nic, uint32_t isn, uint32_t below) noexcept nogil:
    """The cookie with these bits below."""
    cdef uint64_t words[6]
    memcpy(words, key, sizeof(Tuple))
    words[5] = <uint64_t> isn << 32 | <uint32_t> nic << 16 | below
    return <uint32_t> (siphash13(secret, <const uint8_t *> words, 6) >> 32) >> BELOW << BELOW | below


cdef inline uint64_t period_of(uint64_t now) noexcept nogil:
    return now // (PERIOD * 1000000000ULL) + 2


cdef inline uint32_t cookie_make(
    Cookies *cookies, const Tuple *key, uint8_t nic, uint32_t isn, uint16_t mss, uint8_t sack, uint8_t scale, uint64_t now
) noexcept nogil:
    """The number to answer the SYN `isn` with."""
    cdef uint64_t period = period_of(now)
    cdef uint32_t which = 7
    while which and COOKIE_MSS[which] > mss:
        which -= 1
    cookies.until = now + 2 * PERIOD * 1000000000ULL
    return sealed(secret_of(cookies, period), key, nic, isn, <uint32_t> (period & 1) << 8 | which << 5 | <uint32_t> sack << 4 | scale)


cdef inline bint cookie_fits(Cookies *cookies, const Tuple *key, uint8_t nic, uint32_t isn, uint32_t cookie, uint64_t now) noexcept nogil:
    """Whether this is what the SYN `isn` was answered with, not too long ago."""
    cdef uint64_t period = period_of(now)
    if (cookie >> 8 & 1) != (period & 1):
        period -= 1
    return cookie == sealed(secret_of(cookies, period), key, nic, isn, cookie & ((1 << BELOW) - 1))
