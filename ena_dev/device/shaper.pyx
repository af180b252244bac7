# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""The card's allowances, enforced between its engines and its port, both ways.

    packet --link-local rate, connections--> dropped, or
           --bandwidth of its way, packets a second of both--> passes | waits its turn | dropped

Rates are token buckets in whole numbers, charged when a packet leaves. A packet that waits is copied, so its buffers are free at once;
the shaper's task releases it when there is enough for it, in order within its way. A card without limits has no shaper in its way.
Frames that the card turns away later, as not its own, count too. Source: ENA interface, GET_STATS payloads.
"""

import os

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset
from posix.uio cimport iovec

from ena_dev.bus.executor cimport Executor, task_init, task_wake
from ena_dev.device.bucket cimport Bucket, behind, charge, fill, wait_for
from ena_dev.device.conntrack cimport conntrack_admits, conntrack_close, conntrack_due, conntrack_expire, conntrack_init
from ena_dev.device.impairment cimport WAY_IN, WAY_OUT, Held, held_copy
from ena_dev.packet.chain cimport chain_peek
from ena_dev.packet.headers cimport PARSE_OK, Parsed, load_be16, load_be32, parse_frame

from ena_dev.device.allowances import Allowances, AllowanceStats

cdef enum:
    MOST_FRAMES = 2048         # that wait, each way
    HEADERS = 256              # bytes of a packet's start that are looked at

cdef extern from *:
    """
    #define SOFTENA_MOST_BITS 4000000000ULL     // that wait, each way: a billion times as much still is a number
    #define SOFTENA_NEVER 0xFFFFFFFFFFFFFFFFULL
    """
    const uint64_t MOST_BITS "SOFTENA_MOST_BITS"
    const uint64_t NEVER "SOFTENA_NEVER"

BURST = 0.005                    # seconds of a rate that may go at once
LEAST_BITS = 8 * 65536           # that may always
LEAST_PACKETS = 64
MOST_BEHIND = 1 << 62


# -- what waits --------------------------------------------------------------------------------------------------------

cdef inline uint64_t packets_of(uint32_t length, const PortMeta *meta) noexcept nogil:
    """How many packets it is on a wire."""
    cdef uint32_t payload = length - meta.header_length
    if not meta.segment or meta.header_length >= length or payload <= meta.segment:
        return 1
    return (payload + meta.segment - 1) // meta.segment


cdef inline uint64_t bits_of(uint32_t length, const PortMeta *meta) noexcept nogil:
    return 8 * (length + (packets_of(length, meta) - 1) * meta.header_length)


cdef inline Held *first(Shaper *shaper, uint8_t way) noexcept nogil:
    return &shaper.waiting[way].frames[shaper.waiting[way].head]


cdef inline uint64_t bandwidth_wait(Shaper *shaper, uint8_t way) noexcept nogil:
    """ns until there is bandwidth for the first packet of a way, which has one."""
    cdef Held *held = first(shaper, way)
    return wait_for(&shaper.bandwidth[way], bits_of(held.length, &held.meta))


cdef inline uint64_t pps_wait(Shaper *shaper, uint8_t way) noexcept nogil:
    cdef Held *held = first(shaper, way)
    return wait_for(&shaper.pps, packets_of(held.length, &held.meta))


cdef uint64_t next_of(Shaper *shaper, uint8_t *way) noexcept nogil:
    """ns until something can be released, and of which way; NEVER if nothing waits. The buckets are filled.

    The ways take turns; only one that has no bandwidth lets the other one pass meanwhile.
    """
    cdef uint8_t mine = shaper.turn, other = 1 - shaper.turn
    cdef uint64_t due
    if not shaper.waiting[mine].count:
        mine, other = other, mine
        if not shaper.waiting[mine].count:
            return NEVER
    way[0] = mine
    due = bandwidth_wait(shaper, mine)
    if not due or not shaper.waiting[other].count:
        return max(due, pps_wait(shaper, mine))
    way[0] = other
    return min(max(bandwidth_wait(shaper, other), pps_wait(shaper, other)), max(due, pps_wait(shaper, mine)))


cdef void schedule(Shaper *shaper, uint64_t now) noexcept nogil:
    cdef uint8_t way
    cdef uint64_t wait = next_of(shaper, &way)
    shaper.task.deadline = conntrack_due(&shaper.connections)
    if wait != NEVER and now + wait < shaper.task.deadline:
        shaper.task.deadline = now + wait


cdef bint enqueue(Shaper *shaper, uint8_t way, uint16_t queue, const iovec *pieces, int count, uint32_t length, const PortMeta *meta,
                  uint64_t now) noexcept nogil:
    cdef Waiting *waiting = &shaper.waiting[way]
    cdef Held *held = &waiting.frames[(waiting.head + waiting.count) % MOST_FRAMES]
    if waiting.count == MOST_FRAMES or not held_copy(held, way, queue, pieces, count, length, meta):
        return False
    waiting.count += 1
    waiting.bits += bits_of(length, meta)
    waiting.packets += packets_of(length, meta)
    schedule(shaper, now)
    return True


cdef Held dequeue(Shaper *shaper, uint8_t way) noexcept nogil:
    """Take the first packet of a way out, and charge for it."""
    cdef Waiting *waiting = &shaper.waiting[way]
    cdef Held held = waiting.frames[waiting.head]
    cdef uint64_t bits = bits_of(held.length, &held.meta), packets = packets_of(held.length, &held.meta)
    waiting.head = (waiting.head + 1) % MOST_FRAMES
    waiting.count -= 1
    waiting.bits -= bits
    waiting.packets -= packets
    charge(&shaper.bandwidth[way], bits)
    charge(&shaper.pps, packets)
    shaper.turn = 1 - way
    return held


cdef int shaper_step(void *ctx, uint64_t now, int budget) noexcept nogil:
    """Release what may go. Returns the packets released."""
    cdef Shaper *shaper = <Shaper *> ctx
    cdef Held held
    cdef uint8_t way
    cdef int done = 0
    fill(&shaper.bandwidth[WAY_IN], now)
    fill(&shaper.bandwidth[WAY_OUT], now)
    fill(&shaper.pps, now)
    while done < budget and next_of(shaper, &way) == 0:
        held = dequeue(shaper, way)
        shaper.release(shaper.ctx, &held, now)
        free(held.data)
        done += 1
    conntrack_expire(&shaper.connections, now)
    schedule(shaper, now)
    if not shaper.limited and not shaper.waiting[WAY_IN].count and not shaper.waiting[WAY_OUT].count:
        shaper.hook[0] = NULL
    if done:
        shaper.done(shaper.ctx, now)
    return done


# -- what comes --------------------------------------------------------------------------------------------------------

cdef inline bint with_host_service(uint8_t way, const uint8_t *ip, uint8_t version) noexcept nogil:
    """Whether the far end of a packet is in 169.254.0.0/16 or fd00:ec2::/32."""
    if version == 4:
        return load_be16(ip + (16 if way == WAY_OUT else 12)) == 0xA9FE
    return version == 6 and load_be32(ip + (24 if way == WAY_OUT else 8)) == 0xFD000EC2ULL


cdef bint asks_in_time(Shaper *shaper, uint64_t packets, uint64_t now) noexcept nogil:
    """Whether a packet to a service of the host is within its rate."""
    fill(&shaper.linklocal, now)
    if behind(&shaper.linklocal, 0, packets) > 0:
        shaper.over[OVER_LINKLOCAL] += packets
        return False
    charge(&shaper.linklocal, packets)
    return True


cdef bint admitted(Shaper *shaper, uint8_t way, const iovec *pieces, int count, uint32_t length, uint64_t packets,
                   uint64_t now) noexcept nogil:
    """Judge a packet by its headers, on a copy: link-local services have their own rate, all else is a matter of connections."""
    cdef uint8_t head[HEADERS]
    cdef Parsed parsed
    cdef uint32_t size = chain_peek(pieces, count, head, HEADERS)
    if parse_frame(head, size, length, &parsed) != PARSE_OK:
        return True
    if with_host_service(way, head + parsed.l3_offset, parsed.version):
        return way == WAY_IN or asks_in_time(shaper, packets, now)
    if not shaper.connections.capacity:
        return True
    if not conntrack_admits(&shaper.connections, head, &parsed, now):
        shaper.over[OVER_CONNTRACK] += packets
        return False
    shaper.task.deadline = min(shaper.task.deadline, conntrack_due(&shaper.connections))
    return True


cdef inline uint64_t packets_before(Shaper *shaper, uint8_t way, uint64_t now) noexcept nogil:
    """Packets that go first for all that `pps` knows: those of the way, and the other's unless they wait for bandwidth."""
    cdef uint8_t other = 1 - way
    cdef uint64_t before = shaper.waiting[way].packets
    if shaper.waiting[other].count:
        fill(&shaper.bandwidth[other], now)
        if not bandwidth_wait(shaper, other):
            before += shaper.waiting[other].packets
    return before


