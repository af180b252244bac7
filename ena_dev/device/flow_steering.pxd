# cython: language_level=3
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from ena_dev.bus.executor cimport Executor
from ena_dev.packet.headers cimport Parsed

cdef enum:
    FLOW_RULES = 128           # of one card, at most
    FLOW_WORDS = 5             # of a key
    FLOW_NO_RULE = -1

cdef struct FlowEntry:         # matches if key & mask == value
    uint64_t value[FLOW_WORDS]
    uint64_t mask[FLOW_WORDS]
    uint16_t queue             # the number of an Rx queue in the order of their indices

cdef struct FlowTable:         # the first match wins
    FlowEntry entries[FLOW_RULES]
    uint32_t count

cdef int flow_match(const FlowTable *table, const uint8_t *head, const Parsed *parsed, bint ports) noexcept nogil

cdef class FlowSteering:
    cdef FlowTable table
    cdef Executor executor
