# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""The life of a train of fragments: frames wait for its first, it takes the name it leaves under, it ends. Header-only.

A train is given up after half a minute, as Linux does (ip_frag_time), counted anew when its first has passed: together no longer than
the sixty seconds of RFC 8200, 4.5. When all trains are taken one goes that waits or is dead, before one that a flow lets pass.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from appliance.flow.engine cimport Engine, drop
from appliance.flow.fragments cimport (
    COUNTERS, FRAGMENTS_PARKED, Fragments, Piece, TRAIN_DEAD, TRAIN_FOLLOWS, TRAIN_PARKED, TRAIN_WAITS, Train, key_of_train, read_piece,
    train_find, train_free, train_move, train_take,
)
from appliance.flow.key cimport Tuple, key_hash
from appliance.flow.parking cimport SHARE_DECISION, park, unpark
from appliance.flow.reasons cimport DROP_FRAGMENT_FIRST, DROP_FRAGMENT_FULL, DROP_FRAGMENT_OVERLAP, DROP_FRAGMENT_TIMEOUT
from appliance.flow.table cimport FLOW_INSTALLED, FLOW_REWRITE, Flow, Half, flow_handle
from appliance.flow.window cimport Side, beyond
from ena_dev.driver.rings cimport Frame
from ena_dev.packet.checksum cimport checksum_apply, checksum_delta16, load_native16, store_native16
from ena_dev.packet.headers cimport ETHERNET_HEADER, PROTOCOL_TCP, TCP_FIN, TCP_RST, TCP_SYN, htonl, htons, load_be32


cdef enum:
    TRAIN_TIME = 30            # seconds


# -- ending ----------------------------------------------------------------------------------------------------------------

cdef inline bint train_unpark(Engine *engine, uint32_t number, Frame *frame) noexcept nogil:
    """The oldest frame that waits in a train. False: there is none."""
    cdef Train *train = &engine.fragments.trains[number]
    if not unpark(&engine.parking, engine.pool, &train.parked, frame):
        return False
    train.parked_count -= 1
    engine.fragments.frames -= 1
    engine.fragments.frame_buffers -= frame.buffers
    return True


cdef inline void drop_waiting(Engine *engine, uint32_t number, uint32_t reason) noexcept nogil:
    cdef Frame frame
    while train_unpark(engine, number, &frame):
        drop(engine, &frame, reason)


cdef inline void train_end(Engine *engine, uint32_t number, uint32_t reason) noexcept nogil:
    """Forget a train; what waits in it is dropped as `reason`."""
    drop_waiting(engine, number, reason)
    train_free(&engine.fragments, number, key_hash(&engine.table.secret, &engine.fragments.trains[number].key))


cdef inline void train_kill(Engine *engine, uint32_t number, uint8_t reason) noexcept nogil:
    """Nothing more of this packet passes. It is due as if it had begun with the last one that began."""
    cdef Fragments *all = &engine.fragments
    cdef Train *train = &all.trains[number]
    drop_waiting(engine, number, reason)
    train.reason = reason
    train_move(all, number, TRAIN_DEAD, max(train.due, all.trains[all.list[<int> TRAIN_DEAD].tail].due))


cdef inline void first_lost(Engine *engine, const Frame *frame) noexcept nogil:
    """A frame ends that has waited for a decision: if it is a packet's first fragment, the others end with it."""
    cdef Tuple key
    cdef uint32_t number
    key_of_train(&key, frame)
    number = train_find(&engine.fragments, &key, key_hash(&engine.table.secret, &key))
    if number and engine.fragments.trains[number].state == TRAIN_WAITS:
        train_kill(engine, number, DROP_FRAGMENT_FIRST)


cdef inline void end_due_trains(Engine *engine, uint64_t now) noexcept nogil:
    """There are few enough to look at all that are due."""
    cdef Fragments *all = &engine.fragments
    cdef int state
    for state in range(<int> TRAIN_WAITS, <int> TRAIN_DEAD + 1):
        while all.list[state].head and all.trains[all.list[state].head].due <= now:
            train_end(engine, all.list[state].head, DROP_FRAGMENT_TIMEOUT)


