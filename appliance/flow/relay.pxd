# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""Segments of spliced connections: the originator's, the target's, and those that are made in between. Header-only.

    originator --SYN+ACK of ours, ACK of its own--> flow --SYN--> target
                                         |  <--SYN+ACK--'  --ACK, header--> target
                <--its window is open----'
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from appliance.flow.adjacency cimport egress
from appliance.flow.clamp cimport largest_segment
from appliance.flow.engine cimport Engine, count_rule, drop
from appliance.flow.flows cimport flow_arm
from appliance.flow.key cimport Tuple
from appliance.flow.passing cimport pass_frame, track
from appliance.flow.proxy cimport PROXY_MOST
from appliance.flow.reasons cimport DROP_TX_REFUSED
from appliance.flow.segments cimport Saying, hear_options, make, remake, say, say_again, turn
from appliance.flow.splice cimport (
    OUR_SCALE, SPLICE_COOKIE, SPLICE_HEARD, SPLICE_OPEN, SPLICE_PROXY, SPLICE_TOLD, Splice, UNSCALED, rescaled, splice_frame,
)
from appliance.flow.splicing cimport HEADER_PAUSE, SYN_PAUSE, answered, say_header, wait_for_answer
from appliance.flow.synproxy cimport bounce
from appliance.flow.table cimport Flow
from appliance.flow.tcp cimport EVENT_ACK, EVENT_FIN, EVENT_RST, EVENT_SYN, EVENT_SYN_ACK, SYN_SENT, tcp_event_of, tcp_step
from appliance.flow.window cimport Connection, beyond, window_judge
from ena_dev.driver.rings cimport Frame
from ena_dev.packet.headers cimport PARSED_FRAGMENT, TCP_ACK, TCP_RST, TCP_SYN, load_be16, load_be32


cdef inline bint hear_originator(Engine *engine, uint32_t slot, Frame *frame) noexcept nogil:
    """A TCP segment of the originator, from here on with the numbers that the target knows. The SYN that a header will follow is made
    anew: with fewer options, and without data, for what comes first is ours to say. False: that is not possible."""
    cdef const Tuple *key = &engine.table.flows[slot].half[0].key
    cdef Connection *connection = &engine.table.connections[slot]
    cdef const uint8_t *tcp = frame.data + frame.parsed.l4_offset
    cdef Saying says
    splice_frame(&connection.splice, frame, 0, connection.side[0].scale)
    if not connection.splice.header or not frame.parsed.tcp_flags & TCP_SYN:
        return True
    if frame.parsed.flags & PARSED_FRAGMENT:
        return False
    hear_options(frame, &says)
    if engine.table.flows[slot].state.tcp == SYN_SENT:
        connection.splice.first = load_be32(tcp + 4) + 1
    say_again(&says, frame)
    says.seq -= connection.splice.header
    return remake(engine.pool, frame, key, &says)


cdef inline void tell(Engine *engine, uint32_t ref, const Frame *frame, uint64_t now) noexcept nogil:
    """The originator has answered its target's SYN: before all else, that reads who it is."""
    cdef Splice *splice = &engine.table.connections[ref >> 1].splice
    cdef const uint8_t *tcp = frame.data + frame.parsed.l4_offset
    cdef uint8_t room[PROXY_MOST]
    cdef Saying says
    cdef Frame made
    splice.what |= SPLICE_TOLD
    engine.table.connections[ref >> 1].side[0].acked = load_be32(tcp + 8)
    if not splice.what & SPLICE_COOKIE:
        splice.window = load_be16(tcp + 14)
    say_header(engine, ref >> 1, &says, room)
    wait_for_answer(engine, ref >> 1, HEADER_PAUSE, now)
    flow_arm(engine, ref >> 1)
    if make(engine.pool, &made, &engine.table.flows[ref >> 1].half[0].key, &says, frame.nic, frame.queue):
        engine.counters.made += 1
        pass_frame(engine, ref, &made, now)


