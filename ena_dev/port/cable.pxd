# cython: language_level=3
from libc.stdint cimport uint64_t

from ena_dev.port.port cimport Port, PortQueue, port_deliver_t

cdef enum:
    CABLE_QUEUES = 32

cdef struct Plug:                # one end: where frames sent into the other end arrive
    port_deliver_t deliver       # NULL: no card is plugged in
    void *ctx
    uint64_t carried, lost       # frames towards this end; those that met no card, or were dropped by it

cdef class CablePort(Port):
    cdef PortQueue queue
    cdef Plug *far
    cdef object _cable
    cdef int _end

cdef class _Cable:
    cdef Plug plugs[2]
