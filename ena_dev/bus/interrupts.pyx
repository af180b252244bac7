# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""MSI-X vectors: mask on send, pending while masked, unmask with delay, and where the message lands.

    posted completion --notify--> pending --unmasked, delay over--> fire(sink), masked again
                                      ^--- unmask register (a mailbox: any thread writes, the vector's task applies)

A sink is a task's ready bit (a compiled driver), an eventfd (a coroutine, or a driver in another process), or nothing. Source: ENA interface, interrupt unmask
register, and MSI-X.
"""

import os

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

from ena_dev.bus.atomic cimport exchange, store_release
from ena_dev.bus.eventfd cimport close, eventfd_open, eventfd_read, eventfd_write
from ena_dev.bus.executor cimport Executor, Task, task_init, task_wake

from ena_dev.errors import UsageError


cdef void fire_eventfd(void *sink) noexcept nogil:
    eventfd_write(<int><size_t>sink, 1)


cdef void fire_task(void *sink) noexcept nogil:
    task_wake(<Task *>sink)


cdef bint lost(Vector *vector) noexcept nogil:
    """Whether a fault takes this message."""
    cdef uint32_t *lose = &vector.lose if vector.lose or vector.lose_any == NULL else vector.lose_any
    if not lose[0]:
        return False
    lose[0] -= 1
    return True


cdef void send(Vector *vector) noexcept nogil:
    vector.pending, vector.due, vector.task.deadline = 0, 0xFFFFFFFFFFFFFFFFULL, 0xFFFFFFFFFFFFFFFFULL
    vector.masked = vector.auto_mask
    if lost(vector):
        vector.lost += 1
        return
    vector.sent += 1
    if vector.fire != NULL:
        vector.fire(vector.sink)


cdef void hold(Vector *vector, uint64_t now) noexcept nogil:
    """Send what is pending now, or at the end of its kind's delay."""
    cdef uint64_t delay = 0
    if not vector.pending & NOTIFY_NOW:
        delay = vector.rx_delay if vector.pending & NOTIFY_RX else 0xFFFFFFFFFFFFFFFFULL
        if vector.pending & NOTIFY_TX:
            delay = min(delay, vector.tx_delay)
    if delay == 0:
        send(vector)
    elif now + delay < vector.due:
        vector.due = vector.task.deadline = now + delay


cdef void vector_notify(Vector *vector, uint64_t now, uint32_t kind) noexcept nogil:
    """A completion of a kind (NOTIFY_RX, NOTIFY_TX, NOTIFY_NOW) was posted: send the message in its time, or note it while masked."""
    vector.pending |= kind
    if not vector.masked:
        hold(vector, now)


cdef void vector_unmask_written(void *ctx, uint32_t value) noexcept nogil:
    """The unmask register's write: may come from any thread, so it only fills the mailbox. Of two writes before the vector's turn
    the later one counts, but it must not swallow delays that the earlier one brought."""
    cdef Vector *vector = <Vector *>ctx
    if not value & UNMASK_NO_UPDATE:
        store_release(&vector.delays, DELAYS_WRITTEN | value & (UNMASK_DELAY << 15 | UNMASK_DELAY))
    store_release(&vector.mailbox, value)
    store_release(&vector.written, 1)
    task_wake(&vector.task)


cdef void apply(Vector *vector, uint32_t value, uint64_t now) noexcept nogil:
    cdef uint32_t delays = exchange(&vector.delays, 0)
    if delays:
        vector.rx_delay = <uint64_t>(delays & UNMASK_DELAY) * vector.resolution
        vector.tx_delay = <uint64_t>((delays >> 15) & UNMASK_DELAY) * vector.resolution
    if value & UNMASK_BIT:
        vector.masked = 0
        if vector.pending:
            hold(vector, now)
    elif value & UNMASK_NO_UPDATE:
        vector.masked = 1
        vector.due = vector.task.deadline = 0xFFFFFFFFFFFFFFFFULL
    else:                                   # "lost interrupt": send again what was posted, leave it unmasked
        vector.masked = 0
        send(vector)
        vector.masked = 0


cdef int vector_step(void *ctx, uint64_t now, int budget) noexcept nogil:
    cdef Vector *vector = <Vector *>ctx
    if exchange(&vector.written, 0):
        apply(vector, vector.mailbox, now)
    if vector.due <= now:
        send(vector)
    return 0


cdef class MsixVector:
    """One interrupt vector of one card. IO vectors start masked and mask themselves; vector 0 does neither."""

    def __cinit__(self, Executor executor not None, int index):
        memset(&self.vector, 0, sizeof(Vector))
        task_init(&self.vector.task, vector_step, &self.vector)
        self.executor, self.index, self._eventfd = executor, index, -1
        self._given = -1
        self.vector.auto_mask = self.vector.masked = 1 if index else 0
        self.vector.due, self.vector.resolution = 0xFFFFFFFFFFFFFFFFULL, 1000
        with executor.held():
            executor.add(&self.vector.task, self)

    def __dealloc__(self):
        if self._eventfd > 0:                   # 0: never opened, for wrong arguments
            close(self._eventfd)
        if self._given > 0:
            close(self._given)

    def close(self):
        """Leave the executor; the vector sends nothing from here on."""
        with self.executor.held():
            self.executor.remove(&self.vector.task)
        self.signal(None)

    cdef void set_task_sink(self, Task *task) noexcept:
        """Messages make `task` ready. The caller holds the barrier."""
        self.vector.sink = task
        self.vector.fire = NULL
        if task != NULL:
            self.vector.fire = fire_task

    def eventfd_sink(self):
        """Messages go to an eventfd from here on; returns its descriptor, which stays the vector's."""
        if self._eventfd < 0:
            self._eventfd = eventfd_open()
        with self.executor.held():
            self.vector.sink = <void *><size_t>self._eventfd
            self.vector.fire = fire_eventfd
        return self._eventfd

    def signal(self, fd):
        """Messages go to the eventfd `fd`, which is the vector's from here on, or to nobody (None). What was passed before is closed.

        UsageError, and nothing changes, if it isn't an eventfd: writing to anything else could block the data thread.
        """
        cdef int given = -1 if fd is None else fd, old = self._given
        if given >= 0:
            try:
                kind = os.readlink(f"/proc/self/fd/{given}")
            except OSError:
                kind = "closed"
            if kind != "anon_inode:[eventfd]":
                raise UsageError(f"descriptor {given} is no eventfd: {kind}")
            os.set_blocking(given, False)
        with self.executor.held():
            self._given = given
            self.vector.sink, self.vector.fire = <void *><size_t>given, NULL
            if given >= 0:
                self.vector.fire = fire_eventfd
        if old >= 0:
            close(old)

    def trigger(self):
        """Send one message past mask and faults, for who tests the way it goes."""
        with self.executor.held():
            if self.vector.fire != NULL:
                self.vector.fire(self.vector.sink)

    def drain(self):
        """Read the eventfd sink empty; True if a message had come."""
        cdef uint64_t count
        return self._eventfd >= 0 and eventfd_read(self._eventfd, &count) == 0

    def fire(self):
        """Send the message now, if unmasked; otherwise note it. For vector 0, whose owner is Python."""
        with self.executor.held():
            vector_notify(&self.vector, 0, NOTIFY_NOW)

    def reset(self):
        """As after a function reset: IO vectors masked, nothing pending, no delays. The sink stays."""
        with self.executor.held():
            self.vector.masked = self.vector.auto_mask
            self.vector.pending = self.vector.written = self.vector.delays = 0
            self.vector.rx_delay = self.vector.tx_delay = 0
            self.vector.due = self.vector.task.deadline = 0xFFFFFFFFFFFFFFFFULL

    def lose(self, uint32_t count):
        """Fault: the next `count` messages are lost."""
        with self.executor.held():
            self.vector.lose += count

    @property
    def sent(self):
        return self.vector.sent

    @property
    def lost(self):
        return self.vector.lost

    @property
    def masked(self):
        return bool(self.vector.masked)

    @property
    def pending(self):
        return bool(self.vector.pending)

    @property
    def delays(self):
        """(Rx, Tx) moderation delays in seconds."""
        return self.vector.rx_delay / 1e9, self.vector.tx_delay / 1e9
