# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""What a queue pair does in bursts, without Python: send, reap, receive, refill, unmask, and the turn of a pair that is lent.

    pair_step: reap --> receive --> the program's burst --> refill --> doorbell --> dry? unmask : again

Who calls owns the pair: its task, or its coroutine under the executor's barrier. A device that breaks the contract makes the pair
stand still with a `fault`, a reset reason.
"""

from libc.stdint cimport uint32_t, uint64_t

from ena_dev.bus.atomic cimport exchange
from ena_dev.bus.eventfd cimport eventfd_write
from ena_dev.bus.interrupts cimport UNMASK_BIT, UNMASK_NO_UPDATE
from ena_dev.bus.mmio cimport bar_write
from ena_dev.driver.pool cimport pool_give_chain
from ena_dev.driver.rings cimport BURST, SEND_FULL, SEND_OK, SEND_REFUSED, Frame, TxRing
from ena_dev.driver.rx_ring cimport rx_next, rx_post
from ena_dev.driver.tx_ring cimport TX_BACKLOG, tx_put, tx_reap, tx_ring_doorbell

cdef enum:
    REFILL_AGAIN = 10000000        # ns after which a pair asks the pool again


cdef void pair_bell(Pair *pair) noexcept nogil:
    """Wake the coroutine, unless it was rung already and has not looked yet."""
    if exchange(&pair.belled, 1) == 0:
        eventfd_write(pair.bell, 1)


cdef void pair_broken(Pair *pair, uint32_t reason) noexcept nogil:
    """The contract was broken: the pair stands still until it is stopped and started again."""
    if not pair.fault:
        pair.fault = reason
    pair.running = 0
    pair_bell(pair)


cdef int pair_send(Pair *pair, Frame *frame, uint64_t now) noexcept nogil:
    """Queue one frame without ringing; behind the backlog if there is one. On SEND_OK its buffers are the pair's."""
    cdef TxRing *tx = &pair.tx
    cdef int result = SEND_FULL
    if not pair.running:
        return SEND_FULL
    if tx.backlog_count == 0:
        result = tx_put(tx, pair.pool, frame, now)
        if result != SEND_FULL:
            return result
    if tx.backlog_count == TX_BACKLOG:
        tx.full += 1
        return SEND_FULL
    tx.backlog[(tx.backlog_head + tx.backlog_count) % TX_BACKLOG] = frame[0]
    tx.backlog_count += 1
    return SEND_OK


cdef void pair_flush(Pair *pair) noexcept nogil:
    """Ring what was queued since the last doorbell."""
    if pair.running:
        tx_ring_doorbell(&pair.tx, pair.bar)


cdef int pair_reap(Pair *pair, int budget, uint64_t now) noexcept nogil:
    """Finished sends back to the pool; the backlog moves up. Returns how many were finished."""
    cdef TxRing *tx = &pair.tx
    cdef int n = tx_reap(tx, pair.pool, budget), result
    if n < 0:
        pair_broken(pair, -n)
        return 0
    while tx.backlog_count:
        result = tx_put(tx, pair.pool, &tx.backlog[tx.backlog_head], now)
        if result == SEND_FULL:
            break
        if result == SEND_REFUSED:
            pool_give_chain(pair.pool, tx.backlog[tx.backlog_head].first)
        tx.backlog_head = (tx.backlog_head + 1) % TX_BACKLOG
        tx.backlog_count -= 1
    return n


cdef int pair_receive(Pair *pair, Frame *frames, int budget, uint64_t now) noexcept nogil:
    """Take up to `budget` whole packets; their buffers are the caller's."""
    cdef int n = 0, result
    while n < budget:
        result = rx_next(&pair.rx, pair.pool, &frames[n])
        if result <= 0:
            if result < 0:
                pair_broken(pair, -result)
            break
        frames[n].queue, frames[n].nic, frames[n].arrived = pair.index, pair.nic, now
        n += 1
    return n


cdef inline bint wants_buffers(const Pair *pair) noexcept nogil:
    """Whether enough is missing in the Rx ring to be worth a doorbell."""
    return not pair.quiet and pair.rx.free_count > min(max(pair.rx.depth >> 3, <uint32_t>1), <uint32_t>256)


cdef int pair_refill(Pair *pair) noexcept nogil:
    """Post free buffers once enough are missing to be worth a doorbell. Returns how many."""
    if not wants_buffers(pair):
        return 0
    return rx_post(&pair.rx, pair.pool, pair.bar)


cdef void pair_unmask(Pair *pair) noexcept nogil:
    """Let the vector's next message come; tell the device new delays."""
    pair.unmasks += 1
    bar_write(pair.bar, pair.unmask, UNMASK_BIT | pair.moderation | (0 if pair.moderation_new else UNMASK_NO_UPDATE))
    pair.moderation_new = 0


cdef int pair_step(void *ctx, uint64_t now, int budget) noexcept nogil:
    """One turn of a lent pair: reap, one burst through the program, refill; once dry, unmask."""
    cdef Pair *pair = <Pair *>ctx
    cdef Frame frames[BURST]
    cdef int sent, n = 0, limit = min(budget, <int>BURST)
    pair.task.deadline = 0xFFFFFFFFFFFFFFFFULL
    if not pair.running or pair.burst == NULL:
        return 0
    pair.interrupts += 1
    sent = pair_reap(pair, limit, now)
    if not pair.quiet:
        n = pair_receive(pair, frames, limit, now)
        if n:
            pair.burst(pair.program, pair, frames, n, now)
    if not pair.running:
        return 0
    pair_refill(pair)
    if wants_buffers(pair):                     # the pool ran out: with too few posted for a packet no interrupt would come either
        pair.task.deadline = now + REFILL_AGAIN
    tx_ring_doorbell(&pair.tx, pair.bar)
    if n == limit or sent == limit:
        return budget
    pair_unmask(pair)
    return min(max(n, sent), budget - 1)
