# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""What one card's IO side lives in: its structs, their memory, and all that its tasks reach.

The tasks' owner is the CardState, so nothing they read goes away before them. Who changes it afterwards - queues, settings, faults -
does so under the executor's barrier.
"""

from libc.stdint cimport uint8_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy

from ena_dev.bus.executor cimport task_init
from ena_dev.bus.interrupts cimport MsixVector, vector_unmask_written
from ena_dev.device.card cimport CARD_PORT_QUEUES, CARD_QUEUES, DEFAULT_MTU, SPILL_BYTES, Ingress
from ena_dev.device.impairment cimport line_close, line_init
from ena_dev.device.release cimport release_impaired, release_shaped, released_all
from ena_dev.device.rx_engine cimport rx_announcer_step, rx_deliver, rx_ingress_step
from ena_dev.device.tx_offload cimport TX_PIECES
from ena_dev.port.port cimport PORT_PIECES

from ena_dev.device.interfaces import UNMASK_BASE, UNMASK_STRIDE
from ena_dev.errors import UsageError


cdef class CardState:
    """The IO side of one card as it is wired; arguments are those of `IoEngine`."""

    def __init__(self, Executor executor not None, AddressSpace memory not None, RegisterBar bar not None, Port port not None, vectors,
                 bytes mac not None, bint promiscuous, int max_rx_buffers, int max_tx_buffers, DeviceMemory device_memory):
        if len(mac) != 6 or not 0 < max_rx_buffers < PORT_PIECES or not 0 < max_tx_buffers <= TX_PIECES - 2:
            raise UsageError("a card has a MAC address of 6 bytes, and room for the buffers of a packet")
        if not 0 < port.queues <= CARD_PORT_QUEUES:
            raise UsageError(f"a card's port has 1 to {CARD_PORT_QUEUES} queues, not {port.queues}")
        self.executor, self.memory, self.bar, self.port, self.vectors = executor, memory, bar, port, list(vectors)
        self.device_memory = device_memory
        self.card.bus, self.card.exec = &memory.bus, &executor.exec
        self._allocate()
        memcpy(self.card.mac, <const uint8_t *> mac, 6)
        self.card.promiscuous, self.card.link, self.card.mtu = promiscuous, 1, DEFAULT_MTU
        self.card.max_rx_buffers, self.card.max_tx_buffers = max_rx_buffers, max_tx_buffers
        self.shaper = AllowanceShaper()
        self.flows = FlowSteering(executor)
        self.card.flows = &self.flows.table

    def _allocate(self):
        cdef int i
        self.card.spill, self.card.bounce = <uint8_t *> malloc(SPILL_BYTES), <uint8_t *> malloc(SPILL_BYTES)
        self.card.ingress = <Ingress *> calloc(self.port.queues, sizeof(Ingress))
        if not (self.card.spill and self.card.bounce and self.card.ingress):
            raise MemoryError
        self.card.port_queues = self.port.queues
        if line_init(&self.line, release_impaired, released_all, &self.card):
            raise MemoryError
        for i in range(self.port.queues):
            self.card.ingress[i].parked = <uint8_t *> malloc(SPILL_BYTES)
            if self.card.ingress[i].parked == NULL:
                raise MemoryError

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

    cdef int attach(self) except -1:
        """Claim what is the card's as long as it lives: unmask registers, the port, the tasks of both. Under the barrier."""
        cdef int i
        cdef Ingress *ingress
        for i in range(1, len(self.vectors)):
            self.bar.claim(UNMASK_BASE + UNMASK_STRIDE * i, vector_unmask_written, self.vector(i))
            self.vector(i).lose_any = &self.card.lose_interrupts
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
        return 0

    cdef int detach(self) except -1:
        """Let go of executor, BAR and port. Under the barrier, without queues."""
        cdef int i
        self.port.set_deliver(NULL, NULL)
        for i in range(self.port.queues):
            self.executor.remove(&self.card.ingress[i].task)
        self.executor.remove(&self.line.task)
        self.shaper.detach()
        self.executor.remove(&self.card.announcer)
        for i in range(1, len(self.vectors)):
            self.bar.disclaim(UNMASK_BASE + UNMASK_STRIDE * i)
            self.vector(i).lose_any = NULL
        return 0

    cdef Vector *vector(self, int number) except NULL:
        """One IO vector. UsageError for another number."""
        if not 0 < number < len(self.vectors):
            raise UsageError(f"vector {number} of {len(self.vectors)} is not for queues")
        return &(<MsixVector> self.vectors[number]).vector
