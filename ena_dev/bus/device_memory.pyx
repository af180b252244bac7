# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""Memory of a card that its driver writes and nobody reads back: BAR 2.

    driver --stores--> mapping of the same file, or `write` --> the card's own mapping --copied out--> engine

It is a file without a name, so that a driver in another process can map it. Its size is sealed: whoever holds the descriptor can neither
shrink it, and so end the card by a missing page, nor make it grow. What it holds may change at any moment: copy, then judge.
"""

import fcntl
import os

from libc.errno cimport errno
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy
from cpython.bytes cimport PyBytes_FromStringAndSize

from ena_dev.errors import BusError, UsageError

cdef extern from "sys/mman.h" nogil:
    void *mmap(void *address, size_t length, int prot, int flags, int fd, long offset)
    int munmap(void *address, size_t length)
    int PROT_READ, PROT_WRITE, MAP_SHARED
    void *MAP_FAILED

PAGE = 4096


cdef class DeviceMemory:
    """`size` bytes, zero at first: whole pages, a power of two. `fd`: lent to who maps it, never given away."""

    def __cinit__(self):
        self.fd, self.host = -1, NULL

    def __init__(self, uint64_t size):
        if size < PAGE or size & (size - 1):
            raise UsageError(f"device memory of {size} bytes: not a power of two from {PAGE}")
        self._drop()
        self.size = size
        self._make()

    def __dealloc__(self):
        self._drop()

    def _make(self):
        cdef void *host
        self.fd = os.memfd_create("device-memory", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.fd, self.size)
        fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        host = mmap(NULL, self.size, PROT_READ | PROT_WRITE, MAP_SHARED, self.fd, 0)
        if host == MAP_FAILED:
            raise OSError(errno, os.strerror(errno))
        self.host = <uint8_t *>host

    def _drop(self):
        if self.host != NULL:
            munmap(self.host, self.size)
            self.host = NULL
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def renew(self):
        """Fresh memory under a new descriptor: who holds the old one reaches this card no more. No queue may lie in it."""
        self._drop()
        self._make()

    def read(self, uint64_t offset, uint64_t length):
        """Copy bytes out. Raises BusError beyond the end."""
        self._check(offset, length)
        return PyBytes_FromStringAndSize(<char *>self.host + offset, length)

    def write(self, uint64_t offset, const uint8_t[::1] data not None):
        """Copy bytes in. Raises BusError beyond the end."""
        cdef uint64_t length = data.shape[0]
        self._check(offset, length)
        if length:
            memcpy(self.host + offset, &data[0], length)

    cdef int _check(self, uint64_t offset, uint64_t length) except -1:
        if self.host == NULL or offset > self.size or length > self.size - offset:
            raise BusError(offset, length, "beyond the device's memory")
        return 0