cdef inline void connected(Engine *engine, uint32_t slot, Frame *frame, uint64_t now) noexcept nogil:
    """The target's SYN+ACK, where the originator has had ours: it is acknowledged, and becomes the news that the window is open."""
    cdef Flow *flow = &engine.table.flows[slot]
    cdef Connection *connection = &engine.table.connections[slot]
    cdef Splice *splice = &connection.splice
    cdef const uint8_t *tcp = frame.data + frame.parsed.l4_offset
    cdef uint16_t window = rescaled(load_be16(tcp + 14), 0, UNSCALED if splice.scale == UNSCALED else OUR_SCALE)
    cdef Saying says, heard
    cdef uint32_t limit
    cdef Tuple back
    cdef Frame made
    if not splice.what & SPLICE_OPEN:
        hear_options(frame, &heard)
        limit = largest_segment(engine, flow)
        engine.services[flow.state.service].mss = <uint16_t> limit if limit and limit < heard.mss else heard.mss
        splice.delta = splice.ours - load_be32(tcp + 4)
        splice.what |= SPLICE_OPEN
        answered(engine, slot)
    say(&says, TCP_ACK, splice.first, load_be32(tcp + 4) + 1, rescaled(splice.window, splice.scale, connection.side[0].scale))
    if make(engine.pool, &made, &flow.half[0].key, &says, flow.state.nic_in, flow.state.queue):
        engine.counters.made += 1
        window_judge(connection, &made, flow.state.tcp, 0)
        track(engine, slot, 0, tcp_step(&engine.tcp, flow.state.tcp, 0, TCP_ACK), now)
        if splice.what & SPLICE_PROXY and not splice.what & SPLICE_TOLD:
            tell(engine, slot << 1, &made, now)
        pass_frame(engine, slot << 1, &made, now)
    turn(&back, &flow.half[0].key)
    say(&says, TCP_ACK, splice.ours + 1, splice.first, window)
    if not remake(engine.pool, frame, &back, &says):
        drop(engine, frame, DROP_TX_REFUSED)
        return
    flow.half[1].packets += 1
    flow.half[1].bytes += frame.length
    count_rule(engine, flow.state.rule, flow.state.audit, frame.length, now)
    egress(engine, flow.half[1].adjacency, frame, now)


cdef inline void disown(Engine *engine, Frame *frame, const Tuple *key, uint64_t now) noexcept nogil:
    """The target answers our SYN out of an older connection: as its originator would, we reset that. The SYN comes again."""
    cdef Saying says
    cdef Tuple back
    turn(&back, key)
    say(&says, TCP_RST, load_be32(frame.data + frame.parsed.l4_offset + 8), 0, 0)
    if remake(engine.pool, frame, &back, &says):
        bounce(engine, frame, now)
    else:
        drop(engine, frame, DROP_TX_REFUSED)


cdef inline void pass_spliced(Engine *engine, uint32_t ref, Frame *frame, uint64_t now) noexcept nogil:
    """A TCP segment with its header, which may pass."""
    cdef uint32_t slot = ref >> 1
    cdef Flow *flow = &engine.table.flows[slot]
    cdef Connection *connection = &engine.table.connections[slot]
    cdef Splice *splice = &connection.splice
    cdef const uint8_t *tcp = frame.data + frame.parsed.l4_offset
    cdef uint8_t event = tcp_event_of(frame.parsed.tcp_flags)
    if ref & 1 == 0:
        if event == EVENT_SYN and splice.what & SPLICE_COOKIE and not splice.what & SPLICE_OPEN and not splice.tries:
            wait_for_answer(engine, slot, SYN_PAUSE, now)
            flow_arm(engine, slot)
        elif splice.what & SPLICE_PROXY and not splice.what & SPLICE_TOLD and (event == EVENT_ACK or event == EVENT_FIN):
            tell(engine, ref, frame, now)
        pass_frame(engine, ref, frame, now)
        return
    if splice.what & SPLICE_COOKIE and event == EVENT_SYN_ACK:
        connected(engine, slot, frame, now)
        return
    if splice.what & SPLICE_COOKIE and not splice.what & SPLICE_OPEN and event == EVENT_ACK:
        disown(engine, frame, &flow.half[1].key, now)
        return
    if splice.what & SPLICE_TOLD and not splice.what & SPLICE_HEARD and event != EVENT_RST and not beyond(splice.first, load_be32(tcp + 8)):
        splice.what |= SPLICE_HEARD
        answered(engine, slot)
    splice_frame(splice, frame, 1, connection.side[1].scale)
    pass_frame(engine, ref, frame, now)
