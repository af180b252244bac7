# cython: language_level=3
from ena_dev.device.card cimport Card
from ena_dev.device.card_state cimport CardState

cdef class HashSteering:
    cdef CardState state
    cdef Card *card
    cdef object spec
    cdef int set(self, spec) except -1
    cdef int steer_port(self) except -1
    cdef int clear(self) except -1
