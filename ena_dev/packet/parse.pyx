# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""The header walk for Python callers: tests, diagnosis, and answers that are built one by one. Compiled code cimports headers.pxd."""

from enum import IntEnum

from libc.stdint cimport uint8_t

from ena_dev.errors import UsageError
from ena_dev.packet cimport headers


class Reason(IntEnum):
    """What a parser returned."""

    OK = headers.PARSE_OK
    TRUNCATED = headers.PARSE_TRUNCATED
    MALFORMED = headers.PARSE_MALFORMED
    UNKNOWN_L3 = headers.PARSE_UNKNOWN_L3
    HEADERS_SPLIT = headers.PARSE_HEADERS_SPLIT


class Flag(IntEnum):
    """Bits of `flags`."""

    FRAGMENT = headers.PARSED_FRAGMENT
    FIRST_FRAGMENT = headers.PARSED_FIRST_FRAGMENT
    OPTIONS = headers.PARSED_OPTIONS
    BROADCAST = headers.PARSED_BROADCAST


def parse(const uint8_t[::1] data not None, available=None):
    """The reason, and the fields of `Parsed` by name, for one frame of len(data) bytes of which only the first `available` may be read."""
    cdef headers.Parsed parsed
    cdef int reason = headers.parse_frame(start(data), readable(data, available), <headers.uint32_t> data.shape[0], &parsed)
    return Reason(reason), parsed


def parse_quote(const uint8_t[::1] data not None, available=None):
    """The same for the packet quoted by the ICMP error in `data`. A frame that isn't ICMP with a payload is malformed."""
    cdef headers.Parsed parsed, quoted
    cdef headers.uint32_t first = readable(data, available)
    cdef int reason = headers.parse_frame(start(data), first, <headers.uint32_t> data.shape[0], &parsed)
    if reason != headers.PARSE_OK:
        return Reason(reason), parsed
    if parsed.protocol != (headers.PROTOCOL_ICMP if parsed.version == 4 else headers.PROTOCOL_ICMPV6) or not parsed.l4_offset:
        return Reason.MALFORMED, parsed
    reason = headers.parse_quote(start(data), first, <headers.uint32_t> data.shape[0], &parsed, &quoted)
    return Reason(reason), quoted


cdef const uint8_t *start(const uint8_t[::1] data) noexcept:
    return &data[0] if data.shape[0] else NULL


cdef headers.uint32_t readable(const uint8_t[::1] data, available) except? 0xFFFFFFFF:
    if available is None:
        return <headers.uint32_t> data.shape[0]
    if not 0 <= available <= data.shape[0]:
        raise UsageError(f"{available} of {data.shape[0]} bytes can't be available")
    return available
