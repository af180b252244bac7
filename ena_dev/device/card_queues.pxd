# cython: language_level=3
from libc.stdint cimport uint32_t, uint64_t

from ena_dev.device.card cimport Card, Cq, Lines
from ena_dev.device.card_state cimport CardState

cdef uint32_t doorbell_at(int index, bint rx)          # BAR offset

cdef class CardQueues:
    cdef CardState state
    cdef Card *card
    cdef int create_cq(self, int index, vector, int entry_words, uint32_t depth, uint64_t ring) except -1
    cdef int destroy_cq(self, int index) except -1
    cdef int create_rx(self, int index, int cq_index, uint32_t depth, uint64_t ring) except -1
    cdef int create_tx(self, int index, int cq_index, uint32_t depth, uint64_t ring) except -1
    cdef int create_llq(self, int index, int cq_index, uint32_t depth, layout) except -1
    cdef int destroy_rx(self, int index) except -1
    cdef int destroy_tx(self, int index) except -1
    cdef int destroy_all(self) except -1
    cdef void rank(self) noexcept
    cdef bint exists(self, int index, bint rx) noexcept
    cdef Cq *_cq(self, int index) except NULL
    cdef Cq *_cq_for(self, int cq_index, uint32_t depth, int index, bint rx) except NULL
    cdef int _check_ring(self, uint64_t ring, uint64_t size, uint32_t depth, uint32_t access) except -1
    cdef int _make_tx(self, int index, Cq *cq, uint32_t depth, uint64_t ring, const Lines *lines) except -1
    cdef int _drop_rx(self, int index) except -1
    cdef int _drop_tx(self, int index) except -1
    cdef int _release_vectors(self) except -1
