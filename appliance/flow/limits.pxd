# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""Limits of rules and services, as structs; asking and giving back are here to be inlined, the sources are in `limits.pyx`."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from appliance.flow.key cimport Secret, Tuple
from ena_dev.packet.headers cimport load_be32


cdef enum:
    OWNERS = 65536             # rules; as many services follow
    WAYS = 8                   # places of one hash; each source has two

cdef struct Rate:              # a bucket of tokens
    uint64_t cost              # ns until a token is back; 0: there is no such rate
    uint64_t depth             # ns until all are

cdef struct Limit:             # of a rule or a service
    Rate total
    Rate each                  # source
    uint32_t most              # flows at once; 0: no bound
    uint32_t most_each
    uint32_t flows
    uint8_t counts             # its flows are counted
    uint8_t by_source          # something is known of each source
    uint64_t full              # when the bucket will be full again, ns
    uint64_t refused

cdef struct Source:            # 24 bytes: what one limit knows of one source
    uint64_t prefix
    uint64_t full
    uint32_t owner             # the limit's number << 1, and 1 for IPv6; 0: nobody's
    uint32_t flows

cdef struct Limits:
    Limit *of                  # by number of the rule, or OWNERS + that of the service; NULL: nothing is limited
    Source *sources
    uint64_t mask              # sets - 1
    Secret secret

cdef struct Places:            # what a flow is about to take: of its rule, and of its service
    Limit *limit[2]
    Source *source[2]


cdef Source *source_of(Limits *all, uint32_t owner, uint64_t prefix, const Source *but, uint64_t now) noexcept nogil    # NULL: no room
cdef Source *source_known(Limits *all, uint32_t owner, uint64_t prefix) noexcept nogil                                  # NULL: there is none


cdef inline uint64_t prefix_of(const Tuple *key) noexcept nogil:
    """What counts as one source: an IPv4 address, or an IPv6 /64, which is one subscriber's at least."""
    cdef uint64_t prefix
    if key.version == 4:
        return load_be32(key.source + 12)
    memcpy(&prefix, key.source, 8)
    return prefix


cdef inline bint bucket_gives(const Rate *rate, uint64_t full, uint64_t now) noexcept nogil:
    return not rate.cost or (full if full > now else now) + rate.cost <= now + rate.depth


cdef inline void bucket_take(const Rate *rate, uint64_t *full, uint64_t now) noexcept nogil:
    if rate.cost:
        full[0] = (full[0] if full[0] > now else now) + rate.cost


cdef inline bint has_room(const Limit *limit, uint64_t now) noexcept nogil:
    """Whether another flow may begin, whoever's it is."""
    return bucket_gives(&limit.total, limit.full, now) and not (limit.most and limit.flows >= limit.most)


cdef inline bint source_has_room(const Limit *limit, const Source *source, uint64_t now) noexcept nogil:
    if source == NULL:
        return False
    return bucket_gives(&limit.each, source.full, now) and not (limit.most_each and source.flows >= limit.most_each)


cdef inline bint limits_admit(Limits *all, uint16_t rule, uint16_t service, const Tuple *key, uint64_t now, Places *places) noexcept nogil:
    """Whether the limits of a flow's rule and of its service let it begin. Nothing is taken yet: who is refused takes from nobody."""
    cdef uint32_t number
    cdef bint room
    cdef int i
    places.limit[0] = places.limit[1] = NULL
    places.source[0] = places.source[1] = NULL
    if all.of == NULL:
        return True
    for i in range(2):
        number = <uint32_t> OWNERS + service if i else rule
        if not all.of[number].total.cost and not all.of[number].by_source and not all.of[number].counts:
            continue
        places.limit[i] = &all.of[number]
        room = has_room(places.limit[i], now)
        if room and all.of[number].by_source:
            places.source[i] = source_of(all, number << 1 | (key.version == 6), prefix_of(key), places.source[0], now)
            room = source_has_room(places.limit[i], places.source[i], now)
        if not room:
            places.limit[i].refused += 1
            return False
    return True


cdef inline uint8_t limits_take(Places *places, uint64_t now) noexcept nogil:
    """The flow begins. Returns by which limits it is counted: 1 its rule's, 2 its service's."""
    cdef uint8_t counted = 0
    cdef Limit *limit
    cdef int i
    for i in range(2):
        limit = places.limit[i]
        if limit == NULL:
            continue
        bucket_take(&limit.total, &limit.full, now)
        if places.source[i] != NULL:
            bucket_take(&limit.each, &places.source[i].full, now)
        if limit.counts:
            limit.flows += 1
            places.source[i].flows += 1
            counted |= <uint8_t> (1 << i)
    return counted


cdef inline void limits_give(Limits *all, uint16_t rule, uint16_t service, const Tuple *key, uint8_t counted) noexcept nogil:
    """The flow is over: it gives back what it was counted by."""
    cdef uint32_t number
    cdef Source *source
    cdef int i
    for i in range(2):
        if not counted >> i & 1:
            continue
        number = <uint32_t> OWNERS + service if i else rule
        all.of[number].flows -= 1
        source = source_known(all, number << 1 | (key.version == 6), prefix_of(key))
        if source != NULL and source.flows:
            source.flows -= 1


cdef class LimitTable:
    cdef Limits all
    cdef object _executor
    cdef uint64_t _sets
    cdef list _set
    cdef int _allocate(self) except -1
    cdef int _fill(self, number, given) except -1