cdef int shaper_take(Shaper *shaper, uint8_t way, uint16_t queue, const iovec *pieces, int count, uint32_t length, const PortMeta *meta,
                     uint64_t now) noexcept nogil:
    """A packet meets its fate, SHAPER_*."""
    cdef Waiting *waiting = &shaper.waiting[way]
    cdef Bucket *bandwidth = &shaper.bandwidth[way]
    cdef uint64_t bits = bits_of(length, meta), packets = packets_of(length, meta)
    cdef int64_t bits_behind, packets_behind
    if (shaper.linklocal.rate or shaper.connections.capacity) and not admitted(shaper, way, pieces, count, length, packets, now):
        return SHAPER_DROPPED
    if waiting.bits + bits > MOST_BITS:
        shaper.over[way if bandwidth.rate else OVER_PPS] += packets
        return SHAPER_DROPPED
    fill(bandwidth, now)
    fill(&shaper.pps, now)
    bits_behind = behind(bandwidth, waiting.bits, bits)
    packets_behind = behind(&shaper.pps, packets_before(shaper, way, now), packets)
    if bits_behind > 0:
        shaper.over[way] += packets
    if packets_behind > 0:
        shaper.over[OVER_PPS] += packets
    if bits_behind <= 0 and packets_behind <= 0 and not waiting.count:
        charge(bandwidth, bits)
        charge(&shaper.pps, packets)
        return SHAPER_PASSES
    if bits_behind > bandwidth.most_behind or packets_behind > shaper.pps.most_behind:
        return SHAPER_DROPPED
    return SHAPER_HELD if enqueue(shaper, way, queue, pieces, count, length, meta, now) else SHAPER_DROPPED


