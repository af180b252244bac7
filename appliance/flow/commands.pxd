# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""What Python has decided, applied in order between bursts; then the timers. Header-only.

A command names its flow by handle: if that flow has ended, or is decided already, the command is stale and does nothing.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from appliance.flow.adjacency cimport adjacency_set, send_frame
from appliance.flow.engine cimport (
    COMMAND_ADJACENCY, COMMAND_DELETE, COMMAND_DENY, COMMAND_INSTALL, COMMAND_RING, Command, Engine, Lane, Nic, OUTGOING_RING, Outgoing,
    PUNT_NO_NEIGHBOUR, PUNT_NO_ROUTE, REFUSED_FULL, REFUSED_NOT, REFUSED_TAKEN, count_rule, drop, flush_touched,
)
from appliance.flow.flows cimport class_of_tcp, evict, expire, flow_end, flow_reclass, forget_reply
from appliance.flow.forward cimport handle_again
from appliance.flow.key cimport Tuple, key_hash
from appliance.flow.parking cimport unpark
from appliance.flow.reasons cimport DROP_DELETED, DROP_MISS_FULL, DROP_NO_NEIGHBOUR, DROP_NO_ROUTE
from appliance.flow.rewrite cimport rewrite_needed, rewrite_prepare
from appliance.flow.table cimport (
    CLASS_DENIED, CLASS_FREE, CLASS_PENDING, CLASS_UNREPLIED, FLOW_INSTALLED, FLOW_REWRITE, Flow, State, Table, flow_handle,
    table_decided, table_find, table_insert,
)
from appliance.flow.tcp cimport ESTABLISHED, EVENT_SYN, SYN_SENT, tcp_event_of
from appliance.flow.wheel cimport wheel_deadline
from appliance.flow.work cimport lane_of, miss_room, punt, push_miss
from ena_dev.bus.atomic cimport load_acquire, store_release
from ena_dev.driver.pool cimport NO_BUFFER, OWNER_BURST, pool_data, pool_give, pool_take
from ena_dev.driver.rings cimport Frame, SEND_OK
from ena_dev.packet.headers cimport PROTOCOL_TCP


cdef enum:
    COMMANDS_A_ROUND = 256
    EXPIRIES_A_ROUND = 256


cdef inline uint32_t live_slot(const Engine *engine, uint64_t handle) noexcept nogil:
    """The slot of a handle, 0 if that flow has ended."""
    cdef uint32_t slot = <uint32_t> handle
    if slot == 0 or slot > engine.table.fresh or engine.table.flows[slot].state.cls == CLASS_FREE:
        return 0
    return slot if flow_handle(engine.table, slot) == handle else 0


cdef inline bint make_room(Engine *engine, uint32_t slot, uint8_t egress) noexcept nogil:
    """Room among the decided flows. The reserve is for flows that begin or end at the appliance itself."""
    cdef Table *table = engine.table
    cdef uint32_t limit = table.limit
    if not engine.nics[table.flows[slot].state.nic_in].is_self and not engine.nics[egress].is_self:
        limit -= table.reserve
    return table_decided(table) < limit or evict(engine)


cdef inline void refuse(Engine *engine, uint32_t slot, uint8_t why) noexcept nogil:
    """Ask again; if even that is impossible the flow ends."""
    cdef State *state = &engine.table.flows[slot].state
    cdef Lane *lane = lane_of(engine, state.nic_in, state.queue)
    engine.counters.refused += 1
    if lane == NULL or not miss_room(lane):
        flow_end(engine, slot, DROP_MISS_FULL)
        return
    push_miss(lane, slot, why)


cdef inline uint8_t put_reply(Engine *engine, uint32_t slot, const Tuple *reply, uint32_t *absorbed) noexcept nogil:
    """The flow's second key into the index. A pending flow that has it already is taken over, with the frames that wait."""
    cdef Table *table = engine.table
    cdef uint64_t hash = key_hash(&table.secret, reply)
    cdef uint32_t ref = table_find(table, reply, hash)
    if ref:
        if ref >> 1 == slot or table.flows[ref >> 1].state.cls != CLASS_PENDING:
            return REFUSED_TAKEN
        absorbed[0] = table.flows[ref >> 1].state.parked
        table.flows[ref >> 1].state.parked = 0
        flow_end(engine, ref >> 1, DROP_DELETED)
        engine.counters.absorbed += 1
    table.flows[slot].half[1].key = reply[0]
    return REFUSED_NOT if table_insert(table, slot << 1 | 1, hash) else REFUSED_FULL


cdef inline void run_parked(Engine *engine, uint32_t head, uint64_t now) noexcept nogil:
    """Frames that have waited, in order, from the start: the list is the caller's own, so none of them can disturb it."""
    cdef Frame frame
    while unpark(&engine.parking, engine.pool, &head, &frame):
        handle_again(engine, &frame, now)


cdef inline void settle(Engine *engine, uint32_t slot, const Command *command) noexcept nogil:
    """All that the decision says, into the flow."""
    cdef Flow *flow = &engine.table.flows[slot]
    cdef State *state = &flow.state
    state.rule, state.generation, state.service, state.target = command.rule, command.generation, command.service, command.target
    state.nic_out, state.flags = command.nic, FLOW_INSTALLED | command.flags
    flow.half[0].adjacency, flow.half[1].adjacency = command.adjacency, command.reply_adjacency
    engine.adjacencies[command.adjacency].flows += 1
    engine.adjacencies[command.reply_adjacency].flows += 1
    if rewrite_needed(&flow.half[0], &flow.half[1]):
        state.flags |= FLOW_REWRITE
        rewrite_prepare(&flow.half[0], &flow.half[1])
        rewrite_prepare(&flow.half[1], &flow.half[0])
    if flow.half[0].key.protocol == PROTOCOL_TCP:
        state.tcp = SYN_SENT if tcp_event_of(state.tcp_flags) == EVENT_SYN else ESTABLISHED
        flow_reclass(engine, slot, class_of_tcp(state.tcp))
    else:
        flow_reclass(engine, slot, CLASS_UNREPLIED)


