# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""One queue pair of the driver: two rings, one vector, one owner.

The coroutine that owns a pair may drive it itself (`receive_nowait`, `send_nowait`, `reap_nowait`, `replenish`,
`wait_for_interrupt`), or lend it to a compiled `Program`:

    async for work in pair.run(program):     # bursts go through the program, in the executor
        ...                                  # the coroutine wakes only to decide

Either way the vector's message wakes the owner, who takes bursts until dry, unmasks, and sleeps. A device that breaks the
contract makes the pair stand still with a `fault`, a reset reason; resetting the card is the adapter's job.
"""

import asyncio
from typing import NamedTuple

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from ena_dev.bus.atomic cimport fence, store_release
from ena_dev.bus.eventfd cimport close, eventfd_open, eventfd_read
from ena_dev.bus.executor cimport Executor, task_init, task_wake
from ena_dev.bus.interrupts cimport MsixVector
from ena_dev.bus.memory cimport BUS_READ, BUS_WRITE, Memory, bus_at
from ena_dev.bus.mmio cimport RegisterBar, bar_write
from ena_dev.driver.copies cimport frame_bytes, frame_from
from ena_dev.driver.pair cimport Pair, pair_flush, pair_reap, pair_receive, pair_send, pair_step, pair_unmask
from ena_dev.driver.pool cimport BufferPool, pool_give_chain
from ena_dev.driver.rings cimport (
    BURST, FRAME_L4_BAD, FRAME_L4_GOOD, FRAME_PARTIAL, MAX_TX_BUFFERS, SEND_FULL, SEND_OK, SEND_REFUSED, Frame, RxRing, TxRing,
)
from ena_dev.driver.rx_ring cimport rx_clear, rx_forget, rx_free, rx_make, rx_post, rx_waiting
from ena_dev.driver.tx_ring cimport tx_clear, tx_forget, tx_free, tx_make, tx_waiting
from ena_dev.packet.headers cimport parse_frame

from ena_dev.errors import UsageError


class Rings(NamedTuple):
    """Bus addresses of the pair's four rings, for the create commands."""

    rx_sq: int
    rx_cq: int
    tx_sq: int
    tx_cq: int


class Received(NamedTuple):
    """One frame taken by the open API. `checksum`: good, bad, unchecked or partial; `segment`: MSS of a large packet, else 0."""

    data: bytes
    hash: int
    checksum: str
    segment: int


cdef object received(const Frame *frame, bytes data):
    checksum = ("partial" if frame.flags & FRAME_PARTIAL else "bad" if frame.flags & FRAME_L4_BAD
                else "good" if frame.flags & FRAME_L4_GOOD else "unchecked")
    return Received(data, frame.hash, checksum, frame.segment)


cdef class Program:
    """What a pair can be lent to: a compiled burst function and its context, set by the subclass.

    `take()` hands the coroutine what is to be decided; it is called after each bell.
    """

    def take(self):
        return None


