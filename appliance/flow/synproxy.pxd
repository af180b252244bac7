# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""Handshakes without a flow: who gets a cookie instead, and what comes of it. Header-only.

    SYN  --what was decided of its like: guarded, and due?--> SYN+ACK in its own frame; nothing is remembered
    ACK  --a cookie that fits--> the SYN that it stands for, from here on the first packet of a flow like any other

Due is always, or while its service is under pressure: too many half-open flows of its own, or a quarter of the whole table. A policy that
denies comes first: only SYNs of a kind that was let through are answered.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from appliance.flow.adjacency cimport send_frame
from appliance.flow.cookie cimport COOKIE_MSS, cookie_fits, cookie_make
from appliance.flow.engine cimport Engine, Nic, Service, drop
from appliance.flow.key cimport Tuple
from appliance.flow.megaflow cimport MEGAFLOW_ASK, MEGAFLOW_PASS, Megaflow, megaflow_find
from appliance.flow.reasons cimport DROP_FRAGMENT, DROP_MALFORMED, DROP_NO_NIC, DROP_TX_FULL, DROP_TX_REFUSED
from appliance.flow.segments cimport Saying, hear_options, remake, say, turn
from appliance.flow.splice cimport OUR_SCALE, SPLICE_COOKIE, SPLICE_SACK, Splice, UNSCALED
from appliance.flow.table cimport CLASS_OPENING, Table
from appliance.flow.tcp cimport EVENT_ACK, EVENT_SYN, tcp_event_of
from ena_dev.driver.rings cimport Frame, SEND_FULL, SEND_OK
from ena_dev.packet.headers cimport PARSED_FRAGMENT, TCP_ACK, TCP_SYN, load_be16, load_be32


cdef enum:  # guard of a command and a megaflow
    GUARD_NONE = 0
    GUARD_PRESSURE = 1
    GUARD_ALWAYS = 2

cdef enum:
    BACKLOG = 4096             # half-open flows of a service that are too many,
    BACKLOG_SHARE = 16         # or, in a small table, this part of it
    TABLE_SHARE = 4            # the part of the table that half-open flows may take, of all services
    LARGEST_MSS = 8940


