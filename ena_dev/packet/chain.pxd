# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""Chains of buffers: a frame that lies in several pieces of memory. Header-only, compiled into each user."""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy, memmove
from posix.uio cimport iovec


cdef inline uint32_t chain_length(const iovec *pieces, int count) noexcept nogil:
    cdef size_t total = 0
    cdef int i
    for i in range(count):
        total += pieces[i].iov_len
    return <uint32_t> total


cdef inline uint32_t chain_peek(const iovec *pieces, int count, uint8_t *out, uint32_t limit) noexcept nogil:
    """Copy the first bytes out, at most `limit`; returns how many there were."""
    cdef uint32_t at = 0, size
    cdef int i
    for i in range(count):
        size = limit - at
        if size > pieces[i].iov_len:
            size = <uint32_t> pieces[i].iov_len
        memcpy(out + at, pieces[i].iov_base, size)
        at += size
        if at == limit:
            break
    return at


cdef inline void chain_spread(const uint8_t *source, uint32_t length, const iovec *pieces, int count) noexcept nogil:
    """Copy `length` bytes into the chain, or as many as it takes."""
    cdef uint32_t at = 0, size
    cdef int i
    for i in range(count):
        size = length - at
        if size > pieces[i].iov_len:
            size = <uint32_t> pieces[i].iov_len
        memcpy(pieces[i].iov_base, source + at, size)
        at += size
        if at == length:
            return


cdef inline int chain_skip(const iovec *pieces, int count, uint32_t skip, iovec *out) noexcept nogil:
    """The chain without its first `skip` bytes, into `out` (of `count` entries); returns the number of pieces."""
    cdef int taken = 0, i
    for i in range(count):
        if skip >= pieces[i].iov_len:
            skip -= <uint32_t> pieces[i].iov_len
            continue
        out[taken].iov_base = <uint8_t *> pieces[i].iov_base + skip
        out[taken].iov_len = pieces[i].iov_len - skip
        skip = 0
        taken += 1
    return taken


cdef inline int chain_cut(iovec *pieces, int count, uint32_t length) noexcept nogil:
    """Shorten the chain to `length` bytes in place; returns the number of pieces left."""
    cdef int i
    for i in range(count):
        if pieces[i].iov_len >= length:
            pieces[i].iov_len = length
            return i + 1
        length -= <uint32_t> pieces[i].iov_len
    return count
