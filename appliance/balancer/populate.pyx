# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""Filling and joining of Maglev tables, without the interpreter's lock: a few milliseconds in which nobody else has to wait.

    populate   whose turn it is claims its next free slot, until all are claimed
    overlay    a table of all targets, with another one's answers where a target takes none, or only some, of its flows

Turns come from a heap: the lowest (2 turns + 1) / (2 weight) is next, of equals the first target. Such fractions are compared as doubles, which
is exact: two that differ do so by more than one part in 2^52, as long as weights are below 2^20.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from array import array
from math import gcd

from ena_dev.errors import UsageError

WHOLE = 100
"""The share of a target that takes all of its flows, in percent."""

cdef enum:
    MOST_WEIGHT = 1048575
    MOST_TARGETS = 65535       # a table's slots are 16 bits, and so is its size but for one
    LARGEST = 65537
    STRIDE = 25033             # a prime that no table's size is


cdef struct Turn:              # a target's next one
    double mark
    uint32_t taken             # before it
    uint32_t weight

cdef struct Walk:              # a target in its permutation of the slots
    uint32_t slot
    uint32_t skip


cdef inline bint sooner(const Turn *turns, uint32_t one, uint32_t two) noexcept nogil:
    return turns[one].mark < turns[two].mark or turns[one].mark == turns[two].mark and one < two


cdef void sink(const Turn *turns, uint32_t *heap, uint32_t count) noexcept nogil:
    """The first of the heap has a later turn now: down to its place."""
    cdef uint32_t at = 0, child = 1, moved = heap[0]
    while child < count:
        if child + 1 < count and sooner(turns, heap[child + 1], heap[child]):
            child += 1
        if sooner(turns, moved, heap[child]):
            break
        heap[at] = heap[child]
        at, child = child, 2 * child + 1
    heap[at] = moved


cdef void take_turns(uint16_t *order, uint32_t length, Turn *turns, uint32_t *heap, uint32_t count) noexcept nogil:
    """Whose turn it is, from the first on."""
    cdef uint32_t n
    cdef Turn *turn
    for n in range(length):
        order[n] = <uint16_t> heap[0]
        turn = &turns[heap[0]]
        turn.taken += 1
        turn.mark = (2.0 * turn.taken + 1) / (2.0 * turn.weight)
        sink(turns, heap, count)


cdef void fill(uint16_t *table, uint32_t size, const uint16_t *order, uint32_t cycle, uint64_t *taken, Walk *walks) noexcept nogil:
    """All slots are claimed, turn after turn of a cycle. `taken`: a zero bit for each slot."""
    cdef uint32_t n, turn = 0, slot, skip
    for n in range(size):
        slot, skip = walks[order[turn]].slot, walks[order[turn]].skip
        while taken[slot >> 6] >> (slot & 63) & 1:
            slot += skip
            if slot >= size:
                slot -= size
        taken[slot >> 6] |= 1ULL << (slot & 63)
        table[slot], walks[order[turn]].slot = order[turn], slot
        turn = turn + 1 if turn + 1 < cycle else 0


cdef class Memory:
    """What filling takes, before the first turn."""

    cdef Turn *turns
    cdef Walk *walks
    cdef uint32_t *heap
    cdef uint64_t *taken
    cdef uint16_t *order

    def __cinit__(self, walked, uint32_t size):
        cdef uint32_t i, count = len(walked)
        self.turns, self.walks = <Turn *> calloc(count, sizeof(Turn)), <Walk *> calloc(count, sizeof(Walk))
        self.heap, self.order = <uint32_t *> calloc(count, sizeof(uint32_t)), <uint16_t *> calloc(size, sizeof(uint16_t))
        self.taken = <uint64_t *> calloc(size // 64 + 1, sizeof(uint64_t))
        if self.turns == NULL or self.walks == NULL or self.heap == NULL or self.order == NULL or self.taken == NULL:
            raise MemoryError("no memory for a Maglev table")
        for i, (offset, skip, weight) in enumerate(walked):
            if not (0 <= offset < size and 0 < skip < size and 1 <= weight <= MOST_WEIGHT):
                raise UsageError(f"a target of a Maglev table can't walk from slot {offset} by {skip} of {size} with a weight of {weight}")
            self.walks[i].slot, self.walks[i].skip = offset, skip
            self.turns[i].weight, self.turns[i].mark = weight, 1.0 / (2.0 * <uint32_t> weight)
        for i, target in enumerate(sorted(range(count), key=lambda each: (-walked[each][2], each))):
            self.heap[i] = target              # who is sorted is a heap already

    def __dealloc__(self):
        free(self.turns)
        free(self.walks)
        free(self.heap)
        free(self.taken)
        free(self.order)


def populate(walked not None, uint32_t size):
    """The table of targets that each walk through `size` slots, a prime number, from an offset by a skip, and have a weight.

    Raises UsageError without targets, with more than slots, and for a walk or a size that can't be.
    """
    cdef uint16_t[::1] table
    cdef uint32_t count = len(walked), cycle
    cdef Memory memory
    if not 2 <= size <= LARGEST or not 0 < count <= min(<uint32_t> MOST_TARGETS, size):
        raise UsageError(f"a Maglev table of {size} slots can't hold {count} targets")
    memory = Memory(walked, size)
    weights = [weight for _, _, weight in walked]
    cycle = min(sum(weights) // gcd(*weights), size)
    made = array("H", bytes(2 * size))
    table = made
    with nogil:
        take_turns(memory.order, cycle, memory.turns, memory.heap, count)
        fill(&table[0], size, memory.order, cycle, memory.taken, memory.walks)
    return made


cdef inline bint within(uint32_t slot, uint32_t share, uint32_t size) noexcept nogil:
    return <uint64_t> slot * STRIDE % size * 100 < <uint64_t> share * size


def takes(uint32_t slot, uint32_t share, uint32_t size):
    """Whether a slot is among the `share` percent of slots whose flows a target takes that takes some only. More of them hold all of less."""
    return within(slot, share, size)


def overlay(full not None, bytes shares not None, again not None, numbers not None):
    """The table `full` where its target takes a slot, by the `shares` of targets, in percent; elsewhere what `again` says, a table as large,
    whose targets have other `numbers`. Raises UsageError when these don't fit together."""
    cdef const uint16_t[::1] first = full
    cdef const uint16_t[::1] second = again
    cdef const uint16_t[::1] renamed = numbers
    cdef const uint8_t[::1] taken = shares
    cdef uint16_t[::1] table
    cdef uint32_t size = len(full), slot, highest = 0, highest_again = 0
    made = array("H", bytes(2 * size))
    if not size or len(again) != size:
        raise UsageError(f"tables of {size} and {len(again)} slots can't be joined")
    table = made
    for slot in range(size):
        highest, highest_again = max(highest, first[slot]), max(highest_again, second[slot])
    if highest >= len(shares) or highest_again >= len(numbers):
        raise UsageError("a table has more targets than there are")
    with nogil:
        for slot in range(size):
            table[slot] = first[slot] if within(slot, taken[first[slot]], size) else renamed[second[slot]]
    return made
