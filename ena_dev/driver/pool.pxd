# cython: language_level=3
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from ena_dev.bus.memory cimport Memory

cdef enum:
    NO_BUFFER = 0xFFFFFFFF
    # owner of a buffer
    OWNER_POOL = 0
    OWNER_POSTED = 1           # in an Rx ring
    OWNER_BURST = 2            # in the hands of a program
    OWNER_PARKED = 3           # waits for a decision or a neighbour
    OWNER_SENT = 4             # in a Tx ring
    OWNERS = 5

cdef struct Pool:
    uint8_t *host              # of buffer 0
    uint64_t base              # bus address of buffer 0
    uint32_t size              # bytes of a buffer
    uint32_t count
    uint32_t free_count
    uint32_t *free             # stack: last in, first out
    uint32_t *next             # chain of a frame's buffers; NO_BUFFER ends it
    uint16_t *length           # bytes in use, of each buffer
    uint8_t *owner
    uint64_t mistakes          # buffers given back that were not out: a bug, never wire or driver data


cdef inline uint8_t *pool_data(Pool *pool, uint32_t buffer) noexcept nogil:
    return pool.host + <uint64_t>buffer * pool.size


cdef inline uint64_t pool_address(Pool *pool, uint32_t buffer) noexcept nogil:
    return pool.base + <uint64_t>buffer * pool.size


cdef inline uint32_t pool_take(Pool *pool, uint8_t owner) noexcept nogil:
    """One buffer, or NO_BUFFER."""
    cdef uint32_t buffer
    if pool.free_count == 0:
        return NO_BUFFER
    pool.free_count -= 1
    buffer = pool.free[pool.free_count]
    pool.owner[buffer], pool.next[buffer], pool.length[buffer] = owner, NO_BUFFER, 0
    return buffer


cdef inline void pool_give(Pool *pool, uint32_t buffer) noexcept nogil:
    """One buffer back."""
    if buffer >= pool.count or pool.owner[buffer] == OWNER_POOL:
        pool.mistakes += 1
        return
    pool.owner[buffer] = OWNER_POOL
    pool.free[pool.free_count] = buffer
    pool.free_count += 1


cdef inline void pool_give_chain(Pool *pool, uint32_t buffer) noexcept nogil:
    """A frame's buffers back, from its first."""
    cdef uint32_t following
    while buffer != NO_BUFFER:
        following = pool.next[buffer] if buffer < pool.count else NO_BUFFER
        pool_give(pool, buffer)
        buffer = following


cdef inline void pool_own_chain(Pool *pool, uint32_t buffer, uint8_t owner) noexcept nogil:
    while buffer != NO_BUFFER and buffer < pool.count:
        pool.owner[buffer] = owner
        buffer = pool.next[buffer]


cdef class BufferPool:
    cdef Pool pool
    cdef Memory memory
    cdef uint64_t _address
