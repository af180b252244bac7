# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""Connections that a card tracks: a bounded table, in which both directions of a connection are one entry that ends when it is idle.

    bucket --chain--> entry <--older, newer--> the others of its class, the longest idle first

All of a class may be idle equally long, so its list stands in the order of expiry, and a packet moves its connection to the end.
Times that EC2 publishes are EC2's (those of its sixth generation for TCP); it does not tell those of TCP connections that open or have
ended. Source: EC2 User Guide, security group connection tracking.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset

from ena_dev.packet.headers cimport (PARSE_OK, PARSED_BROADCAST, PARSED_FIRST_FRAGMENT, PARSED_FRAGMENT, PROTOCOL_ICMP, PROTOCOL_ICMPV6,
                                     PROTOCOL_TCP, PROTOCOL_UDP, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN, Parsed)
from ena_dev.packet.siphash cimport siphash13

cdef enum:
    BOTH = 3                   # ways
    SECOND_ANSWER = 3          # question, answer, question, answer


cdef inline uint64_t lifetime(uint8_t life) noexcept nogil:
    """In ns."""
    cdef uint64_t seconds = 600
    if life == LIFE_BRIEF:
        seconds = 30
    elif life == LIFE_STREAM:
        seconds = 180
    elif life == LIFE_OPENING:
        seconds = 60
    elif life == LIFE_ESTABLISHED:
        seconds = 350
    elif life == LIFE_CLOSED:
        seconds = 10
    return seconds * 1000000000ULL


cdef int conntrack_init(Conntrack *table, uint32_t capacity, uint64_t k0, uint64_t k1) noexcept nogil:
    cdef uint32_t buckets = 1
    memset(table, 0, sizeof(Conntrack))
    if not capacity:
        return 0
    while buckets < capacity:
        buckets *= 2
    table.secret.k0, table.secret.k1, table.mask, table.unused = k0, k1, buckets - 1, 1
    table.buckets = <uint32_t *> calloc(buckets, sizeof(uint32_t))
    table.entries = <Connection *> calloc(<size_t> capacity + 1, sizeof(Connection))
    if table.buckets == NULL or table.entries == NULL:
        conntrack_close(table)
        return -1
    table.capacity = capacity
    return 0


cdef void conntrack_close(Conntrack *table) noexcept nogil:
    free(table.buckets)
    free(table.entries)
    memset(table, 0, sizeof(Conntrack))


# -- entries -----------------------------------------------------------------------------------------------------------

