# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""The IO side of one card, as the control plane sees it: the Python face of the compiled engines.

    control plane --create, destroy--> card_queues    --settings--> IoEngine, hash_steering, flow_steering
                  --faults--> data_faults, shaper     --reads--> card_counters
                                     `--> all change the structs of card_state, which rx_engine and tx_engine work on
    driver --doorbell, unmask--> BAR slots: a stored tail and a ready bit, nothing else

Every change of what the tasks read happens under the executor's barrier.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from ena_dev.bus.executor cimport Executor
from ena_dev.bus.memory cimport AddressSpace
from ena_dev.bus.mmio cimport RegisterBar
from ena_dev.device.card cimport DEFAULT_MTU, Counters
from ena_dev.device.card_counters cimport basic_stats, card_totals, named_counters
from ena_dev.device.card_queues cimport doorbell_at
from ena_dev.port.port cimport Port

from ena_dev.abi.admin import Direction
from ena_dev.device.interfaces import UNMASK_BASE, UNMASK_NONE, UNMASK_STRIDE
from ena_dev.errors import UsageError


cdef class IoEngine:
    """The IO side of one card, between `memory`, `bar` and `port`. `vectors[v]` is MSI-X vector v; 0 is not for queues.

    `mac`: 6 bytes; frames to other addresses are dropped unless `promiscuous`. `max_rx_buffers`, `max_tx_buffers`: of one packet.
    `device_memory`: where the driver may place Tx queues, if the card has it.
    The port belongs to the engine until `close`, and is closed by who opened it.
    """

    def __init__(self, Executor executor not None, AddressSpace memory not None, RegisterBar bar not None, Port port not None, vectors,
                 bytes mac not None, *, bint promiscuous=False, int max_rx_buffers=17, int max_tx_buffers=19,
                 DeviceMemory device_memory=None):
        self._state = CardState(executor, memory, bar, port, vectors, mac, promiscuous, max_rx_buffers, max_tx_buffers, device_memory)
        self._card = &self._state.card
        self._queues, self._hash, self._faults = CardQueues(self._state), HashSteering(self._state), FaultInjector(self._state)
        self.device_memory, self.shaper = device_memory, self._state.shaper
        port.set_offloads(False, False)
        with executor.held():
            self._state.attach()

    def close(self):
        """Stop, and let go of executor, BAR and port."""
        if self.closed:
            return
        self.stop()
        self.closed = True
        with self._state.executor.held():
            self._state.detach()

    def stop(self):
        """Reset: no queues, no RSS, no flow rules, no large receive, the largest MTU. Faults of packets, link and counters stay."""
        with self._state.executor.held():
            self._queues.destroy_all()
            self._faults.clear()
            self._hash.clear()
            self._card.fatal, self._card.mtu, self._card.large = 0, DEFAULT_MTU, 0
        self._state.flows.set(())
        self._state.port.set_offloads(False, False)

    # -- queues --------------------------------------------------------------------------------------------------------

    def doorbell_offset(self, direction, int index):
        return doorbell_at(index, direction == Direction.RX)

    def unmask_offset(self, vector):
        return UNMASK_NONE if vector is None else UNMASK_BASE + UNMASK_STRIDE * vector

    def create_cq(self, int index, vector, int entry_words, uint32_t depth, uint64_t ring):
        """A completion queue. Raises BusError unless the device may write the whole ring."""
        self._queues.create_cq(index, vector, entry_words, depth, ring)

    def destroy_cq(self, int index):
        """Forget a completion queue. UsageError while an SQ uses it."""
        self._queues.destroy_cq(index)

    def create_sq(self, int index, direction, int cq_index, uint32_t depth, uint64_t ring):
        """A submission queue in host memory. Raises BusError unless the device may read the whole ring."""
        if direction == Direction.RX:
            self._queues.create_rx(index, cq_index, depth, ring)
            self._hash.steer_port()
        else:
            self._queues.create_tx(index, cq_index, depth, ring)

    def create_llq(self, int index, int cq_index, uint32_t depth, lines):
        """A Tx queue in device memory, where `lines` says."""
        self._queues.create_llq(index, cq_index, depth, lines)

    def destroy_sq(self, int index, direction):
        """Forget a queue at once: its packets and buffers get no completion, and its memory is not touched again."""
        if direction == Direction.RX:
            self._queues.destroy_rx(index)
            self._hash.steer_port()
        else:
            self._queues.destroy_tx(index)

    # -- settings ------------------------------------------------------------------------------------------------------

    def set_rss(self, spec):
        """How packets find their queue from now on."""
        self._hash.set(spec)

    def set_flow_rules(self, rules):
        """Which packets go to a queue of their own, in place of all earlier rules."""
        self._state.flows.set(rules)

    def set_clock_offset(self, int64_t offset):
        """Nanoseconds from the executor's clock to the one that completions are stamped by."""
        with self._state.executor.held():
            self._card.clock_offset = <uint64_t> offset

    def set_mtu(self, uint32_t mtu):
        """Longer packets are dropped, large ones that the driver accepts apart."""
        with self._state.executor.held():
            self._card.mtu = mtu

    def set_large_receive(self, bint enabled):
        """Hand over large packets and partial checksums as they come, or only what a wire would bring."""
        with self._state.executor.held():
            self._card.large = enabled
        self._state.port.set_offloads(enabled, enabled)

    def set_link(self, bint up):
        with self._state.executor.held():
            self._card.link = up
            self._queues.rank()

    def set_promiscuous(self, bint enabled):
        """Whether frames to other cards are received too."""
        with self._state.executor.held():
            self._card.promiscuous = enabled

    # -- faults --------------------------------------------------------------------------------------------------------

    def set_faults(self, faults):
        """Misbehaviour of packets from now on. Those already held back keep their time."""
        self._faults.impair(faults)

    def withhold_tx_completions(self, uint32_t count):
        self._faults.withhold(count)

    def spoil_completions(self, direction, *, uint32_t wrong_id=0, uint32_t malformed=0):
        """The next completions of a direction name a request that can't be in flight, or have bits set that must be zero."""
        self._faults.spoil(direction == Direction.RX, wrong_id, malformed)

    def lose_interrupts(self, uint32_t count, vector=None):
        """The next `count` messages are lost: those of one IO vector, or whichever come first."""
        self._faults.lose_interrupts(count, vector)

    # -- what happened -------------------------------------------------------------------------------------------------

    @property
    def fatal(self):
        """Whether the driver named memory that isn't there: all DMA has ended, and only `stop` helps."""
        return bool(self._card.fatal)

    @property
    def fatal_address(self):
        """The first such address, or None."""
        return self._card.fatal_address if self._card.fatal else None

    @property
    def port_gone(self):
        """Whether any queue of the port failed for good."""
        return any([self._card.ingress[i].gone for i in range(self._card.port_queues)])

    def statistics(self):
        """The card's basic counters."""
        return basic_stats(self._card)

    def counters(self, direction):
        """All counters of one direction by name: packets, bytes, what was done in software, drops by reason (drop_...)."""
        cdef Counters total = card_totals(self._card, direction == Direction.RX)
        return named_counters(&total)

    def queue_counters(self, direction, int index):
        """The same of one queue that exists. Drops before a queue was known stand in the card's only."""
        cdef bint rx = direction == Direction.RX
        if not self._queues.exists(index, rx):
            raise UsageError(f"there is no {Direction(direction).name} queue {index}")
        return named_counters(&self._card.rx[index].counters if rx else &self._card.tx[index].counters)

    def fault_counters(self):
        """What the faults of packets did so far: lost, duplicated, delayed, reordered, refused for want of room."""
        return self._faults.counters()
