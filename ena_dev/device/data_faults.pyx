# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""Misbehaviour of the data path on request: of packets by a delay line, of completions and interrupts by counts that are spent."""

from libc.string cimport memset

from ena_dev.device.card cimport Spoil
from ena_dev.device.impairment cimport Line, line_set


cdef class FaultInjector:
    """The faults of one card. Counts add up to what is not spent yet."""

    def __init__(self, CardState state not None):
        self.state = state

    cdef int impair(self, faults) except -1:
        """Misbehaviour of packets from now on. Those already held back keep their time."""
        cdef Line *line = &self.state.line
        cdef bint none = faults.loss == faults.duplication == faults.delay == faults.jitter == faults.reorder == 0
        with self.state.executor.held():
            line_set(line, faults.seed & 0xFFFFFFFFFFFFFFFF, faults.loss, faults.duplication, faults.reorder,
                     int(faults.delay * 1e9), int(faults.jitter * 1e9))
            self.state.card.line = NULL if none else line
        return 0

    cdef int withhold(self, uint32_t count) except -1:
        """The next Tx packets get no completion."""
        with self.state.executor.held():
            self.state.card.withhold += count
        return 0

    cdef int spoil(self, bint rx, uint32_t wrong_id, uint32_t malformed) except -1:
        """The next completions of a direction name a request that can't be in flight, or have bits set that must be zero."""
        cdef Spoil *spoil = &self.state.card.spoil_rx if rx else &self.state.card.spoil_tx
        with self.state.executor.held():
            spoil.wrong_id += wrong_id
            spoil.malformed += malformed
        return 0

    cdef int lose_interrupts(self, uint32_t count, vector) except -1:
        """The next `count` messages are lost: those of one IO vector, or with None whichever come first."""
        cdef uint32_t *lose = &self.state.card.lose_interrupts if vector is None else &self.state.vector(vector).lose
        with self.state.executor.held():
            lose[0] += count
        return 0

    cdef int clear(self) except -1:
        """Forget what is not spent; faults of packets stay. Under the barrier."""
        cdef int i
        for i in range(1, len(self.state.vectors)):
            self.state.vector(i).lose = 0
        self.state.card.withhold = self.state.card.lose_interrupts = 0
        memset(&self.state.card.spoil_tx, 0, sizeof(Spoil))
        memset(&self.state.card.spoil_rx, 0, sizeof(Spoil))
        return 0

    cdef dict counters(self):
        """What the faults of packets did so far: lost, duplicated, delayed, reordered, refused for want of room."""
        cdef Line *line = &self.state.line
        return {"lost": line.lost, "duplicated": line.duplicated, "delayed": line.delayed, "reordered": line.reordered,
                "refused": line.refused}