cdef inline uint32_t *bucket_of(Conntrack *table, const Ends *ends) noexcept nogil:
    return &table.buckets[siphash13(&table.secret, <const uint8_t *> ends, sizeof(Ends) // 8) & table.mask]


cdef void enlist(Conntrack *table, uint32_t index, uint8_t life) noexcept nogil:
    """To the end of its class."""
    cdef Connection *entry = &table.entries[index]
    entry.life, entry.newer, entry.older = life, 0, table.newest[life]
    if entry.older:
        table.entries[entry.older].newer = index
    else:
        table.oldest[life] = index
    table.newest[life] = index


cdef void delist(Conntrack *table, uint32_t index) noexcept nogil:
    cdef Connection *entry = &table.entries[index]
    if entry.older:
        table.entries[entry.older].newer = entry.newer
    else:
        table.oldest[entry.life] = entry.newer
    if entry.newer:
        table.entries[entry.newer].older = entry.older
    else:
        table.newest[entry.life] = entry.older


cdef void forget(Conntrack *table, uint32_t index) noexcept nogil:
    cdef Connection *entry = &table.entries[index]
    cdef uint32_t *link = bucket_of(table, &entry.ends)
    while link[0] != index:
        link = &table.entries[link[0]].chain
    link[0] = entry.chain
    delist(table, index)
    entry.chain = table.freed
    table.freed = index
    table.count -= 1


cdef uint32_t begin(Conntrack *table, uint32_t *bucket, const Ends *ends) noexcept nogil:
    """A new entry, in no class yet; 0 when the table is full."""
    cdef uint32_t index = table.freed
    if table.count == table.capacity:
        return 0
    if index:
        table.freed = table.entries[index].chain
    else:
        index = table.unused
        table.unused += 1
    memset(&table.entries[index], 0, sizeof(Connection))
    table.entries[index].ends, table.entries[index].chain = ends[0], bucket[0]
    bucket[0] = index
    table.count += 1
    return index


# -- packets -----------------------------------------------------------------------------------------------------------

cdef bint is_tracked(const Parsed *parsed) noexcept nogil:
    """Whether a packet that parsed well belongs to a connection."""
    if parsed.flags & PARSED_BROADCAST or (parsed.flags & PARSED_FRAGMENT and not parsed.flags & PARSED_FIRST_FRAGMENT):
        return False
    if parsed.protocol == PROTOCOL_ICMP and parsed.version == 4:
        return parsed.icmp_type == 0 or parsed.icmp_type == 8
    if parsed.protocol == PROTOCOL_ICMPV6 and parsed.version == 6:
        return parsed.icmp_type == 128 or parsed.icmp_type == 129
    return True


cdef uint8_t ends_of(Ends *ends, const uint8_t *data, const Parsed *parsed) noexcept nogil:
    """Fill `ends`; returns the packet's way: 0 from the lower end."""
    cdef const uint8_t *ip = data + parsed.l3_offset
    cdef const uint8_t *source = ip + 12 if parsed.version == 4 else ip + 8
    cdef size_t size = 4 if parsed.version == 4 else 16
    cdef int order = memcmp(source, source + size, size)
    cdef uint8_t way = order > 0 or (order == 0 and parsed.source_port > parsed.destination_port)
    memset(ends, 0, sizeof(Ends))
    memcpy(ends.address[way], source, size)
    memcpy(ends.address[1 - way], source + size, size)
    ends.port[way], ends.port[1 - way] = parsed.source_port, parsed.destination_port
    ends.version, ends.protocol = parsed.version, parsed.protocol
    return way


cdef uint8_t life_of_tcp(Connection *entry, uint8_t way, uint8_t flags) noexcept nogil:
    if entry.life == LIFE_CLOSED and flags & (TCP_SYN | TCP_ACK | TCP_RST) == TCP_SYN:
        entry.heard, entry.ended, entry.life = 1 << way, 0, LIFE_OPENING          # the same ends begin anew
    if flags & TCP_FIN:
        entry.ended |= 1 << way
    if flags & TCP_RST or entry.ended == BOTH or entry.life == LIFE_CLOSED:
        return LIFE_CLOSED
    return LIFE_ESTABLISHED if entry.heard == BOTH else LIFE_OPENING


cdef uint8_t life_after(Connection *entry, uint8_t way, const Parsed *parsed) noexcept nogil:
    """The class of a connection after one more packet."""
    if entry.heard and way != entry.way and entry.turns < SECOND_ANSWER:
        entry.turns += 1
    entry.way = way
    entry.heard |= 1 << way
    if parsed.protocol == PROTOCOL_TCP:
        return life_of_tcp(entry, way, parsed.tcp_flags)
    if parsed.protocol == PROTOCOL_UDP:
        return LIFE_STREAM if entry.turns == SECOND_ANSWER else LIFE_BRIEF
    return LIFE_BRIEF if parsed.protocol == PROTOCOL_ICMP or parsed.protocol == PROTOCOL_ICMPV6 else LIFE_OTHER


cdef bint conntrack_admits(Conntrack *table, const uint8_t *data, const Parsed *parsed, uint64_t now) noexcept nogil:
    """Whether a packet may go on: it isn't tracked, its connection is known, or there was room for one more. `parsed` well."""
    cdef Ends ends
    cdef uint32_t *bucket
    cdef uint32_t index
    cdef uint8_t way, life
    if not is_tracked(parsed):
        return True
    conntrack_expire(table, now)
    way = ends_of(&ends, data, parsed)
    bucket = bucket_of(table, &ends)
    index = bucket[0]
    while index and memcmp(&table.entries[index].ends, &ends, sizeof(Ends)):
        index = table.entries[index].chain
    if index:
        delist(table, index)
    else:
        index = begin(table, bucket, &ends)
        if not index:
            return False
    life = life_after(&table.entries[index], way, parsed)
    table.entries[index].seen = now
    enlist(table, index, life)
    return True


cdef void conntrack_expire(Conntrack *table, uint64_t now) noexcept nogil:
    """Forget what was idle for too long."""
    cdef uint32_t index
    cdef uint8_t life
    for life in range(LIVES):
        index = table.oldest[life]
        while index and now >= table.entries[index].seen + lifetime(life):
            forget(table, index)
            index = table.oldest[life]


cdef uint64_t conntrack_due(const Conntrack *table) noexcept nogil:
    """When the next connection expires, if no more packets come."""
    cdef uint64_t due = 0xFFFFFFFFFFFFFFFFULL, mine
    cdef uint8_t life
    for life in range(LIVES):
        if table.oldest[life]:
            mine = table.entries[table.oldest[life]].seen + lifetime(life)
            if mine < due:
                due = mine
    return due
