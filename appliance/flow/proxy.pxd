# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""The header by which a target is told who its client is, and whom that wanted to reach. Header-only.

Source: The PROXY protocol, versions 1 and 2, Willy Tarreau, HAProxy Technologies; section 2.2.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy

from appliance.flow.key cimport Tuple
from ena_dev.packet.headers cimport store_be16


cdef enum:
    PROXY_FIXED = 16
    PROXY_MOST = PROXY_FIXED + 36


cdef inline uint8_t proxy_length(uint8_t version) noexcept nogil:
    return PROXY_FIXED + 12 if version == 4 else PROXY_MOST


cdef inline void proxy_header(uint8_t *out, const Tuple *key) noexcept nogil:
    """Version 2, command PROXY, a stream over IPv4 or IPv6; `key` as the client's packets come in."""
    cdef uint32_t size = 4 if key.version == 4 else 16
    cdef uint32_t skip = 16 - size
    memcpy(out, b"\r\n\r\n\0\r\nQUIT\n", 12)
    out[12], out[13] = 0x21, 0x11 if key.version == 4 else 0x21
    store_be16(out + 14, proxy_length(key.version) - PROXY_FIXED)
    out += PROXY_FIXED
    memcpy(out, &key.source[skip], size)
    memcpy(out + size, &key.destination[skip], size)
    memcpy(out + 2 * size, &key.sport, 2)
    memcpy(out + 2 * size + 2, &key.dport, 2)
