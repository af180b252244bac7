# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""The IO queues of one card: made, matched with the port's, forgotten.

    create: check everything --> fill a struct aside --> barrier: put it in the card's table, rank, claim its doorbell
    destroy: barrier: disclaim, count what it counted, take it out, rank; its memory is not touched again

A queue that is destroyed is therefore neither in use nor used again. Rank: queues in the order of their indices are the port's queues.
"""

from libc.stdlib cimport calloc, free

from ena_dev.bus.executor cimport task_init, task_wake
from ena_dev.bus.interrupts cimport Vector
from ena_dev.bus.memory cimport BUS_READ, BUS_WRITE, bus_at
from ena_dev.device.card cimport CARD_QUEUES, Posted, RxQueue, TxQueue, add_counters
from ena_dev.device.rx_engine cimport rx_doorbell
from ena_dev.device.tx_engine cimport tx_doorbell, tx_step
from ena_dev.device.tx_lines cimport lines_init, tx_lines_doorbell

from ena_dev.device.interfaces import DOORBELL_BASE, DOORBELL_STRIDE
from ena_dev.errors import BusError, UsageError

cdef enum:
    DESCRIPTOR = 16            # bytes, of both directions
    RING_ALIGNMENT = 8         # bytes: what one store of a phase bit needs
    MOST_ENTRIES = 0x8000      # of a ring


cdef uint32_t doorbell_at(int index, bint rx):
    return DOORBELL_BASE + DOORBELL_STRIDE * index + (4 if rx else 0)


cdef class CardQueues:
    """The queues of one card, by index. All methods raise UsageError for an index that can't be meant."""

    def __init__(self, CardState state not None):
        self.state, self.card = state, &state.card

    cdef bint exists(self, int index, bint rx) noexcept:
        return 0 <= index < CARD_QUEUES and (self.card.rx[index] != NULL if rx else self.card.tx[index] != NULL)

    # -- completion queues ---------------------------------------------------------------------------------------------

    cdef Cq *_cq(self, int index) except NULL:
        if not 0 <= index < CARD_QUEUES or self.card.cqs[index] == NULL:
            raise UsageError(f"there is no completion queue {index}")
        return self.card.cqs[index]

    cdef int create_cq(self, int index, vector, int entry_words, uint32_t depth, uint64_t ring) except -1:
        """`vector`: its number, or None. Raises BusError unless the device may write the whole ring."""
        cdef Cq *cq
        cdef Vector *notified = NULL
        if not 0 <= index < CARD_QUEUES or self.card.cqs[index] != NULL:
            raise UsageError(f"completion queue {index} exists, or can't")
        if vector is not None:
            notified = self.state.vector(vector)
        self._check_ring(ring, <uint64_t> depth * entry_words * 4, depth, BUS_WRITE)
        cq = <Cq *> calloc(1, sizeof(Cq))
        if cq == NULL:
            raise MemoryError
        cq.ring, cq.depth, cq.entry, cq.index, cq.vector = ring, depth, entry_words * 4, index, notified
        with self.state.executor.held():
            self.card.cqs[index] = cq
        return 0

    cdef int destroy_cq(self, int index) except -1:
        """UsageError while an SQ uses it."""
        cdef Cq *cq = self._cq(index)
        if cq.users:
            raise UsageError(f"completion queue {index} is in use")
        with self.state.executor.held():
            self.card.cqs[index] = NULL
            self._release_vectors()
        free(cq)
        return 0

    cdef int _release_vectors(self) except -1:
        """A vector without queues is masked and silent, as before its first. Under the barrier."""
        cdef int i, v
        cdef Vector *vector
        for v in range(1, len(self.state.vectors)):
            vector = self.state.vector(v)
            for i in range(CARD_QUEUES):
                if self.card.cqs[i] != NULL and self.card.cqs[i].vector == vector:
                    break
            else:
                vector.masked, vector.pending, vector.written, vector.delays = vector.auto_mask, 0, 0, 0
                vector.due = vector.task.deadline = 0xFFFFFFFFFFFFFFFFULL
        return 0

    # -- submission queues ---------------------------------------------------------------------------------------------

    cdef int _check_ring(self, uint64_t ring, uint64_t size, uint32_t depth, uint32_t access) except -1:
        if not depth or depth & (depth - 1) or depth > MOST_ENTRIES:
            raise UsageError(f"a ring of {depth} entries: not a power of two up to {MOST_ENTRIES}")
        if ring % RING_ALIGNMENT:
            raise BusError(ring, size, f"a ring stands at a multiple of {RING_ALIGNMENT} bytes")
        if bus_at(self.card.bus, ring, size, access) == NULL:
            raise BusError(ring, size, "not mapped for a ring")
        return 0

    cdef Cq *_cq_for(self, int cq_index, uint32_t depth, int index, bint rx) except NULL:
        """The completion queue of a new queue, if that can be: every entry is owed a completion."""
        cdef Cq *cq = self._cq(cq_index)
        if not 0 <= index < CARD_QUEUES or self.exists(index, rx):
            raise UsageError(f"{'RX' if rx else 'TX'} queue {index} exists, or can't")
        if depth > cq.depth:
            raise UsageError(f"{depth} entries, but only {cq.depth} completions")
        return cq

    cdef int create_rx(self, int index, int cq_index, uint32_t depth, uint64_t ring) except -1:
        """Raises BusError unless the device may read the whole ring."""
        cdef Cq *cq = self._cq_for(cq_index, depth, index, True)
        cdef RxQueue *q
        self._check_ring(ring, <uint64_t> depth * DESCRIPTOR, depth, BUS_READ)
        q = <RxQueue *> calloc(1, sizeof(RxQueue))
        if q == NULL:
            raise MemoryError
        q.card, q.cq, q.ring, q.depth, q.index = self.card, cq, ring, depth, index
        q.posted = <Posted *> calloc(depth, sizeof(Posted))
        if q.posted == NULL:
            free(q)
            raise MemoryError
        with self.state.executor.held():
            self.card.rx[index] = q
            cq.users += 1
            self.rank()
            self.state.bar.claim(doorbell_at(index, True), rx_doorbell, q)
        return 0

    cdef int create_tx(self, int index, int cq_index, uint32_t depth, uint64_t ring) except -1:
        """In host memory. Raises BusError unless the device may read the whole ring."""
        cdef Cq *cq = self._cq_for(cq_index, depth, index, False)
        self._check_ring(ring, <uint64_t> depth * DESCRIPTOR, depth, BUS_READ)
        return self._make_tx(index, cq, depth, ring, NULL)

    cdef int create_llq(self, int index, int cq_index, uint32_t depth, layout) except -1:
        """In device memory, where `layout` says."""
        cdef Cq *cq = self._cq_for(cq_index, depth, index, False)
        cdef Lines lines
        lines_init(&lines, self.state.device_memory, depth, layout)
        return self._make_tx(index, cq, depth, 0, &lines)

    cdef int _make_tx(self, int index, Cq *cq, uint32_t depth, uint64_t ring, const Lines *lines) except -1:
        """`lines`: in device memory; NULL: at `ring`."""
        cdef TxQueue *q = <TxQueue *> calloc(1, sizeof(TxQueue))
        if q == NULL:
            raise MemoryError
        q.card, q.cq, q.ring, q.depth, q.index = self.card, cq, ring, depth, index
        if lines != NULL:
            q.lines = lines[0]
        task_init(&q.task, tx_step, q)
        with self.state.executor.held():
            self.card.tx[index] = q
            cq.users += 1
            self.rank()
            self.state.executor.add(&q.task, self.state)
            self.state.bar.claim(doorbell_at(index, False), tx_doorbell if lines == NULL else tx_lines_doorbell, q)
        return 0

    cdef int destroy_rx(self, int index) except -1:
        """Its buffers get no completion."""
        if not self.exists(index, True):
            raise UsageError(f"there is no RX queue {index}")
        with self.state.executor.held():
            self._drop_rx(index)
            self.rank()
        return 0

    cdef int destroy_tx(self, int index) except -1:
        """Its packets get no completion."""
        if not self.exists(index, False):
            raise UsageError(f"there is no TX queue {index}")
        with self.state.executor.held():
            self._drop_tx(index)
            self.rank()
        return 0

    cdef int _drop_rx(self, int index) except -1:
        cdef RxQueue *q = self.card.rx[index]
        self.state.bar.disclaim(doorbell_at(index, True))
        add_counters(&self.card.rx_total, &q.counters)
        q.cq.users -= 1
        self.card.rx[index] = NULL
        free(q.posted)
        free(q)
        return 0

    cdef int _drop_tx(self, int index) except -1:
        cdef TxQueue *q = self.card.tx[index]
        self.state.bar.disclaim(doorbell_at(index, False))
        self.state.executor.remove(&q.task)
        add_counters(&self.card.tx_total, &q.counters)
        q.cq.users -= 1
        self.card.tx[index] = NULL
        free(q)
        return 0

    # -- all of them ---------------------------------------------------------------------------------------------------

    cdef int destroy_all(self) except -1:
        """No queues, no frame that waits for one, silent vectors without delays. Under the barrier."""
        cdef int i
        for i in range(CARD_QUEUES):
            if self.card.rx[i] != NULL:
                self._drop_rx(i)
            if self.card.tx[i] != NULL:
                self._drop_tx(i)
        for i in range(CARD_QUEUES):
            free(self.card.cqs[i])
            self.card.cqs[i] = NULL
        for i in range(<int> self.card.port_queues):
            self.card.ingress[i].parked_length = 0
        self.rank()
        self._release_vectors()
        for i in range(1, len(self.state.vectors)):
            self.state.vector(i).rx_delay = self.state.vector(i).tx_delay = 0
        return 0

    cdef void rank(self) noexcept:
        """Match queues, in the order of their indices, with the port's. Under the barrier."""
        cdef Card *card = self.card
        cdef uint32_t i
        card.rx_count = card.tx_count = 0
        for i in range(CARD_QUEUES):
            if card.rx[i] != NULL:
                card.rx_order[card.rx_count] = card.rx[i]
                card.rx[i].rank = card.rx_count
                card.rx_count += 1
            if card.tx[i] != NULL:
                card.tx[i].port_index = card.tx_count % card.port_queues
                card.tx[i].port = card.egress[card.tx[i].port_index]
                card.tx_count += 1
        for i in range(card.port_queues):
            card.ingress[i].home = NULL
            if card.rx_count:
                card.ingress[i].home = card.rx_order[i if i < card.rx_count else 0]
            task_wake(&card.ingress[i].task)
