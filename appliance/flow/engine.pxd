# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""All state of one worker's fast path, as structs; dropping, and flushing what was sent. Header-only, compiled into `program`.

Only the executor's thread writes an Engine, or who holds its barrier. The rings to and from Python have one writer and one reader.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from appliance.flow.cookie cimport Cookies
from appliance.flow.fragments cimport Fragments
from appliance.flow.key cimport Tuple
from appliance.flow.limits cimport Limits
from appliance.flow.megaflow cimport Megaflows
from appliance.flow.parking cimport Parking
from appliance.flow.reasons cimport DROP_REASONS
from appliance.flow.steering cimport Steering
from appliance.flow.table cimport CLASSES, Flow, State, Table
from appliance.flow.tcp cimport TcpTable
from appliance.flow.wheel cimport Wheel
from appliance.flow.window cimport Connection
from ena_dev.bus.executor cimport Task
from ena_dev.driver.pool cimport Pool, pool_give_chain
from ena_dev.driver.pair cimport Pair, pair_flush, pair_reap
from ena_dev.driver.rings cimport BURST, Frame


cdef enum:
    NICS = 256
    NIC_QUEUES = 32
    NEIGHBOURS = 65536
    RULES = 65536
    NAT_ENTRIES = 65536
    PROFILES = 256
    TARGETS = 65536            # of balanced services; 0: no target
    TOUCHED = 32
    # entries of rings: powers of two
    MISS_RING = 1024           # for each queue pair
    PUNT_RING = 64
    PUNT_NEIGHBOURS = 16       # of them, for ARP and ND only: everything waits for those
    ENDED_RING = 64
    COMMAND_RING = 4096
    OUTGOING_RING = 128
    SNAPSHOT = 1536            # bytes of a frame that cross between Python and here

cdef enum:  # Punt.reason
    PUNT_ARP = 0
    PUNT_ND = 1
    PUNT_ICMP_ERROR = 2
    PUNT_CUT = 3               # more than its way out carries, and may be cut
    PUNT_DNS = 4               # translated already, and one hop further
    # copies: the frame itself is dropped, and its sender to be told
    PUNT_TTL = 5
    PUNT_TOO_BIG = 6
    PUNT_NO_NEIGHBOUR = 7      # maybe translated already, and one hop further
    PUNT_NO_ROUTE = 8
    PUNT_REJECTED = 9

cdef enum:  # Miss.refused
    REFUSED_NOT = 0            # a new flow
    REFUSED_TAKEN = 1
    REFUSED_FULL = 2

cdef enum:  # timeouts
    TIMEOUT_TCP_OPENING = 0
    TIMEOUT_TCP_ESTABLISHED = 1
    TIMEOUT_TCP_CLOSING = 2
    TIMEOUT_UDP = 3
    TIMEOUT_UDP_REPLIED = 4
    TIMEOUT_DNS = 5
    TIMEOUT_ICMP = 6
    TIMEOUTS = 7

cdef enum:
    MSS_FITS = 1               # what the way carries

cdef enum:  # where profiles leave something to others, and yes or no otherwise
    UNSAID = 2

cdef enum:  # Command.op
    COMMAND_INSTALL = 0
    COMMAND_DENY = 1
    COMMAND_DELETE = 2
    COMMAND_ADJACENCY = 3

cdef enum:  # Adjacency.state
    ADJACENCY_INCOMPLETE = 0
    ADJACENCY_VALID = 1
    ADJACENCY_FAILED = 2


cdef struct Miss:
    Tuple key
    uint64_t flow              # handle
    uint32_t length
    uint8_t nic
    uint8_t queue
    uint8_t tcp_flags
    uint8_t refused

cdef struct Punt:
    int64_t flow
    uint32_t mtu
    uint16_t length
    uint8_t reason
    uint8_t nic
    uint16_t queue
    uint8_t data[SNAPSHOT]

cdef struct Outgoing:
    uint16_t length
    uint16_t queue
    uint8_t nic
    uint8_t data[SNAPSHOT]

