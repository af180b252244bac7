# cython: language_level=3
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from ena_dev.port.port cimport Port, PortMeta, PortQueue

cdef enum:
    WIRE_SLOTS = 4096            # frames a direction of a queue holds
    WIRE_QUEUES = 32

cdef struct WireFrame:
    uint8_t *data                # malloc'ed by the writer of a lane, freed by its reader
    uint32_t length
    PortMeta meta

cdef struct Lane:                # one writer, one reader, each in a thread of its own if need be
    WireFrame slots[WIRE_SLOTS]
    uint32_t head, tail          # atomic, free-running
    uint64_t refused             # frames that found no room

cdef struct WireQueue:
    PortQueue queue
    Lane inbound                 # Python -> card
    Lane outbound                # card -> Python

cdef class WirePort(Port):
    cdef WireQueue *wires
    cdef WireQueue *_wire(self, int index) except NULL
