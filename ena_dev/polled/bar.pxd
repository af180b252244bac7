# cython: language_level=3
from libc.stdint cimport uint32_t, uint64_t

from ena_dev.bus.executor cimport Executor, Task
from ena_dev.bus.mmio cimport BAR_BYTES, BAR_SLOTS, Bar, RegisterBar, register_write_t

cdef enum:
    TAKEN = 0xFFFFFFFF        # what stands in a word that was taken: no register's legal value
    MOST_TRIGGERS = 16
    MOST_STATES = 32

cdef struct Poll:
    Task task
    Bar *bar
    uint32_t *words           # the file; NULL: none
    uint32_t doorbells[BAR_SLOTS]
    uint32_t doorbell_count
    uint32_t triggers[MOST_TRIGGERS]
    uint32_t trigger_count
    uint32_t states[MOST_STATES]
    uint32_t known[MOST_STATES]  # atomic: the value of each state register that was last told
    uint32_t state_count
    uint32_t told             # atomic: 1 from the bell's ringing until `listen`
    int bell
    uint64_t active           # when something was last taken, ns


cdef class PolledBar(RegisterBar):
    cdef Poll poll
    cdef Executor executor
    cdef int _lost
    cdef int claim(self, uint32_t offset, register_write_t write, void *ctx) except -1
    cdef int disclaim(self, uint32_t offset) except -1
    cdef void disclaim_word(self, uint32_t at) noexcept
    cdef uint32_t *_word(self, uint32_t offset) except NULL
