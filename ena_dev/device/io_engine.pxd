# cython: language_level=3
from ena_dev.bus.device_memory cimport DeviceMemory
from ena_dev.bus.executor cimport Executor
from ena_dev.bus.memory cimport AddressSpace
from ena_dev.bus.mmio cimport RegisterBar
from ena_dev.device.card cimport Card, Counters, Cq, Lines, RxQueue, TxQueue
from ena_dev.device.flow_steering cimport FlowSteering
from ena_dev.device.impairment cimport Line
from ena_dev.device.shaper cimport AllowanceShaper
from ena_dev.port.port cimport Port

cdef class IoEngine:
    cdef Card card
    cdef Line line
    cdef readonly Executor executor
    cdef readonly AddressSpace memory
    cdef readonly RegisterBar bar
    cdef readonly DeviceMemory device_memory
    cdef readonly Port port
    cdef readonly AllowanceShaper shaper
    cdef readonly bint closed
    cdef FlowSteering _flows
    cdef list _vectors
    cdef object _toeplitz, _rss
    cdef Cq *_cq(self, int index) except NULL
    cdef void _vector_released(self, int index)
    cdef int _make_rx(self, int index, Cq *cq, unsigned int depth, unsigned long long ring) except -1
    cdef int _make_tx(self, int index, Cq *cq, unsigned int depth, unsigned long long ring, const Lines *lines) except -1
    cdef void _drop_rx(self, int index)
    cdef void _drop_tx(self, int index)
    cdef void _rank(self)
    cdef Counters _totals(self, bint rx)
