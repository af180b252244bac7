# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""The IO side of one card: makes and destroys queues, owns their memory, counts. The Python face of the compiled engines.

    control plane --create, set--> IoEngine --structs--> rx_engine, tx_engine, impairment      tasks of the executor
    driver --doorbell, unmask--> BAR slots: a stored tail and a ready bit, nothing else

Every change of what the tasks read happens under the executor's barrier, so a queue that is destroyed is neither in use nor used again.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset
from posix.uio cimport iovec

from ena_dev.bus.device_memory cimport DeviceMemory
from ena_dev.bus.executor cimport Executor, task_init, task_wake
from ena_dev.bus.interrupts cimport MsixVector, Vector, vector_unmask_written
from ena_dev.bus.memory cimport BUS_READ, BUS_WRITE, AddressSpace, bus_at
from ena_dev.bus.mmio cimport RegisterBar
from ena_dev.device.card cimport (CARD_PORT_QUEUES, CARD_QUEUES, DEFAULT_MTU, DROP_OVERRUN, DROP_PORT_ERROR, DROP_PORT_FULL, DROPS,
                                  SPILL_BYTES, Card, Counters, Cq, Ingress, Lines, Posted, RxQueue, Spoil, TxQueue, add_counters,
                                  card_impairs, card_shapes)
from ena_dev.device.flow_steering cimport FlowSteering
from ena_dev.device.impairment cimport WAY_IN, WAY_OUT, Held, Line, line_close, line_init, line_set
from ena_dev.device.rx_engine cimport rx_announce, rx_announcer_step, rx_arrive, rx_deliver, rx_doorbell, rx_ingress_step
from ena_dev.device.shaper cimport SHAPER_PASSES, AllowanceShaper
from ena_dev.device.tx_engine cimport tx_doorbell, tx_step
from ena_dev.device.tx_lines cimport lines_init, tx_lines_doorbell
from ena_dev.device.tx_offload cimport TX_PIECES
from ena_dev.packet.toeplitz cimport Toeplitz
from ena_dev.port.port cimport PORT_FULL, PORT_PIECES, PORT_SENT, Port, PortQueue

from ena_dev.abi.admin import Direction
from ena_dev.device.interfaces import DOORBELL_BASE, DOORBELL_STRIDE, UNMASK_BASE, UNMASK_NONE, UNMASK_STRIDE, BasicStats
from ena_dev.errors import BusError, UsageError

DROP_NAMES = ("none", "link_down", "not_mine", "malformed", "too_long", "overrun", "offload", "port_full", "port_error", "fault",
              "no_memory", "allowance")
RX_DESCRIPTOR, TX_DESCRIPTOR = 16, 16
RING_ALIGNMENT = 8               # bytes: what one store of a phase bit needs


cdef void release_impaired(void *ctx, Held *held, uint64_t now) noexcept nogil:
    """A frame leaves the delay line: one that comes in meets the allowances next."""
    cdef Card *card = <Card *> ctx
    cdef iovec piece
    piece.iov_base, piece.iov_len = held.data, held.length
    if held.way != WAY_IN:
        to_port(card, held, &piece)
    elif card.shaper == NULL or card_shapes(card, WAY_IN, 0, &piece, 1, held.length, &held.meta, now) == SHAPER_PASSES:
        rx_arrive(card, &piece, 1, held.length, &held.meta, now)


cdef void release_shaped(void *ctx, Held *held, uint64_t now) noexcept nogil:
    """A frame had to wait for an allowance: one that goes out meets the faults next."""
    cdef Card *card = <Card *> ctx
    cdef iovec piece
    piece.iov_base, piece.iov_len = held.data, held.length
    if held.way == WAY_IN:
        rx_arrive(card, &piece, 1, held.length, &held.meta, now)
    elif card.line == NULL or not card_impairs(card, WAY_OUT, held.queue, &piece, 1, held.length, &held.meta, now):
        to_port(card, held, &piece)


cdef void to_port(Card *card, const Held *held, const iovec *piece) noexcept nogil:
    cdef PortQueue *port = card.egress[held.queue]
    cdef int reason = port.send(port.ctx, piece, 1, &held.meta)
    if reason != PORT_SENT:
        card.tx_total.drops[DROP_PORT_FULL if reason == PORT_FULL else DROP_PORT_ERROR] += 1


