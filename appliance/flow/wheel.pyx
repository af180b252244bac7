# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""A timer wheel that is lazy: it says whom to look at, not who has expired.

An entry is armed for a time and comes out once, not before that time and soon after, or earlier if the time lies beyond one
turn of the wheel. Whoever takes it out compares with the clock and arms it again if it is alive. So a packet only
stores when it was seen, and no entry moves while its flow is busy. Entries are numbers from 1, in intrusive lists: arming and
cancelling are a few stores, and an idle wheel costs nothing.
"""

from libc.stdint cimport uint32_t, uint64_t

from ena_dev.errors import UsageError

cdef extern from "sys/mman.h" nogil:
    void *mmap(void *address, size_t length, int protection, int flags, int fd, long offset)
    int munmap(void *address, size_t length)
    int PROT_READ, PROT_WRITE, MAP_PRIVATE, MAP_ANONYMOUS, MAP_NORESERVE
    void *MAP_FAILED

cdef enum:
    TICK = 1 << WHEEL_SHIFT


cdef inline uint32_t sentinel(const Wheel *wheel, uint64_t tick) noexcept nogil:
    return wheel.entries + 1 + <uint32_t> (tick & (WHEEL_SLOTS - 1))


cdef uint64_t wheel_arm(Wheel *wheel, uint32_t entry, uint64_t due) noexcept nogil:
    """Let `entry`, armed or not, come out at `due` or soon after. Returns when the wheel wants to be asked for it, ns."""
    cdef uint64_t tick = (due + TICK - 1) >> WHEEL_SHIFT
    cdef uint32_t head, last
    wheel_cancel(wheel, entry)
    if tick < wheel.cursor:
        tick = wheel.cursor
    elif tick > wheel.cursor + WHEEL_SLOTS - 1:
        tick = wheel.cursor + WHEEL_SLOTS - 1
    head = sentinel(wheel, tick)
    last = wheel.prev[head]
    wheel.next[entry], wheel.prev[entry] = head, last
    wheel.next[last], wheel.prev[head] = entry, entry
    return tick << WHEEL_SHIFT


cdef void wheel_cancel(Wheel *wheel, uint32_t entry) noexcept nogil:
    cdef uint32_t following = wheel.next[entry], previous = wheel.prev[entry]
    if following:
        wheel.next[previous], wheel.prev[following] = following, previous
        wheel.next[entry] = wheel.prev[entry] = 0


cdef uint32_t wheel_pop(Wheel *wheel, uint64_t now, int *budget) noexcept nogil:
    """An entry whose slot has come, disarmed; 0 if there is none, or the budget is used up. Entries and empty slots cost 1 each."""
    cdef uint64_t tick = now >> WHEEL_SHIFT
    cdef uint32_t head, entry
    if tick > wheel.cursor + WHEEL_SLOTS:             # a whole turn empties every slot
        wheel.cursor = tick - WHEEL_SLOTS
    while wheel.cursor <= tick and budget[0] > 0:
        budget[0] -= 1
        head = sentinel(wheel, wheel.cursor)
        entry = wheel.next[head]
        if entry != head:
            wheel_cancel(wheel, entry)
            return entry
        if wheel.cursor == tick:
            break
        wheel.cursor += 1
    return 0


cdef uint64_t wheel_deadline(const Wheel *wheel) noexcept nogil:
    """When the next slot that isn't empty comes, ns."""
    cdef uint64_t tick
    cdef uint32_t head
    for tick in range(wheel.cursor, wheel.cursor + WHEEL_SLOTS):
        head = sentinel(wheel, tick)
        if wheel.next[head] != head:
            return tick << WHEEL_SHIFT
    return 0xFFFFFFFFFFFFFFFFULL


cdef class TimerWheel:
    """A wheel for entries 1..`entries`. Memory is committed as it is touched."""

    def __cinit__(self, uint32_t entries):
        cdef uint32_t head
        if not 0 < entries < 0x7FFFFFFF:
            raise UsageError(f"a timer wheel of {entries} entries makes no sense")
        self.bytes = wheel_bytes(entries)
        self.wheel.entries = entries
        cdef void *memory = mmap(NULL, self.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
        if memory == MAP_FAILED:
            raise MemoryError(f"can't reserve {self.bytes} bytes for timers")
        self.wheel.next = <uint32_t *> memory
        self.wheel.prev = self.wheel.next + entries + 1 + WHEEL_SLOTS
        for head in range(entries + 1, entries + 1 + WHEEL_SLOTS):
            self.wheel.next[head] = self.wheel.prev[head] = head

    def __dealloc__(self):
        if self.wheel.next != NULL:
            munmap(self.wheel.next, self.bytes)

    cdef int check(self, uint32_t entry) except -1:
        if not 0 < entry <= self.wheel.entries:
            raise UsageError(f"entry {entry} isn't one of the {self.wheel.entries} of this wheel")
        return 0

    def arm(self, uint32_t entry, uint64_t due):
        """Returns when to ask. Times are ns."""
        self.check(entry)
        return wheel_arm(&self.wheel, entry, due)

    def cancel(self, uint32_t entry):
        self.check(entry)
        wheel_cancel(&self.wheel, entry)

    def pop(self, uint64_t now, int budget=1 << 30):
        """An entry to look at, or 0."""
        return wheel_pop(&self.wheel, now, &budget)

    @property
    def deadline(self):
        """When to ask next; None: nothing is armed."""
        cdef uint64_t due = wheel_deadline(&self.wheel)
        return None if due == 0xFFFFFFFFFFFFFFFFULL else due
