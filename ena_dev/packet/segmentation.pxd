# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""Offloads in software, over scattered frames: a linear run of headers, then the rest as a chain of buffers.

    segment_tcp              one large TCP frame -> frames of at most mss payload bytes, each whole and correct
    finish_checksum          the transport checksum from nothing, with the pseudo header of the IP header
    finish_partial_checksum  the same where the field holds the pseudo header's sum already
    verify_checksum          is a received transport checksum right?

Nothing but the headers is ever written, so the caller passes a copy of them if their buffer isn't its own. Payload isn't copied.
"""

from libc.stdint cimport uint8_t, uint32_t
from posix.uio cimport iovec

from ena_dev.packet.headers cimport Parsed


cdef enum:                          # reasons, all negative, so that they can't be taken for a count
    SEGMENT_BAD_MSS = -1            # below SEGMENT_MSS_MIN
    SEGMENT_BAD_HEADERS = -2        # they don't parse, or header_length isn't where they end
    SEGMENT_NOT_TCP = -3            # or a fragment, which can't be cut as TCP
    SEGMENT_TOO_LONG = -4           # more than SEGMENT_HEADERS_MAX of headers or SEGMENT_PAYLOAD_MAX of payload
    SEGMENT_TOO_MANY_PIECES = -5    # more than SEGMENT_PIECES_MAX buffers
    SEGMENT_STOPPED = -6            # emit returned non-zero
    CHECKSUM_NOT_HERE = -7          # no transport header with a checksum, or not where the caller says

cdef enum:
    SEGMENT_MSS_MIN = 8             # what the smallest MSS in use leaves beside 40 bytes of options; less only multiplies work
    SEGMENT_HEADERS_MAX = 512
    SEGMENT_PAYLOAD_MAX = 65535
    SEGMENT_PIECES_MAX = 64


# Takes one segment. Headers and pieces are valid during the call only. Non-zero ends the segmentation.
ctypedef int (*emit_t)(void *ctx, const uint8_t *headers, uint32_t header_length, iovec *payload, int count) noexcept nogil


cdef int segment_tcp(const uint8_t *headers, uint32_t header_length, const iovec *payload, int count, uint32_t mss,
                     emit_t emit, void *ctx) noexcept nogil
cdef int finish_checksum(uint8_t *headers, uint32_t header_length, const iovec *rest, int count, const Parsed *parsed) noexcept nogil
cdef int finish_partial_checksum(uint8_t *headers, uint32_t header_length, const iovec *rest, int count, uint32_t length,
                                 uint32_t start, uint32_t field) noexcept nogil
cdef int verify_checksum(const uint8_t *headers, uint32_t header_length, const iovec *rest, int count, const Parsed *parsed) noexcept nogil
