# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""What is known of packets that come in fragments: which bytes were seen, where the first has gone, what waits for it. Header-only.

The fragments of one packet are a train. They aren't put together: each goes on by itself, once its first has.

    waits --its first passes--> follows --all bytes seen--> free
      `--overlap, its first is dropped--> dead              any of them is free when it is due

Bytes are remembered in units of eight, so that a train takes the same memory whatever it is cut into, and any overlap is found.
Source: RFC 791, 3.2; RFC 8200, 4.5; RFC 5722 (overlap ends the packet; an exact duplicate need not, RFC 8200, 4.5).
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from appliance.flow.key cimport Tuple, key_equal, map_ipv4
from ena_dev.driver.rings cimport Frame
from ena_dev.packet.headers cimport (
    ETHERNET_HEADER, IPV4_HEADER, IPV6_HEADER, PROTOCOL_FRAGMENT, load_be16,
)


cdef enum:
    TRAINS = 1024
    TRAIN_BUCKETS = 2048       # a power of two
    WORDS = 128                # of 64 units: 65,536 bytes
    LARGEST = 65535            # bytes of a packet, or of what follows its IPv6 header
    FRAGMENTS_PARKED = 1024    # of all trains: a quarter of what may wait
    TRAIN_PARKED = 64          # of one: the largest packet in pieces for the smallest IPv6 link, 1,280
    COUNTERS = 1024            # of identifications, a power of two

cdef enum:  # Train.state: each state has its list, sorted by when trains are due
    TRAIN_FREE = 0
    TRAIN_WAITS = 1            # its first fragment hasn't come, or isn't decided
    TRAIN_FOLLOWS = 2
    TRAIN_DEAD = 3
    TRAIN_STATES = 4

cdef enum:  # what a fragment is to its train
    PIECE_NEW = 0
    PIECE_DUPLICATE = 1
    PIECE_CONFLICTS = 2


cdef struct Piece:             # one fragment
    uint32_t start             # bytes of the packet, without headers before the fragment's payload
    uint32_t end
    uint32_t field             # offset in the frame of IPv4's identification or the IPv6 fragment header's
    bint more

cdef struct Train:
    Tuple key                  # of `key_of_train`
    uint64_t due               # ns
    uint64_t flow              # handle; once the first has passed
    uint32_t next, prev        # in the list of its state
    uint32_t chained           # the next one of its bucket
    uint32_t parked            # first of the frames that wait
    uint32_t parked_count
    uint32_t first_end         # where the first fragment ends
    uint32_t end               # the farthest byte seen
    uint32_t total             # 0: the last fragment hasn't come
    uint32_t size              # bytes seen
    uint32_t identity          # on the other side, if `renamed`
    uint32_t sequence          # TCP: behind the first fragment's data, if `counts`
    uint8_t state
    uint8_t reason             # dead: why
    uint8_t direction          # in its flow
    uint8_t renamed
    uint8_t counts
    uint64_t seen[WORDS]       # units
    uint64_t starts[WORDS]     # units that begin a fragment

cdef struct TrainList:
    uint32_t head              # due first
    uint32_t tail
    uint32_t count

cdef struct Fragments:
    Train trains[TRAINS + 1]   # the first is never used
    uint32_t buckets[TRAIN_BUCKETS]
    TrainList list[TRAIN_STATES]
    uint32_t fresh             # trains up to here have been used
    uint32_t frames            # that wait
    uint32_t frame_buffers
    uint32_t current           # the train of the fragment in hand
    uint32_t counters[COUNTERS]    # of identifications by keyed hash of addresses and protocol


# -- one fragment ----------------------------------------------------------------------------------------------------------

cdef inline uint32_t fragment_header(const uint8_t *l3) noexcept nogil:
    """Where an IPv6 fragment's header begins, from `l3`; the packet parsed well."""
    cdef uint32_t at = IPV6_HEADER
    cdef uint8_t kind = l3[6]
    while kind != PROTOCOL_FRAGMENT:
        kind = l3[at]
        at += (l3[at + 1] + 1) * 8
    return at


cdef inline bint read_piece(const Frame *frame, Piece *piece) noexcept nogil:
    """Which part of its packet a fragment is. False: it is empty, isn't whole units though more follow, or ends beyond any packet."""
    cdef const uint8_t *l3 = frame.data + ETHERNET_HEADER
    cdef uint32_t header = IPV4_HEADER, word, size, limit = LARGEST - IPV4_HEADER
    if frame.parsed.version == 4:
        word = load_be16(l3 + 6)
        piece.start, piece.more, piece.field = (word & 0x1FFF) * 8, word & 0x2000 != 0, ETHERNET_HEADER + 4
    else:
        header = fragment_header(l3)
        word = load_be16(l3 + header + 2)
        piece.start, piece.more, piece.field = word & 0xFFF8, word & 1, ETHERNET_HEADER + header + 4
        limit = LARGEST - (header - IPV6_HEADER)
        header += 8
    size = frame.parsed.l3_length - header
    piece.end = piece.start + size
    return size != 0 and not (piece.more and size & 7) and piece.end <= limit


cdef inline void key_of_train(Tuple *key, const Frame *frame) noexcept nogil:
    """Addresses, identification in place of the ports, ingress nic in place of the type; IPv4: the protocol as well."""
    cdef const uint8_t *l3 = frame.data + ETHERNET_HEADER
    memset(key, 0, sizeof(Tuple))
    key.version, key.kind = frame.parsed.version, frame.nic
    if key.version == 4:
        map_ipv4(key.source, l3 + 12)
        map_ipv4(key.destination, l3 + 16)
        memcpy(&key.sport, l3 + 4, 2)
        key.protocol = l3[9]
    else:
        memcpy(key.source, l3 + 8, 32)
        memcpy(&key.sport, l3 + fragment_header(l3) + 4, 4)


# -- which bytes were seen -------------------------------------------------------------------------------------------------

cdef inline uint64_t units_in(uint32_t word, uint32_t first, uint32_t last) noexcept nogil:
    """The units first..last that lie in a word which holds some of them."""
    cdef uint64_t mask = 0xFFFFFFFFFFFFFFFFULL
    if word == first >> 6:
        mask <<= first & 63
    if word == last >> 6:
        mask &= 0xFFFFFFFFFFFFFFFFULL >> (63 - (last & 63))
    return mask


cdef inline bint marked(const uint64_t *words, uint32_t unit) noexcept nogil:
    return words[unit >> 6] >> (unit & 63) & 1


cdef inline bint seen_as_it_is(const Train *train, const Piece *piece) noexcept nogil:
    """Whether some of a fragment's bytes were seen as just this fragment. Others than it may not overlap those."""
    cdef uint32_t first = piece.start >> 3, last = (piece.end - 1) >> 3, word
    cdef uint64_t mask, inner
    if not marked(train.starts, first) or (piece.end == train.total) == piece.more:
        return False
    for word in range(first >> 6, (last >> 6) + 1):
        mask = inner = units_in(word, first, last)
        if word == first >> 6:
            inner &= ~(<uint64_t> 1 << (first & 63))
        if train.seen[word] & mask != mask or train.starts[word] & inner:
            return False
    return last == 64 * WORDS - 1 or not marked(train.seen, last + 1) or marked(train.starts, last + 1)


cdef inline bint train_touches(const Train *train, const Piece *piece) noexcept nogil:
    """Whether any unit of a fragment was seen."""
    cdef uint32_t first = piece.start >> 3, last = (piece.end - 1) >> 3, word
    for word in range(first >> 6, (last >> 6) + 1):
        if train.seen[word] & units_in(word, first, last):
            return True
    return False


cdef inline int train_note(Train *train, const Piece *piece) noexcept nogil:
    """Note a fragment's bytes, unless the train has some of them, or contradicts it about where the packet ends."""
    cdef uint32_t first = piece.start >> 3, last = (piece.end - 1) >> 3, word
    if train.total and piece.end > train.total or not piece.more and piece.end < train.end:
        return PIECE_CONFLICTS
    if train_touches(train, piece):
        return PIECE_DUPLICATE if seen_as_it_is(train, piece) else PIECE_CONFLICTS
    if not piece.more:
        train.total = piece.end
    for word in range(first >> 6, (last >> 6) + 1):
        train.seen[word] |= units_in(word, first, last)
    train.starts[first >> 6] |= <uint64_t> 1 << (first & 63)
    train.size += piece.end - piece.start
    train.end = max(train.end, piece.end)
    if piece.start == 0:
        train.first_end = piece.end
    return PIECE_NEW


# -- trains ----------------------------------------------------------------------------------------------------------------

cdef inline uint32_t train_find(const Fragments *all, const Tuple *key, uint64_t hash) noexcept nogil:
    """The number of a train, 0 if there is none."""
    cdef uint32_t number = all.buckets[hash & (TRAIN_BUCKETS - 1)]
    while number and not key_equal(&all.trains[number].key, key):
        number = all.trains[number].chained
    return number


cdef inline void train_leave(Fragments *all, uint32_t number) noexcept nogil:
    """Out of the list of its state."""
    cdef Train *train = &all.trains[number]
    cdef TrainList *chain = &all.list[train.state]
    if train.prev:
        all.trains[train.prev].next = train.next
    else:
        chain.head = train.next
    if train.next:
        all.trains[train.next].prev = train.prev
    else:
        chain.tail = train.prev
    chain.count -= 1


cdef inline void train_enter(Fragments *all, uint32_t number, uint8_t state, uint64_t due) noexcept nogil:
    """Become the last in the list of a state: what enters is always due last."""
    cdef Train *train = &all.trains[number]
    cdef TrainList *chain = &all.list[state]
    train.state, train.due, train.next, train.prev = state, due, 0, chain.tail
    if chain.tail:
        all.trains[chain.tail].next = number
    else:
        chain.head = number
    chain.tail = number
    chain.count += 1


cdef inline void train_move(Fragments *all, uint32_t number, uint8_t state, uint64_t due) noexcept nogil:
    train_leave(all, number)
    train_enter(all, number, state, due)


cdef inline void train_free(Fragments *all, uint32_t number, uint64_t hash) noexcept nogil:
    """Forget a train for which nothing waits. `hash`: of its key."""
    cdef uint32_t *link = &all.buckets[hash & (TRAIN_BUCKETS - 1)]
    while link[0] != number:
        link = &all.trains[link[0]].chained
    link[0] = all.trains[number].chained
    train_move(all, number, TRAIN_FREE, 0)


cdef inline uint32_t train_take(Fragments *all, const Tuple *key, uint64_t hash, uint64_t due) noexcept nogil:
    """A new train that waits; 0 if none is free."""
    cdef uint32_t *bucket = &all.buckets[hash & (TRAIN_BUCKETS - 1)]
    cdef uint32_t number = all.list[<int> TRAIN_FREE].head
    if number:
        train_leave(all, number)
    elif all.fresh < TRAINS:
        all.fresh += 1
        number = all.fresh
    else:
        return 0
    memset(&all.trains[number], 0, sizeof(Train))
    all.trains[number].key, all.trains[number].chained = key[0], bucket[0]
    bucket[0] = number
    train_enter(all, number, TRAIN_WAITS, due)
    return number
