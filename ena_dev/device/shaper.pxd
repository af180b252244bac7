# cython: language_level=3
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from posix.uio cimport iovec

from ena_dev.bus.executor cimport Executor, Task
from ena_dev.device.bucket cimport Bucket
from ena_dev.device.conntrack cimport Conntrack
from ena_dev.device.impairment cimport Held, done_t, release_t
from ena_dev.port.port cimport PortMeta

cdef enum:
    # fates of a packet
    SHAPER_PASSES = 0          # it goes on at once
    SHAPER_HELD = 1            # the shaper has a copy, and releases it later
    SHAPER_DROPPED = 2
    # what is counted: WAY_IN and WAY_OUT for bandwidth, then
    OVER_PPS = 2
    OVER_CONNTRACK = 3
    OVER_LINKLOCAL = 4
    OVERS = 5

cdef struct Waiting:           # packets of one way, the oldest at `head`
    Held *frames
    uint32_t head, count
    uint64_t bits, packets     # on a wire

cdef struct Shaper

cdef struct Shaper:
    release_t release
    done_t done
    void *ctx
    Shaper **hook              # where the engines look for it: NULL there while there are no limits and nothing waits
    Task task
    Bucket bandwidth[2]        # by way
    Bucket pps, linklocal
    Waiting waiting[2]
    Conntrack connections
    uint8_t turn               # whose packet goes first when both ways have one that waits for pps alone
    uint8_t limited
    uint64_t over[OVERS]       # packets

cdef int shaper_take(Shaper *shaper, uint8_t way, uint16_t queue, const iovec *pieces, int count, uint32_t length, const PortMeta *meta,
                     uint64_t now) noexcept nogil

cdef class AllowanceShaper:
    cdef Shaper shaper
    cdef Executor executor
    cdef int attach(self, Executor executor, Shaper **hook, release_t release, done_t done, void *ctx) except -1
    cdef int detach(self) except -1
    cdef int _limit(self, Bucket *bucket, rate, burst, least, max_wait) except -1
