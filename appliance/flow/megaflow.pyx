# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""The megaflow cache: what was decided of one flow, for all flows that no decision can tell from it.

A ruleset cuts addresses and ports into classes within which its answer is the same. The first flow of a kind (nic, protocol, and a class
in each dimension) is decided in Python; those after it are begun in the data thread by what that decision was. Choices that belong to
each flow for itself stay choices: its source port, the target that a balancer gives it, the next hop on a link.

The cache is bounded: a new kind takes the place of another with the same hash. Whatever is not found is asked of Python, so forgetting is
always right. It is emptied when the cuts change; an adjacency whose number is given back makes what points to it worthless by its epoch.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

from appliance.flow.key cimport Tuple, request_kind
from appliance.flow.table cimport pack_key
from ena_dev.errors import UsageError
from ena_dev.packet.siphash cimport Secret

MOST_POOLS = POOLS


cdef Megaflow *megaflow_put(Megaflows *all, const Kind *kind) noexcept nogil:
    cdef Megaflow *places = flows_of(all, kind)
    cdef Megaflow *place = megaflow_at(all, kind)
    cdef int i
    if place == NULL:
        place = &places[<size_t> (draw(all) % WAYS)]
        for i in range(WAYS):
            if places[i].what == MEGAFLOW_FREE:
                place = &places[i]
                break
    memset(place, 0, sizeof(Megaflow))
    place.kind = kind[0]
    return place


cdef void hop_put(Megaflows *all, uint8_t nic, uint8_t version, const uint8_t *address, uint16_t adjacency, uint32_t epoch) noexcept nogil:
    cdef Hop *places = hops_of(all, nic, version, address)
    cdef Hop *place = hop_find(all, nic, version, address)
    cdef int i
    if place == NULL:
        place = &places[draw(all) % WAYS]
        for i in range(WAYS):
            if not places[i].adjacency:
                place = &places[i]
                break
    memcpy(place.address, address, 16)
    place.nic, place.version, place.adjacency, place.epoch = nic, version, adjacency, epoch


cdef void drop_cuts(Cuts *cuts) noexcept:
    free(cuts.small)
    free(cuts.large)
    memset(cuts, 0, sizeof(Cuts))


cdef int fill_cuts(Cuts *cuts, bytes small, bytes large) except -1:
    """32-bit numbers, and IPv6 addresses, ascending."""
    if len(small) % sizeof(uint32_t) or len(large) % 16:
        raise UsageError(f"{len(small)} and {len(large)} bytes are no numbers of 4 and of 16")
    cuts.small = <uint32_t *> malloc(len(small) + 1)
    cuts.large = <uint8_t *> malloc(len(large) + 1)
    if cuts.small == NULL or cuts.large == NULL:
        raise MemoryError("no memory for the classes of flows")
    memcpy(cuts.small, <const char *> small, len(small))
    memcpy(cuts.large, <const char *> large, len(large))
    cuts.small_count, cuts.large_count = <uint32_t> (len(small) // sizeof(uint32_t)), <uint32_t> (len(large) // 16)
    return 0


cdef uint64_t spread(const Secret *secret, int version, int protocol, tuple5) except? 0:
    cdef Tuple key
    pack_key(&key, version, protocol, request_kind(version, protocol), tuple5)
    return key_hash(secret, &key)


def spread_hash(bytes secret not None, int version, int protocol, tuple5):
    """The keyed hash by which a balancer spreads flows: of (source, destination, sport, dport), with 16 secret bytes."""
    cdef Secret key
    if len(secret) != 16:
        raise UsageError(f"a hash's secret has 16 bytes, not {len(secret)}")
    memcpy(&key, <const char *> secret, 16)
    return spread(&key, version, protocol, tuple5)


def source_hash(bytes secret not None, int version, source):
    """The keyed hash by which a pool of addresses is given to sources."""
    cdef Secret key
    cdef Tuple flow
    if len(secret) != 16:
        raise UsageError(f"a hash's secret has 16 bytes, not {len(secret)}")
    memcpy(&key, <const char *> secret, 16)
    pack_key(&flow, version, 0, 0, (source, source, 0, 0))
    return hash_of_source(&key, flow.source, version)


cdef class MegaflowTable:
    """One worker's megaflows. `secret`: 16 random bytes. Changes take the executor's barrier."""

    def __cinit__(self, executor not None, bytes secret not None):
        if len(secret) != 16:
            raise UsageError(f"a hash's secret has 16 bytes, not {len(secret)}")
        self._executor = executor
        memset(&self.all, 0, sizeof(Megaflows))
        memcpy(&self.all.secret, <const char *> secret, 16)
        self.all.flows = <Megaflow *> calloc(MEGAFLOW_SETS * WAYS, sizeof(Megaflow))
        self.all.hops = <Hop *> calloc(HOP_SETS * WAYS, sizeof(Hop))
        if self.all.flows == NULL or self.all.hops == NULL:
            raise MemoryError("no memory for megaflows")

    def __dealloc__(self):
        cdef int i
        for i in range(POOLS):
            free(self.all.pools[i].table)
        drop_cuts(&self.all.source)
        drop_cuts(&self.all.destination)
        drop_cuts(&self.all.port)
        free(self.all.flows)
        free(self.all.hops)

    def configure(self, uint32_t generation, cuts):
        """Forget all, and remember decisions of this generation from here on, by these cuts (`cuts.py`)."""
        cdef Cuts made[3]
        cdef int i
        memset(made, 0, sizeof(made))
        try:
            fill_cuts(&made[0], cuts.sources[0], cuts.sources[1])
            fill_cuts(&made[1], cuts.destinations[0], cuts.destinations[1])
            fill_cuts(&made[2], cuts.ports, b"")
            with self._executor.held():
                self.all.source, made[0] = made[0], self.all.source
                self.all.destination, made[1] = made[1], self.all.destination
                self.all.port, made[2] = made[2], self.all.port
                self.all.generation = generation
                memset(self.all.flows, 0, MEGAFLOW_SETS * WAYS * sizeof(Megaflow))
                memset(self.all.hops, 0, HOP_SETS * WAYS * sizeof(Hop))
        finally:
            for i in range(3):
                drop_cuts(&made[i])

    def set_pool(self, int number, bytes secret not None, table, bint by_source=False):
        """Which of its targets a pool gives a flow: indexes by a hash modulo their count. None: Python is asked."""
        cdef uint16_t *made = NULL
        cdef bytes raw = b"" if table is None else bytes(table)
        if not 0 <= number < POOLS or len(secret) != 16 or len(raw) % 2:
            raise UsageError(f"a pool {number} with a secret of {len(secret)} bytes and a table of {len(raw)} can't be")
        if raw:
            made = <uint16_t *> malloc(len(raw))
            if made == NULL:
                raise MemoryError("no memory for a pool's table")
            memcpy(made, <const char *> raw, len(raw))
        with self._executor.held():
            self.all.pools[number].table, made = made, self.all.pools[number].table
            self.all.pools[number].size, self.all.pools[number].by_source = len(raw) // 2, by_source
            memcpy(&self.all.pools[number].secret, <const char *> secret, 16)
        free(made)

    def count(self):
        """How many megaflows there are."""
        cdef int i, n = 0
        for i in range(MEGAFLOW_SETS * WAYS):
            n += self.all.flows[i].what != MEGAFLOW_FREE
        return n
