# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""A frame's way through the flow table, and the burst: parse all, hash all, fetch all, then one by one. Header-only.

A flow that is decided lets a frame pass if it came in where the flow does, if TCP allows it, if a hop is left and the egress
takes its size; only then does it change the flow, and the flow the frame.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from appliance.flow.begin cimport begin_flow
from appliance.flow.clamp cimport clamp_mss
from appliance.flow.classify cimport VERDICT_FLOW, VERDICT_FRAGMENT, VERDICT_PUNT, classify
from appliance.flow.engine cimport Engine, Lane, Nic, PUNT_CUT, PUNT_TOO_BIG, PUNT_TTL, SNAPSHOT, count_rule, drop, flush_touched
from appliance.flow.flows cimport flow_end
from appliance.flow.fragments cimport (
    PIECE_CONFLICTS, PIECE_DUPLICATE, Piece, TRAIN_DEAD, TRAIN_FOLLOWS, TRAIN_WAITS, Train, key_of_train, read_piece, train_find, train_note,
)
from appliance.flow.key cimport Tuple, key_hash, key_of_frame
from appliance.flow.megaflow cimport Megaflow, megaflow_find
from appliance.flow.parking cimport PARKED_EACH, SHARE_DECISION, park
from appliance.flow.passing cimport pass_frame, track
from appliance.flow.reasons cimport (
    DROP_DELETED, DROP_FRAGMENT_DUPLICATE, DROP_FRAGMENT_FIRST, DROP_FRAGMENT_FULL, DROP_FRAGMENT_OVERLAP, DROP_FRAGMENT_RANGE,
    DROP_NOT_A_START, DROP_NOT_OPEN, DROP_NO_NIC, DROP_PARKING_FULL, DROP_TCP_INVALID, DROP_TCP_WINDOW, DROP_TOO_BIG, DROP_TTL, DROP_WRONG_NIC,
)
from appliance.flow.relay cimport hear_originator, pass_spliced
from appliance.flow.splice cimport Splice
from appliance.flow.synproxy cimport ack_begins, holds_cookie, syn_ends
from appliance.flow.table cimport (
    CLASS_DENIED, CLASS_FREE, CLASS_PENDING, FLOW_DECREMENT, FLOW_LIBERAL, FLOW_TELL, State, first_bucket, flow_handle, prefetch,
    prefetch_write, second_bucket, table_find, table_likely,
)
from appliance.flow.tcp cimport (
    CLOSED, ESTABLISHED, EVENT_ACK, EVENT_FIN, EVENT_SYN, SYN_RECEIVED, SYN_SENT, TCP_NONE, TIME_WAIT, tcp_event_of, tcp_step,
)
from appliance.flow.trains cimport count_data, fragment_passes, train_end, train_kill, train_of, train_park, train_unpark
from appliance.flow.window cimport WINDOW_PASSES, WINDOW_REFUSES, WINDOW_REOPENS, window_judge
from appliance.flow.work cimport drop_telling, lane_of, punt, reject
from ena_dev.driver.pair cimport Pair
from ena_dev.driver.pool cimport OWNER_PARKED
from ena_dev.driver.rings cimport BURST, Frame
from ena_dev.packet.headers cimport PARSED_FRAGMENT, PROTOCOL_FRAGMENT, PROTOCOL_TCP, Parsed, TCP_SYN


cdef inline bint too_big(const Frame *frame, uint32_t mtu) noexcept nogil:
    """Whether the packet, or each segment it will be cut into, is more than the egress carries."""
    cdef const Parsed *parsed = &frame.parsed
    if parsed.l3_length <= mtu:
        return False
    return frame.segment == 0 or frame.segment + <uint32_t> (parsed.payload_offset - parsed.l3_offset) > mtu


cdef inline bint may_be_cut(const Frame *frame) noexcept nogil:
    """IPv4 without DF, if the control plane can be handed all of it."""
    if frame.parsed.version == 6 or frame.data[frame.parsed.l3_offset + 6] & 0x40 or frame.segment:
        return False
    return frame.length <= SNAPSHOT and frame.first_length == frame.length


cdef inline void end_oversize(Engine *engine, uint32_t ref, Frame *frame, uint32_t mtu, uint64_t now) noexcept nogil:
    """A packet that its way out doesn't carry: it is handed over to be cut, or its sender is told."""
    cdef int64_t flow = <int64_t> flow_handle(engine.table, ref >> 1)
    if not may_be_cut(frame):
        drop_telling(engine, frame, DROP_TOO_BIG, PUNT_TOO_BIG, flow, mtu)
        return
    if frame.parsed.flags & PARSED_FRAGMENT:
        fragment_passes(engine, ref, frame, now)
    punt(engine, frame, PUNT_CUT, flow, mtu)


