# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""The life of a flow: it moves from class to class, ends by time, by command or for another's sake. Header-only."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from appliance.flow.engine cimport (
    Engine, Lane, TIMEOUT_DNS, TIMEOUT_ICMP, TIMEOUT_TCP_CLOSING, TIMEOUT_TCP_ESTABLISHED, TIMEOUT_TCP_OPENING, TIMEOUT_UDP,
    TIMEOUT_UDP_REPLIED, drop, resets, timeout_of,
)
from appliance.flow.key cimport Tuple, is_icmp, key_hash
from appliance.flow.outcomes cimport note_expiry
from appliance.flow.limits cimport limits_give
from appliance.flow.parking cimport SHARE_DECISION, park, unpark
from appliance.flow.reasons cimport DROP_MISS_FULL, DROP_PARKING_FULL, DROP_PENDING_FULL, DROP_TABLE_FULL, DROP_UNDECIDED
from appliance.flow.splicing cimport splice_due, splice_give_up
from appliance.flow.table cimport (
    CLASS_ANSWERED, CLASS_CLOSING, CLASS_DENIED, CLASS_ESTABLISHED, CLASS_OPENING, CLASS_PENDING, CLASS_UNREPLIED, FLOW_COUNTED,
    FLOW_INSTALLED, FLOW_UNCOUNTED, Chain, Flow, State, Table, flow_free, flow_move, flow_take, table_insert, table_remove,
)
from appliance.flow.tcp cimport CLOSING, ESTABLISHED, SYN_RECEIVED, TIME_WAIT
from appliance.flow.trains cimport first_lost
from appliance.flow.wheel cimport wheel_arm, wheel_cancel, wheel_pop
from appliance.flow.work cimport lane_of, push_ended
from ena_dev.driver.rings cimport Frame
from ena_dev.packet.headers cimport PARSED_FRAGMENT, PROTOCOL_TCP, PROTOCOL_UDP, htons


cdef enum:
    PORT_DNS = 53
    RESET_PACE = 1000000       # ns a flow, of those that were idle and whose ends are told; others wait,
    RESET_BURST = 32           # but for as many at once
    RESET_PAUSE = 1000000000   # ns until they are looked at again


cdef inline uint64_t flow_due(const Engine *engine, const Flow *flow) noexcept nogil:
    """When a flow ends if nothing more is seen of it, ns."""
    cdef const State *state = &flow.state
    cdef const Tuple *key = &flow.half[0].key
    cdef uint64_t due
    cdef int which
    if state.cls == CLASS_PENDING or state.cls == CLASS_DENIED:
        return state.until
    if state.cls == CLASS_OPENING:
        which = TIMEOUT_TCP_OPENING
    elif state.cls == CLASS_CLOSING:
        which = TIMEOUT_TCP_CLOSING
    elif key.protocol == PROTOCOL_TCP:
        which = TIMEOUT_TCP_ESTABLISHED
    elif is_icmp(key.version, key.protocol):
        which = TIMEOUT_ICMP
    elif key.protocol == PROTOCOL_UDP and key.dport == htons(PORT_DNS):
        which = TIMEOUT_DNS
    else:
        which = TIMEOUT_UDP if state.cls == CLASS_UNREPLIED else TIMEOUT_UDP_REPLIED
    due = state.last_seen + timeout_of(engine, state, which)
    return min(due, state.until) if state.spliced and state.until else due


cdef inline bint is_over(const Flow *flow) noexcept nogil:
    """Whether both ends of a connection have finished, or one has reset it."""
    return flow.state.cls == CLASS_CLOSING and flow.state.tcp >= TIME_WAIT


cdef inline int class_of_tcp(uint8_t tcp) noexcept nogil:
    if tcp <= SYN_RECEIVED:
        return CLASS_OPENING
    return CLASS_ESTABLISHED if tcp == ESTABLISHED else CLASS_CLOSING


cdef inline void flow_arm(Engine *engine, uint32_t slot) noexcept nogil:
    """Have a flow looked at when it is due."""
    cdef uint64_t when = wheel_arm(engine.wheel, slot, flow_due(engine, &engine.table.flows[slot]))
    if when < engine.task.deadline:
        engine.task.deadline = when


cdef inline void count_opening(Engine *engine, uint32_t slot, int by) noexcept nogil:
    if engine.table.flows[slot].state.cls == CLASS_OPENING:
        engine.services[engine.table.flows[slot].state.service].opening += by


cdef inline void flow_reclass(Engine *engine, uint32_t slot, int cls) noexcept nogil:
    count_opening(engine, slot, -1)
    flow_move(engine.table, slot, cls)
    count_opening(engine, slot, 1)
    flow_arm(engine, slot)


