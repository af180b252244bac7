# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""The state of one card's IO side as its engines see it: plain C structs, written by the data thread or under its barrier.

    Card -- cqs[] --> Cq <-- RxQueue  <-- rx[] by index, rx_order[] by rank     buffers the driver posted
         \                <-- TxQueue  <-- tx[]                                 packets the driver sends
          \- ingress[] --> one task for each port queue, with the Rx queue whose buffers it reads into

Queue r in the order of the Rx queues' indices belongs to port queue r: drivers create them in their own order, and the index space is
shared with Tx queues, so an index says nothing about the port.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from posix.uio cimport iovec

from ena_dev.bus.executor cimport Exec, Task, exec_clock
from ena_dev.bus.interrupts cimport Vector, vector_notify
from ena_dev.bus.memory cimport BUS_WRITE, Bus, bus_at
from ena_dev.device.flow_steering cimport FlowTable
from ena_dev.device.impairment cimport LINE_FULL, LINE_LOST, LINE_PASSES, WAY_IN, Line, line_take
from ena_dev.device.shaper cimport SHAPER_DROPPED, SHAPER_PASSES, Shaper, shaper_take
from ena_dev.packet.toeplitz cimport ToeplitzTable
from ena_dev.port.port cimport PortMeta, PortQueue

cdef enum:
    CARD_QUEUES = 256          # queue indices of one card
    CARD_PORT_QUEUES = 64
    HEAD_BYTES = 256           # of a frame's start, copied out before anything in it is judged
    SPILL_BYTES = 0x11000      # holds any frame a port can hand over: 64 KiB and its headers
    LINE_HEADER = 240          # bytes of a frame in a line of device memory, at most
    LARGE_OFFER = 65600        # bytes to offer a port that may hand over large packets
    FRAME_SLACK = 22           # Ethernet header and two VLAN tags, beside the MTU
    PAD_BYTES = 60
    DEFAULT_MTU = 9216

# Why a frame was dropped; the names stand in card_counters.pyx, in this order.
cdef enum:
    DROP_NONE = 0
    DROP_LINK = 1              # the link is down
    DROP_FILTER = 2            # Rx: addressed to another card
    DROP_MALFORMED = 3         # Rx: a runt, or a large packet that isn't one; Tx: a broken chain of descriptors
    DROP_TOO_LONG = 4          # beyond the MTU, or more buffers than a packet may use
    DROP_OVERRUN = 5           # Rx: no posted buffers
    DROP_OFFLOAD = 6           # Tx: an offload that doesn't fit the packet
    DROP_PORT_FULL = 7
    DROP_PORT_ERROR = 8
    DROP_FAULT = 9             # lost on request
    DROP_MEMORY = 10           # the delay line is full
    DROP_ALLOWANCE = 11        # beyond what the card may let through
    DROPS = 12

cdef struct Counters:
    uint64_t packets, bytes
    uint64_t drops[DROPS]
    uint64_t copied            # Rx: read into the buffers of one queue, delivered into another's
    uint64_t segmented         # large packets cut in software
    uint64_t summed            # checksums finished or verified in software
    uint64_t bad_doorbells     # tails that named descriptors which weren't there
    uint64_t long_bursts       # doorbells for more lines than the card had asked for

cdef struct Cq:
    uint64_t ring              # bus address
    uint32_t depth
    uint32_t entry             # bytes
    uint16_t index
    uint16_t tail
    uint32_t users             # SQs attached
    Vector *vector             # NULL: never interrupts

cdef struct Posted:            # an Rx descriptor, fetched once and checked once
    uint8_t *host
    uint64_t address
    uint32_t length
    uint16_t req_id

cdef struct Card

cdef struct RxQueue:
    Card *card
    Cq *cq
    Posted *posted             # by slot
    uint64_t ring
    uint32_t depth
    uint32_t doorbell          # atomic: as last written
    uint16_t index
    uint16_t rank
    uint16_t fetched           # descriptors read so far
    uint16_t head              # of them, completed
    uint8_t touched            # completions not announced yet
    uint32_t located           # generation of the memory that `posted` points into
    Counters counters

cdef struct Meta:              # what a Tx meta descriptor says
    uint32_t mss
    uint16_t l3_offset, l3_length, l4_words

cdef struct Lines:             # of a Tx queue in device memory
    uint8_t *memory            # line 0; NULL: the queue's descriptors are in host memory
    uint32_t entry             # bytes of a line
    uint32_t before, following # descriptors before the header, and in each further line
    uint32_t burst             # lines between doorbells that the card asked for; 0: any
    uint8_t cached_meta        # a packet may do without its meta descriptor
    uint8_t header[LINE_HEADER] # of the packet being sent

cdef struct TxQueue:
    Card *card
    Cq *cq
    PortQueue *port
    uint16_t port_index
    uint16_t index
    uint16_t head              # descriptors taken so far
    Task task
    uint64_t ring
    uint32_t depth
    uint32_t doorbell          # atomic: as last written
    Meta meta                  # stored by the last meta descriptor that asked for it
    Lines lines
    Counters counters

