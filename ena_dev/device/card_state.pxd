# cython: language_level=3
from ena_dev.bus.device_memory cimport DeviceMemory
from ena_dev.bus.executor cimport Executor
from ena_dev.bus.interrupts cimport Vector
from ena_dev.bus.memory cimport AddressSpace
from ena_dev.bus.mmio cimport RegisterBar
from ena_dev.device.card cimport Card
from ena_dev.device.flow_steering cimport FlowSteering
from ena_dev.device.impairment cimport Line
from ena_dev.device.shaper cimport AllowanceShaper
from ena_dev.port.port cimport Port

cdef class CardState:
    cdef Card card
    cdef Line line
    cdef Executor executor
    cdef AddressSpace memory
    cdef RegisterBar bar
    cdef DeviceMemory device_memory        # None: the card has none
    cdef Port port
    cdef list vectors                      # MsixVector by number
    cdef AllowanceShaper shaper
    cdef FlowSteering flows
    cdef object toeplitz                   # what `card.hash` points into
    cdef int attach(self) except -1
    cdef int detach(self) except -1
    cdef Vector *vector(self, int number) except NULL
