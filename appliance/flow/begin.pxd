# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""How a flow begins: decided at once by a megaflow, or pending until Python has decided. Header-only.

    first frame --> slot, index --> megaflow? --> passes, or is dropped
                                           `--> waits, and a miss goes to Python
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from appliance.flow.engine cimport ADJACENCY_VALID, Adjacency, Command, Engine, Lane, REFUSED_FULL, REFUSED_NOT, REFUSED_TAKEN, drop
from appliance.flow.flows cimport flow_arm, flow_end, is_over
from appliance.flow.installing cimport admit, drop_denied, make_room, settle, settle_denied
from appliance.flow.key cimport Tuple, is_icmp, key_hash
from appliance.flow.limits cimport Places
from appliance.flow.megaflow cimport (
    ALIKE_ADDRESS, ALIKE_DIRECT, ALIKE_DRAWN, ALIKE_HIDDEN, ALIKE_KEEPS, ALIKE_PORT, ALIKE_REPLY_DIRECT, ALIKE_VARY, Hop, MEGAFLOW_ASK,
    MEGAFLOW_DENY, Megaflow, draw, hop_find,
)
from appliance.flow.parking cimport PARKED_EACH, SHARE_DECISION, park
from appliance.flow.reasons cimport DROP_DELETED, DROP_MISS_FULL, DROP_PARKING_FULL, DROP_PENDING_FULL, DROP_TABLE_FULL
from appliance.flow.splice cimport Splice
from appliance.flow.steering cimport Home, comes_home, find_home
from appliance.flow.table cimport (
    CLASS_DENIED, CLASS_PENDING, State, Table, flow_free, flow_handle, flow_take, table_find, table_insert, table_remove,
)
from appliance.flow.window cimport Connection
from appliance.flow.work cimport miss_room, push_miss
from ena_dev.driver.rings cimport Frame
from ena_dev.packet.headers cimport PROTOCOL_TCP, PROTOCOL_UDP, htons, ntohs


cdef enum:
    PORT_TRIES = 64            # then Python searches
    PORT_DRAWS = 128           # for a try, until the reply comes in by the right queue
    LOWEST_PORT = 1024         # for a source that is hidden: the lower ones of our own address are not for others
    PORTS = 65536 - LOWEST_PORT


# -- by a megaflow -----------------------------------------------------------------------------------------------------------

cdef inline bint hop_for(Engine *engine, const Megaflow *found, int way, uint8_t nic, const uint8_t *address, uint16_t *out) noexcept nogil:
    """The adjacency of one direction, if it is the same as when it was learnt, and its MAC address is known."""
    cdef uint16_t number = found.adjacencies[way]
    cdef uint32_t epoch = found.epochs[way]
    cdef const Adjacency *adjacency
    cdef const Hop *hop
    if found.alike & (ALIKE_REPLY_DIRECT if way else ALIKE_DIRECT):
        hop = hop_find(engine.megaflows, nic, found.kind.version, address)
        if hop == NULL:
            return False
        number, epoch = hop.adjacency, hop.epoch
    adjacency = &engine.adjacencies[number]
    out[0] = number
    return adjacency.state == ADJACENCY_VALID and adjacency.epoch == epoch


cdef inline bint follow(Engine *engine, uint32_t slot, const Megaflow *found, Command *command) noexcept nogil:
    """What a megaflow says about one flow, but for its source port. False: Python has to be asked."""
    cdef const Tuple *key = &engine.table.flows[slot].half[0].key
    cdef Tuple *reply = &command.reply
    memset(command, 0, sizeof(Command))
    command.flow, command.generation, command.duration = flow_handle(engine.table, slot), engine.megaflows.generation, found.duration
    command.rule, command.audit, command.service, command.target = found.rule, found.audit, found.service, found.target
    command.nat[0], command.nat[1] = found.nat[0], found.nat[1]
    command.nic, command.flags, command.reason, command.proxy = found.nic, found.flags, found.reason, found.proxy
    if found.what == MEGAFLOW_DENY:
        return True
    reply[0] = found.reply
    if not found.alike & ALIKE_ADDRESS:
        memcpy(reply.source, key.destination, 16)
    if not found.alike & ALIKE_PORT:
        reply.sport = key.dport
    if not found.alike & ALIKE_HIDDEN:
        memcpy(reply.destination, key.source, 16)
    reply.dport = key.sport
    return (hop_for(engine, found, 0, command.nic, reply.source, &command.adjacency)
            and hop_for(engine, found, 1, found.kind.nic, key.source, &command.reply_adjacency))


cdef inline uint16_t drawn_port(Engine *engine, uint32_t slot, uint8_t nic, const Tuple *reply, uint16_t own, int n) noexcept nogil:
    """A source port at random, for the try of that number. At first the reply's queue is the one that the flow came in by, if chance
    allows; for longer, even stays even and odd odd; then any port will do."""
    cdef const State *state = &engine.table.flows[slot].state
    cdef uint16_t port = 0
    cdef Home home
    cdef int i
    if n >= PORT_TRIES // 2:
        return <uint16_t> (LOWEST_PORT + draw(engine.megaflows) % PORTS)
    home.steering = NULL
    if n < PORT_TRIES // 8:
        find_home(&home, &engine.steering[state.nic_in], state.queue, &engine.steering[nic], reply)
    for i in range(PORT_DRAWS):
        port = <uint16_t> (LOWEST_PORT + draw(engine.megaflows) % PORTS & 0xFFFE | own & 1)
        if comes_home(&home, htons(port)):
            break
    return port


cdef inline uint8_t claim_reply(Engine *engine, uint32_t slot, uint8_t nic, Tuple *reply, uint16_t alike) noexcept nogil:
    """The flow's second key into the index: with its own source port, or with one by which the reply, that comes in by `nic`, tells from
    all others. When ports are scarce, a connection that is over yields its port."""
    cdef Table *table = engine.table
    cdef bint echo = is_icmp(reply.version, reply.protocol)
    cdef bint ports = reply.protocol == PROTOCOL_TCP or reply.protocol == PROTOCOL_UDP
    cdef uint16_t own = ntohs(reply.dport)
    cdef uint16_t port
    cdef bint low = alike & ALIKE_HIDDEN and not alike & ALIKE_KEEPS and ports and own < LOWEST_PORT
    cdef uint64_t hash
    cdef uint32_t taken
    cdef int n
    for n in range(PORT_TRIES):
        if n or low or alike & ALIKE_DRAWN:
            if not alike & ALIKE_VARY or not (ports or echo):
                return REFUSED_TAKEN
            port = drawn_port(engine, slot, nic, reply, own, n)
            reply.dport = htons(port)
            if echo:
                reply.sport = reply.dport
        hash = key_hash(&table.secret, reply)
        taken = table_find(table, reply, hash)
        if taken and table.flows[taken >> 1].state.cls == CLASS_DENIED:
            return REFUSED_TAKEN               # it would have to end: that is for an install
        if taken and n >= PORT_TRIES // 2 and is_over(&table.flows[taken >> 1]):
            flow_end(engine, taken >> 1, DROP_DELETED)
            taken = 0
        if not taken:
            table.flows[slot].half[1].key = reply[0]
            return REFUSED_NOT if table_insert(table, slot << 1 | 1, hash) else REFUSED_FULL
    return REFUSED_TAKEN


cdef inline bint decide(
    Engine *engine, uint32_t slot, Frame *frame, const Megaflow *found, uint32_t *passes, uint64_t now
) noexcept nogil:
    """Decide a flow by what was decided about its like. False: nothing was, or its own case is too special."""
    cdef Command command
    cdef Places places
    if found == NULL or found.what == MEGAFLOW_ASK or not follow(engine, slot, found, &command):
        return False
    if found.what == MEGAFLOW_DENY or not admit(engine, slot, &command, &places, now):
        settle_denied(engine, slot, &command, now)
        drop_denied(engine, &command, frame, True, now)
        return True
    if not make_room(engine, slot, command.nic) or claim_reply(engine, slot, command.nic, &command.reply, found.alike) != REFUSED_NOT:
        return False
    settle(engine, slot, &command, &places, now)
    passes[0] = slot << 1
    return True


# -- by Python ---------------------------------------------------------------------------------------------------------------

cdef inline uint32_t ask(Engine *engine, Lane *lane, uint32_t slot, Frame *frame) noexcept nogil:
    """The frame waits for a decision. 0, or a reason why it can't."""
    cdef State *state = &engine.table.flows[slot].state
    cdef uint32_t reserve = engine.table.reserve if engine.nics[state.nic_in].is_self else 0
    if not miss_room(lane):
        return DROP_MISS_FULL
    if engine.table.chain[<int> CLASS_PENDING].count > engine.table.pending_limit + reserve:
        return DROP_PENDING_FULL
    if not park(&engine.parking, engine.pool, &state.parked, frame, SHARE_DECISION, PARKED_EACH):
        return DROP_PARKING_FULL
    flow_arm(engine, slot)
    push_miss(lane, slot, 0)
    return 0


cdef inline uint32_t begin_flow(
    Engine *engine, Lane *lane, Frame *frame, const Tuple *key, uint64_t hash, const Megaflow *found, const Splice *splice, uint64_t now
) noexcept nogil:
    """The first frame of an unknown flow, of whose like was decided what was `found`. Returns slot << 1 if it may pass; otherwise it
    waits, or is gone. Without room anywhere, only the frame is lost. `splice`: of a TCP flow; all zero, or a handshake that is over."""
    cdef Table *table = engine.table
    cdef State *state
    cdef uint32_t slot, reason, passes = 0
    if lane == NULL:
        drop(engine, frame, DROP_MISS_FULL)
        return 0
    slot = flow_take(table, CLASS_PENDING, now)
    if not slot:
        drop(engine, frame, DROP_TABLE_FULL)
        return 0
    state = &table.flows[slot].state
    table.flows[slot].half[0].key = key[0]
    state.until = now + engine.pending_time
    state.nic_in, state.queue, state.tcp_flags = frame.nic, <uint8_t> frame.queue, frame.parsed.tcp_flags
    if key.protocol == PROTOCOL_TCP:
        memset(&table.connections[slot], 0, sizeof(Connection))
        table.connections[slot].splice = splice[0]
    state.length = <uint16_t> (frame.length if frame.length < 65535 else 65535)
    if not table_insert(table, slot << 1, hash):
        flow_free(table, slot)
        drop(engine, frame, DROP_TABLE_FULL)
        return 0
    if decide(engine, slot, frame, found, &passes, now):
        engine.counters.misses += 1
        engine.counters.alike += 1
        return passes
    reason = ask(engine, lane, slot, frame)
    if reason:
        table_remove(table, slot << 1, hash)
        flow_free(table, slot)
        drop(engine, frame, reason)
        return 0
    engine.counters.misses += 1
    return 0
