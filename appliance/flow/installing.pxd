# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""A decision into its flow, whoever made it: a command, or a megaflow. Header-only."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp

from appliance.flow.engine cimport (
    Command, Engine, PUNT_NO_NEIGHBOUR, PUNT_NO_ROUTE, REFUSED_FULL, REFUSED_NOT, REFUSED_TAKEN, count_flow, count_nat, count_rule,
    drop, kept_from_outside,
)
from appliance.flow.flows cimport class_of_tcp, evict, flow_end, flow_reclass, forget_reply, give_back
from appliance.flow.key cimport Tuple, is_icmp, key_hash
from appliance.flow.limits cimport Places, limits_admit, limits_take
from appliance.flow.megaflow cimport (
    ALIKE, ALIKE_ADDRESS, ALIKE_DIRECT, ALIKE_HIDDEN, ALIKE_PORT, ALIKE_REPLY_DIRECT, Kind, MEGAFLOW_ASK, MEGAFLOW_PASS, MEGAFLOW_POOL,
    Megaflow, hop_put, kind_of, megaflow_put,
)
from appliance.flow.reasons cimport DROP_DELETED, DROP_NO_NEIGHBOUR, DROP_NO_ROUTE, DROP_OVER_LIMIT
from appliance.flow.rewrite cimport rewrite_needed, rewrite_prepare
from appliance.flow.splicing cimport splice_begin
from appliance.flow.table cimport (
    CLASS_DENIED, CLASS_PENDING, CLASS_UNREPLIED, FLOW_COUNTED, FLOW_INSTALLED, FLOW_OUTBOUND, FLOW_REWRITE, FLOW_TELL, Flow, State, Table,
    table_decided, table_find, table_insert,
)
from appliance.flow.tcp cimport ESTABLISHED, EVENT_SYN, SYN_SENT, tcp_event_of
from appliance.flow.trains cimport first_lost
from appliance.flow.work cimport drop_telling, reject
from ena_dev.driver.rings cimport Frame
from ena_dev.packet.headers cimport PARSED_FRAGMENT, PROTOCOL_TCP


cdef enum:
    OVER_LIMIT_FOR = 1000000000    # ns


cdef inline bint make_room(Engine *engine, uint32_t slot, uint8_t egress) noexcept nogil:
    """Room among the decided flows. The reserve is for flows that begin or end at the appliance itself; its last quarter for those that
    begin there, so that nobody outside can keep health checks from being made."""
    cdef Table *table = engine.table
    cdef uint32_t limit = table.limit
    if not engine.nics[table.flows[slot].state.nic_in].is_self:
        limit -= table.reserve // 4 if engine.nics[egress].is_self else table.reserve
    return table_decided(table) < limit or evict(engine)


cdef inline uint8_t put_reply(Engine *engine, uint32_t slot, const Tuple *reply, uint32_t *absorbed) noexcept nogil:
    """The flow's second key into the index. A pending flow that has it already is taken over, with the frames that wait; a denied one ends:
    what was refused as a beginning may be an answer now."""
    cdef Table *table = engine.table
    cdef uint64_t hash = key_hash(&table.secret, reply)
    cdef uint32_t ref = table_find(table, reply, hash)
    if ref:
        if ref >> 1 == slot or table.flows[ref >> 1].state.cls not in (CLASS_PENDING, CLASS_DENIED):
            return REFUSED_TAKEN
        absorbed[0] = table.flows[ref >> 1].state.parked
        table.flows[ref >> 1].state.parked = 0
        flow_end(engine, ref >> 1, DROP_DELETED)
        engine.counters.absorbed += absorbed[0] != 0
    table.flows[slot].half[1].key = reply[0]
    return REFUSED_NOT if table_insert(table, slot << 1 | 1, hash) else REFUSED_FULL


cdef inline bint hides(const Flow *flow) noexcept nogil:
    """Whether the source of a flow is translated."""
    return memcmp(flow.half[0].key.source, flow.half[1].key.destination, 16) != 0


cdef inline bint admit(Engine *engine, uint32_t slot, Command *command, Places *places, uint64_t now) noexcept nogil:
    """Whether limits let the flow begin. If not, what let it pass denies it for a while."""
    if limits_admit(engine.limits, command.rule, command.service, &engine.table.flows[slot].half[0].key, now, places):
        return True
    command.reason, command.duration, command.flags, command.alike = DROP_OVER_LIMIT, OVER_LIMIT_FOR, 0, 0
    return False


cdef inline void settle(Engine *engine, uint32_t slot, const Command *command, Places *places, uint64_t now) noexcept nogil:
    """All that the decision says, into the flow, which takes its place within its limits."""
    cdef Flow *flow = &engine.table.flows[slot]
    cdef State *state = &flow.state
    state.rule, state.generation, state.service, state.target = command.rule, command.generation, command.service, command.target
    state.audit = command.audit
    state.nic_out, state.flags = command.nic, FLOW_INSTALLED | command.flags | limits_take(places, now) << FLOW_COUNTED
    flow.half[0].adjacency, flow.half[1].adjacency = command.adjacency, command.reply_adjacency
    engine.adjacencies[command.adjacency].flows += 1
    engine.adjacencies[command.reply_adjacency].flows += 1
    engine.targets[command.target] += 1
    if rewrite_needed(&flow.half[0], &flow.half[1]):
        state.flags |= FLOW_REWRITE
        rewrite_prepare(&flow.half[0], &flow.half[1])
        rewrite_prepare(&flow.half[1], &flow.half[0])
    if hides(flow) and flow.half[0].key.protocol != PROTOCOL_TCP and not kept_from_outside(engine, state):
        state.flags |= FLOW_OUTBOUND
    if flow.half[0].key.protocol == PROTOCOL_TCP:
        state.tcp = SYN_SENT if tcp_event_of(state.tcp_flags) == EVENT_SYN else ESTABLISHED
        splice_begin(engine, slot, command)
        flow_reclass(engine, slot, class_of_tcp(state.tcp))
    else:
        flow_reclass(engine, slot, CLASS_UNREPLIED)
    engine.counters.installed += 1
    count_flow(engine, command.rule, command.audit)
    count_nat(engine, command.nat, now)


