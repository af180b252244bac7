# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""Which sequence and acknowledgement numbers a TCP connection can have, seen from the middle. Header-only.

    I    data isn't beyond the window that its receiver offered        seq <= limit of the sender
    II   nor so old that the receiver would not even answer            end > end of the sender - window of the receiver
    III  only what was sent is acknowledged, selectively as well       ack <= end of the receiver
    IV   and nothing from long ago                                     ack > end of the receiver - window of the sender, at least 66,000

Source: van Rooij, Real Stateful TCP Packet Filtering in IP Filter, 2001; RFC 7323 (window scaling); RFC 2018 (SACK); RFC 5961 (RST and
SYN that an attacker guesses). A SYN into a connection, and a RST within the window that isn't exact, pass and change nothing: the
receiver answers with a challenge ACK. If it answers such a SYN by one of its own instead, nothing remains of that connection at either
end, and another begins (RFC 9293, 3.5.1).
"""

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memset

from appliance.flow.options cimport OPTION_SACK, OPTION_SCALE, option_from
from appliance.flow.splice cimport MOST_SCALE, Splice
from appliance.flow.tcp cimport SYN_RECEIVED, SYN_SENT
from ena_dev.driver.rings cimport Frame
from ena_dev.packet.headers cimport TCP_ACK, TCP_FIN, TCP_HEADER, TCP_RST, TCP_SYN, load_be16, load_be32


cdef enum:
    OLDEST_ACK = 66000         # an acknowledgement may be as far behind, whatever the window
    TIMESTAMPS_ALONE = 0x0101080A    # as most segments begin their options

cdef enum:  # what a segment may do
    WINDOW_REFUSES = 0
    WINDOW_PASSES = 1          # but changes nothing
    WINDOW_ACCEPTS = 2
    WINDOW_REOPENS = 3         # both ends begin another connection: SYN_RECEIVED


cdef enum:  # Side.asked, until something else is said
    ASKED = 1                  # its windows have no scale
    ASKED_SCALE = 2

cdef struct Side:              # 20 bytes: what one end has sent
    uint32_t end               # behind its last sequence number; before its SYN: where the other end's RST begins that it has asked for
    uint32_t limit             # the same as far as the other end's window allows
    uint32_t window            # the largest that it has offered, 0: nothing was seen of it
    uint32_t acked             # its latest acknowledgement; before there is one, the number of its SYN
    uint8_t scale              # of its windows
    uint8_t scales             # its SYN said so
    uint8_t acks               # it has acknowledged something
    uint8_t asked              # the originator has sent a SYN into the connection: ASKED, or ASKED_SCALE and its window scale

cdef struct Connection:        # one cache line
    Side side[2]               # original, reply
    Splice splice              # if the flow is spliced
    uint32_t asked             # the number behind that SYN

cdef struct Segment:
    uint32_t seq
    uint32_t end
    uint32_t ack
    uint32_t sack              # the highest that is acknowledged
    uint32_t window            # unscaled
    uint8_t flags
    uint8_t scale
    uint8_t scales


cdef inline bint beyond(uint32_t a, uint32_t b) noexcept nogil:
    """Whether a comes after b on the circle of sequence numbers; RFC 9293, 3.4."""
    return <int32_t> (a - b) > 0


# -- reading ---------------------------------------------------------------------------------------------------------------

cdef inline void read_sack(const uint8_t *blocks, uint32_t length, Segment *segment) noexcept nogil:
    """The right edges of SACK blocks. One below the acknowledgement tells of duplicates (RFC 2883)."""
    cdef uint32_t at = 0
    while at + 8 <= length:
        if beyond(load_be32(blocks + at + 4), segment.sack):
            segment.sack = load_be32(blocks + at + 4)
        at += 8


cdef inline void read_options(const uint8_t *tcp, uint32_t header, Segment *segment) noexcept nogil:
    """Window scale of a SYN, SACK of the others. What is malformed ends the reading."""
    cdef uint32_t at = TCP_HEADER, size = option_from(tcp, header, &at)
    while size:
        if tcp[at] == OPTION_SCALE and size == 3 and segment.flags & TCP_SYN:
            segment.scale, segment.scales = min(tcp[at + 2], <uint8_t> MOST_SCALE), 1
        elif tcp[at] == OPTION_SACK and segment.flags & TCP_ACK:
            read_sack(tcp + at + 2, size - 2, segment)
        at += size
        size = option_from(tcp, header, &at)


cdef inline void read_segment(const Frame *frame, Segment *segment) noexcept nogil:
    """What a parsed TCP frame says. Its headers lie in the first buffer."""
    cdef const uint8_t *tcp = frame.data + frame.parsed.l4_offset
    cdef uint32_t header = frame.parsed.payload_offset - frame.parsed.l4_offset
    cdef uint8_t flags = frame.parsed.tcp_flags
    segment.seq, segment.ack, segment.window, segment.flags = load_be32(tcp + 4), load_be32(tcp + 8), load_be16(tcp + 14), flags
    segment.end = segment.seq + frame.parsed.l3_length - (frame.parsed.payload_offset - frame.parsed.l3_offset)
    segment.end += (flags & TCP_SYN != 0) + (flags & TCP_FIN != 0)
    segment.sack, segment.scale, segment.scales = segment.ack, 0, 0
    if header > TCP_HEADER and not (header == TCP_HEADER + 12 and load_be32(tcp + TCP_HEADER) == TIMESTAMPS_ALONE):
        read_options(tcp, header, segment)


# -- judging ---------------------------------------------------------------------------------------------------------------

cdef inline void side_open(Side *sender, Side *receiver, const Segment *segment) noexcept nogil:
    """An end says the first thing, or its SYN again. Scaling is for both ends or for none."""
    if segment.flags & TCP_SYN:
        memset(sender, 0, sizeof(Side))
        sender.acked = segment.seq
        sender.limit, sender.scale, sender.scales = segment.seq + 1 + receiver.window, segment.scale, segment.scales
        if beyond(segment.end, sender.limit):  # RFC 7413: data at once
            sender.limit = segment.end
    else:                                      # in the middle of a connection: any window is possible
        sender.scale = MOST_SCALE
        if receiver.window == 0:
            sender.limit, receiver.end, receiver.limit = segment.end + (1 << (16 + MOST_SCALE - 1)), segment.sack, segment.sack
    sender.end = segment.end
    sender.window = max(segment.window, <uint32_t> 1)


cdef inline void agree(Connection *connection) noexcept nogil:
    """Without the option in both SYNs no window is scaled."""
    if connection.side[0].window and connection.side[1].window and connection.side[0].scales != connection.side[1].scales:
        connection.side[0].scale = connection.side[1].scale = 0


cdef inline bint acknowledges(const Side *sender, const Side *receiver, const Segment *segment) noexcept nogil:
    """III and IV; an end of which nothing was seen may have sent anything."""
    cdef uint32_t oldest = max(sender.window, <uint32_t> OLDEST_ACK)
    if receiver.window == 0:
        return True
    return not beyond(segment.sack, receiver.end) and beyond(segment.ack, receiver.end - oldest - 1)


cdef inline bint in_window(const Side *sender, const Side *receiver, const Segment *segment) noexcept nogil:
    """I and II."""
    return not beyond(segment.seq, sender.limit) and beyond(segment.end, sender.end - receiver.window - 1)


cdef inline bint fits(const Side *sender, const Side *receiver, const Segment *segment) noexcept nogil:
    """I to IV."""
    return in_window(sender, receiver, segment) and (not segment.flags & TCP_ACK or acknowledges(sender, receiver, segment))


cdef inline void advance(Side *sender, Side *receiver, const Segment *segment) noexcept nogil:
    """What a segment that fits tells of both ends."""
    cdef uint32_t window = segment.window if segment.flags & TCP_SYN else segment.window << sender.scale
    if receiver.window and beyond(segment.end, sender.limit):
        receiver.window += segment.end - sender.limit
    if beyond(segment.end, sender.end):
        sender.end = segment.end
    sender.asked = receiver.asked = 0
    if not segment.flags & TCP_ACK:
        return
    if beyond(segment.ack, sender.acked) or not sender.acks:
        sender.acked, sender.acks = segment.ack, 1
    sender.window = max(sender.window, window + (segment.sack - segment.ack))
    if not beyond(receiver.limit, segment.sack + window):
        receiver.limit = segment.sack + max(window, <uint32_t> 1)    # a closed window is probed with one byte


cdef inline int reset_fits(const Side *sender, const Side *receiver, const Segment *segment, uint8_t state) noexcept nogil:
    """A RST closes at the very number its receiver waits for, or behind the last its sender sent; nobody looks at what it acknowledges
    (RFC 9293, 3.10.7.4). The answer to a SYN acknowledges that: also when another answer may have got lost on its way."""
    if segment.flags & TCP_ACK and segment.ack == receiver.end and (sender.window == 0 or state == SYN_RECEIVED):
        return WINDOW_ACCEPTS
    if state == SYN_SENT and receiver.window == 0 and receiver.end and segment.seq == receiver.end:
        return WINDOW_PASSES                   # RFC 9293, 3.5.1: ends what the other end remembers; the SYN is said again
    if sender.window == 0:
        return WINDOW_REFUSES if segment.flags & TCP_ACK or state == SYN_SENT else WINDOW_PASSES
    if not in_window(sender, receiver, segment) or (receiver.acks and beyond(receiver.acked, segment.seq)):
        return WINDOW_REFUSES
    if segment.seq == sender.end or (receiver.acks and segment.seq == receiver.acked):
        return WINDOW_ACCEPTS
    return WINDOW_PASSES if beyond(sender.limit, segment.seq) else WINDOW_REFUSES


cdef inline int ask(Connection *connection, int direction, const Segment *segment) noexcept nogil:
    """A SYN into a connection: said again, or by an end that knows nothing of it any more. Its answer will show."""
    if direction == 0 and not connection.splice.what:
        connection.asked = segment.end
        connection.side[0].asked = ASKED_SCALE + segment.scale if segment.scales else ASKED
    return WINDOW_ACCEPTS if segment.end == connection.side[direction].end else WINDOW_PASSES


cdef inline int answer_again(Connection *connection, const Segment *segment, int direction) noexcept nogil:
    """A SYN and ACK in a connection: said again, made up, or the answer to a SYN that was sent into it."""
    cdef Side *sender = &connection.side[direction]
    cdef Side *receiver = &connection.side[direction ^ 1]
    cdef uint8_t asked = receiver.asked
    if fits(sender, receiver, segment):
        return WINDOW_PASSES
    if not asked or segment.ack != connection.asked or segment.sack != segment.ack:
        return WINDOW_REFUSES
    memset(receiver, 0, sizeof(Side))
    receiver.end = receiver.limit = connection.asked
    receiver.window = 1                        # at least; what else it offers, its first ACK says
    receiver.scales, receiver.scale = asked >= ASKED_SCALE, asked - ASKED_SCALE if asked >= ASKED_SCALE else 0
    side_open(sender, receiver, segment)
    agree(connection)
    advance(sender, receiver, segment)
    return WINDOW_REOPENS


cdef inline int window_judge(Connection *connection, const Frame *frame, uint8_t state, int direction) noexcept nogil:
    """Whether a segment whose flags are possible in `state` has possible numbers as well; what it tells is noted."""
    cdef Side *sender = &connection.side[direction]
    cdef Side *receiver = &connection.side[direction ^ 1]
    cdef Segment segment
    read_segment(frame, &segment)
    if segment.flags & TCP_RST:
        return reset_fits(sender, receiver, &segment, state) if sender.window or receiver.window else WINDOW_ACCEPTS
    if segment.flags & TCP_SYN and not segment.flags & TCP_ACK and sender.window and (receiver.window or direction):
        return ask(connection, direction, &segment)
    if segment.flags & TCP_SYN and sender.acks:
        return answer_again(connection, &segment, direction)
    if sender.window == 0 or (state == SYN_SENT and not direction and segment.flags & TCP_SYN):
        if direction and state == SYN_SENT and not segment.flags & TCP_SYN:
            sender.end = segment.ack           # of an older connection: the originator resets it, by this number
            return WINDOW_PASSES
        if segment.flags & TCP_ACK and not acknowledges(sender, receiver, &segment):
            return WINDOW_REFUSES
        if segment.flags & TCP_ACK and receiver.window and not receiver.acks and not beyond(segment.ack, receiver.acked):
            return WINDOW_REFUSES              # what it acknowledges is older than the SYN that it would answer
        side_open(sender, receiver, &segment)
        agree(connection)
    elif not fits(sender, receiver, &segment):
        return WINDOW_REFUSES
    advance(sender, receiver, &segment)
    return WINDOW_ACCEPTS
