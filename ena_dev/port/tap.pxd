# cython: language_level=3
from ena_dev.port.port cimport Port, PortQueue
from ena_dev.port.tap_queue cimport TapQueue

cdef enum:
    TAP_QUEUES = 32

cdef class TapPort(Port):
    cdef TapQueue taps[TAP_QUEUES]
    cdef readonly str name
    cdef readonly bint offloads
    cdef list _devices
    cdef object _steering
    cdef void *_frames           # memory of `ahead` and `kept` of all queues
    cdef bint _refused           # the kernel takes no steering program