cdef void released_all(void *ctx, uint64_t now) noexcept nogil:
    rx_announce(<Card *> ctx, now)


cdef class IoEngine:
    """The IO side of one card, between `memory`, `bar` and `port`. `vectors[v]` is MSI-X vector v; 0 is not for queues.

    `mac`: 6 bytes; frames to other addresses are dropped unless `promiscuous`. `max_rx_buffers`, `max_tx_buffers`: of one packet.
    `device_memory`: where the driver may place Tx queues, if the card has it.
    The port belongs to the engine until `close`, and is closed by who opened it.
    """

    def __init__(self, Executor executor not None, AddressSpace memory not None, RegisterBar bar not None, Port port not None, vectors,
                 bytes mac not None, *, bint promiscuous=False, int max_rx_buffers=17, int max_tx_buffers=19,
                 DeviceMemory device_memory=None):
        cdef int i
        if len(mac) != 6 or not 0 < max_rx_buffers < PORT_PIECES or not 0 < max_tx_buffers <= TX_PIECES - 2:
            raise UsageError("a card has a MAC address of 6 bytes, and room for the buffers of a packet")
        if not 0 < port.queues <= CARD_PORT_QUEUES:
            raise UsageError(f"a card's port has 1 to {CARD_PORT_QUEUES} queues, not {port.queues}")
        self.executor, self.memory, self.bar, self.port, self._vectors = executor, memory, bar, port, list(vectors)
        self.device_memory = device_memory
        self.card.bus, self.card.exec = &memory.bus, &executor.exec
        self.card.spill, self.card.bounce = <uint8_t *> malloc(SPILL_BYTES), <uint8_t *> malloc(SPILL_BYTES)
        self.card.ingress = <Ingress *> calloc(port.queues, sizeof(Ingress))
        if not (self.card.spill and self.card.bounce and self.card.ingress):
            raise MemoryError
        if line_init(&self.line, release_impaired, released_all, &self.card):
            raise MemoryError
        for i in range(port.queues):
            self.card.ingress[i].parked = <uint8_t *> malloc(SPILL_BYTES)
            if self.card.ingress[i].parked == NULL:
                raise MemoryError
        self.card.port_queues = port.queues
        memcpy(self.card.mac, <const uint8_t *> mac, 6)
        self.card.promiscuous, self.card.link, self.card.mtu = promiscuous, 1, DEFAULT_MTU
        self.card.max_rx_buffers, self.card.max_tx_buffers = max_rx_buffers, max_tx_buffers
        self.shaper = AllowanceShaper()
        self._flows = FlowSteering(executor)
        self.card.flows = &self._flows.table
        self._rss = self._toeplitz = None
        port.set_offloads(False, False)
        with executor.held():
            self._attach()

    def __dealloc__(self):
        cdef int i
        line_close(&self.line)
        for i in range(CARD_QUEUES):
            if self.card.rx[i] != NULL:
                free(self.card.rx[i].posted)
            free(self.card.rx[i])
            free(self.card.tx[i])
            free(self.card.cqs[i])
        for i in range(<int> self.card.port_queues):
            free(self.card.ingress[i].parked)
        free(self.card.table)
        free(self.card.ingress)
        free(self.card.spill)
        free(self.card.bounce)

    def _attach(self):
        """Claim what is the card's as long as it lives: unmask registers, the port, the tasks of both. Under the barrier."""
        cdef int i
        cdef MsixVector vector
        cdef Ingress *ingress
        for i in range(1, len(self._vectors)):
            vector = self._vectors[i]
            self.bar.claim(UNMASK_BASE + UNMASK_STRIDE * i, vector_unmask_written, &vector.vector)
            vector.vector.lose_any = &self.card.lose_interrupts
        task_init(&self.card.announcer, rx_announcer_step, &self.card)
        self.executor.add(&self.card.announcer, self)
        self.executor.add(&self.line.task, self)
        self.shaper.attach(self.executor, &self.card.shaper, release_shaped, released_all, &self.card)
        for i in range(self.port.queues):
            ingress = &self.card.ingress[i]
            self.card.egress[i] = ingress.port = self.port.port_queue(i)
            ingress.card = &self.card
            task_init(&ingress.task, rx_ingress_step, ingress)
            if ingress.port.receive != NULL:
                ingress.task.fd = ingress.port.fd
                self.executor.add(&ingress.task, self)
        self.port.set_deliver(rx_deliver, &self.card)

    def close(self):
        """Stop, and let go of executor, BAR and port."""
        cdef int i
        if self.closed:
            return
        self.stop()
        self.closed = True
        with self.executor.held():
            self.port.set_deliver(NULL, NULL)
            for i in range(self.port.queues):
                self.executor.remove(&self.card.ingress[i].task)
            self.executor.remove(&self.line.task)
            self.shaper.detach()
            self.executor.remove(&self.card.announcer)
            for i in range(1, len(self._vectors)):
                self.bar.disclaim(UNMASK_BASE + UNMASK_STRIDE * i)
                (<MsixVector> self._vectors[i]).vector.lose_any = NULL

    # -- queues --------------------------------------------------------------------------------------------------------

    def doorbell_offset(self, direction, int index):
        return DOORBELL_BASE + DOORBELL_STRIDE * index + (4 if direction == Direction.RX else 0)

    def unmask_offset(self, vector):
        return UNMASK_NONE if vector is None else UNMASK_BASE + UNMASK_STRIDE * vector

    cdef Cq *_cq(self, int index) except NULL:
        if not 0 <= index < CARD_QUEUES or self.card.cqs[index] == NULL:
            raise UsageError(f"there is no completion queue {index}")
        return self.card.cqs[index]

    def create_cq(self, int index, vector, int entry_words, uint32_t depth, uint64_t ring):
        """A completion queue. Raises BusError unless the device may write the whole ring."""
        cdef Cq *cq
        if not 0 <= index < CARD_QUEUES or self.card.cqs[index] != NULL:
            raise UsageError(f"completion queue {index} exists, or can't")
        if vector is not None and not 0 < vector < len(self._vectors):
            raise UsageError(f"vector {vector} of {len(self._vectors)} is not for queues")
        self._check_ring(ring, <uint64_t> depth * entry_words * 4, depth, BUS_WRITE)
        cq = <Cq *> calloc(1, sizeof(Cq))
        if cq == NULL:
            raise MemoryError
        cq.ring, cq.depth, cq.entry, cq.index = ring, depth, entry_words * 4, index
        with self.executor.held():
            if vector is not None:
                cq.vector = &(<MsixVector> self._vectors[vector]).vector
            self.card.cqs[index] = cq

    def destroy_cq(self, int index):
        """Forget a completion queue. UsageError while an SQ uses it."""
        cdef Cq *cq = self._cq(index)
        if cq.users:
            raise UsageError(f"completion queue {index} is in use")
        with self.executor.held():
            self.card.cqs[index] = NULL
            self._vector_released(index)
        free(cq)

    cdef void _vector_released(self, int index):
        """The last queue of a vector is gone: masked and silent again, as before the first. Under the barrier."""
        cdef int i, v
        cdef Vector *vector
        for v in range(1, len(self._vectors)):
            vector = &(<MsixVector> self._vectors[v]).vector
            for i in range(CARD_QUEUES):
                if self.card.cqs[i] != NULL and self.card.cqs[i].vector == vector:
                    break
            else:
                vector.masked, vector.pending, vector.written, vector.delays = vector.auto_mask, 0, 0, 0
                vector.due = vector.task.deadline = 0xFFFFFFFFFFFFFFFFULL

    def _check_ring(self, uint64_t ring, uint64_t size, uint32_t depth, uint32_t access):
        if not depth or depth & (depth - 1) or depth > 0x8000:
            raise UsageError(f"a ring of {depth} entries: not a power of two up to 32768")
        if ring % RING_ALIGNMENT:
            raise BusError(ring, size, f"a ring stands at a multiple of {RING_ALIGNMENT} bytes")
        if bus_at(&self.memory.bus, ring, size, access) == NULL:
            raise BusError(ring, size, "not mapped for a ring")

    def create_sq(self, int index, direction, int cq_index, uint32_t depth, uint64_t ring):
        """A submission queue in host memory. Raises BusError unless the device may read the whole ring."""
        cdef Cq *cq = self._cq(cq_index)
        if not 0 <= index < CARD_QUEUES or (self.card.rx[index] if direction == Direction.RX else <void *> self.card.tx[index]) != NULL:
            raise UsageError(f"{Direction(direction).name} queue {index} exists, or can't")
        if depth > cq.depth:
            raise UsageError(f"{depth} entries, but only {cq.depth} completions")
        self._check_ring(ring, <uint64_t> depth * RX_DESCRIPTOR, depth, BUS_READ)
        if direction == Direction.RX:
            self._make_rx(index, cq, depth, ring)
            self._steer_port()
        else:
            self._make_tx(index, cq, depth, ring, NULL)

    def create_llq(self, int index, int cq_index, uint32_t depth, lines):
        """A Tx queue in device memory, where `lines` says."""
        cdef Cq *cq = self._cq(cq_index)
        cdef Lines made
        if not 0 <= index < CARD_QUEUES or self.card.tx[index] != NULL or depth > cq.depth:
            raise UsageError(f"queue {index} of {depth} lines exists, or can't")
        lines_init(&made, self.device_memory, depth, lines)
        self._make_tx(index, cq, depth, 0, &made)

    cdef int _make_rx(self, int index, Cq *cq, unsigned int depth, unsigned long long ring) except -1:
        cdef RxQueue *q = <RxQueue *> calloc(1, sizeof(RxQueue))
        if q == NULL:
            raise MemoryError
        q.card, q.cq, q.ring, q.depth, q.index = &self.card, cq, ring, depth, index
        q.posted = <Posted *> calloc(depth, sizeof(Posted))
        if q.posted == NULL:
            free(q)
            raise MemoryError
        with self.executor.held():
            self.card.rx[index] = q
            cq.users += 1
            self._rank()
            self.bar.claim(self.doorbell_offset(Direction.RX, index), rx_doorbell, q)
        return 0

    cdef int _make_tx(self, int index, Cq *cq, unsigned int depth, unsigned long long ring, const Lines *lines) except -1:
        """`lines`: in device memory; NULL: at `ring`."""
        cdef TxQueue *q = <TxQueue *> calloc(1, sizeof(TxQueue))
        if q == NULL:
            raise MemoryError
        q.card, q.cq, q.ring, q.depth, q.index = &self.card, cq, ring, depth, index
        if lines != NULL:
            q.lines = lines[0]
        task_init(&q.task, tx_step, q)
        with self.executor.held():
            self.card.tx[index] = q
            cq.users += 1
            self._rank()
            self.executor.add(&q.task, self)
            self.bar.claim(self.doorbell_offset(Direction.TX, index), tx_doorbell if lines == NULL else tx_lines_doorbell, q)
        return 0

    def destroy_sq(self, int index, direction):
        """Forget a queue at once: its packets and buffers get no completion, and its memory is not touched again."""
        cdef bint rx = direction == Direction.RX
        if not 0 <= index < CARD_QUEUES or (self.card.rx[index] if rx else <void *> self.card.tx[index]) == NULL:
            raise UsageError(f"there is no {Direction(direction).name} queue {index}")
        with self.executor.held():
            if rx:
                self._drop_rx(index)
            else:
                self._drop_tx(index)
            self._rank()
        if rx:
            self._steer_port()

    cdef void _drop_rx(self, int index):
        cdef RxQueue *q = self.card.rx[index]
        self.bar.disclaim(self.doorbell_offset(Direction.RX, index))
        add_counters(&self.card.rx_total, &q.counters)
        q.cq.users -= 1
        self.card.rx[index] = NULL
        free(q.posted)
        free(q)

    cdef void _drop_tx(self, int index):
        cdef TxQueue *q = self.card.tx[index]
        self.bar.disclaim(self.doorbell_offset(Direction.TX, index))
        self.executor.remove(&q.task)
        add_counters(&self.card.tx_total, &q.counters)
        q.cq.users -= 1
        self.card.tx[index] = NULL
        free(q)

    cdef void _rank(self):
        """Match queues, in the order of their indices, with the port's. Under the barrier."""
        cdef uint32_t i
        self.card.rx_count = self.card.tx_count = 0
        for i in range(CARD_QUEUES):
            if self.card.rx[i] != NULL:
                self.card.rx_order[self.card.rx_count] = self.card.rx[i]
                self.card.rx[i].rank = self.card.rx_count
                self.card.rx_count += 1
            if self.card.tx[i] != NULL:
                self.card.tx[i].port_index = self.card.tx_count % self.card.port_queues
                self.card.tx[i].port = self.card.egress[self.card.tx[i].port_index]
                self.card.tx_count += 1
        for i in range(self.card.port_queues):
            self.card.ingress[i].home = NULL
            if self.card.rx_count:
                self.card.ingress[i].home = self.card.rx_order[i if i < self.card.rx_count else 0]
            task_wake(&self.card.ingress[i].task)

    def stop(self):
        """Reset: no queues, no RSS, no flow rules, no large receive, the largest MTU. Faults of packets, link and counters stay."""
        cdef int i
        with self.executor.held():
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
            self._rank()
            self._vector_released(0)
            for vector in self._vectors[1:]:
                (<MsixVector> vector).vector.lose = 0
                (<MsixVector> vector).vector.rx_delay = (<MsixVector> vector).vector.tx_delay = 0
            self.card.fatal = self.card.withhold = self.card.lose_interrupts = 0
            memset(&self.card.spoil_tx, 0, sizeof(Spoil))
            memset(&self.card.spoil_rx, 0, sizeof(Spoil))
            self.card.mtu, self.card.large = DEFAULT_MTU, 0
            self.card.hash, self.card.table_size = NULL, 0
        self._flows.set(())
        self._rss = self._toeplitz = None
        self.port.set_offloads(False, False)

    # -- settings ------------------------------------------------------------------------------------------------------

    def set_rss(self, spec):
        """How packets find their queue from now on."""
        cdef Toeplitz toeplitz = Toeplitz(spec.key, spec.initial)
        cdef uint32_t size = len(spec.table), i
        cdef uint16_t *table = NULL
        cdef uint16_t *old
        if size & (size - 1):
            raise UsageError(f"an indirection table of {size} entries: not a power of two")
        if size:
            table = <uint16_t *> malloc(size * sizeof(uint16_t))
            if table == NULL:
                raise MemoryError
            for i in range(size):
                table[i] = spec.table[i]
        with self.executor.held():
            old = self.card.table
            self.card.hash, self.card.table, self.card.table_size = &toeplitz.table, table, size
        free(old)
        self._toeplitz, self._rss = toeplitz, spec
        self._steer_port()

    def _steer_port(self):
        """Tell the port which of its queues leads to the buffers that the table means."""
        if not self._rss or self.card.rx_count < 2:
            return
        ranks = {i: self.card.rx[i].rank for i in range(CARD_QUEUES) if self.card.rx[i] != NULL}
        table = [ranks.get(entry, 0) for entry in self._rss.table]
        self.port.steer(self._rss.key, self._rss.initial, [rank if rank < self.port.queues else 0 for rank in table])

    def set_flow_rules(self, rules):
        """Which packets go to a queue of their own, in place of all earlier rules."""
        self._flows.set(rules)

    def set_clock_offset(self, int64_t offset):
        """Nanoseconds from the executor's clock to the one that completions are stamped by."""
        with self.executor.held():
            self.card.clock_offset = <uint64_t> offset

    def set_mtu(self, uint32_t mtu):
        """Longer packets are dropped, large ones that the driver accepts apart."""
        with self.executor.held():
            self.card.mtu = mtu

    def set_large_receive(self, bint enabled):
        """Hand over large packets and partial checksums as they come, or only what a wire would bring."""
        with self.executor.held():
            self.card.large = enabled
        self.port.set_offloads(enabled, enabled)

    def set_link(self, bint up):
        with self.executor.held():
            self.card.link = up
            self._rank()

    def set_promiscuous(self, bint enabled):
        """Whether frames to other cards are received too."""
        with self.executor.held():
            self.card.promiscuous = enabled

    # -- faults --------------------------------------------------------------------------------------------------------

    def set_faults(self, faults):
        """Misbehaviour of packets from now on. Those already held back keep their time."""
        cdef bint none = faults.loss == faults.duplication == faults.delay == faults.jitter == faults.reorder == 0
        with self.executor.held():
            line_set(&self.line, faults.seed & 0xFFFFFFFFFFFFFFFF, faults.loss, faults.duplication, faults.reorder,
                     int(faults.delay * 1e9), int(faults.jitter * 1e9))
            self.card.line = NULL if none else &self.line

    def withhold_tx_completions(self, uint32_t count):
        with self.executor.held():
            self.card.withhold += count

    def spoil_completions(self, direction, *, uint32_t wrong_id=0, uint32_t malformed=0):
        """The next completions of a direction name a request that can't be in flight, or have bits set that must be zero."""
        cdef Spoil *spoil = &self.card.spoil_rx if direction == Direction.RX else &self.card.spoil_tx
        with self.executor.held():
            spoil.wrong_id += wrong_id
            spoil.malformed += malformed

    def lose_interrupts(self, uint32_t count, vector=None):
        """The next `count` messages are lost: those of one IO vector, or whichever come first."""
        if vector is not None and not 0 < vector < len(self._vectors):
            raise UsageError(f"vector {vector} of {len(self._vectors)} is not for queues")
        with self.executor.held():
            if vector is None:
                self.card.lose_interrupts += count
            else:
                (<MsixVector> self._vectors[vector]).vector.lose += count

    # -- what happened -------------------------------------------------------------------------------------------------

    @property
    def fatal(self):
        """Whether the driver named memory that isn't there: all DMA has ended, and only `stop` helps."""
        return bool(self.card.fatal)

    @property
    def fatal_address(self):
        """The first such address, or None."""
        return self.card.fatal_address if self.card.fatal else None

    @property
    def port_gone(self):
        """Whether any queue of the port failed for good."""
        return any([self.card.ingress[i].gone for i in range(self.card.port_queues)])

    cdef Counters _totals(self, bint rx):
        cdef Counters total = self.card.rx_total if rx else self.card.tx_total
        cdef int i
        for i in range(CARD_QUEUES):
            if rx and self.card.rx[i] != NULL:
                add_counters(&total, &self.card.rx[i].counters)
            elif not rx and self.card.tx[i] != NULL:
                add_counters(&total, &self.card.tx[i].counters)
        return total

    def statistics(self):
        """The card's basic counters."""
        cdef Counters rx = self._totals(True), tx = self._totals(False)
        return BasicStats(
            tx_bytes=tx.bytes, tx_packets=tx.packets, rx_bytes=rx.bytes, rx_packets=rx.packets, rx_overruns=rx.drops[DROP_OVERRUN],
            rx_drops=sum([rx.drops[i] for i in range(DROPS) if i != DROP_OVERRUN]), tx_drops=sum([tx.drops[i] for i in range(DROPS)]))

    def counters(self, direction):
        """All counters of one direction by name: packets, bytes, what was done in software, drops by reason (drop_...)."""
        return describe(self._totals(direction == Direction.RX))

    def queue_counters(self, direction, int index):
        """The same of one queue that exists. Drops before a queue was known stand in the card's only."""
        if not 0 <= index < CARD_QUEUES or (self.card.rx[index] if direction == Direction.RX else <void *> self.card.tx[index]) == NULL:
            raise UsageError(f"there is no {Direction(direction).name} queue {index}")
        return describe(self.card.rx[index].counters if direction == Direction.RX else self.card.tx[index].counters)

    def fault_counters(self):
        """Packets that met a fault: lost, duplicated, delayed, reordered, refused for want of room."""
        cdef Line *line = &self.line
        return {"lost": line.lost, "duplicated": line.duplicated, "delayed": line.delayed, "reordered": line.reordered,
                "refused": line.refused}


cdef dict describe(Counters counters):
    cdef int i
    named = {"packets": counters.packets, "bytes": counters.bytes, "copied": counters.copied, "segmented": counters.segmented,
             "summed": counters.summed, "bad_doorbells": counters.bad_doorbells, "long_bursts": counters.long_bursts}
    for i in range(1, DROPS):
        named["drop_" + DROP_NAMES[i]] = counters.drops[i]
    return named
