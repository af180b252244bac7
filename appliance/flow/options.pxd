# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""The options of a TCP header that parsed well, one after another. Header-only.

    size = option_from(tcp, header, &at)       `at`: TCP_HEADER at first
    while size:
        ... tcp[at], of `size` bytes ...
        at += size
        size = option_from(tcp, header, &at)

Source: RFC 9293, 3.1 and 3.2; RFC 7323, 2.2; RFC 2018, 2 and 3.
"""

from libc.stdint cimport uint8_t, uint32_t


cdef enum:
    OPTION_END = 0
    OPTION_NOP = 1
    OPTION_MSS = 2
    OPTION_SCALE = 3
    OPTION_SACK_PERMITTED = 4
    OPTION_SACK = 5


cdef inline uint32_t option_from(const uint8_t *tcp, uint32_t header, uint32_t *at) noexcept nogil:
    """The size in bytes of the next option of a header of `header` bytes, its kind and length included; `at` is where it begins, from here
    on. 0: there is none, or what is there is malformed, which ends the reading."""
    cdef uint32_t left
    while at[0] < header and tcp[at[0]] == OPTION_NOP:
        at[0] += 1
    left = header - at[0]
    if left < 2 or tcp[at[0]] == OPTION_END or tcp[at[0] + 1] < 2 or tcp[at[0] + 1] > left:
        return 0
    return tcp[at[0] + 1]