cdef class QueuePair:
    """One queue pair. Depths are powers of two, in descriptors."""

    def __cinit__(self, Executor executor not None, Memory memory not None, BufferPool pool not None, RegisterBar bar not None,
                  MsixVector vector not None, int index, int nic=0, uint32_t rx_depth=1024, uint32_t tx_depth=1024,
                  bint large_receive=False):
        for depth in (rx_depth, tx_depth):
            if depth < 2 or depth > 32768 or depth & (depth - 1):
                raise UsageError(f"a ring of {depth} entries is no power of two from 2 to 32768")
        memset(&self.pair, 0, sizeof(Pair))
        task_init(&self.pair.task, pair_step, &self.pair)
        self.executor, self.memory, self.pool, self.bar, self.vector = executor, memory, pool, bar, vector
        self.index, self.nic, self.large_receive = index, nic, large_receive
        self.pair.pool, self.pair.bar, self.pair.index, self.pair.nic = &pool.pool, &bar.bar, index, nic
        self.pair.bell = eventfd_open()
        self.pair.rx.depth, self.pair.tx.depth = rx_depth, tx_depth
        self.pair.rx.completion_bytes = 32 if large_receive else 16
        self._allocate()

    def _allocate(self):
        cdef RxRing *rx = &self.pair.rx
        cdef TxRing *tx = &self.pair.tx
        allocate = self.memory.allocate
        self._addresses = Rings(allocate(rx.depth * 16), allocate(rx.depth * rx.completion_bytes), allocate(tx.depth * 16),
                                allocate(tx.depth * 8))
        rx.descriptors = self._host(self._addresses.rx_sq, rx.depth * 16)
        rx.completions = self._host(self._addresses.rx_cq, rx.depth * rx.completion_bytes)
        tx.descriptors = self._host(self._addresses.tx_sq, tx.depth * 16)
        tx.completions = self._host(self._addresses.tx_cq, tx.depth * 8)
        if not (rx_make(rx) and tx_make(tx)):
            raise MemoryError("no memory for the rings' bookkeeping")

    cdef uint8_t *_host(self, uint64_t address, uint64_t length) except NULL:
        return bus_at(&self.memory.bus, address, length, BUS_READ | BUS_WRITE)

    def __dealloc__(self):
        rx_free(&self.pair.rx)
        tx_free(&self.pair.tx)
        if self.pair.bell > 0:                  # 0: never opened, for wrong arguments
            close(self.pair.bell)

    cdef Pair *raw(self) noexcept:
        return &self.pair

    @property
    def rings(self):
        return self._addresses

    @property
    def rx_depth(self):
        return self.pair.rx.depth

    @property
    def tx_depth(self):
        return self.pair.tx.depth

    @property
    def rx_completion_words(self):
        return self.pair.rx.completion_bytes // 4

    # -- life ----------------------------------------------------------------------------------------------------------

    def start(self, uint32_t rx_doorbell, uint32_t tx_doorbell, uint32_t unmask, uint32_t max_tx_buffers=MAX_TX_BUFFERS, moderation=(0, 0)):
        """The device has created the queues: post Rx buffers, unmask. `moderation`: (Rx, Tx) delay in units of the device's resolution."""
        cdef Pair *pair = &self.pair
        cdef uint32_t rx_delay = min(max(moderation[0], 0), 0x7FFF), tx_delay = min(max(moderation[1], 0), 0x7FFF)
        if pair.running:
            raise UsageError(f"queue pair {self.index} runs already")
        with self.executor.held():
            rx_clear(&pair.rx)
            tx_clear(&pair.tx)
            pair.rx.doorbell, pair.tx.doorbell, pair.unmask = rx_doorbell, tx_doorbell, unmask
            pair.tx.max_buffers = min(max_tx_buffers, <uint32_t>MAX_TX_BUFFERS)
            pair.moderation, pair.moderation_new = rx_delay | tx_delay << 15, 1
            pair.fault, pair.quiet, pair.running = 0, 0, 1
            rx_post(&pair.rx, pair.pool, pair.bar)
            pair_unmask(pair)
        if pair.task.executor != NULL:
            task_wake(&pair.task)

    def stop(self):
        """Forget all that is in flight: the device has been reset, or its queues destroyed. Returns how many sends came back undone."""
        cdef int undone
        with self.executor.held():
            self.pair.running = 0
            rx_forget(&self.pair.rx, self.pair.pool)
            undone = tx_forget(&self.pair.tx, self.pair.pool)
        return undone

    def close(self):
        """Give the rings' memory back. The pair was stopped and is not lent."""
        if self._addresses is not None:
            self.stop()
            for address in self._addresses:
                self.memory.free(address)
            self._addresses = None

    def quiesce(self):
        """Receive no more; sends go on."""
        with self.executor.held():
            self.pair.quiet = 1

    # -- watching ------------------------------------------------------------------------------------------------------

    @property
    def fault(self):
        """0, or the reset reason why the pair stands still."""
        return self.pair.fault

    @property
    def running(self):
        return bool(self.pair.running)

    @property
    def interrupts(self):
        return self.pair.interrupts

    @property
    def sends_in_flight(self):
        return self.pair.tx.depth - self.pair.tx.free_count + self.pair.tx.backlog_count if self.pair.running else 0

    def oldest_send(self):
        """(request id, seconds of the clock when it was sent) of the oldest send without completion, or None."""
        cdef uint64_t oldest = 0
        cdef uint32_t i, found = 0
        with self.executor.held():
            for i in range(self.pair.tx.depth):
                if self.pair.tx.sent_at[i] and (oldest == 0 or self.pair.tx.sent_at[i] < oldest):
                    oldest, found = self.pair.tx.sent_at[i], i
        return (found, oldest / 1e9) if oldest else None

    def pending_unseen(self):
        """Whether a completion waits that nobody has looked at: with a silent vector, an interrupt was lost."""
        if not self.pair.running:
            return False
        with self.executor.held():
            return bool(rx_waiting(&self.pair.rx) or tx_waiting(&self.pair.tx))

    def recover_interrupt(self):
        """The contract's lost-interrupt write: asks for the message again, leaves the vector unmasked."""
        if self.pair.running:
            with self.executor.held():
                bar_write(self.pair.bar, self.pair.unmask, self.pair.moderation)

    def statistics(self):
        """Counters by their `ethtool -S` names, without the queue prefix. Packets and bytes as the rings saw them."""
        cdef RxRing *rx = &self.pair.rx
        cdef TxRing *tx = &self.pair.tx
        return {
            "tx_cnt": tx.packets, "tx_bytes": tx.bytes, "tx_queue_stop": tx.full, "tx_tx_poll": tx.polls, "tx_doorbells": tx.doorbells,
            "tx_unmask_interrupt": self.pair.unmasks, "tx_prepare_ctx_err": tx.refused, "rx_cnt": rx.packets, "rx_bytes": rx.bytes,
            "rx_refil_partial": rx.refill_partial, "rx_csum_good": rx.csum_good, "rx_csum_bad": rx.csum_bad,
            "rx_csum_unchecked": rx.csum_unchecked, "rx_empty_rx_ring": rx.empty,
        }

    # -- the open API --------------------------------------------------------------------------------------------------

    def receive_nowait(self, int budget=BURST):
        """Take up to `budget` frames, oldest first: at most 64, possibly none. Never waits."""
        cdef Frame frames[BURST]
        cdef int i, n
        taken = []
        with self.executor.held():
            n = pair_receive(&self.pair, frames, min(budget, BURST), self._now()) if self.pair.running else 0
            for i in range(n):
                taken.append(received(&frames[i], frame_bytes(&frames[i], self.pair.pool)))
                pool_give_chain(self.pair.pool, frames[i].first)
        return taken

    cdef uint64_t _now(self):
        return <uint64_t>(asyncio.get_running_loop().time() * 1e9)

    def replenish(self):
        """Post buffers for what was received, with one doorbell. Returns how many."""
        with self.executor.held():
            return rx_post(&self.pair.rx, self.pair.pool, self.pair.bar) if self.pair.running else 0

    def send_nowait(self, const uint8_t[::1] data not None, *, bint partial=False, uint16_t segment=0):
        """Queue a copy of one frame; `flush` sends it off. False if there is no room now.

        `partial`: the L4 checksum field holds the pseudo-header sum. `segment`: MSS to cut a large TCP packet by.
        Raises UsageError for a frame that can't be sent at all.
        """
        cdef Frame frame
        cdef int result
        cdef uint32_t most = MAX_TX_BUFFERS * self.pair.pool.size
        if not 14 <= data.shape[0] <= most:
            raise UsageError(f"a frame has 14 to {most} bytes, not {len(data)}")
        with self.executor.held():
            if not frame_from(&frame, self.pair.pool, &data[0], data.shape[0]):
                return False
            frame.flags, frame.segment = FRAME_PARTIAL if partial else 0, segment
            if partial or segment:
                parse_frame(frame.data, frame.first_length, frame.length, &frame.parsed)
            result = pair_send(&self.pair, &frame, self._now())
            if result != SEND_OK:
                pool_give_chain(self.pair.pool, frame.first)
        if result == SEND_REFUSED:
            raise UsageError(f"a frame of {len(data)} bytes can't be sent with partial={bool(partial)}, segment={segment}")
        return result == SEND_OK

    def flush(self):
        """Ring the doorbell for what was queued."""
        with self.executor.held():
            pair_flush(&self.pair)

    def reap_nowait(self, int budget=BURST):
        """Finish up to `budget` sends that the device completed. Returns how many."""
        with self.executor.held():
            return pair_reap(&self.pair, budget, self._now()) if self.pair.running else 0

    async def wait_for_interrupt(self):
        """Unmask the vector, look once more, then sleep until its message comes. Only while the pair is not lent."""
        descriptor = self.vector.eventfd_sink()
        self.vector.drain()
        with self.executor.held():
            if self.pair.running:
                pair_unmask(&self.pair)
        if not self.pending_unseen():
            await _readable(descriptor)
        self.vector.drain()
        self.pair.interrupts += 1

    # -- the lent API --------------------------------------------------------------------------------------------------

    cdef int lend(self, Program program) except -1:
        if self._program is not None:
            raise UsageError(f"queue pair {self.index} is lent already")
        with self.executor.held():
            self._program = program
            self.pair.burst, self.pair.program = program.burst, program.context
            self.vector.set_task_sink(&self.pair.task)
            self.executor.add(&self.pair.task, self)
        return 0

    cdef int take_back(self) except -1:
        with self.executor.held():
            self.executor.remove(&self.pair.task)
            self.vector.set_task_sink(NULL)
            self.pair.burst = NULL
            self._program = None
        return 0

    async def run(self, Program program not None):
        """Lend the pair to `program` until the iteration ends; yields `program.take()` each time the pair's bell rings."""
        loop, rung = asyncio.get_running_loop(), asyncio.Event()
        self.lend(program)
        loop.add_reader(self.pair.bell, self._rung, rung)
        try:
            while True:
                await rung.wait()
                rung.clear()
                store_release(&self.pair.belled, 0)
                fence()
                yield program.take()
        finally:
            loop.remove_reader(self.pair.bell)
            self.take_back()

    def _rung(self, rung):
        cdef uint64_t count
        eventfd_read(self.pair.bell, &count)
        rung.set()


async def _readable(descriptor):
    """Wait until a descriptor of ours can be read."""
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    loop.add_reader(descriptor, lambda: future.done() or future.set_result(None))
    try:
        await future
    finally:
        loop.remove_reader(descriptor)
