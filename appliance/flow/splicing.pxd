# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""The target's half of a spliced connection: what is sent to it, and sent again until it is answered. Header-only.

Nobody else would: the originator believes to be connected, and of a header it knows nothing. Source: RFC 6298 (pauses double), RFC 9293.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from appliance.flow.adjacency cimport egress
from appliance.flow.clamp cimport clamp_mss
from appliance.flow.engine cimport Command, Engine
from appliance.flow.key cimport Tuple
from appliance.flow.proxy cimport PROXY_MOST, proxy_header, proxy_length
from appliance.flow.rewrite cimport rewrite_tuple
from appliance.flow.segments cimport HOPS, Saying, make, say, turn
from appliance.flow.splice cimport (
    SPLICE_COOKIE, SPLICE_HEARD, SPLICE_OPEN, SPLICE_PROXY, SPLICE_SACK, SPLICE_TOLD, Splice, UNSCALED, rescaled,
)
from appliance.flow.table cimport FLOW_INSTALLED, FLOW_REWRITE, Flow, State
from appliance.flow.tcp cimport EVENT_SYN, tcp_event_of
from appliance.flow.window cimport Connection
from ena_dev.driver.rings cimport Frame
from ena_dev.packet.headers cimport PROTOCOL_TCP, TCP_ACK, TCP_PSH, TCP_RST, TCP_SYN, load_be16, load_be32


cdef enum:
    SYN_PAUSE = 1000           # ms until a SYN is sent again, then twice that, and so on
    HEADER_PAUSE = 250
    SYN_TRIES = 6              # then, some two minutes after the first, its originator is told
    HEADER_TRIES = 8


cdef inline void splice_begin(Engine *engine, uint32_t slot, const Command *command) noexcept nogil:
    """A flow was decided: whether it will be spliced. Its `until` is from now on when something is sent again, 0: nothing is."""
    cdef State *state = &engine.table.flows[slot].state
    cdef Tuple *key = &engine.table.flows[slot].half[0].key
    cdef Splice *splice = &engine.table.connections[slot].splice
    if key.protocol != PROTOCOL_TCP or tcp_event_of(state.tcp_flags) != EVENT_SYN:
        return
    if command.proxy:
        splice.what |= SPLICE_PROXY
        splice.header = proxy_length(key.version)
    if splice.what:
        state.spliced = 1
        state.until = 0
    engine.services[command.service].accepted += splice.what & SPLICE_COOKIE


cdef inline void say_header(const Engine *engine, uint32_t slot, Saying *says, uint8_t *room) noexcept nogil:
    """What the target reads first. `room`: PROXY_MOST bytes that last as long as `says`."""
    cdef const Connection *connection = &engine.table.connections[slot]
    cdef const Splice *splice = &connection.splice
    cdef uint16_t window = splice.window
    if splice.what & SPLICE_COOKIE:
        window = rescaled(window, splice.scale, connection.side[0].scale)
    say(says, TCP_ACK | TCP_PSH, splice.first - splice.header, connection.side[0].acked, window)
    proxy_header(room, &engine.table.flows[slot].half[0].key)
    says.payload, says.size = room, splice.header


cdef inline void say_syn(const Splice *splice, Saying *says) noexcept nogil:
    """The SYN that an originator who has acknowledged a cookie had sent."""
    cdef uint32_t window = splice.window << (0 if splice.scale == UNSCALED else splice.scale)
    say(says, TCP_SYN, splice.first - 1 - splice.header, 0, <uint16_t> min(window, <uint32_t> 65535))
    says.mss, says.sack, says.scale = splice.mss, splice.what & SPLICE_SACK != 0, splice.scale


# -- again -----------------------------------------------------------------------------------------------------------------

cdef inline void wait_for_answer(Engine *engine, uint32_t slot, uint32_t pause, uint64_t now) noexcept nogil:
    """Something was sent to the target that it has to answer. The caller arms the flow."""
    cdef Splice *splice = &engine.table.connections[slot].splice
    cdef State *state = &engine.table.flows[slot].state
    state.until = now + (<uint64_t> pause << splice.tries) * 1000000
    splice.tries += 1
    if splice.tries > HEADER_TRIES:
        state.until = 0


cdef inline void answered(Engine *engine, uint32_t slot) noexcept nogil:
    engine.table.flows[slot].state.until = 0
    engine.table.connections[slot].splice.tries = 0


cdef inline void towards(Engine *engine, uint32_t slot, int direction, const Tuple *key, const Saying *says, uint64_t now) noexcept nogil:
    """Send a segment of our own as one of the flow's; its numbers are those that its reader knows."""
    cdef Flow *flow = &engine.table.flows[slot]
    cdef Frame frame
    if not make(engine.pool, &frame, key, says, flow.state.nic_in, flow.state.queue):
        return
    engine.counters.made += 1
    if says.mss:
        clamp_mss(engine, flow, &frame)
    if direction == 0 and flow.state.flags & FLOW_REWRITE:
        rewrite_tuple(&frame, &flow.half[0], &flow.half[1])
    egress(engine, flow.half[direction].adjacency, &frame, now)


cdef inline bint splice_due(Engine *engine, uint32_t slot, uint64_t now) noexcept nogil:
    """Send again what the target has not answered, if it is time. False: it isn't, or it was sent often enough."""
    cdef Flow *flow = &engine.table.flows[slot]
    cdef Connection *connection = &engine.table.connections[slot]
    cdef Splice *splice = &connection.splice
    cdef uint8_t room[PROXY_MOST]
    cdef Saying says
    if not flow.state.flags & FLOW_INSTALLED or not flow.state.until or flow.state.until > now:
        return False
    if splice.what & SPLICE_COOKIE and not splice.what & SPLICE_OPEN:
        if splice.tries > SYN_TRIES:
            return False
        say_syn(splice, &says)
        wait_for_answer(engine, slot, SYN_PAUSE, now)
    else:
        say_header(engine, slot, &says, room)
        wait_for_answer(engine, slot, HEADER_PAUSE, now)
    towards(engine, slot, 0, &flow.half[0].key, &says, now)
    return True


cdef inline void splice_give_up(Engine *engine, uint32_t slot, uint64_t now) noexcept nogil:
    """The target of a connection has never answered: its originator, who believes that it stands, is told."""
    cdef Flow *flow = &engine.table.flows[slot]
    cdef const Splice *splice = &engine.table.connections[slot].splice
    cdef Tuple back
    cdef Saying says
    if flow.state.flags & FLOW_INSTALLED and splice.what & SPLICE_COOKIE and not splice.what & SPLICE_OPEN:
        turn(&back, &flow.half[0].key)
        say(&says, TCP_RST | TCP_ACK, splice.ours + 1, splice.first, 0)
        towards(engine, slot, 1, &back, &says, now)
