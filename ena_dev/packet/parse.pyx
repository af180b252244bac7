# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""The header walk for Python callers: tests, diagnosis, and answers that are built one by one. Compiled code cimports headers.pxd."""

from enum import IntEnum

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint8_t, uint32_t

from ena_dev.errors import UsageError

from ena_dev.packet cimport headers
from ena_dev.packet.headers cimport PARSE_MALFORMED, PARSE_OK, PROTOCOL_ICMP, PROTOCOL_ICMPV6, Parsed, parse_frame


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


def parse(data, available=None):
    """The reason, and the fields of `Parsed` by name, for one frame of len(data) bytes of which only the first `available` may be read."""
    return walk(data, available, False)


def parse_quote(data, available=None):
    """The same for the packet quoted by the ICMP error in `data`. A frame that isn't ICMP is malformed."""
    return walk(data, available, True)


cdef tuple walk(data, available, bint quote):
    cdef Py_buffer view
    cdef uint32_t first, length
    cdef Parsed parsed, error
    cdef int reason
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        if view.len > 0x7FFFFFFF or available is not None and not 0 <= available <= view.len:
            raise UsageError(f"{available} of {view.len} bytes can't be available")
        length = <uint32_t> view.len
        first = length if available is None else <uint32_t> available
        reason = parse_frame(<const uint8_t *> view.buf, first, length, &parsed)
        if quote and reason == PARSE_OK:
            error = parsed
            reason = PARSE_MALFORMED
            if error.l4_offset and error.protocol == (PROTOCOL_ICMP if error.version == 4 else PROTOCOL_ICMPV6):
                reason = headers.parse_quote(<const uint8_t *> view.buf, first, length, &error, &parsed)
        return Reason(reason), parsed
    finally:
        PyBuffer_Release(&view)
