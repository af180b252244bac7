# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""Decisions that hold for all flows alike: what they are found by, and what is remembered of them.

    tuple --cuts of three dimensions--> kind --> megaflow --> pass | deny
                                             `-> pool --hash of the tuple--> kind with a target --> megaflow

The name is Open vSwitch's (Pfaff et al., The Design and Implementation of Open vSwitch, NSDI 2015). Finding is here to be inlined.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from appliance.flow.key cimport Tuple, is_icmp, key_hash
from appliance.flow.tcp cimport EVENT_ACK, EVENT_SYN, tcp_event_of
from ena_dev.packet.headers cimport PROTOCOL_TCP, PROTOCOL_UDP, load_be32, ntohs
from ena_dev.packet.siphash cimport Secret, siphash13


cdef enum:
    WAYS = 4                   # places of one hash
    MEGAFLOW_SETS = 4096
    HOP_SETS = 4096
    POOLS = 4096

cdef enum:  # Megaflow.what
    MEGAFLOW_FREE = 0
    MEGAFLOW_PASS = 1
    MEGAFLOW_DENY = 2
    MEGAFLOW_POOL = 3          # a pool chooses the target, or what the source becomes, and flows of the same choice are alike
    MEGAFLOW_ASK = 4           # each is decided by itself; what they have in common is `service` and `guard`

cdef enum:  # Megaflow.alike and Command.alike
    ALIKE = 1                  # the decision is one for all flows of the kind
    ALIKE_DIRECT = 2           # the next hop is where the flow goes to
    ALIKE_REPLY_DIRECT = 4     # the replies' next hop is where the flow comes from
    ALIKE_VARY = 8             # the source port may change, if that makes the reply tell from others
    ALIKE_HIDDEN = 16          # the source becomes the appliance's
    ALIKE_ADDRESS = 32         # the destination changes,
    ALIKE_PORT = 64            # and its port
    ALIKE_KEEPS = 128          # a source port below 1024 stays, though the source is hidden
    ALIKE_DRAWN = 256          # the source port is another at random


cdef struct Cuts:              # where a dimension's answers change: x is of class i if i cuts are at or below it
    uint32_t *small            # IPv4 addresses, or ports; host order
    uint8_t *large             # IPv6 addresses, 16 bytes each, network order
    uint32_t small_count, large_count

cdef struct Kind:              # 24 bytes without holes: hashed and compared as they are
    uint32_t source            # classes
    uint32_t destination
    uint32_t port              # TCP, UDP: a class; ICMP: the type
    uint32_t target            # 0: not chosen, or nothing to choose
    uint8_t nic
    uint8_t protocol
    uint8_t version
    uint8_t starts             # TCP: 1 with the flags of a connection's first packet, 2 with those that most others have
    uint32_t spare

cdef struct Megaflow:          # 112 bytes
    Kind kind
    Tuple reply                # of the flow that was decided: fixed are the parts that ALIKE_* tell
    uint64_t duration          # ns
    uint32_t epochs[2]         # of the adjacencies
    uint16_t adjacencies[2]
    uint16_t rule
    uint16_t audit
    uint16_t service
    uint16_t target
    uint16_t pool
    uint16_t alike
    uint16_t nat[2]            # entries of `nat`, as in a Command
    uint8_t what
    uint8_t nic
    uint8_t flags              # FLOW_DECREMENT
    uint8_t reason
    uint8_t guard              # GUARD_*
    uint8_t proxy

cdef struct Hop:               # an address on a link, and its adjacency
    uint8_t address[16]        # as in a Tuple
    uint32_t epoch
    uint16_t adjacency         # 0: none
    uint8_t nic
    uint8_t version

cdef struct Targets:           # of a pool: a balancer's targets, or addresses that sources become
    uint16_t *table            # indexes by the tuple's hash. NULL: there is no such pool, or none of its targets is up
    uint32_t size
    uint32_t by_source         # the hash is of the source alone
    Secret secret

cdef struct Megaflows:
    uint32_t generation        # of the decisions that may be remembered; 0: none
    Cuts source, destination, port
    Secret secret
    uint64_t drawn             # random numbers so far
    Megaflow *flows
    Hop *hops
    Targets pools[POOLS]


# -- classes ---------------------------------------------------------------------------------------------------------------

cdef inline uint32_t class_of_number(const Cuts *cuts, uint32_t number) noexcept nogil:
    cdef uint32_t low = 0, high = cuts.small_count, middle
    while low < high:
        middle = (low + high) >> 1
        if cuts.small[middle] <= number:
            low = middle + 1
        else:
            high = middle
    return low


cdef inline uint32_t class_of_address(const Cuts *cuts, const uint8_t *address, uint8_t version) noexcept nogil:
    cdef uint32_t low = 0, high = cuts.large_count, middle
    if version == 4:
        return class_of_number(cuts, load_be32(address + 12))
    while low < high:
        middle = (low + high) >> 1
        if memcmp(cuts.large + <size_t> 16 * middle, address, 16) <= 0:
            low = middle + 1
        else:
            high = middle
    return low


cdef inline bint kind_of(const Megaflows *all, const Tuple *key, uint8_t nic, uint8_t tcp_flags, Kind *kind) noexcept nogil:
    """What a flow is alike in; False if it is to be decided for itself."""
    cdef uint8_t event
    if not all.generation or memcmp(key.source, key.destination, 16) == 0:
        return False
    kind.source = class_of_address(&all.source, key.source, key.version)
    kind.destination = class_of_address(&all.destination, key.destination, key.version)
    kind.nic, kind.protocol, kind.version = nic, key.protocol, key.version
    kind.starts, kind.port, kind.target, kind.spare = 0, 0, 0, 0
    if key.protocol == PROTOCOL_TCP:
        event = tcp_event_of(tcp_flags)
        kind.starts = 1 if event == EVENT_SYN else 2 if event == EVENT_ACK else 0
    if key.protocol == PROTOCOL_TCP or key.protocol == PROTOCOL_UDP:
        kind.port = class_of_number(&all.port, ntohs(key.dport))
    elif is_icmp(key.version, key.protocol):
        kind.port = key.kind
    return True


# -- finding ---------------------------------------------------------------------------------------------------------------

cdef inline Megaflow *flows_of(const Megaflows *all, const Kind *kind) noexcept nogil:
    """The places of a kind."""
    return &all.flows[(siphash13(&all.secret, <const uint8_t *> kind, sizeof(Kind) // 8) & (MEGAFLOW_SETS - 1)) * WAYS]


cdef inline Megaflow *megaflow_at(const Megaflows *all, const Kind *kind) noexcept nogil:
    cdef Megaflow *places = flows_of(all, kind)
    cdef int i
    for i in range(WAYS):
        if places[i].what != MEGAFLOW_FREE and memcmp(&places[i].kind, kind, sizeof(Kind)) == 0:
            return &places[i]
    return NULL


cdef inline uint64_t hash_of_source(const Secret *secret, const uint8_t *address, uint8_t version) noexcept nogil:
    """The keyed hash of an address, as in a Tuple."""
    cdef uint64_t words[3]
    memcpy(words, address, 16)
    words[2] = version
    return siphash13(secret, <const uint8_t *> words, 3)


cdef inline uint32_t chosen_of(const Targets *pool, const Tuple *key) noexcept nogil:
    """Which of its targets a pool gives a flow."""
    cdef uint64_t hash = hash_of_source(&pool.secret, key.source, key.version) if pool.by_source else key_hash(&pool.secret, key)
    return pool.table[hash % pool.size]


cdef inline Megaflow *megaflow_find(const Megaflows *all, const Tuple *key, uint8_t nic, uint8_t tcp_flags) noexcept nogil:
    """What was decided about flows like this one; NULL: nothing."""
    cdef Kind kind
    cdef Megaflow *found
    cdef const Targets *pool
    if not kind_of(all, key, nic, tcp_flags, &kind):
        return NULL
    found = megaflow_at(all, &kind)
    if found == NULL or found.what != MEGAFLOW_POOL:
        return found
    pool = &all.pools[found.pool]
    if pool.table == NULL:
        return NULL
    kind.target = chosen_of(pool, key) + 1
    return megaflow_at(all, &kind)


cdef inline Hop *hops_of(const Megaflows *all, uint8_t nic, uint8_t version, const uint8_t *address) noexcept nogil:
    cdef uint64_t words[3]
    memcpy(words, address, 16)
    words[2] = <uint64_t> nic << 8 | version
    return &all.hops[(siphash13(&all.secret, <const uint8_t *> words, 3) & (HOP_SETS - 1)) * WAYS]


cdef inline Hop *hop_find(const Megaflows *all, uint8_t nic, uint8_t version, const uint8_t *address) noexcept nogil:
    """The adjacency of an address on a nic's link; NULL: none is known."""
    cdef Hop *places = hops_of(all, nic, version, address)
    cdef int i
    for i in range(WAYS):
        if places[i].adjacency and places[i].nic == nic and places[i].version == version and memcmp(places[i].address, address, 16) == 0:
            return &places[i]
    return NULL


cdef inline uint64_t draw(Megaflows *all) noexcept nogil:
    """A random number."""
    cdef uint64_t words[2]
    all.drawn += 1
    words[0], words[1] = all.drawn, 0x64726177ULL
    return siphash13(&all.secret, <const uint8_t *> words, 2)


cdef Megaflow *megaflow_put(Megaflows *all, const Kind *kind) noexcept nogil            # its place, with nothing in it yet but the kind
cdef void hop_put(Megaflows *all, uint8_t nic, uint8_t version, const uint8_t *address, uint16_t adjacency, uint32_t epoch) noexcept nogil

cdef class MegaflowTable:
    cdef Megaflows all
    cdef object _executor
