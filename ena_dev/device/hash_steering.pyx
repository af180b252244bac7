# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""Receive-side scaling: a packet's hash names its queue, by an indirection table; a port that steers by itself is told the same.

    spec: key, initial value, table of Rx queue indices --> the card's table --> rx_verdict
                                                       `--> the port's, by rank of its own queues
"""

from libc.stdint cimport uint16_t, uint32_t
from libc.stdlib cimport free, malloc

from ena_dev.device.card cimport CARD_QUEUES
from ena_dev.packet.toeplitz cimport Toeplitz

from ena_dev.errors import UsageError


cdef class HashSteering:
    """The hash and indirection table of one card. Without a spec, all goes to the first queue."""

    def __init__(self, CardState state not None):
        self.state, self.card, self.spec = state, &state.card, None

    cdef int set(self, spec) except -1:
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
        with self.state.executor.held():
            old = self.card.table
            self.card.hash, self.card.table, self.card.table_size = &toeplitz.table, table, size
        free(old)
        self.state.toeplitz, self.spec = toeplitz, spec
        return self.steer_port()

    cdef int steer_port(self) except -1:
        """Tell the port which of its queues leads to the buffers that the table means; again when Rx queues have come or gone."""
        if self.spec is None or self.card.rx_count < 2:
            return 0
        ranks = {i: self.card.rx[i].rank for i in range(CARD_QUEUES) if self.card.rx[i] != NULL}
        table = [ranks.get(entry, 0) for entry in self.spec.table]
        queues = self.state.port.queues
        self.state.port.steer(self.spec.key, self.spec.initial, [rank if rank < queues else 0 for rank in table])
        return 0

    cdef int clear(self) except -1:
        """No hash, no table. Under the barrier."""
        self.card.hash, self.card.table_size = NULL, 0
        self.spec = self.state.toeplitz = None
        return 0
