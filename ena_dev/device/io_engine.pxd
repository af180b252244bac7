# cython: language_level=3
from ena_dev.bus.device_memory cimport DeviceMemory
from ena_dev.device.card cimport Card
from ena_dev.device.card_queues cimport CardQueues
from ena_dev.device.card_state cimport CardState
from ena_dev.device.data_faults cimport FaultInjector
from ena_dev.device.hash_steering cimport HashSteering
from ena_dev.device.shaper cimport AllowanceShaper

cdef class IoEngine:
    cdef readonly DeviceMemory device_memory
    cdef readonly AllowanceShaper shaper
    cdef readonly bint closed
    cdef CardState _state
    cdef Card *_card
    cdef CardQueues _queues
    cdef HashSteering _hash
    cdef FaultInjector _faults