cdef struct Command:
    uint64_t flow
    uint64_t duration          # ns
    Tuple reply
    uint32_t generation
    uint16_t adjacency
    uint16_t reply_adjacency
    uint16_t rule
    uint16_t service
    uint16_t target
    uint16_t pool              # which has chosen the target, or the address that the source becomes
    uint16_t audit             # a rule that would have decided, 0: none
    uint16_t alike             # ALIKE_*
    uint16_t nat[2]            # the entries of `nat` by which the destination and the source are translated, 0: none
    uint32_t chosen            # the target's number in it, from 1; 0: no pool was asked
    uint8_t op
    uint8_t nic
    uint8_t flags              # FLOW_DECREMENT, FLOW_LIBERAL
    uint8_t reason
    uint8_t guard              # TCP: GUARD_*
    uint8_t proxy              # TCP: the target reads who its client is
    uint8_t state              # ADJACENCY_*
    uint8_t mac[6]

cdef struct Adjacency:
    uint8_t mac[6]
    uint8_t nic
    uint8_t state
    uint32_t parked
    uint32_t flows             # directions of flows that lead here
    uint32_t epoch             # of the number: another each time it is given back
    uint64_t last_used         # ns

cdef struct RuleCount:         # half a cache line
    uint64_t packets, bytes, flows
    uint64_t last              # ns

cdef struct NatCount:          # of an entry of `nat`
    uint64_t flows             # that it has translated
    uint64_t last              # ns, when the last of them began

cdef struct Copied:            # a flow as it was
    Flow flow
    Connection connection      # of TCP
    uint32_t slot

cdef struct Profile:           # how some flows are kept, as far as it says so
    uint64_t timeouts[TIMEOUTS]    # ns; 0: unsaid
    uint8_t reset              # TCP: both ends are told when it was idle for too long; UNSAID
    uint8_t inbound            # replies keep a flow whose source is hidden; UNSAID
    uint16_t mss               # TCP: the largest segment, MSS_FITS; 0: unsaid

cdef struct Outcome:           # of new flows to a target
    uint32_t answered, refused, silent

cdef struct Service:           # what its handshakes are about; the first is that of all flows without a service
    uint64_t sent, accepted, refused    # cookies
    uint32_t opening           # half-open flows
    uint16_t mss               # that its targets have said, 0: none has
    uint8_t pressed

cdef struct Engine

cdef struct Lane:              # one queue pair; the index of a ring never wraps back: the slot is its low bits
    Engine *engine
    Pair *pair
    Miss misses[MISS_RING]
    uint32_t miss_head, miss_tail
    Punt punts[PUNT_RING]
    uint32_t punt_head, punt_tail
    Copied ended[ENDED_RING]   # idle for too long, and somebody shall be told
    uint32_t ended_head, ended_tail

cdef struct Nic:
    uint8_t mac[6]
    uint8_t present
    uint8_t is_self            # leads to the appliance's own stack
    uint32_t mtu
    uint16_t mss               # of TCP that passes: the largest segment, MSS_FITS, or 0
    uint32_t queues
    Lane *lanes[NIC_QUEUES]

cdef struct Counters:
    uint64_t received, sent, punted, misses, installed, denied, deleted, expired, refused, stale, absorbed
    uint64_t alike             # of the misses: decided by a megaflow
    uint64_t ended             # flows begun are `misses`: ended, or in the table
    uint64_t control_sent, control_dropped
    uint64_t made              # sent, or dropped, without having been received
    uint64_t evicted[CLASSES]
    uint64_t drops[DROP_REASONS]

cdef struct Engine:
    Table *table
    Megaflows *megaflows
    Limits *limits
    Wheel *wheel
    Pool *pool
    Task task                  # commands and timers
    TcpTable tcp
    uint64_t timeouts[TIMEOUTS]    # ns
    uint64_t pending_time
    uint8_t reads_dns          # messages of DNS that would pass are Python's first
    uint64_t reset_after       # ns; not before another flow that was idle may end by resets
    Nic nics[NICS]
    Adjacency adjacencies[NEIGHBOURS]
    RuleCount rules[RULES]
    NatCount nat[NAT_ENTRIES]
    Profile profiles[PROFILES]     # the first says nothing, the next holds for all
    uint8_t profile_of[RULES]
    uint8_t profile_of_service[RULES]
    uint32_t targets[TARGETS]  # decided flows of each
    Outcome outcomes[TARGETS]
    Service services[TARGETS]
    Cookies cookies
    Parking parking
    Fragments fragments
    Pair *touched[TOUCHED]     # sent to, and not yet rung
    uint32_t touched_count
    Command commands[COMMAND_RING]
    uint32_t command_head, command_tail
    Outgoing outgoing[OUTGOING_RING]
    uint32_t outgoing_head, outgoing_tail
    Counters counters
    Steering steering[NICS]


