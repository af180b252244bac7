# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""Sending: fetch descriptors, gather packets, hand them to the port, complete.

    doorbell --tail--> gather (meta, data ... last) --> tx_offload --> port
                       host's, or by tx_lines       `--> completion, whatever became of the packet

Descriptors are copied out one by one and judged then. A packet whose last descriptor isn't there yet stays in the ring; a broken chain
is dropped and completed; an address that nobody owns stops the card. Source: ENA interface, Tx descriptor; Tx completion.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from ena_dev.abi.eth_io cimport TX_CDESC_PHASE, TX_CDESC_ZERO, TX_FIRST, TX_LAST, TX_META_DESC, TX_PHASE, TxCdesc, TxDesc
from ena_dev.bus.atomic cimport load_acquire, store_release, store_release64
from ena_dev.bus.executor cimport task_wake
from ena_dev.bus.interrupts cimport NOTIFY_TX
from ena_dev.bus.memory cimport BUS_READ, bus_at
from ena_dev.device.card cimport Card, DROP_LINK, DROP_NONE, TxQueue, card_fatal, cq_notify, cq_slot, spoils
from ena_dev.device.tx_descriptors cimport tx_begin, tx_fetch, tx_read_data, tx_read_meta
from ena_dev.device.tx_lines cimport tx_gather_lines
from ena_dev.device.tx_offload cimport Outgoing, tx_flush, tx_transmit
from ena_dev.port.port cimport PortRefused
from ena_dev.ring cimport ring_phase, ring_slot, ring_used

cdef enum:
    EXTENDED = 16              # bytes of a completion with a time stamp


cdef void tx_doorbell(void *ctx, uint32_t value) noexcept nogil:
    cdef TxQueue *q = <TxQueue *> ctx
    store_release(&q.doorbell, value)
    task_wake(&q.task)


cdef bint gather(TxQueue *q, const uint8_t *ring, uint16_t tail, Outgoing *packet) noexcept nogil:
    """The packet at the head of the ring; False if its rest isn't there yet, or an address is nobody's."""
    cdef uint16_t at = q.head
    cdef TxDesc desc
    tx_begin(q, packet)
    while at != tail:
        tx_fetch(ring + ring_slot(at, q.depth) * sizeof(TxDesc), &desc)
        if (desc.word[0] & TX_PHASE != 0) != ring_phase(at, q.depth):
            q.counters.bad_doorbells += 1
            return False
        if (desc.word[0] & TX_FIRST != 0) != (at == q.head):
            packet.malformed = 1
            if at != q.head:                   # another packet begins: this one has no end
                packet.end = at
                return True
        if desc.word[0] & TX_META_DESC:
            if at != q.head:
                packet.malformed = 1
            tx_read_meta(q, &desc, packet)
        elif not tx_read_data(q, &desc, packet):
            return False
        at += 1
        if desc.word[0] & TX_LAST:
            packet.end = at
            return True
    packet.end, packet.malformed = at, 1
    return ring_used(at, q.head) == q.depth


cdef void complete(TxQueue *q, uint16_t req_id, uint64_t now) noexcept nogil:
    """The request's number back, whatever it is, in one store."""
    cdef uint8_t *slot
    cdef uint32_t *times
    cdef TxCdesc completion
    cdef uint64_t word
    if q.card.withhold:
        q.card.withhold -= 1
        return
    slot = cq_slot(q.card, q.cq)
    if slot == NULL:
        return
    completion.req_id, completion.status, completion.sub_qid, completion.sq_head = req_id, 0, q.index, q.head
    completion.flags = TX_CDESC_PHASE if ring_phase(q.cq.tail, q.cq.depth) else 0
    if spoils(&q.card.spoil_tx.wrong_id):
        completion.req_id = ~req_id
    if spoils(&q.card.spoil_tx.malformed):
        completion.flags |= TX_CDESC_ZERO
    if q.cq.entry >= EXTENDED:
        times = <uint32_t *> (slot + sizeof(TxCdesc))
        now += q.card.clock_offset
        times[0], times[1] = <uint32_t> now, <uint32_t> (now >> 32)
    memcpy(&word, &completion, sizeof(word))
    store_release64(<uint64_t *> slot, word)
    q.cq.tail += 1


cdef void account(TxQueue *q, const Outgoing *packet, int reason) noexcept nogil:
    if reason != DROP_NONE:
        q.counters.drops[reason] += 1
        return
    q.counters.packets += 1
    q.counters.bytes += packet.length


cdef int tx_step(void *ctx, uint64_t now, int budget) noexcept nogil:
    """Send what the doorbell announced, at most `budget` frames (a large packet counts its segments, and is not interrupted)."""
    cdef TxQueue *q = <TxQueue *> ctx
    cdef Card *card = q.card
    cdef uint16_t tail = <uint16_t> load_acquire(&q.doorbell)
    cdef Outgoing packet
    cdef PortRefused refused
    cdef uint8_t *ring = NULL
    cdef int done = 0, completed = 0, reason
    if tail == q.head or card.fatal:
        return 0
    if q.lines.memory == NULL:
        ring = bus_at(card.bus, q.ring, <uint64_t> q.depth * sizeof(TxDesc), BUS_READ)
        if ring == NULL:
            card_fatal(card, q.ring)
            return 0
    if ring_used(tail, q.head) > q.depth:
        q.counters.bad_doorbells += 1
        tail = <uint16_t> (q.head + q.depth)
    while done < budget and q.head != tail and not card.fatal:
        if not (gather(q, ring, tail, &packet) if ring != NULL else tx_gather_lines(q, tail, &packet)):
            break
        reason = tx_transmit(q, &packet, now, &done) if card.link else DROP_LINK
        if reason != DROP_NONE:
            done += 1
        account(q, &packet, reason)
        q.head = packet.end
        if packet.named:
            complete(q, packet.req_id, now)
            completed = 1
    tx_flush(q, &refused)
    if completed:
        cq_notify(q.cq, now, NOTIFY_TX)
    return min(done, budget)