cdef inline void install(Engine *engine, uint32_t slot, const Command *command, uint64_t now) noexcept nogil:
    cdef State *state = &engine.table.flows[slot].state
    cdef Tuple *key = &engine.table.flows[slot].half[0].key
    cdef uint32_t parked, absorbed = 0
    cdef uint8_t refused = REFUSED_FULL
    if state.cls != CLASS_PENDING or key.version != command.reply.version or key.protocol != command.reply.protocol:
        engine.counters.stale += 1
        return
    if make_room(engine, slot, command.nic):
        refused = put_reply(engine, slot, &command.reply, &absorbed)
    if refused == REFUSED_NOT:
        settle(engine, slot, command)
        engine.counters.installed += 1
        engine.rules[command.rule].flows += 1
        parked = state.parked
        state.parked = 0
        run_parked(engine, parked, now)
    else:
        refuse(engine, slot, refused)
    run_parked(engine, absorbed, now)


cdef inline void deny(Engine *engine, uint32_t slot, const Command *command, uint64_t now) noexcept nogil:
    """Drop a flow's frames for a while. If that is because nothing leads on, the sender is told about the first of them."""
    cdef Table *table = engine.table
    cdef State *state = &table.flows[slot].state
    cdef Frame frame
    cdef bint first = True
    if state.cls != CLASS_DENIED and table.chain[<int> CLASS_DENIED].count >= table.denied_limit:
        engine.counters.evicted[<int> CLASS_DENIED] += 1
        flow_end(engine, table.chain[<int> CLASS_DENIED].head, DROP_DELETED)
    state.rule, state.generation, state.reason = command.rule, command.generation, command.reason
    state.until = now + command.duration
    engine.counters.denied += 1
    engine.rules[command.rule].flows += 1
    while unpark(&engine.parking, engine.pool, &state.parked, &frame):
        count_rule(engine, command.rule, frame.length)
        if first and command.reason in (DROP_NO_ROUTE, DROP_NO_NEIGHBOUR):
            punt(engine, &frame, PUNT_NO_ROUTE if command.reason == DROP_NO_ROUTE else PUNT_NO_NEIGHBOUR, <int64_t> command.flow, 0)
        else:
            drop(engine, &frame, command.reason)
        first = False
    forget_reply(engine, slot)
    flow_reclass(engine, slot, CLASS_DENIED)


cdef inline void apply(Engine *engine, const Command *command, uint64_t now) noexcept nogil:
    cdef uint32_t slot
    if command.op == COMMAND_ADJACENCY:
        adjacency_set(engine, command.adjacency, command.nic, command.mac, command.state, now)
        return
    slot = live_slot(engine, command.flow)
    if slot == 0:
        engine.counters.stale += 1
    elif command.op == COMMAND_INSTALL:
        install(engine, slot, command, now)
    elif command.op == COMMAND_DENY:
        deny(engine, slot, command, now)
    elif command.op == COMMAND_DELETE:
        engine.counters.deleted += 1
        flow_end(engine, slot, command.reason)


cdef inline void emit(Engine *engine, const Outgoing *item, uint64_t now) noexcept nogil:
    """A frame of the control plane's own."""
    cdef Nic *nic = &engine.nics[item.nic]
    cdef uint32_t buffer = pool_take(engine.pool, OWNER_BURST) if nic.queues else <uint32_t> NO_BUFFER
    cdef Frame frame
    if buffer == NO_BUFFER:
        engine.counters.control_dropped += 1
        return
    memset(&frame, 0, sizeof(Frame))
    frame.data, frame.first, frame.buffers, frame.queue = pool_data(engine.pool, buffer), buffer, 1, item.queue
    frame.length = frame.first_length = item.length
    memcpy(frame.data, item.data, item.length)
    engine.pool.length[buffer] = item.length
    if send_frame(engine, nic, &frame, now) == SEND_OK:
        engine.counters.control_sent += 1
    else:
        engine.counters.control_dropped += 1
        pool_give(engine.pool, buffer)


cdef inline int step(void *ctx, uint64_t now, int budget) noexcept nogil:
    """The engine's own task: commands, frames to send, timers."""
    cdef Engine *engine = <Engine *> ctx
    cdef int n = 0, left
    while n < COMMANDS_A_ROUND and engine.command_head != load_acquire(&engine.command_tail):
        apply(engine, &engine.commands[engine.command_head & (COMMAND_RING - 1)], now)
        store_release(&engine.command_head, engine.command_head + 1)
        n += 1
    while n < COMMANDS_A_ROUND and engine.outgoing_head != load_acquire(&engine.outgoing_tail):
        emit(engine, &engine.outgoing[engine.outgoing_head & (OUTGOING_RING - 1)], now)
        store_release(&engine.outgoing_head, engine.outgoing_head + 1)
        n += 1
    left = expire(engine, now, EXPIRIES_A_ROUND)
    flush_touched(engine, now)
    engine.task.deadline = wheel_deadline(engine.wheel)
    return budget if n == COMMANDS_A_ROUND or left == 0 else 0
