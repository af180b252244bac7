# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""BAR 0 as a file: a driver stores into it and gets no answer from the store, so a task of the executor looks for what is new.

    triggers    a write is an event, also of the same value: doorbells, and the control registers that ask for something.
                A value is taken by exchanging it for TAKEN, which is no register's legal value.
    states      only the last value counts: base addresses, sizes. Compared with what was last told.

Doorbells that the card has claimed are taken and rung right here. Of the control registers the task only sees that there is something:
it rings a bell, an eventfd, and rests them until Python has called `listen`.

What it costs: while values keep coming, and 0.1 ms after, the task is due again at once, and the executor's thread takes a core. Then
it sleeps a quarter of the time that was quiet, and at most 1 ms: an idle BAR costs a few hundredths of a core.

A file that is cut short becomes zeros that nobody else sees, and `lost`.
"""

import contextlib
import os

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from ena_dev.bus.atomic cimport exchange, load_acquire, store_release
from ena_dev.bus.executor cimport Executor, eventfd_write, task_init, task_wake
from ena_dev.bus.mapped_file cimport file_map, file_unmap
from ena_dev.bus.mmio cimport BAR_BYTES, BAR_CONTROL, BAR_SLOTS, RegisterBar, bar_write, register_write_t

from ena_dev.errors import BusError, PortError, UsageError

cdef extern from "sys/eventfd.h" nogil:
    int eventfd(unsigned int count, int flags)
    int eventfd_read(int fd, uint64_t *value)
    int EFD_CLOEXEC, EFD_NONBLOCK

cdef extern from "sys/mman.h" nogil:
    int PROT_READ, PROT_WRITE

cdef extern from "unistd.h" nogil:
    int close(int fd)

cdef enum:
    SPIN = 100000            # ns without a value before the task sleeps
    LONGEST_NAP = 1000000    # ns
    PAGE = 4096


cdef inline bint wanted(Poll *poll) noexcept nogil:
    """Whether a control register waits to be told."""
    cdef uint32_t i
    for i in range(poll.trigger_count):
        if load_acquire(&poll.words[poll.triggers[i]]) != TAKEN:
            return True
    for i in range(poll.state_count):
        if load_acquire(&poll.words[poll.states[i]]) != load_acquire(&poll.known[i]):
            return True
    return False


cdef int ring_doorbells(Poll *poll) noexcept nogil:
    """Take what doorbells hold, and ring them; returns how many."""
    cdef uint32_t i, value, at
    cdef int rung = 0
    for i in range(poll.doorbell_count):
        at = poll.doorbells[i]
        if load_acquire(&poll.words[at]) == TAKEN:
            continue
        value = exchange(&poll.words[at], TAKEN)
        if value != TAKEN:
            bar_write(poll.bar, at * 4, value)
            rung += 1
    return rung


cdef int poll_step(void *ctx, uint64_t now, int budget) noexcept nogil:
    cdef Poll *poll = <Poll *> ctx
    cdef int found = ring_doorbells(poll)
    cdef uint64_t quiet
    if not load_acquire(&poll.told) and wanted(poll):
        store_release(&poll.told, 1)
        eventfd_write(poll.bell, 1)
        found += 1
    if found:
        poll.active = now
    quiet = now - poll.active if now > poll.active else 0
    poll.task.deadline = now if quiet < SPIN else now + min(quiet // 4, <uint64_t> LONGEST_NAP)
    return min(found, budget - 1)               # all is taken: nothing is left for a second turn


cdef class PolledBar(RegisterBar):
    """A BAR 0 that is a file, from `attach` to `detach`. `triggers`, `states`: byte offsets of control registers."""

    def __cinit__(self):
        memset(&self.poll, 0, sizeof(Poll))
        self.poll.bell = self._lost = -1

    def __init__(self, Executor executor not None, triggers, states):
        if len(triggers) > MOST_TRIGGERS or len(states) > MOST_STATES:
            raise UsageError(f"a BAR is polled for at most {MOST_TRIGGERS} triggers and {MOST_STATES} states")
        self.executor, self.poll.bar = executor, &self.bar
        for offset in (*triggers, *states):
            if not 0 <= offset < BAR_CONTROL or offset & 3:
                raise BusError(offset, 4, "no control register")
        for offset in triggers:
            self.poll.triggers[self.poll.trigger_count] = offset >> 2
            self.poll.trigger_count += 1
        for offset in states:
            self.poll.states[self.poll.state_count] = offset >> 2
            self.poll.state_count += 1
        task_init(&self.poll.task, poll_step, &self.poll)
        self.poll.bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)
        self._lost = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)
        if self.poll.bell < 0 or self._lost < 0:
            raise OSError("can't create an eventfd")

    def __dealloc__(self):
        if self.poll.words != NULL:
            file_unmap(<uint8_t *> self.poll.words)
        if self.poll.bell >= 0:
            close(self.poll.bell)
        if self._lost >= 0:
            close(self._lost)

    def attach(self, int fd):
        """Poll this file of 16 KiB from here on. The caller closes `fd`. UsageError if there is one already, PortError, OSError."""
        if self.poll.words != NULL:
            raise UsageError("the BAR has a file already")
        if os.fstat(fd).st_size < BAR_BYTES:
            raise PortError(f"a BAR of {os.fstat(fd).st_size} bytes, not {BAR_BYTES}")
        self.poll.words = <uint32_t *> file_map(fd, 0, BAR_BYTES, PAGE, PROT_READ | PROT_WRITE, self._lost)
        self.clear()
        self.listen()
        with self.executor.held():
            self.executor.add(&self.poll.task, self)

    def detach(self):
        """Let go of the file, and forget that one was lost. Idempotent."""
        cdef uint32_t *words = self.poll.words
        if words == NULL:
            return
        with self.executor.held():
            self.executor.remove(&self.poll.task)
            self.poll.words = NULL
        file_unmap(<uint8_t *> words)
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._lost)

    def fileno(self):
        """The bell: readable when control registers were written."""
        return self.poll.bell

    @property
    def lost(self):
        """A descriptor that becomes readable when the file was cut short."""
        return self._lost

    # -- doorbells -----------------------------------------------------------------------------------------------------

    cdef int claim(self, uint32_t offset, register_write_t write, void *ctx) except -1:
        """As in any BAR; what was written before there was an owner is nobody's."""
        RegisterBar.claim(self, offset, write, ctx)
        self.disclaim_word(offset >> 2)
        if self.poll.words != NULL:
            store_release(&self.poll.words[offset >> 2], TAKEN)
        self.poll.doorbells[self.poll.doorbell_count] = offset >> 2
        self.poll.doorbell_count += 1
        return 0

    cdef int disclaim(self, uint32_t offset) except -1:
        self.disclaim_word(offset >> 2)
        return RegisterBar.disclaim(self, offset)

    cdef void disclaim_word(self, uint32_t at) noexcept:
        """Take a word off the list. Each is there at most once, so the list can't overflow."""
        cdef uint32_t i
        for i in range(self.poll.doorbell_count):
            if self.poll.doorbells[i] == at:
                self.poll.doorbell_count -= 1
                self.poll.doorbells[i] = self.poll.doorbells[self.poll.doorbell_count]
                return

    # -- control registers ---------------------------------------------------------------------------------------------

    cdef uint32_t *_word(self, uint32_t offset) except NULL:
        if self.poll.words == NULL or offset >= BAR_CONTROL or offset & 3:
            raise BusError(offset, 4, "no control register, or no file")
        return &self.poll.words[offset >> 2]

    def take(self, uint32_t offset):
        """What was written to a trigger; None if nothing was."""
        cdef uint32_t value = exchange(self._word(offset), TAKEN)
        return None if value == TAKEN else value

    def changed(self, uint32_t offset):
        """The value of a state, if it isn't the one that this told last; else None."""
        cdef uint32_t value = load_acquire(self._word(offset)), i
        for i in range(self.poll.state_count):
            if self.poll.states[i] == offset >> 2 and load_acquire(&self.poll.known[i]) != value:
                store_release(&self.poll.known[i], value)
                return value
        return None

    def show(self, uint32_t offset, uint32_t value):
        """Let the driver read `value` there."""
        store_release(self._word(offset), value)

    def listen(self):
        """All that was written has been told: the bell rings again for the next."""
        cdef uint64_t count
        eventfd_read(self.poll.bell, &count)
        store_release(&self.poll.told, 0)
        task_wake(&self.poll.task)

    def clear(self, kept=()):
        """As after power-on: all states 0, nothing in any trigger or doorbell, the rest 0. Offsets in `kept` stay as they are; states
        among them will be told again."""
        cdef uint32_t i
        cdef uint32_t *word
        spared = {offset >> 2 for offset in kept}
        if self.poll.words == NULL:
            raise BusError(0, BAR_BYTES, "the BAR has no file")
        for i in range(BAR_BYTES // 4):
            if i not in spared:
                store_release(&self.poll.words[i], TAKEN if i >= BAR_CONTROL // 4 else 0)
        for i in range(self.poll.trigger_count):
            if self.poll.triggers[i] not in spared:
                store_release(&self.poll.words[self.poll.triggers[i]], TAKEN)
        for i in range(self.poll.state_count):
            word = &self.poll.words[self.poll.states[i]]
            store_release(&self.poll.known[i], ~load_acquire(word) if self.poll.states[i] in spared else 0)