cdef inline bint numbers_fit(Engine *engine, uint32_t slot, int direction, Frame *frame, uint8_t *tcp) noexcept nogil:
    """Whether a TCP segment's numbers are possible; one that its receiver will not take for good changes no state."""
    cdef State *state = &engine.table.flows[slot].state
    cdef int result
    if state.spliced and not direction and not hear_originator(engine, slot, frame):
        return False
    if state.flags & FLOW_LIBERAL:
        return True
    result = window_judge(&engine.table.connections[slot], frame, state.tcp, direction)
    if result == WINDOW_PASSES:
        tcp[0] = state.tcp
    elif result == WINDOW_REOPENS:
        tcp[0] = SYN_RECEIVED
    return result != WINDOW_REFUSES


cdef inline bint too_early(const State *state, int direction, const Frame *frame) noexcept nogil:
    """Whether the originator, who has a cookie's connection, speaks before its target has one."""
    cdef uint8_t event = tcp_event_of(frame.parsed.tcp_flags)
    return state.spliced and state.tcp == SYN_SENT and direction == 0 and (event == EVENT_ACK or event == EVENT_FIN)


cdef inline bint proven(Engine *engine, const State *state, const Frame *frame, const Tuple *key, uint64_t now) noexcept nogil:
    """Whether what was denied as no beginning has one after all: it acknowledges a cookie."""
    cdef uint32_t isn
    return (now < engine.cookies.until and state.reason == DROP_NOT_A_START and frame.parsed.protocol == PROTOCOL_TCP
            and holds_cookie(engine, frame, key, &isn, now))


cdef inline bint known(Engine *engine, uint32_t ref, Frame *frame, uint64_t now) noexcept nogil:
    """A frame of a decided flow. False: it begins another connection, and its flow has ended for it."""
    cdef uint32_t slot = ref >> 1
    cdef int direction = ref & 1
    cdef State *state = &engine.table.flows[slot].state
    cdef Nic *out = &engine.nics[state.nic_in if direction else state.nic_out]
    cdef uint8_t tcp = TCP_NONE
    cdef bint refused
    if frame.nic != (state.nic_out if direction else state.nic_in):
        drop(engine, frame, DROP_WRONG_NIC)
        return True
    if frame.parsed.protocol == PROTOCOL_TCP:
        tcp = tcp_step(&engine.tcp, state.tcp, direction, frame.parsed.tcp_flags)
        if tcp == TCP_NONE and state.flags & FLOW_LIBERAL and state.tcp <= SYN_RECEIVED:    # the other half may go another way
            tcp = tcp_step(&engine.tcp, ESTABLISHED, direction, frame.parsed.tcp_flags)
        if tcp == TCP_NONE:
            drop(engine, frame, DROP_NOT_OPEN if too_early(state, direction, frame) else DROP_TCP_INVALID)
            return True
        if tcp == SYN_SENT and (state.tcp == TIME_WAIT or state.tcp == CLOSED):
            flow_end(engine, slot, DROP_DELETED)
            return False
    if not out.queues:
        drop(engine, frame, DROP_NO_NIC)
    elif state.flags & FLOW_DECREMENT and frame.parsed.ttl <= 1:
        drop_telling(engine, frame, DROP_TTL, PUNT_TTL, <int64_t> flow_handle(engine.table, slot), 0)
    elif too_big(frame, out.mtu):
        end_oversize(engine, ref, frame, out.mtu, now)
    elif tcp != TCP_NONE and not numbers_fit(engine, slot, direction, frame, &tcp):
        drop(engine, frame, DROP_TCP_WINDOW)
    else:
        refused = tcp == CLOSED and state.tcp == SYN_SENT and not frame.parsed.flags & PARSED_FRAGMENT    # whose rest follows
        track(engine, slot, direction, tcp, now)
        if state.spliced and tcp != TCP_NONE:
            pass_spliced(engine, ref, frame, now)
        else:
            pass_frame(engine, ref, frame, now)
        if refused:                            # or withdrawn: nothing was opened that something could belong to
            flow_end(engine, slot, DROP_DELETED)
    return True


