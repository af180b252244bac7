# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""The flow table: flows in slots, an index by keyed hash, and a list for each class, oldest first.

    key --SipHash--> two candidate buckets of eight --tag--> slot and direction --> flow

Of the two buckets the emptier takes a new key; nothing is ever moved, and a removed key leaves no trace. The index is made so
that all slots in use fill it to 5/8 at most; a key whose buckets are both full is refused all the same, and counted.

Slots for pending and denied flows come on top of the bound of decided ones: a flood of new flows can't take a decided flow's
place before it has been decided. Memory is reserved at the bound and committed as it is touched.
"""

from bisect import bisect_right

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from appliance.flow.key cimport Tuple, is_icmp, key_hash, map_ipv4, reply_kind, request_kind
from appliance.flow.wheel cimport wheel_bytes
from appliance.flow.window cimport Connection
from ena_dev.errors import UsageError
from ena_dev.packet.headers cimport htons, ntohs

cdef extern from "sys/mman.h" nogil:
    void *mmap(void *address, size_t length, int protection, int flags, int fd, long offset)
    int munmap(void *address, size_t length)
    int madvise(void *address, size_t length, int advice)
    int PROT_READ, PROT_WRITE, MAP_PRIVATE, MAP_ANONYMOUS, MAP_NORESERVE, MADV_HUGEPAGE
    void *MAP_FAILED

cdef enum:
    MOST = 4000000             # decided flows


# -- index -----------------------------------------------------------------------------------------------------------------

cdef int room(const Bucket *bucket) noexcept nogil:
    cdef int i, n = 0
    for i in range(8):
        n += bucket.ref[i] == 0
    return n


cdef bint table_insert(Table *table, uint32_t ref, uint64_t hash) noexcept nogil:
    """Make `ref` found by its key, which the index doesn't hold yet. False: no room for this key."""
    cdef Bucket *bucket = first_bucket(table, hash)
    cdef Bucket *other = second_bucket(table, hash)
    cdef int i
    if room(other) > room(bucket):
        bucket = other
    for i in range(8):
        if bucket.ref[i] == 0:
            bucket.tag[i], bucket.ref[i] = tag_of(hash), ref
            table.changes += 1
            return True
    table.crowded += 1
    return False


cdef void table_remove(Table *table, uint32_t ref, uint64_t hash) noexcept nogil:
    cdef Bucket *bucket = first_bucket(table, hash)
    cdef int i, n
    for n in range(2):
        for i in range(8):
            if bucket.ref[i] == ref:
                bucket.ref[i] = 0
                table.changes += 1
                return
        bucket = second_bucket(table, hash)


# -- slots and classes -------------------------------------------------------------------------------------------------------

cdef void chain_append(Table *table, uint32_t slot, int cls) noexcept nogil:
    cdef Chain *chain = &table.chain[cls]
    cdef State *state = &table.flows[slot].state
    state.cls, state.next, state.prev = cls, 0, chain.tail
    if chain.tail:
        table.flows[chain.tail].state.next = slot
    else:
        chain.head = slot
    chain.tail = slot
    chain.count += 1


cdef void chain_remove(Table *table, uint32_t slot) noexcept nogil:
    cdef State *state = &table.flows[slot].state
    cdef Chain *chain = &table.chain[state.cls]
    if state.prev:
        table.flows[state.prev].state.next = state.next
    else:
        chain.head = state.next
    if state.next:
        table.flows[state.next].state.prev = state.prev
    else:
        chain.tail = state.prev
    chain.count -= 1


cdef uint32_t flow_take(Table *table, int cls, uint64_t now) noexcept nogil:
    """A slot for a flow of this class, all zero but its age and epoch; 0 if there is none."""
    cdef uint32_t slot = table.free
    cdef uint32_t epoch
    if slot:
        table.free = table.flows[slot].state.next
    elif table.fresh < table.slots:
        table.fresh += 1
        slot = table.fresh
    else:
        return 0
    epoch = table.flows[slot].state.epoch
    memset(&table.flows[slot], 0, sizeof(Flow))
    table.flows[slot].state.epoch = (epoch + 1) & 0x7FFFFFFF
    table.flows[slot].state.created = table.flows[slot].state.last_seen = now
    chain_append(table, slot, cls)
    return slot


cdef void flow_free(Table *table, uint32_t slot) noexcept nogil:
    chain_remove(table, slot)
    table.flows[slot].state.cls = CLASS_FREE
    table.flows[slot].state.next = table.free
    table.free = slot


cdef void flow_move(Table *table, uint32_t slot, int cls) noexcept nogil:
    chain_remove(table, slot)
    chain_append(table, slot, cls)


# -- Python ------------------------------------------------------------------------------------------------------------------

cdef int pack_address(uint8_t *out, int version, object address) except -1:
    raw = address.to_bytes(4 if version == 4 else 16, "big")
    if version == 4:
        map_ipv4(out, <const uint8_t *> <const char *> raw)
    else:
        memcpy(out, <const char *> raw, 16)
    return 0


cdef int pack_key(Tuple *key, int version, int protocol, int kind, object tuple5) except -1:
    """The key of (source, destination, sport, dport). Raises UsageError for what can't stand in a packet."""
    try:
        if version not in (4, 6):
            raise ValueError(version)
        source, destination, sport, dport = tuple5
        pack_address(key.source, version, source)
        pack_address(key.destination, version, destination)
        key.sport, key.dport = htons(sport), htons(dport)
        key.version, key.protocol, key.kind, key.zone = version, <uint8_t?> protocol, kind, 0
    except (ValueError, OverflowError, TypeError, AttributeError) as error:
        raise UsageError(f"IP version {version}, protocol {protocol}, {tuple5} is no key of a flow") from error
    return 0


