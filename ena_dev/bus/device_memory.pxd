# cython: language_level=3
from libc.stdint cimport uint8_t, uint64_t

cdef class DeviceMemory:
    cdef uint8_t *host         # `size` bytes; elsewhere after `renew`
    cdef readonly uint64_t size
    cdef readonly int fd
    cdef int _check(self, uint64_t offset, uint64_t length) except -1
