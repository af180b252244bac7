# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""A frame that its flow lets pass: what it changes there, and what the flow changes in it. Header-only."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from appliance.flow.adjacency cimport egress
from appliance.flow.clamp cimport clamp_mss
from appliance.flow.engine cimport Engine, PUNT_DNS, SNAPSHOT, count_rule
from appliance.flow.flows cimport class_of_tcp, flow_reclass, give_back
from appliance.flow.outcomes cimport note_opening
from appliance.flow.rewrite cimport rewrite_ttl, rewrite_tuple
from appliance.flow.table cimport (
    CLASS_ANSWERED, CLASS_ESTABLISHED, CLASS_OPENING, CLASS_UNREPLIED, FLOW_DECREMENT, FLOW_OUTBOUND, FLOW_REWRITE, Flow, Half, State,
    flow_handle,
)
from appliance.flow.tcp cimport CLOSED, TCP_NONE, TIME_WAIT
from appliance.flow.trains cimport fragment_passes
from appliance.flow.work cimport punt
from ena_dev.driver.rings cimport Frame
from ena_dev.packet.headers cimport PARSED_FRAGMENT, PROTOCOL_UDP, TCP_SYN


cdef inline void track(Engine *engine, uint32_t slot, int direction, uint8_t tcp, uint64_t now) noexcept nogil:
    """The frame passes: what it changes in the flow's state."""
    cdef State *state = &engine.table.flows[slot].state
    cdef int cls
    if not (direction and state.flags & FLOW_OUTBOUND):
        state.last_seen = now
    if tcp != TCP_NONE:
        if state.target and (state.cls == CLASS_OPENING or tcp == CLOSED):
            note_opening(engine, &engine.table.flows[slot], direction, tcp)
        if tcp != state.tcp:
            state.tcp = tcp
            if tcp == TIME_WAIT or tcp == CLOSED:
                give_back(engine, slot)
            cls = class_of_tcp(tcp)
            if cls != state.cls:
                flow_reclass(engine, slot, cls)
    elif direction and state.cls == CLASS_UNREPLIED:
        engine.outcomes[state.target].answered += 1    # of what has no target, for nobody
        flow_reclass(engine, slot, CLASS_ANSWERED)
    elif not direction and state.cls == CLASS_ANSWERED:
        flow_reclass(engine, slot, CLASS_ESTABLISHED)


cdef inline bint is_dns(const Frame *frame) noexcept nogil:
    """Whether it is a whole UDP datagram from or to port 53 that crosses in one piece."""
    cdef const uint8_t *ports = frame.data + frame.parsed.l4_offset
    if frame.parsed.protocol != PROTOCOL_UDP or frame.parsed.flags & PARSED_FRAGMENT or frame.segment:
        return False
    if frame.length > SNAPSHOT or frame.first_length < frame.length:
        return False
    return ports[0] == 0 and ports[1] == 53 or ports[2] == 0 and ports[3] == 53


cdef inline void pass_frame(Engine *engine, uint32_t ref, Frame *frame, uint64_t now) noexcept nogil:
    """Count, translate and send a frame that its flow lets pass."""
    cdef int direction = ref & 1
    cdef Flow *flow = &engine.table.flows[ref >> 1]
    cdef Half *half = &flow.half[direction]
    half.packets += 1
    half.bytes += frame.length
    count_rule(engine, flow.state.rule, flow.state.audit, frame.length, now)
    if frame.parsed.flags & PARSED_FRAGMENT:
        fragment_passes(engine, ref, frame, now)
    if frame.parsed.tcp_flags & TCP_SYN:
        clamp_mss(engine, flow, frame)
    if flow.state.flags & FLOW_DECREMENT:
        rewrite_ttl(frame.data + frame.parsed.l3_offset, frame.parsed.version)
    if flow.state.flags & FLOW_REWRITE:
        rewrite_tuple(frame, half, &flow.half[direction ^ 1])
    if engine.reads_dns and is_dns(frame):
        punt(engine, frame, PUNT_DNS, <int64_t> flow_handle(engine.table, ref >> 1), 0)
        return
    egress(engine, half.adjacency, frame, now)
