# cython: language_level=3
from ena_dev.bus.executor cimport Executor
from ena_dev.bus.memory cimport AddressSpace

cdef class HugePages(AddressSpace):
    cdef Executor executor
    cdef list _runs
    cdef int _lost
    cdef void _publish(self)
