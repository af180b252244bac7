# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""What Python has decided, applied in order between bursts; then the timers. Header-only.

A command names its flow by handle: if that flow has ended, or is decided already, the command is stale and does nothing.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from appliance.flow.adjacency cimport adjacency_set, send_frame
from appliance.flow.engine cimport (
    COMMAND_ADJACENCY, COMMAND_DELETE, COMMAND_DENY, COMMAND_INSTALL, COMMAND_RING, Command, Engine, Lane, Nic, OUTGOING_RING, Outgoing,
    REFUSED_FULL, REFUSED_NOT, flush_touched,
)
from appliance.flow.flows cimport expire, flow_end
from appliance.flow.forward cimport handle_again
from appliance.flow.installing cimport admit, drop_denied, make_room, put_reply, remember, settle, settle_denied
from appliance.flow.key cimport Tuple
from appliance.flow.limits cimport Places
from appliance.flow.megaflow cimport MEGAFLOW_DENY, MEGAFLOW_PASS
from appliance.flow.parking cimport unpark
from appliance.flow.reasons cimport DROP_DELETED, DROP_MISS_FULL, DROP_NO_BUFFER, DROP_NO_NIC, DROP_TX_FULL, DROP_TX_REFUSED
from appliance.flow.synproxy cimport guarded
from appliance.flow.table cimport CLASS_FREE, CLASS_PENDING, State, flow_handle
from appliance.flow.tcp cimport EVENT_SYN, tcp_event_of
from appliance.flow.trains cimport earlier_train, end_due_trains
from appliance.flow.wheel cimport wheel_deadline
from appliance.flow.work cimport lane_of, miss_room, push_miss
from ena_dev.bus.atomic cimport load_acquire, store_release
from ena_dev.driver.pool cimport NO_BUFFER, OWNER_BURST, pool_data, pool_give, pool_take
from ena_dev.driver.rings cimport Frame, SEND_FULL, SEND_OK
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


cdef inline void refuse(Engine *engine, uint32_t slot, uint8_t why) noexcept nogil:
    """Ask again; if even that is impossible the flow ends."""
    cdef State *state = &engine.table.flows[slot].state
    cdef Lane *lane = lane_of(engine, state.nic_in, state.queue)
    engine.counters.refused += 1
    if lane == NULL or not miss_room(lane):
        flow_end(engine, slot, DROP_MISS_FULL)
        return
    push_miss(lane, slot, why)


cdef inline void run_parked(Engine *engine, uint32_t head, uint64_t now) noexcept nogil:
    """Frames that have waited, in order, from the start: the list is the caller's own, so none of them can disturb it."""
    cdef Frame frame
    while unpark(&engine.parking, engine.pool, &head, &frame):
        handle_again(engine, &frame, now)


cdef inline void deny(Engine *engine, uint32_t slot, const Command *command, uint64_t now) noexcept nogil:
    """Drop a flow's frames for a while. Of those that have waited only the first is worth an answer. Who came by another nic with the
    same tuple is somebody else, and has waited for nothing."""
    cdef uint32_t parked = engine.table.flows[slot].state.parked
    cdef uint8_t nic = engine.table.flows[slot].state.nic_in
    cdef Frame frame
    cdef bint first = True
    engine.table.flows[slot].state.parked = 0
    if engine.table.flows[slot].state.cls == CLASS_PENDING:
        remember(engine, slot, command, MEGAFLOW_DENY)
    settle_denied(engine, slot, command, now)
    while unpark(&engine.parking, engine.pool, &parked, &frame):
        if frame.nic != nic:
            handle_again(engine, &frame, now)
            continue
        drop_denied(engine, command, &frame, first, now)
        first = False


cdef inline bint cookie_instead(Engine *engine, uint32_t slot, const Command *command) noexcept nogil:
    """Whether a flow that may begin is better answered by a cookie; that it may is remembered, for when that comes back."""
    cdef const State *state = &engine.table.flows[slot].state
    if not command.guard or engine.table.flows[slot].half[0].key.protocol != PROTOCOL_TCP or tcp_event_of(state.tcp_flags) != EVENT_SYN:
        return False
    if engine.table.connections[slot].splice.what or not guarded(engine, command.guard, command.service):
        return False
    return remember(engine, slot, command, MEGAFLOW_PASS)


cdef inline void install(Engine *engine, uint32_t slot, const Command *command, uint64_t now) noexcept nogil:
    cdef State *state = &engine.table.flows[slot].state
    cdef Tuple *key = &engine.table.flows[slot].half[0].key
    cdef uint32_t parked, absorbed = 0
    cdef uint8_t refused = REFUSED_FULL
    cdef Command over = command[0]
    cdef Places places
    if state.cls != CLASS_PENDING or key.version != command.reply.version or key.protocol != command.reply.protocol:
        engine.counters.stale += 1
        return
    if cookie_instead(engine, slot, command):
        parked = state.parked
        state.parked = 0
        flow_end(engine, slot, DROP_DELETED)
        run_parked(engine, parked, now)
        return
    if not admit(engine, slot, &over, &places, now):
        remember(engine, slot, command, MEGAFLOW_PASS)     # the next ones of its kind are for the limits alone
        deny(engine, slot, &over, now)
        return
    if make_room(engine, slot, command.nic):
        refused = put_reply(engine, slot, &command.reply, &absorbed)
    if refused == REFUSED_NOT:
        settle(engine, slot, command, &places, now)
        remember(engine, slot, command, MEGAFLOW_PASS)
        parked = state.parked
        state.parked = 0
        run_parked(engine, parked, now)
    else:
        refuse(engine, slot, refused)
    run_parked(engine, absorbed, now)


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


cdef inline void not_emitted(Engine *engine, uint32_t reason) noexcept nogil:
    """A frame of the control plane's own is lost: nobody has received it, and yet it counts among those that were dropped."""
    engine.counters.control_dropped += 1
    engine.counters.made += 1
    engine.counters.drops[reason] += 1


cdef inline void emit(Engine *engine, const Outgoing *item, uint64_t now) noexcept nogil:
    """A frame of the control plane's own."""
    cdef Nic *nic = &engine.nics[item.nic]
    cdef uint32_t buffer = pool_take(engine.pool, OWNER_BURST) if nic.queues else <uint32_t> NO_BUFFER
    cdef Frame frame
    cdef int result
    if buffer == NO_BUFFER:
        not_emitted(engine, DROP_NO_BUFFER if nic.queues else DROP_NO_NIC)
        return
    memset(&frame, 0, sizeof(Frame))
    frame.data, frame.first, frame.buffers, frame.queue = pool_data(engine.pool, buffer), buffer, 1, item.queue
    frame.length = frame.first_length = item.length
    memcpy(frame.data, item.data, item.length)
    engine.pool.length[buffer] = item.length
    result = send_frame(engine, nic, &frame, now)
    if result == SEND_OK:
        engine.counters.control_sent += 1
    else:
        not_emitted(engine, DROP_TX_FULL if result == SEND_FULL else DROP_TX_REFUSED)
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
    end_due_trains(engine, now)
    flush_touched(engine, now)
    engine.task.deadline = earlier_train(&engine.fragments, wheel_deadline(engine.wheel))
    return budget if n == COMMANDS_A_ROUND or left == 0 else 0