cdef inline void settle_denied(Engine *engine, uint32_t slot, const Command *command, uint64_t now) noexcept nogil:
    """A flow's frames are dropped for a while. The oldest denied flow makes room, if need be."""
    cdef Table *table = engine.table
    cdef State *state = &table.flows[slot].state
    if state.cls != CLASS_DENIED and table.chain[<int> CLASS_DENIED].count >= table.denied_limit:
        engine.counters.evicted[<int> CLASS_DENIED] += 1
        flow_end(engine, table.chain[<int> CLASS_DENIED].head, DROP_DELETED)
    give_back(engine, slot)
    state.rule, state.generation, state.reason, state.audit = command.rule, command.generation, command.reason, command.audit
    state.until = now + command.duration
    engine.counters.denied += 1
    count_flow(engine, command.rule, command.audit)
    forget_reply(engine, slot)
    state.flags = command.flags
    flow_reclass(engine, slot, CLASS_DENIED)


cdef inline void drop_denied(Engine *engine, const Command *command, Frame *frame, bint tell, uint64_t now) noexcept nogil:
    """The end of a denied flow's frame. The sender is told if a rule wants it; if it is because nothing leads on, he may be."""
    count_rule(engine, command.rule, command.audit, frame.length, now)
    if frame.parsed.flags & PARSED_FRAGMENT:
        first_lost(engine, frame)
    if command.flags & FLOW_TELL:
        reject(engine, frame, command.reason)
    elif tell and command.reason in (DROP_NO_ROUTE, DROP_NO_NEIGHBOUR):
        drop_telling(engine, frame, command.reason, PUNT_NO_ROUTE if command.reason == DROP_NO_ROUTE else PUNT_NO_NEIGHBOUR,
                     <int64_t> command.flow, 0)
    else:
        drop(engine, frame, command.reason)


# -- remembering -----------------------------------------------------------------------------------------------------------

cdef inline uint8_t translates(const Tuple *key, const Tuple *reply) noexcept nogil:
    """Which parts of a flow change on the way, but for its source port."""
    cdef uint8_t found = 0
    if memcmp(key.destination, reply.source, 16) != 0:
        found |= ALIKE_ADDRESS
    if key.dport != reply.sport and not is_icmp(key.version, key.protocol):
        found |= ALIKE_PORT
    if memcmp(key.source, reply.destination, 16) != 0:
        found |= ALIKE_HIDDEN
    return found


cdef inline void remember_hops(Engine *engine, const Tuple *key, uint8_t nic, const Command *command) noexcept nogil:
    """Which adjacency a flow's own addresses have on their links."""
    if command.alike & ALIKE_DIRECT:
        hop_put(engine.megaflows, command.nic, key.version, command.reply.source, command.adjacency,
                engine.adjacencies[command.adjacency].epoch)
    if command.alike & ALIKE_REPLY_DIRECT:
        hop_put(engine.megaflows, nic, key.version, key.source, command.reply_adjacency, engine.adjacencies[command.reply_adjacency].epoch)


cdef inline bint remember(Engine *engine, uint32_t slot, const Command *command, uint8_t what) noexcept nogil:
    """Decide the flow's like by this from now on, if the decision is of the rules that hold now. False: nothing is remembered."""
    cdef State *state = &engine.table.flows[slot].state
    cdef Tuple *key = &engine.table.flows[slot].half[0].key
    cdef Kind kind
    cdef Megaflow *place
    if not (command.alike & ALIKE or command.guard) or command.generation != engine.megaflows.generation:
        return False
    if not kind_of(engine.megaflows, key, state.nic_in, state.tcp_flags, &kind):
        return False
    if not command.alike & ALIKE:
        place = megaflow_put(engine.megaflows, &kind)
        place.what, place.service, place.guard = MEGAFLOW_ASK, command.service, command.guard
        return True
    if command.chosen:
        place = megaflow_put(engine.megaflows, &kind)
        place.what, place.pool = MEGAFLOW_POOL, command.pool
        kind.target = command.chosen
    place = megaflow_put(engine.megaflows, &kind)
    place.what, place.alike, place.reply, place.duration = what, command.alike, command.reply, command.duration
    place.nic, place.flags, place.reason = command.nic, command.flags, command.reason
    place.guard, place.proxy = command.guard, command.proxy
    place.rule, place.audit, place.service, place.target = command.rule, command.audit, command.service, command.target
    place.nat[0], place.nat[1] = command.nat[0], command.nat[1]
    place.adjacencies[0], place.adjacencies[1] = command.adjacency, command.reply_adjacency
    place.epochs[0], place.epochs[1] = engine.adjacencies[command.adjacency].epoch, engine.adjacencies[command.reply_adjacency].epoch
    if what == MEGAFLOW_PASS:
        place.alike |= translates(key, &command.reply)
        remember_hops(engine, key, state.nic_in, command)
    return True