cdef inline uint64_t earlier_train(const Fragments *all, uint64_t due) noexcept nogil:
    """When the next train is due, if that is before `due`, ns."""
    cdef int state
    for state in range(<int> TRAIN_WAITS, <int> TRAIN_DEAD + 1):
        if all.list[state].head:
            due = min(due, all.trains[all.list[state].head].due)
    return due


# -- beginning, waiting ----------------------------------------------------------------------------------------------------

cdef inline uint64_t train_due(Engine *engine, uint64_t now) noexcept nogil:
    """When a train is due that begins, or begins to follow, now."""
    cdef uint64_t due = now + TRAIN_TIME * 1000000000ULL
    engine.task.deadline = min(engine.task.deadline, due)
    return due


cdef inline uint32_t train_to_lose(const Fragments *all) noexcept nogil:
    """The train that makes room: the oldest of those that wait or of the dead, whichever are more; of the others if there are none."""
    cdef int state = TRAIN_WAITS if all.list[<int> TRAIN_WAITS].count >= all.list[<int> TRAIN_DEAD].count else TRAIN_DEAD
    return all.list[state].head if all.list[state].head else all.list[<int> TRAIN_FOLLOWS].head


cdef inline uint32_t train_of(Engine *engine, const Frame *frame, uint64_t now) noexcept nogil:
    """The train of a fragment that came; if need be a new one."""
    cdef Fragments *all = &engine.fragments
    cdef Tuple key
    cdef uint64_t hash
    cdef uint32_t number
    key_of_train(&key, frame)
    hash = key_hash(&engine.table.secret, &key)
    number = train_find(all, &key, hash)
    if number:
        return number
    number = train_take(all, &key, hash, train_due(engine, now))
    if number:
        return number
    train_end(engine, train_to_lose(all), DROP_FRAGMENT_FULL)
    return train_take(all, &key, hash, train_due(engine, now))


cdef inline bint train_park(Engine *engine, uint32_t number, const Frame *frame) noexcept nogil:
    """A fragment waits for its first; those give way that have waited longest. False: no room, and the caller still owns it."""
    cdef Fragments *all = &engine.fragments
    cdef Train *train = &all.trains[number]
    cdef uint32_t oldest, share = engine.parking.buffer_limit // 4
    while all.frames >= FRAGMENTS_PARKED or all.frame_buffers + frame.buffers > share:
        oldest = all.list[<int> TRAIN_WAITS].head
        if oldest == number:
            oldest = train.next
        if oldest == 0:
            return False
        train_kill(engine, oldest, DROP_FRAGMENT_FULL)
    if not park(&engine.parking, engine.pool, &train.parked, frame, SHARE_DECISION, TRAIN_PARKED):
        return False
    train.parked_count += 1
    all.frames += 1
    all.frame_buffers += frame.buffers
    return True


# -- passing ---------------------------------------------------------------------------------------------------------------

cdef inline uint32_t new_identity(Engine *engine, const Half *half, const Half *other) noexcept nogil:
    """An identification that the translated source has not used for long towards this destination. Source: RFC 6864, 5.3."""
    cdef Tuple pair
    cdef uint64_t hash
    memset(&pair, 0, sizeof(Tuple))
    memcpy(pair.source, other.key.destination, 16)
    memcpy(pair.destination, other.key.source, 16)
    pair.version, pair.protocol = half.key.version, half.key.protocol
    hash = key_hash(&engine.table.secret, &pair)
    engine.fragments.counters[hash & (COUNTERS - 1)] += 1
    return <uint32_t> (hash >> 32) + engine.fragments.counters[hash & (COUNTERS - 1)]