cdef object unpack_address(const uint8_t *address, int version):
    raw = address[12:16] if version == 4 else address[:16]
    return int.from_bytes(raw, "big")


cdef object unpack_key(const Tuple *key):
    return (unpack_address(key.source, key.version), unpack_address(key.destination, key.version), ntohs(key.sport), ntohs(key.dport))


cdef void *reserve(size_t length) except NULL:
    cdef void *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    if memory == MAP_FAILED:
        raise MemoryError(f"can't reserve {length} bytes for flows")
    madvise(memory, length, MADV_HUGEPAGE)      # a look-up among many flows is mostly TLB misses; without huge pages it only is slower
    return memory


cdef void lay_out(Table *table, uint32_t flows) noexcept:
    """Bounds and sizes of a table for so many decided flows."""
    cdef uint64_t buckets = 64
    table.limit, table.reserve = flows, flows // 64
    table.pending_limit = table.denied_limit = max(64, flows // 8)
    table.slots = flows + table.pending_limit + table.reserve + table.denied_limit
    while buckets * 8 * 5 < <uint64_t> table.slots * 2 * 8:
        buckets <<= 1
    table.mask = buckets - 1


def bytes_of(uint32_t flows):
    """What a table of so many decided flows takes once it is full, with its index and its timers."""
    cdef Table table
    lay_out(&table, flows)
    return (<size_t> table.slots + 1) * (sizeof(Flow) + sizeof(Connection)) + (table.mask + 1) * sizeof(Bucket) + wheel_bytes(table.slots)


def flows_in(uint64_t size):
    """The most decided flows, up to 4,000,000, whose table takes at most `size` bytes; 0 if there are none."""
    return max(0, bisect_right(range(MOST + 1), size, key=bytes_of) - 1)


cdef class FlowTable:
    """The table's memory. `flows`: bound of decided flows, 64 to 4,000,000; `secret`: 16 bytes. Raises UsageError for other values."""

    def __cinit__(self, int flows, bytes secret not None):
        cdef Table *table = &self.table
        if not 64 <= flows <= MOST or len(secret) != 16:
            raise UsageError(f"a flow table has 64 to 4,000,000 flows, not {flows}, and a secret of 16 bytes, not {len(secret)}")
        memset(table, 0, sizeof(Table))
        memcpy(&table.secret, <const char *> secret, 16)
        lay_out(table, flows)
        self.flow_bytes, self.bucket_bytes = (<size_t> table.slots + 1) * sizeof(Flow), (table.mask + 1) * sizeof(Bucket)
        self.connection_bytes = (<size_t> table.slots + 1) * sizeof(Connection)
        table.flows = <Flow *> reserve(self.flow_bytes)
        table.buckets = <Bucket *> reserve(self.bucket_bytes)
        table.connections = <Connection *> reserve(self.connection_bytes)

    def __dealloc__(self):
        if self.table.flows != NULL:
            munmap(self.table.flows, self.flow_bytes)
        if self.table.buckets != NULL:
            munmap(self.table.buckets, self.bucket_bytes)
        if self.table.connections != NULL:
            munmap(self.table.connections, self.connection_bytes)

    @property
    def slots(self):
        return self.table.slots

    @property
    def buckets(self):
        return self.table.mask + 1

    def add(self, int version, int protocol, tuple5, int kind=0):
        """A flow of one key, undecided: its slot, or 0 if the key is there already or has no room."""
        cdef Tuple key
        cdef uint64_t hash
        cdef uint32_t slot
        pack_key(&key, version, protocol, kind, tuple5)
        hash = key_hash(&self.table.secret, &key)
        if table_find(&self.table, &key, hash):
            return 0
        slot = flow_take(&self.table, CLASS_PENDING, 0)
        if not slot:
            return 0
        self.table.flows[slot].half[0].key = key
        if not table_insert(&self.table, slot << 1, hash):
            flow_free(&self.table, slot)
            return 0
        return slot

    def remove(self, uint32_t slot):
        """Undo `add`. Raises UsageError if there is no such flow."""
        if not 0 < slot <= self.table.slots or self.table.flows[slot].state.cls == CLASS_FREE:
            raise UsageError(f"no flow in slot {slot}")
        table_remove(&self.table, slot << 1, key_hash(&self.table.secret, &self.table.flows[slot].half[0].key))
        flow_free(&self.table, slot)

    def find(self, int version, int protocol, tuple5, kind=None):
        """(slot, direction) of the flow with this key, or None. ICMP without `kind`: of echo requests, then of their replies."""
        cdef Tuple key
        cdef uint32_t ref
        pack_key(&key, version, protocol, request_kind(version, protocol) if kind is None else kind, tuple5)
        ref = table_find(&self.table, &key, key_hash(&self.table.secret, &key))
        if not ref and kind is None and is_icmp(version, protocol):
            key.kind = reply_kind(version, protocol)
            ref = table_find(&self.table, &key, key_hash(&self.table.secret, &key))
        return (ref >> 1, ref & 1) if ref else None

    def hash(self, int version, int protocol, tuple5, int kind=0):
        """The keyed hash of a key."""
        cdef Tuple key
        pack_key(&key, version, protocol, kind, tuple5)
        return key_hash(&self.table.secret, &key)