cdef inline bint begins_after_all(const State *state, const Frame *frame) noexcept nogil:
    """Whether a denied flow has to be decided anew: it came in elsewhere, or it was denied only because something else came first."""
    return frame.nic != state.nic_in or (
        state.reason == DROP_NOT_A_START and frame.parsed.protocol == PROTOCOL_TCP and tcp_event_of(frame.parsed.tcp_flags) == EVENT_SYN)


cdef inline void handle(Engine *engine, Lane *lane, Frame *frame, const Tuple *key, uint64_t hash, uint64_t now) noexcept nogil:
    """A classified frame: to its flow, or the first of one."""
    cdef uint32_t ref = table_find(engine.table, key, hash)
    cdef const Megaflow *found
    cdef Splice splice
    cdef State *state
    if ref:
        state = &engine.table.flows[ref >> 1].state
        if state.cls == CLASS_PENDING:
            if not park(&engine.parking, engine.pool, &state.parked, frame, SHARE_DECISION, PARKED_EACH):
                drop(engine, frame, DROP_PARKING_FULL)
            return
        if state.cls == CLASS_DENIED and not (begins_after_all(state, frame) or proven(engine, state, frame, key, now)):
            state.last_seen = now
            count_rule(engine, state.rule, state.audit, frame.length, now)
            if state.flags & FLOW_TELL:
                reject(engine, frame, state.reason)
            else:
                drop(engine, frame, state.reason)
            return
        if state.cls == CLASS_DENIED:
            flow_end(engine, ref >> 1, DROP_DELETED)
        elif known(engine, ref, frame, now):
            return
    found = megaflow_find(engine.megaflows, key, frame.nic, frame.parsed.tcp_flags)
    if key.protocol == PROTOCOL_TCP:
        if syn_ends(engine, frame, key, found, now):
            return
        if ack_begins(engine, frame, key, &splice, now):
            found = megaflow_find(engine.megaflows, key, frame.nic, TCP_SYN)
    ref = begin_flow(engine, lane, frame, key, hash, found, &splice, now)
    if ref and not known(engine, ref, frame, now):
        drop(engine, frame, DROP_TCP_INVALID)


# -- fragments -------------------------------------------------------------------------------------------------------------

cdef inline void follow(Engine *engine, uint32_t number, Frame *frame, uint64_t now) noexcept nogil:
    """A fragment goes the way that its packet's first has gone."""
    cdef Train *train = &engine.fragments.trains[number]
    cdef State *state = &engine.table.flows[<uint32_t> train.flow].state
    cdef Piece piece
    if state.cls == CLASS_FREE or flow_handle(engine.table, <uint32_t> train.flow) != train.flow:
        drop(engine, frame, DROP_DELETED)
    elif state.cls == CLASS_DENIED:
        count_rule(engine, state.rule, state.audit, frame.length, now)
        drop(engine, frame, state.reason)
    else:
        if train.counts:
            read_piece(frame, &piece)
            count_data(engine, train, &piece)
        frame.parsed.protocol = PROTOCOL_FRAGMENT    # no transport header here, whatever the packet's protocol is
        engine.fragments.current = number
        known(engine, <uint32_t> train.flow << 1 | train.direction, frame, now)


cdef inline void lead(Engine *engine, Lane *lane, uint32_t number, Frame *frame, uint64_t now) noexcept nogil:
    """The first fragment of a packet, as if it were all of it. Then those that have waited for it."""
    cdef Train *train = &engine.fragments.trains[number]
    cdef uint32_t buffer = frame.first
    cdef Tuple key
    cdef Frame waiting
    key_of_frame(&key, frame.data, &frame.parsed)
    engine.fragments.current = number
    handle(engine, lane, frame, &key, key_hash(&engine.table.secret, &key), now)
    if train.state == TRAIN_WAITS and engine.pool.owner[buffer] != OWNER_PARKED:
        train_kill(engine, number, DROP_FRAGMENT_FIRST)
    while train.state == TRAIN_FOLLOWS and train_unpark(engine, number, &waiting):
        follow(engine, number, &waiting, now)


cdef inline void end_whole(Engine *engine, uint32_t number) noexcept nogil:
    """A train of which all has passed is over: its identification may come again."""
    cdef const Train *train = &engine.fragments.trains[number]
    if train.state == TRAIN_FOLLOWS and train.size == train.total:
        train_end(engine, number, DROP_DELETED)