# -- the Python face ---------------------------------------------------------------------------------------------------

cdef class AllowanceShaper:
    """The shaper of one card. Without limits, the card's pointer to it is NULL."""

    def __cinit__(self):
        cdef int way
        memset(&self.shaper, 0, sizeof(Shaper))
        task_init(&self.shaper.task, shaper_step, &self.shaper)
        for way in range(2):
            self.shaper.waiting[way].frames = <Held *> calloc(MOST_FRAMES, sizeof(Held))
            if self.shaper.waiting[way].frames == NULL:
                raise MemoryError

    def __dealloc__(self):
        cdef int way
        cdef uint32_t i
        cdef Waiting *waiting
        for way in range(2):
            waiting = &self.shaper.waiting[way]
            for i in range(waiting.count):
                free(waiting.frames[(waiting.head + i) % MOST_FRAMES].data)
            free(waiting.frames)
        conntrack_close(&self.shaper.connections)

    cdef int attach(self, Executor executor, Shaper **hook, release_t release, done_t done, void *ctx) except -1:
        """Take the place at `hook` while there are limits; what was held goes on by `release`. Under the barrier."""
        self.executor = executor
        self.shaper.hook, self.shaper.release, self.shaper.done, self.shaper.ctx = hook, release, done, ctx
        executor.add(&self.shaper.task, self)
        return 0

    cdef int detach(self) except -1:
        self.shaper.hook[0] = NULL
        self.executor.remove(&self.shaper.task)
        return 0

    def set(self, allowances):
        """New limits from now on, with full buckets. Packets that wait do so by the new ones; connections so far are forgotten."""
        cdef Conntrack connections, old
        if conntrack_init(&connections, allowances.conntrack, int.from_bytes(os.urandom(8)), int.from_bytes(os.urandom(8))):
            raise MemoryError
        with self.executor.held():
            old = self.shaper.connections
            self.shaper.connections = connections
            self._limit(&self.shaper.bandwidth[WAY_IN], allowances.bw_in, BURST, LEAST_BITS, allowances.max_wait)
            self._limit(&self.shaper.bandwidth[WAY_OUT], allowances.bw_out, BURST, LEAST_BITS, allowances.max_wait)
            self._limit(&self.shaper.pps, allowances.pps, BURST, LEAST_PACKETS, allowances.max_wait)
            self._limit(&self.shaper.linklocal, allowances.linklocal, 1, 1, 0)
            self.shaper.limited = allowances != Allowances(max_wait=allowances.max_wait)
            self.shaper.hook[0] = &self.shaper
            task_wake(&self.shaper.task)
        conntrack_close(&old)

    cdef int _limit(self, Bucket *bucket, rate, burst, least, max_wait) except -1:
        bucket.rate = rate
        bucket.full = bucket.level = max(int(rate * burst), least) * 10**9
        bucket.most_behind = min(rate * round(max_wait * 1e9), MOST_BEHIND)
        bucket.filled = self.executor.exec.now
        return 0

    def statistics(self):
        """Packets that exceeded an allowance, since the card was made, and how many connections can still be tracked."""
        cdef Shaper *shaper = &self.shaper
        with self.executor.held():
            return AllowanceStats(shaper.over[WAY_IN], shaper.over[WAY_OUT], shaper.over[OVER_PPS], shaper.over[OVER_CONNTRACK],
                                  shaper.over[OVER_LINKLOCAL], shaper.connections.capacity - shaper.connections.count)