cdef struct Ingress:
    Card *card
    PortQueue *port
    RxQueue *home              # whose buffers frames are read into; NULL: there is no Rx queue
    Task task
    uint8_t gone               # the port failed for good
    uint32_t large_ahead       # frames for which large ones are reckoned with
    uint8_t *parked            # SPILL_BYTES: a frame that was read with too few buffers posted; it waits for more
    uint32_t parked_length     # 0: none
    PortMeta parked_meta

cdef struct Spoil:             # faults: how many of the coming completions of one direction are spoiled
    uint32_t wrong_id          # they name a request that can't be in flight
    uint32_t malformed         # a bit that must be zero is set

cdef struct Card:
    Bus *bus
    Exec *exec
    Cq *cqs[CARD_QUEUES]
    RxQueue *rx[CARD_QUEUES]
    TxQueue *tx[CARD_QUEUES]
    RxQueue *rx_order[CARD_QUEUES]
    uint32_t rx_count, tx_count
    Ingress *ingress           # one for each port queue; only of pull ports
    uint32_t port_queues
    Task announcer             # push ports: one notification for all frames of a sender's burst
    const ToeplitzTable *hash  # NULL: nothing is hashed
    uint16_t *table            # indirection: device Rx SQ indices
    uint32_t table_size        # a power of two, or 0
    const FlowTable *flows     # rules that come before the hash
    uint64_t clock_offset      # ns from the executor's clock to the card's own, which stamps completions
    uint8_t mac[6]
    uint8_t promiscuous, link, large
    uint32_t mtu
    uint32_t max_rx_buffers, max_tx_buffers
    uint32_t fatal             # 1 after an address that nobody owns
    uint64_t fatal_address
    uint32_t withhold          # fault: Tx packets that get no completion
    uint32_t lose_interrupts   # fault: messages that are lost, of whatever IO vector
    Spoil spoil_tx, spoil_rx
    Line *line                 # faults of packets; NULL in service
    Shaper *shaper             # allowances; NULL without limits
    PortQueue *egress[CARD_PORT_QUEUES]
    uint8_t *spill             # SPILL_BYTES: what a frame needs beyond the posted buffers
    uint8_t *bounce            # SPILL_BYTES: a frame that must leave the buffers it was read into
    uint8_t zeros[PAD_BYTES]
    Counters rx_total          # of queues that are gone, and drops before a queue was known
    Counters tx_total


cdef inline void card_fatal(Card *card, uint64_t address) noexcept nogil:
    """The driver named memory that isn't there: no queue does any DMA from here on, only a reset helps. The first address is kept."""
    if not card.fatal:
        card.fatal_address = address
    card.fatal = 1


cdef inline uint8_t *cq_slot(Card *card, Cq *cq) noexcept nogil:
    """Where the next completion goes, or NULL when the ring is no longer mapped."""
    cdef uint8_t *ring = bus_at(card.bus, cq.ring, <uint64_t> cq.depth * cq.entry, BUS_WRITE)
    if ring == NULL:
        card_fatal(card, cq.ring)
        return NULL
    return ring + (cq.tail & (cq.depth - 1)) * cq.entry


cdef inline void cq_notify(Cq *cq, uint64_t now, uint32_t kind) noexcept nogil:
    if cq.vector != NULL:
        vector_notify(cq.vector, now, kind)


cdef inline bint card_impairs(Card *card, uint8_t way, uint16_t queue, const iovec *pieces, int count, uint32_t length,
                              const PortMeta *meta) noexcept nogil:
    """Whether a fault keeps the frame from going on: it is lost, or comes later."""
    cdef Counters *counters = &card.rx_total if way == WAY_IN else &card.tx_total
    cdef int fate = line_take(card.line, way, queue, pieces, count, length, meta, exec_clock(card.exec))
    if fate == LINE_LOST:
        counters.drops[DROP_FAULT] += 1
    elif fate == LINE_FULL:
        counters.drops[DROP_MEMORY] += 1
    return fate != LINE_PASSES


cdef inline int card_shapes(Card *card, uint8_t way, uint16_t queue, const iovec *pieces, int count, uint32_t length,
                            const PortMeta *meta, uint64_t now) noexcept nogil:
    """What the allowances make of a frame, SHAPER_*. It is counted when they drop it."""
    cdef Counters *counters = &card.rx_total if way == WAY_IN else &card.tx_total
    cdef int fate = shaper_take(card.shaper, way, queue, pieces, count, length, meta, now)
    if fate == SHAPER_DROPPED:
        counters.drops[DROP_ALLOWANCE] += 1
    return fate


cdef inline bint spoils(uint32_t *count) noexcept nogil:
    """Whether a fault is due; it is spent then."""
    if not count[0]:
        return False
    count[0] -= 1
    return True


cdef inline void add_counters(Counters *total, const Counters *part) noexcept nogil:
    cdef int i
    total.packets += part.packets
    total.bytes += part.bytes
    total.copied += part.copied
    total.segmented += part.segmented
    total.summed += part.summed
    total.bad_doorbells += part.bad_doorbells
    total.long_bursts += part.long_bursts
    for i in range(DROPS):
        total.drops[i] += part.drops[i]
