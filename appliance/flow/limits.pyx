# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""Limits: how many flows of a rule or a service may begin in a time, and be there at once, in total and for each source.

    decided --> its rule's limit and its service's have room --> begins, and takes its place in each
                                                    `--> one hasn't --> denied as over-limit, and takes nothing from anybody

They are asked in the data thread, where flows begin, whoever decided them. A rate is a bucket of tokens, of which only is kept when it will
be full again: N in a time let N begin at once, and then one each Nth of that time (ITU-T I.371, generic cell rate algorithm).

Sources are kept in memory of fixed size, each in one of two sets of eight by a keyed hash. One whose bucket is full and that has no flows
is as good as unknown, so it makes room; if all in both sets tell something, the one whose bucket is nearest to full does, and never one
that has flows. So what an attacker has spent is the last to be forgotten: he would have to spend more from sixteen other sources, which
only the secret knows. There are twice as many places as flows; where there is none all the same, the flow is refused.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from ena_dev.errors import UsageError
from ena_dev.packet.siphash cimport siphash13

SERVICES = OWNERS
"""The number of a service's limit is this and its own."""


cdef inline Source *source_set(Limits *all, uint32_t owner, uint64_t prefix, int second) noexcept nogil:
    cdef uint64_t words[2]
    cdef uint64_t hash
    words[0], words[1] = prefix, owner
    hash = siphash13(&all.secret, <const uint8_t *> words, 2)
    return &all.sources[(hash >> 32 if second else hash & 0xFFFFFFFFULL) % (all.mask + 1) * WAYS]


cdef Source *source_known(Limits *all, uint32_t owner, uint64_t prefix) noexcept nogil:
    cdef Source *places
    cdef int n, i
    for n in range(2):
        places = source_set(all, owner, prefix, n)
        for i in range(WAYS):
            if places[i].owner == owner and places[i].prefix == prefix:
                return &places[i]
    return NULL


cdef inline int idle_places(const Source *places, uint64_t now) noexcept nogil:
    cdef int i, n = 0
    for i in range(WAYS):
        n += places[i].flows == 0 and places[i].full <= now
    return n


cdef Source *source_of(Limits *all, uint32_t owner, uint64_t prefix, const Source *but, uint64_t now) noexcept nogil:
    """The entry of a source, a new one if need be. `but` keeps its place."""
    cdef Source *found = source_known(all, owner, prefix)
    cdef Source *places
    cdef int n, i, first
    if found != NULL:
        return found
    first = idle_places(source_set(all, owner, prefix, 1), now) > idle_places(source_set(all, owner, prefix, 0), now)
    for n in range(2):
        places = source_set(all, owner, prefix, n ^ first)
        for i in range(WAYS):
            if places[i].flows == 0 and &places[i] != but and (found == NULL or max(places[i].full, now) < max(found.full, now)):
                found = &places[i]
    if found != NULL:
        memset(found, 0, sizeof(Source))
        found.owner, found.prefix = owner, prefix
    return found


cdef int fill_rate(Rate *rate, given) except -1:
    """(flows, seconds), or None."""
    rate.cost = rate.depth = 0
    if given is not None:
        count, seconds = given
        if not 1 <= count <= 1_000_000 or not 0 < seconds <= 86400:
            raise UsageError(f"{count} flows in {seconds} seconds are no rate")
        rate.cost = max(<uint64_t> (seconds * 1e9) // <uint64_t> count, 1)
        rate.depth = rate.cost * <uint64_t> count
    return 0


cdef class LimitTable:
    """One worker's limits. `secret`: 16 random bytes; `flows`: how many there can be. Changes take the executor's barrier."""

    def __cinit__(self, executor not None, bytes secret not None, uint64_t flows):
        if len(secret) != 16:
            raise UsageError(f"a hash's secret has 16 bytes, not {len(secret)}")
        self._executor, self._set, self._sets = executor, [], 1
        while self._sets * WAYS < 2 * flows:
            self._sets *= 2
        memset(&self.all, 0, sizeof(Limits))
        memcpy(&self.all.secret, <const char *> secret, 16)

    def __dealloc__(self):
        free(self.all.of)
        free(self.all.sources)

    def configure(self, limits):
        """Hold to these from now on: {number: (rate, rate of each source, flows, flows of each source)}, rates as (flows, seconds), each
        None without one. What is counted of a limit that stays goes on."""
        with self._executor.held():
            if limits and self.all.of == NULL:
                self._allocate()
            for number in self._set:
                self._fill(number, (None, None, None, None))
            self._set = []
            for number, given in limits.items():
                self._fill(number, given)
                self._set.append(number)

    cdef int _allocate(self) except -1:
        self.all.sources = <Source *> calloc(self._sets * WAYS, sizeof(Source))
        self.all.of = <Limit *> calloc(2 * OWNERS, sizeof(Limit))
        self.all.mask = self._sets - 1
        if self.all.sources == NULL or self.all.of == NULL:
            free(self.all.of)
            self.all.of = NULL
            raise MemoryError("no memory for limits")
        return 0

    cdef int _fill(self, number, given) except -1:
        cdef Limit *limit
        if not 0 < number < 2 * OWNERS:
            raise UsageError(f"there is no rule or service {number}")
        limit = &self.all.of[<uint32_t> number]
        rate, each, most, most_each = given
        fill_rate(&limit.total, rate)
        fill_rate(&limit.each, each)
        limit.most, limit.most_each = most or 0, most_each or 0
        limit.counts = limit.most != 0 or limit.most_each != 0
        limit.by_source = limit.counts or limit.each.cost != 0
        return 0

    def counts(self):
        """{number: (flows refused, flows counted)} of the limits that hold."""
        return {number: (self.all.of[<uint32_t> number].refused, self.all.of[<uint32_t> number].flows) for number in self._set}

    def room(self):
        """How many sources can be known at once."""
        return self._sets * WAYS
