# cython: language_level=3
"""Eventfds: how a task wakes a coroutine, or a program in another process. Header-only."""

from libc.stdint cimport uint64_t

cdef extern from "sys/eventfd.h" nogil:
    int eventfd(unsigned int count, int flags)
    int eventfd_read(int fd, uint64_t *value)
    int eventfd_write(int fd, uint64_t value)
    int EFD_CLOEXEC, EFD_NONBLOCK

cdef extern from "unistd.h" nogil:
    int close(int fd)


cdef inline int eventfd_open() except -1:
    """A new one that never blocks. Raises OSError."""
    cdef int descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)
    if descriptor < 0:
        raise OSError("can't create an eventfd")
    return descriptor
