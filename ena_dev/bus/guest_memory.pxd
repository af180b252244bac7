# cython: language_level=3
from ena_dev.bus.executor cimport Executor
from ena_dev.bus.memory cimport AddressSpace

cdef class GuestMemory(AddressSpace):
    cdef Executor executor
    cdef list _ranges
    cdef bint _enabled
    cdef int _lost             # eventfd