cdef inline void fragment(Engine *engine, Lane *lane, Frame *frame, uint64_t now) noexcept nogil:
    """A classified fragment: the first goes to its flow, others after it or wait."""
    cdef Piece piece
    cdef uint32_t number
    cdef Train *train
    cdef int news
    if not read_piece(frame, &piece):
        drop(engine, frame, DROP_FRAGMENT_RANGE)
        return
    number = train_of(engine, frame, now)
    train = &engine.fragments.trains[number]
    news = PIECE_CONFLICTS if train.state == TRAIN_DEAD else train_note(train, &piece)
    if news == PIECE_CONFLICTS and train.state != TRAIN_DEAD:
        train_kill(engine, number, DROP_FRAGMENT_OVERLAP)
    if news == PIECE_CONFLICTS:
        drop(engine, frame, train.reason)
    elif news == PIECE_DUPLICATE:
        drop(engine, frame, DROP_FRAGMENT_DUPLICATE)
    elif piece.start == 0:
        lead(engine, lane, number, frame, now)
    elif train.state == TRAIN_FOLLOWS:
        follow(engine, number, frame, now)
    elif not train_park(engine, number, frame):
        drop(engine, frame, DROP_FRAGMENT_FULL)
    end_whole(engine, number)


cdef inline void lead_again(Engine *engine, Frame *frame, uint64_t now) noexcept nogil:
    """A first fragment whose flow is decided by now; unless its train was ended meanwhile, and maybe another begun."""
    cdef Tuple key
    cdef uint32_t number
    cdef const Train *train
    key_of_train(&key, frame)
    number = train_find(&engine.fragments, &key, key_hash(&engine.table.secret, &key))
    train = &engine.fragments.trains[number]
    if number == 0 or train.state != TRAIN_WAITS or not train.starts[0] & 1:
        drop(engine, frame, train.reason if train.state == TRAIN_DEAD else <uint8_t> DROP_FRAGMENT_FULL)
        return
    lead(engine, lane_of(engine, frame.nic, frame.queue), number, frame, now)
    end_whole(engine, number)


# -- all -------------------------------------------------------------------------------------------------------------------

cdef inline void handle_again(Engine *engine, Frame *frame, uint64_t now) noexcept nogil:
    """A frame that has waited, on its way from the start; it was classified when it came."""
    cdef Tuple key
    if frame.parsed.flags & PARSED_FRAGMENT:
        lead_again(engine, frame, now)
        return
    key_of_frame(&key, frame.data, &frame.parsed)
    handle(engine, lane_of(engine, frame.nic, frame.queue), frame, &key, key_hash(&engine.table.secret, &key), now)


cdef inline void burst(void *ctx, Pair *pair, Frame *frames, int count, uint64_t now) noexcept nogil:
    """At most BURST frames that one pair received; all of them find their end here, or wait."""
    cdef Lane *lane = <Lane *> ctx
    cdef Engine *engine = lane.engine
    cdef Nic *nic = &engine.nics[pair.nic]
    cdef Tuple keys[BURST]
    cdef uint64_t hashes[BURST]
    cdef uint8_t verdicts[BURST]
    cdef uint8_t reasons[BURST]
    cdef uint32_t ref
    cdef int i
    engine.counters.received += count
    for i in range(count):
        if i + 4 < count:
            prefetch(frames[i + 4].data)
        verdicts[i] = classify(nic, &frames[i], &reasons[i])
        if verdicts[i] == VERDICT_FLOW:
            key_of_frame(&keys[i], frames[i].data, &frames[i].parsed)
            hashes[i] = key_hash(&engine.table.secret, &keys[i])
            prefetch(first_bucket(engine.table, hashes[i]))
            prefetch(second_bucket(engine.table, hashes[i]))
    for i in range(count):
        if verdicts[i] == VERDICT_FLOW:
            ref = table_likely(engine.table, hashes[i])
            prefetch_write(&engine.table.flows[ref >> 1].half[0])
            prefetch_write(&engine.table.flows[ref >> 1].half[1])
            prefetch_write(&engine.table.flows[ref >> 1].state)
    for i in range(count):
        if verdicts[i] == VERDICT_FLOW:
            handle(engine, lane, &frames[i], &keys[i], hashes[i], now)
        elif verdicts[i] == VERDICT_PUNT:
            punt(engine, &frames[i], reasons[i], -1, 0)
        elif verdicts[i] == VERDICT_FRAGMENT:
            fragment(engine, lane, &frames[i], now)
        else:
            drop(engine, &frames[i], reasons[i])
    flush_touched(engine, now)