cdef inline void drop_parked(Engine *engine, uint32_t slot, uint32_t reason) noexcept nogil:
    cdef Frame frame
    while unpark(&engine.parking, engine.pool, &engine.table.flows[slot].state.parked, &frame):
        if frame.parsed.flags & PARSED_FRAGMENT:
            first_lost(engine, &frame)
        drop(engine, &frame, reason)


cdef inline void give_back(Engine *engine, uint32_t slot) noexcept nogil:
    """The flow's connection is over: limits count it no more."""
    cdef State *state = &engine.table.flows[slot].state
    cdef uint8_t counted = state.flags >> FLOW_COUNTED
    if counted:
        limits_give(engine.limits, state.rule, state.service, &engine.table.flows[slot].half[0].key, counted)
        state.flags &= FLOW_UNCOUNTED


cdef inline void forget_reply(Engine *engine, uint32_t slot) noexcept nogil:
    cdef Table *table = engine.table
    cdef Flow *flow = &table.flows[slot]
    if flow.state.flags & FLOW_INSTALLED:
        table_remove(table, slot << 1 | 1, key_hash(&table.secret, &flow.half[1].key))
        engine.adjacencies[flow.half[0].adjacency].flows -= 1
        engine.adjacencies[flow.half[1].adjacency].flows -= 1
        engine.targets[flow.state.target] -= 1
        give_back(engine, slot)
        flow.state.flags &= <uint8_t> ~FLOW_INSTALLED


cdef inline void flow_end(Engine *engine, uint32_t slot, uint32_t reason) noexcept nogil:
    """A flow leaves the table; what waits for its decision is dropped as `reason`."""
    cdef Table *table = engine.table
    wheel_cancel(engine.wheel, slot)
    drop_parked(engine, slot, reason)
    count_opening(engine, slot, -1)
    forget_reply(engine, slot)
    table_remove(table, slot << 1, key_hash(&table.secret, &table.flows[slot].half[0].key))
    flow_free(table, slot)
    engine.counters.ended += 1


cdef inline bint evict(Engine *engine) noexcept nogil:
    """Make room for a decided flow: the oldest goes of those half open, without a reply, with one that its originator has not shown to
    have got, or closing, whichever are most. So a flood makes room for itself, and handshakes live beside one of datagrams. False: there
    are none of these."""
    cdef const Chain *chain = engine.table.chain
    cdef int most = CLASS_OPENING
    if chain[<int> CLASS_UNREPLIED].count > chain[most].count:
        most = CLASS_UNREPLIED
    if chain[<int> CLASS_ANSWERED].count > chain[most].count:
        most = CLASS_ANSWERED
    if chain[<int> CLASS_CLOSING].count > chain[most].count:
        most = CLASS_CLOSING
    if chain[most].head == 0:
        return False
    engine.counters.evicted[most] += 1
    flow_end(engine, chain[most].head, DROP_TABLE_FULL)
    return True


cdef inline bint owes_reset(const Engine *engine, const State *state) noexcept nogil:
    """Whether the ends of a flow are told that it was idle for too long. Without an answer there is nobody to tell."""
    return SYN_RECEIVED <= state.tcp <= CLOSING and state.flags & FLOW_INSTALLED and resets(engine, state)


cdef inline bint say_goodbye(Engine *engine, uint32_t slot, uint64_t now) noexcept nogil:
    """Have both ends of a flow told that it ends. False: not now, so many are being told."""
    cdef State *state = &engine.table.flows[slot].state
    cdef Lane *lane = lane_of(engine, state.nic_in, state.queue)
    if lane == NULL:
        return True
    if now < engine.reset_after or not push_ended(lane, slot):
        return False
    engine.reset_after = max(engine.reset_after, now - RESET_BURST * RESET_PACE) + RESET_PACE
    return True


cdef inline int expire(Engine *engine, uint64_t now, int budget) noexcept nogil:
    """End what is due. Returns the budget that is left: 0 if there may be more."""
    cdef uint32_t slot
    while budget > 0:
        slot = wheel_pop(engine.wheel, now, &budget)
        if not slot:
            break
        if flow_due(engine, &engine.table.flows[slot]) > now:
            flow_arm(engine, slot)
            continue
        if engine.table.flows[slot].state.spliced and splice_due(engine, slot, now):
            flow_arm(engine, slot)
            continue
        if owes_reset(engine, &engine.table.flows[slot].state) and not say_goodbye(engine, slot, now):
            wheel_arm(engine.wheel, slot, now + RESET_PAUSE)
            continue
        if engine.table.flows[slot].state.spliced:
            splice_give_up(engine, slot, now)
        engine.counters.expired += 1
        note_expiry(engine, &engine.table.flows[slot])
        flow_end(engine, slot, DROP_UNDECIDED)
    return budget