cdef inline void drop(Engine *engine, Frame *frame, uint32_t reason) noexcept nogil:
    """The end of a frame without a way out."""
    engine.counters.drops[reason if reason < DROP_REASONS else 0] += 1
    pool_give_chain(engine.pool, frame.first)


cdef inline void count_hit(RuleCount *rule, uint32_t length, uint64_t now) noexcept nogil:
    rule.packets += 1
    rule.bytes += length
    rule.last = now


cdef inline void count_rule(Engine *engine, uint16_t rule, uint16_t audit, uint32_t length, uint64_t now) noexcept nogil:
    """A frame of a flow that a rule has decided, and another one, that is tried out, would have."""
    count_hit(&engine.rules[rule], length, now)
    if audit:
        count_hit(&engine.rules[audit], length, now)


cdef inline const Profile *profile_of(const Engine *engine, const State *state, int n) noexcept nogil:
    """Who may say how a flow is kept: its rule, its service, and then what holds for all. The first that says something is heard."""
    return &engine.profiles[engine.profile_of[state.rule] if n == 0 else engine.profile_of_service[state.service] if n == 1 else 1]


cdef inline uint64_t timeout_of(const Engine *engine, const State *state, int which) noexcept nogil:
    cdef uint64_t found = 0
    cdef int n
    for n in range(3):
        found = profile_of(engine, state, n).timeouts[which]
        if found:
            break
    return found


cdef inline bint resets(const Engine *engine, const State *state) noexcept nogil:
    cdef int n
    for n in range(3):
        if profile_of(engine, state, n).reset != UNSAID:
            return profile_of(engine, state, n).reset
    return False


cdef inline bint kept_from_outside(const Engine *engine, const State *state) noexcept nogil:
    cdef int n
    for n in range(3):
        if profile_of(engine, state, n).inbound != UNSAID:
            return profile_of(engine, state, n).inbound
    return False


cdef inline uint16_t mss_of(const Engine *engine, const State *state) noexcept nogil:
    cdef uint16_t found = 0
    cdef int n
    for n in range(3):
        found = profile_of(engine, state, n).mss
        if found:
            break
    return found


cdef inline void count_flow(Engine *engine, uint16_t rule, uint16_t audit) noexcept nogil:
    engine.rules[rule].flows += 1
    if audit:
        engine.rules[audit].flows += 1


cdef inline void count_translation(NatCount *entry, uint64_t now) noexcept nogil:
    entry.flows += 1
    entry.last = now


cdef inline void count_nat(Engine *engine, const uint16_t *entries, uint64_t now) noexcept nogil:
    """A flow begins that entries of `nat` translate. One that translates both its ends has one flow more, not two."""
    if entries[0]:
        count_translation(&engine.nat[entries[0]], now)
    if entries[1] and entries[1] != entries[0]:
        count_translation(&engine.nat[entries[1]], now)


cdef inline void flush_touched(Engine *engine, uint64_t now) noexcept nogil:
    """Finished sends of each pair back, and one doorbell for all that was sent to it, also for what moved up from its backlog."""
    cdef uint32_t i
    for i in range(engine.touched_count):
        pair_reap(engine.touched[i], BURST, now)
        pair_flush(engine.touched[i])
    engine.touched_count = 0


cdef inline void touch(Engine *engine, Pair *pair, uint64_t now) noexcept nogil:
    cdef uint32_t i
    for i in range(engine.touched_count):
        if engine.touched[i] == pair:
            return
    if engine.touched_count == TOUCHED:
        flush_touched(engine, now)
    engine.touched[engine.touched_count] = pair
    engine.touched_count += 1
