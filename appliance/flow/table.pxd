# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""Flows and their index, as structs; finding is here to be inlined, changing is in `table.pyx`."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from appliance.flow.key cimport Secret, Tuple, key_equal
from appliance.flow.window cimport Connection


cdef enum:  # classes: each flow is in one, oldest first, and bounded and evicted by it
    CLASS_FREE = 0
    CLASS_PENDING = 1          # waits for its decision
    CLASS_OPENING = 2          # TCP, the handshake isn't over
    CLASS_UNREPLIED = 3        # no reply yet
    CLASS_ESTABLISHED = 4      # open, or its originator has spoken again after a reply: never evicted
    CLASS_CLOSING = 5
    CLASS_DENIED = 6
    CLASS_ANSWERED = 7         # replied to; whoever made up its source would not know
    CLASSES = 8

cdef enum:  # State.flags
    FLOW_DECREMENT = 1         # TTL and hop limit
    FLOW_INSTALLED = 2         # its reply half is in the index
    FLOW_REWRITE = 4           # its tuple changes on the way
    FLOW_LIBERAL = 8           # TCP: any sequence numbers, and a handshake of which one half is seen
    FLOW_OUTBOUND = 16         # only packets of the original direction keep it
    FLOW_TELL = 32             # denied, and who sends is told
    FLOW_COUNTED = 6           # from this bit on: by the limits of its rule, of its service
    FLOW_UNCOUNTED = 63        # all bits below


cdef struct Half:              # 64 bytes: one direction
    Tuple key                  # as its packets arrive. The other half's key, reversed, is what they become
    uint16_t ip_delta          # what the rewrite adds to the sum of the addresses,
    uint16_t l4_delta          # and to that of addresses and ports
    uint32_t adjacency         # where its packets go
    uint64_t packets
    uint64_t bytes

cdef struct State:             # 64 bytes: what both directions share
    uint64_t created           # ns
    uint64_t last_seen
    uint64_t until             # pending and denied: when it ends
    uint32_t next              # in its class, or the free list; 0 ends
    uint32_t prev
    uint32_t epoch             # with the slot, a handle that is never used again
    uint32_t generation
    uint32_t parked            # first frame that waits for the decision
    uint16_t rule
    uint16_t service
    uint16_t target
    uint16_t length            # of the first frame, 65535 for more
    uint16_t audit             # a rule that would have decided, 0: none
    uint8_t cls
    uint8_t tcp
    uint8_t nic_in
    uint8_t nic_out
    uint8_t queue              # of the first frame
    uint8_t tcp_flags          # of the first frame
    uint8_t flags
    uint8_t reason             # why it is denied
    uint8_t spliced            # TCP: what passes has other numbers on the other side, see `splice.pxd`

cdef struct Flow:              # three cache lines
    Half half[2]
    State state

cdef struct Bucket:            # one cache line
    uint16_t tag[8]
    uint32_t ref[8]            # slot << 1 | direction; 0: free
    uint32_t spare[4]

cdef struct Chain:
    uint32_t head              # oldest
    uint32_t tail
    uint32_t count

cdef struct Table:
    Flow *flows                # slot 0 is never used
    Connection *connections    # of the slots of TCP flows
    Bucket *buckets
    uint64_t mask              # buckets - 1
    Secret secret
    uint32_t slots             # highest slot
    uint32_t fresh             # slots up to here have been used
    uint32_t free
    uint32_t limit             # of decided flows
    uint32_t reserve           # of them, for the appliance's own only
    uint32_t pending_limit
    uint32_t denied_limit
    Chain chain[CLASSES]
    uint64_t changes           # of the index: a reference found before the last one may be stale
    uint64_t crowded           # both buckets of a key were full


cdef extern from * nogil:
    """
    #define softena_prefetch(p) __builtin_prefetch(p)
    #define softena_prefetch_write(p) __builtin_prefetch(p, 1)
    """
    void prefetch "softena_prefetch"(const void *p)
    void prefetch_write "softena_prefetch_write"(const void *p)


cdef inline Bucket *first_bucket(const Table *table, uint64_t hash) noexcept nogil:
    return &table.buckets[hash & table.mask]


cdef inline Bucket *second_bucket(const Table *table, uint64_t hash) noexcept nogil:
    return &table.buckets[(hash >> 24) & table.mask]


cdef inline uint16_t tag_of(uint64_t hash) noexcept nogil:
    return <uint16_t> (hash >> 48)


cdef inline uint32_t bucket_find(const Table *table, const Bucket *bucket, const Tuple *key, uint16_t tag) noexcept nogil:
    cdef int i
    cdef uint32_t ref
    for i in range(8):
        if bucket.tag[i] == tag:
            ref = bucket.ref[i]
            if ref and key_equal(&table.flows[ref >> 1].half[ref & 1].key, key):
                return ref
    return 0


cdef inline uint32_t table_find(const Table *table, const Tuple *key, uint64_t hash) noexcept nogil:
    """slot << 1 | direction of the flow with this key, 0 if there is none."""
    cdef uint32_t ref = bucket_find(table, first_bucket(table, hash), key, tag_of(hash))
    return ref if ref else bucket_find(table, second_bucket(table, hash), key, tag_of(hash))


cdef inline uint32_t table_likely(const Table *table, uint64_t hash) noexcept nogil:
    """What `table_find` will look at first: a reference with the hash's tag, unproven; 0 if there is none. To prefetch it."""
    cdef Bucket *bucket = first_bucket(table, hash)
    cdef uint16_t tag = tag_of(hash)
    cdef int i
    for i in range(8):
        if bucket.tag[i] == tag and bucket.ref[i]:
            return bucket.ref[i]
    bucket = second_bucket(table, hash)
    for i in range(8):
        if bucket.tag[i] == tag and bucket.ref[i]:
            return bucket.ref[i]
    return 0


cdef inline uint32_t table_decided(const Table *table) noexcept nogil:
    return (table.chain[<int> CLASS_OPENING].count + table.chain[<int> CLASS_UNREPLIED].count + table.chain[<int> CLASS_ANSWERED].count
            + table.chain[<int> CLASS_ESTABLISHED].count + table.chain[<int> CLASS_CLOSING].count)


cdef inline uint64_t flow_handle(const Table *table, uint32_t slot) noexcept nogil:
    return <uint64_t> table.flows[slot].state.epoch << 32 | slot


cdef bint table_insert(Table *table, uint32_t ref, uint64_t hash) noexcept nogil        # False: no room for this key
cdef void table_remove(Table *table, uint32_t ref, uint64_t hash) noexcept nogil
cdef uint32_t flow_take(Table *table, int cls, uint64_t now) noexcept nogil             # a zeroed slot, 0 if there is none
cdef void flow_free(Table *table, uint32_t slot) noexcept nogil                         # not in the index any more
cdef void flow_move(Table *table, uint32_t slot, int cls) noexcept nogil                # becomes the youngest of its class

cdef int pack_key(Tuple *key, int version, int protocol, int kind, object tuple5) except -1
cdef object unpack_key(const Tuple *key)

cdef class FlowTable:
    cdef Table table
    cdef size_t flow_bytes, bucket_bytes, connection_bytes
