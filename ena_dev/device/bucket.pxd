# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""A token bucket in whole numbers: what may go now, and when the next may. Header-only, compiled into its user.

It fills at its rate up to `full`, and is charged when something leaves. Levels are billionths of units, so a nanosecond's share at a rate
in units a second is exact.
"""

from libc.stdint cimport int64_t, uint64_t

cdef extern from *:
    """
    #define SOFTENA_BILLION 1000000000LL
    """
    const int64_t BILLION "SOFTENA_BILLION"

cdef struct Bucket:            # units are bits or packets
    uint64_t rate              # units a second; 0: no limit
    int64_t level              # billionths of units that may go now; below zero after a packet larger than the bucket
    int64_t full
    int64_t most_behind        # billionths of units that may wait
    uint64_t filled            # ns: when `level` was right


cdef inline void fill(Bucket *bucket, uint64_t now) noexcept nogil:
    cdef uint64_t elapsed
    if not bucket.rate or now <= bucket.filled:
        return
    elapsed = now - bucket.filled
    bucket.filled = now
    if elapsed > <uint64_t> (bucket.full - bucket.level) // bucket.rate:
        bucket.level = bucket.full
    else:
        bucket.level += <int64_t> (elapsed * bucket.rate)


cdef inline int64_t needed(const Bucket *bucket, uint64_t units) noexcept nogil:
    """What the level must be for a packet to go: its size, or for one larger than the bucket that it is full."""
    cdef int64_t cost = <int64_t> units * BILLION
    return cost if cost < bucket.full else bucket.full


cdef inline int64_t behind(const Bucket *bucket, uint64_t before, uint64_t units) noexcept nogil:
    """How much is missing, in billionths, for a packet behind `before` units; at most 0: it may go now. `before` is below 4 * 10**9."""
    if not bucket.rate:
        return 0
    return <int64_t> before * BILLION + needed(bucket, units) - bucket.level


cdef inline uint64_t wait_for(const Bucket *bucket, uint64_t units) noexcept nogil:
    """ns until a packet that is next may go."""
    cdef int64_t missing = behind(bucket, 0, units)
    return 0 if missing <= 0 else (<uint64_t> missing + bucket.rate - 1) // bucket.rate


cdef inline void charge(Bucket *bucket, uint64_t units) noexcept nogil:
    if bucket.rate:
        bucket.level -= <int64_t> units * BILLION