cdef inline bint pressed(const Engine *engine, uint16_t number) noexcept nogil:
    """Whether a service is under pressure, if anybody asks now. It ends when half of what made it is left."""
    cdef const Service *service = &engine.services[number]
    cdef const Table *table = engine.table
    cdef uint32_t most = min(table.limit // BACKLOG_SHARE, <uint32_t> BACKLOG), opening = table.chain[<int> CLASS_OPENING].count
    cdef uint32_t part = table.limit // TABLE_SHARE
    if service.pressed:
        return service.opening >= most // 2 or opening >= part // 2
    return service.opening >= most or opening >= part


cdef inline bint guarded(Engine *engine, uint8_t guard, uint16_t service) noexcept nogil:
    """Whether a cookie is due."""
    if guard != GUARD_PRESSURE:
        return guard == GUARD_ALWAYS
    engine.services[service].pressed = pressed(engine, service)
    return engine.services[service].pressed


# -- SYN -------------------------------------------------------------------------------------------------------------------

cdef inline void bounce(Engine *engine, Frame *frame, uint64_t now) noexcept nogil:
    """Send a frame back to the station it came from."""
    cdef Nic *nic = &engine.nics[frame.nic]
    cdef int result
    memcpy(frame.data, frame.data + 6, 6)
    memcpy(frame.data + 6, nic.mac, 6)
    if not nic.queues or not nic.lanes[frame.queue % nic.queues].pair.running:
        drop(engine, frame, DROP_NO_NIC)
        return
    result = send_frame(engine, nic, frame, now)
    if result == SEND_OK:
        engine.counters.sent += 1
    else:
        drop(engine, frame, DROP_TX_FULL if result == SEND_FULL else DROP_TX_REFUSED)


cdef inline uint16_t offered_mss(const Engine *engine, uint8_t nic, const Service *service, uint8_t version) noexcept nogil:
    """What the originator may send at once: as much as its link carries, but not more than the service's targets have said."""
    cdef uint32_t mss = min(engine.nics[nic].mtu - (40 if version == 4 else 60), <uint32_t> LARGEST_MSS)
    return <uint16_t> min(mss, <uint32_t> service.mss) if service.mss else <uint16_t> mss


cdef inline void answer(Engine *engine, Frame *frame, const Tuple *key, uint16_t number, uint64_t now) noexcept nogil:
    """A SYN+ACK in place of a SYN. Its window is closed: what comes before the target is there would have to be kept somewhere."""
    cdef Service *service = &engine.services[number]
    cdef uint32_t isn = load_be32(frame.data + frame.parsed.l4_offset + 4)
    cdef Saying heard, says
    cdef Tuple back
    hear_options(frame, &heard)
    say(&says, TCP_SYN | TCP_ACK, 0, isn + 1, 0)
    says.seq = cookie_make(&engine.cookies, key, frame.nic, isn, heard.mss, heard.sack, heard.scale, now)
    says.mss, says.sack = offered_mss(engine, frame.nic, service, key.version), heard.sack
    says.scale = OUR_SCALE if heard.scale != UNSCALED else UNSCALED
    turn(&back, key)
    if not remake(engine.pool, frame, &back, &says):
        drop(engine, frame, DROP_TX_REFUSED)
        return
    service.sent += 1
    bounce(engine, frame, now)


cdef inline bint syn_ends(Engine *engine, Frame *frame, const Tuple *key, const Megaflow *found, uint64_t now) noexcept nogil:
    """Whether a TCP frame without a flow is a SYN that gets a cookie: then it is gone."""
    if found == NULL or not found.guard or tcp_event_of(frame.parsed.tcp_flags) != EVENT_SYN:
        return False
    if not guarded(engine, found.guard, found.service):
        return False
    if frame.parsed.flags & PARSED_FRAGMENT:
        drop(engine, frame, DROP_FRAGMENT)
    elif frame.data[6] & 1:
        drop(engine, frame, DROP_MALFORMED)    # from a group
    else:
        answer(engine, frame, key, found.service, now)
    return True


# -- ACK -------------------------------------------------------------------------------------------------------------------

cdef inline bint holds_cookie(Engine *engine, const Frame *frame, const Tuple *key, uint32_t *isn, uint64_t now) noexcept nogil:
    """Whether an ACK is the answer to a cookie, and to which SYN. A probe of the closed window has the number before the next."""
    cdef const uint8_t *tcp = frame.data + frame.parsed.l4_offset
    cdef uint32_t seq = load_be32(tcp + 4), cookie = load_be32(tcp + 8) - 1
    cdef uint32_t back
    if tcp_event_of(frame.parsed.tcp_flags) != EVENT_ACK or frame.parsed.flags & PARSED_FRAGMENT:
        return False
    for back in range(1, -1, -1):
        isn[0] = seq - back
        if cookie_fits(&engine.cookies, key, frame.nic, isn[0], cookie, now):
            return True
    return False


cdef inline bint ack_begins(Engine *engine, Frame *frame, const Tuple *key, Splice *splice, uint64_t now) noexcept nogil:
    """Whether a TCP frame without a flow acknowledges a cookie: then it is the SYN from here on, and what it carried will come again."""
    cdef const uint8_t *tcp = frame.data + frame.parsed.l4_offset
    cdef uint32_t isn, cookie, window
    cdef const Megaflow *found
    cdef Saying says
    memset(splice, 0, sizeof(Splice))
    if now >= engine.cookies.until or tcp_event_of(frame.parsed.tcp_flags) != EVENT_ACK:
        return False
    if not holds_cookie(engine, frame, key, &isn, now):
        found = megaflow_find(engine.megaflows, key, frame.nic, TCP_SYN)
        if found != NULL and found.guard:
            engine.services[found.service].refused += 1
        return False
    cookie = load_be32(tcp + 8) - 1
    splice.what, splice.ours, splice.first = SPLICE_COOKIE | (SPLICE_SACK if cookie & 16 else 0), cookie, isn + 1
    splice.window, splice.mss, splice.scale = load_be16(tcp + 14), COOKIE_MSS[cookie >> 5 & 7], cookie & 15
    window = splice.window << (splice.scale if splice.scale != UNSCALED else 0)
    say(&says, TCP_SYN, isn, 0, <uint16_t> min(window, <uint32_t> 65535))
    says.mss, says.sack, says.scale, says.hops = splice.mss, cookie >> 4 & 1, splice.scale, frame.parsed.ttl
    if not remake(engine.pool, frame, key, &says):
        splice.what = 0
    return splice.what != 0
