# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""Copies between bytes and buffers of the pool, for frames that Python makes or looks at. Header-only."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy, memset

from ena_dev.driver.pool cimport NO_BUFFER, OWNER_BURST, Pool, pool_data, pool_give_chain, pool_take
from ena_dev.driver.rings cimport Frame


cdef inline bint frame_from(Frame *frame, Pool *pool, const uint8_t *data, uint32_t length) noexcept nogil:
    """A frame of its own with a copy of `length` bytes, at least one. False when the pool runs out: nothing is taken then."""
    cdef uint32_t at = 0, part, buffer, previous = NO_BUFFER
    memset(frame, 0, sizeof(Frame))
    frame.first, frame.length = NO_BUFFER, length
    while at < length:
        buffer = pool_take(pool, OWNER_BURST)
        if buffer == NO_BUFFER:
            pool_give_chain(pool, frame.first)
            return False
        part = min(length - at, pool.size)
        memcpy(pool_data(pool, buffer), data + at, part)
        pool.length[buffer] = part
        if previous == NO_BUFFER:
            frame.first, frame.first_length, frame.data = buffer, part, pool_data(pool, buffer)
        else:
            pool.next[previous] = buffer
        previous, at = buffer, at + part
        frame.buffers += 1
    return True


cdef inline bytes frame_bytes(const Frame *frame, Pool *pool):
    """A copy of the whole frame."""
    cdef bytes data = PyBytes_FromStringAndSize(NULL, frame.length)
    cdef char *to = PyBytes_AS_STRING(data)
    cdef uint32_t buffer = frame.first, length = frame.first_length
    cdef const uint8_t *source = frame.data
    while True:
        memcpy(to, source, length)
        to += length
        buffer = pool.next[buffer]
        if buffer == NO_BUFFER:
            return data
        source, length = pool_data(pool, buffer), pool.length[buffer]
