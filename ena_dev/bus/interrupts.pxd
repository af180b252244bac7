# cython: language_level=3
from libc.stdint cimport uint32_t, uint64_t

from ena_dev.bus.executor cimport Executor, Task, task_wake

cdef enum:
    UNMASK_DELAY = 0x7FFF            # [14:0] Rx delay, [29:15] Tx delay
    UNMASK_BIT = 0x40000000
    UNMASK_NO_UPDATE = 0x80000000
    DELAYS_WRITTEN = 0x40000000
    NOTIFY_RX = 1                    # kinds of what is pending: each has its own delay
    NOTIFY_TX = 2
    NOTIFY_NOW = 4

cdef struct Vector:
    Task task                        # applies mailbox writes, fires what is due
    void (*fire)(void *sink) noexcept nogil
    void *sink                       # what `fire` is called with; fire NULL: nobody listens
    uint32_t auto_mask               # IO vectors mask themselves when sent, vector 0 does not
    uint32_t masked
    uint32_t pending                 # kinds posted since the last message
    uint32_t mailbox                 # last value written to the unmask register
    uint32_t written                 # atomic: a value waits in the mailbox
    uint32_t resolution              # ns of one delay unit
    uint64_t rx_delay, tx_delay      # ns
    uint64_t due                     # when a held message goes out; NO_DEADLINE: none held
    uint64_t sent
    uint64_t lost
    uint32_t lose                    # fault: this many coming messages are lost
    uint32_t *lose_any               # the same, shared by the vectors of a card; NULL: not shared
    uint32_t delays                  # atomic: delays that wait beside the mailbox, with DELAYS_WRITTEN; 0: none


cdef void vector_notify(Vector *vector, uint64_t now, uint32_t kind) noexcept nogil
cdef void vector_unmask_written(void *vector, uint32_t value) noexcept nogil

cdef class MsixVector:
    cdef Vector vector
    cdef Executor executor
    cdef readonly int index
    cdef int _eventfd          # made here for a coroutine
    cdef int _given            # passed from another process
    cdef void set_task_sink(self, Task *task) noexcept
