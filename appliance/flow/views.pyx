# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""What Python sees of the structs: the records, and the names behind numbers."""

from libc.stdint cimport uint64_t

from appliance.flow.engine cimport Copied, Engine, Miss, Punt
from appliance.flow.flows cimport flow_due
from appliance.flow.key cimport Tuple, is_icmp
from appliance.flow.splice cimport SPLICE_COOKIE, SPLICE_OPEN
from appliance.flow.table cimport (
    CLASS_ANSWERED, CLASS_CLOSING, CLASS_DENIED, CLASS_ESTABLISHED, CLASS_OPENING, CLASS_PENDING, CLASS_UNREPLIED, FLOW_INSTALLED,
    FLOW_LIBERAL, Flow, Half, State, unpack_key,
)
from appliance.flow.window cimport Connection, Side
from ena_dev.packet.headers cimport PROTOCOL_TCP

from appliance.flow import records
from appliance.flow.reasons import NUMBERS
from appliance.flow.tcp import State as TcpState

PUNT_NAMES = ("arp", "nd", "icmp-error", "cut", "dns", "ttl", "too-big", "no-neighbour", "no-route", "rejected")
REFUSED_NAMES = ("", "taken", "table-full")
REASON_NAMES = tuple(NUMBERS)
CLASS_NAMES = {CLASS_PENDING: "pending", CLASS_OPENING: "opening", CLASS_UNREPLIED: "unreplied", CLASS_ANSWERED: "answered",
               CLASS_ESTABLISHED: "established", CLASS_CLOSING: "closing", CLASS_DENIED: "denied"}
TCP_NAMES = {int(state): state.name.lower().replace("_", "-") for state in TcpState}


cdef object miss_of(const Miss *item):
    cdef const Tuple *key = &item.key
    source, destination, sport, dport = unpack_key(key)
    return records.Miss(item.flow, item.nic, item.queue, key.version, key.protocol, source, destination, sport, dport,
                        key.kind if is_icmp(key.version, key.protocol) else -1, item.tcp_flags, item.length)


cdef object refused_of(const Miss *item):
    return records.Refused(item.flow, miss_of(item), REFUSED_NAMES[item.refused])


cdef object punt_of(const Punt *item):
    return records.Punt(PUNT_NAMES[item.reason], item.nic, item.queue, item.flow, item.mtu, item.data[:item.length])


cdef str state_name(const Flow *flow):
    if flow.state.cls == CLASS_PENDING or flow.state.cls == CLASS_DENIED:
        return CLASS_NAMES[flow.state.cls]
    if flow.half[0].key.protocol == PROTOCOL_TCP:
        return TCP_NAMES.get(flow.state.tcp, "")
    return "unreplied" if flow.state.cls == CLASS_UNREPLIED else "replied"


cdef uint32_t shift_of(const State *state, const Connection *connection) noexcept:
    """What the originator adds to the target's numbers: until that has said one, its first."""
    if not state.spliced or not connection.splice.what & SPLICE_COOKIE:
        return 0
    return connection.splice.delta if connection.splice.what & SPLICE_OPEN else connection.splice.ours + 1


cdef uint32_t acked_by(const Side *side) noexcept:
    """What one end has acknowledged last, 0: nothing yet."""
    return side.acked if side.acks else 0


cdef object sequence_of(const Connection *connection, const Half *half, const State *state, bint installed):
    """What both ends of a TCP connection have said and heard."""
    if not installed or half.key.protocol != PROTOCOL_TCP:
        return (0, 0), (0, 0), 0
    ends = connection.side[0].end, connection.side[1].end
    return ends, (acked_by(&connection.side[0]), acked_by(&connection.side[1])), shift_of(state, connection)


cdef object flow_of(const Engine *engine, const Copied *copied):
    cdef const Flow *flow = &copied.flow
    cdef const State *state = &flow.state
    cdef const Half *one = &flow.half[0]
    cdef const Half *two = &flow.half[1]
    cdef bint installed = state.flags & FLOW_INSTALLED
    return records.FlowView(
        <uint64_t> state.epoch << 32 | copied.slot, state_name(flow), one.key.version, one.key.protocol, state.nic_in,
        state.nic_out if installed else -1, unpack_key(&one.key), unpack_key(&two.key) if installed else (0, 0, 0, 0),
        state.rule, state.generation, state.service, state.target, (one.packets, two.packets), (one.bytes, two.bytes),
        state.created / 1e9, state.last_seen / 1e9, flow_due(engine, flow) / 1e9,
        REASON_NAMES[state.reason] if state.cls == CLASS_DENIED else "", *sequence_of(&copied.connection, one, state, installed),
        liberal=installed and state.flags & FLOW_LIBERAL != 0)