cdef inline void first_passes(Engine *engine, uint32_t ref, const Frame *frame, uint64_t now) noexcept nogil:
    """The train's flow is known: the others of it go the same way. Those of a TCP segment belong to its data."""
    cdef Flow *flow = &engine.table.flows[ref >> 1]
    cdef Half *half = &flow.half[ref & 1]
    cdef Half *other = &flow.half[ref & 1 ^ 1]
    cdef Train *train = &engine.fragments.trains[engine.fragments.current]
    cdef uint8_t flags = frame.parsed.tcp_flags
    train_move(&engine.fragments, engine.fragments.current, TRAIN_FOLLOWS, train_due(engine, now))
    train.flow, train.direction = flow_handle(engine.table, ref >> 1), ref & 1
    train.renamed = flow.state.flags & FLOW_REWRITE and memcmp(half.key.source, other.key.destination, 16) != 0
    if train.renamed:
        train.identity = new_identity(engine, half, other)
    train.counts = frame.parsed.protocol == PROTOCOL_TCP and not flags & (TCP_SYN | TCP_RST)
    if train.counts:
        train.sequence = load_be32(frame.data + frame.parsed.l4_offset + 4) + (flags & TCP_FIN)
        train.sequence += frame.parsed.l3_length - (frame.parsed.payload_offset - frame.parsed.l3_offset)
        if ref & 1 and flow.state.spliced:
            train.sequence -= engine.table.connections[ref >> 1].splice.delta


cdef inline void rename(Frame *frame, uint32_t identity) noexcept nogil:
    """Another identification into a fragment: IPv4 has it in a header with a checksum, IPv6 in one without."""
    cdef Piece piece
    cdef uint8_t *l3 = frame.data + ETHERNET_HEADER
    cdef uint16_t old
    read_piece(frame, &piece)
    if frame.parsed.version == 6:
        identity = htonl(identity)
        memcpy(frame.data + piece.field, &identity, 4)
        return
    old = load_native16(frame.data + piece.field)
    store_native16(frame.data + piece.field, htons(<uint16_t> identity))
    store_native16(l3 + 10, checksum_apply(load_native16(l3 + 10), checksum_delta16(old, htons(<uint16_t> identity))))


cdef inline void fragment_passes(Engine *engine, uint32_t ref, Frame *frame, uint64_t now) noexcept nogil:
    """What befalls the fragment in hand beside what befalls any packet of its flow; before that."""
    cdef Train *train = &engine.fragments.trains[engine.fragments.current]
    if train.state == TRAIN_WAITS:
        first_passes(engine, ref, frame, now)
    if train.renamed:
        rename(frame, train.identity)


cdef inline bint leaves_as(const Train *train, const Tuple *sent) noexcept nogil:
    """Whether a train's fragments have this identification where they go, in place of the ports as in `key_of_train`."""
    cdef uint32_t identity = htonl(train.identity)
    if not train.renamed:
        return memcmp(&train.key.sport, &sent.sport, 4) == 0
    return sent.sport == htons(<uint16_t> train.identity) if sent.version == 4 else memcmp(&identity, &sent.sport, 4) == 0


cdef inline uint32_t train_sent(Engine *engine, const Tuple *sent) noexcept nogil:
    """The train of a fragment as it has left, 0 if there is none any more: who is told about one, by an ICMP error, isn't told its ports."""
    cdef Fragments *all = &engine.fragments
    cdef const Train *train
    cdef const Flow *flow
    cdef const Tuple *back
    cdef uint32_t number
    for number in range(1, all.fresh + 1):
        train = &all.trains[number]
        flow = &engine.table.flows[<uint32_t> train.flow]
        if train.state != TRAIN_FOLLOWS or not flow.state.flags & FLOW_INSTALLED:
            continue
        back = &flow.half[train.direction ^ 1].key
        if flow_handle(engine.table, <uint32_t> train.flow) == train.flow and back.version == sent.version and (
            back.protocol == sent.protocol and leaves_as(train, sent)
            and memcmp(back.source, sent.destination, 16) == 0 and memcmp(back.destination, sent.source, 16) == 0
        ):
            return number
    return 0


cdef inline void count_data(Engine *engine, const Train *train, const Piece *piece) noexcept nogil:
    """A later fragment's data was sent as well, so it may be acknowledged; and sent again, as far as it is beyond the window."""
    cdef Side *sides = engine.table.connections[<uint32_t> train.flow].side
    cdef Side *sender = &sides[train.direction]
    cdef Side *receiver = &sides[train.direction ^ 1]
    cdef uint32_t end = train.sequence + (piece.end - train.first_end)
    if not sender.window or not beyond(end, sender.end) or end - sender.end > 65535:
        return
    if receiver.window and beyond(end, sender.limit):
        receiver.window += end - (sender.end if beyond(sender.end, sender.limit) else sender.limit)
    sender.end = end
