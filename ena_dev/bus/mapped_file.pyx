# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""Memory of files that belong to somebody else: mapped between two pages that nobody may touch, and survived when it is taken away.

    | no access | the file's pages | no access |
                        `-- cut off the file: SIGBUS --> zeros of our own in its place, an eventfd tells the owner

Whoever passed a file may shrink it at any time, or its file system may be full; the kernel answers the next access with SIGBUS, which
would end the process. Instead the whole mapping turns to zeros that nobody shares, and the access goes on. Accesses by the kernel
itself (readv, writev) just fail.
"""

import os

from libc.errno cimport ENOMEM, errno
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from ena_dev.bus.atomic cimport load_acquire64, store_release64
from ena_dev.bus.executor cimport eventfd_write

cdef extern from "sys/mman.h" nogil:
    void *mmap(void *address, size_t length, int prot, int flags, int fd, long offset)
    int munmap(void *address, size_t length)
    int PROT_NONE, PROT_READ, PROT_WRITE, MAP_SHARED, MAP_PRIVATE, MAP_ANONYMOUS, MAP_FIXED, MAP_NORESERVE
    void *MAP_FAILED

cdef extern from "<signal.h>" nogil:
    int SIGBUS, SA_SIGINFO
    ctypedef struct siginfo_t:
        void *si_addr
    ctypedef struct action_t "struct sigaction":
        void (*sa_sigaction)(int, siginfo_t *, void *) noexcept nogil
        int sa_flags
    int sigaction(int number, const action_t *new, action_t *old)

cdef enum:
    MAPPINGS = 4096            # of all cards of this process

cdef struct Mapping:
    uint64_t start
    uint64_t size              # atomic: 0 while the entry is free
    uint64_t reserved, reserved_size
    int told                   # eventfd

# The process's, for a signal handler gets no context.
cdef Mapping mappings[MAPPINGS]
cdef action_t before           # what SIGBUS meant before us


cdef void lost(int number, siginfo_t *info, void *context) noexcept nogil:
    """SIGBUS: zeros where the file was. What is not ours to answer happens again, and meets what was there before."""
    cdef uint64_t address = <uint64_t> info.si_addr, size
    cdef Mapping *mapping
    cdef uint32_t i
    for i in range(MAPPINGS):
        mapping = &mappings[i]
        size = load_acquire64(&mapping.size)
        if size == 0 or address < mapping.start or address - mapping.start >= size:
            continue
        if mmap(<void *> mapping.start, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE,
                -1, 0) != MAP_FAILED:
            eventfd_write(mapping.told, 1)
            return
        break
    sigaction(number, &before, NULL)


cdef int listen() except -1:
    """Answer SIGBUS, also when somebody else took it over meanwhile."""
    cdef action_t action
    sigaction(SIGBUS, NULL, &action)
    if action.sa_sigaction == lost:
        return 0
    before = action
    memset(&action, 0, sizeof(action))
    action.sa_sigaction, action.sa_flags = lost, SA_SIGINFO
    if sigaction(SIGBUS, &action, NULL):
        raise OSError(errno, os.strerror(errno))
    return 0


cdef uint8_t *file_map(int fd, uint64_t offset, uint64_t size, uint64_t page, int protection, int told) except NULL:
    """Map `size` bytes of a file, shared, at a multiple of `page`, which divides both. `told`: the eventfd signalled when they are lost.

    Raises OSError. The descriptor may be closed at once; `told` must live until `file_unmap`.
    """
    cdef uint64_t reserved_size = size + 2 * page, start
    cdef Mapping *mapping = NULL
    cdef void *reserved
    cdef int error
    for i in range(MAPPINGS):
        if mappings[i].size == 0:
            mapping = &mappings[i]
            break
    if mapping == NULL or reserved_size < size:
        raise OSError(ENOMEM, f"no room for one more mapping of {size} bytes")
    listen()
    reserved = mmap(NULL, reserved_size + page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    if reserved == MAP_FAILED:
        raise OSError(errno, os.strerror(errno))
    start = (<uint64_t> reserved + 2 * page - 1) // page * page
    if mmap(<void *> start, size, protection, MAP_SHARED | MAP_FIXED, fd, <long> offset) == MAP_FAILED:
        error = errno
        munmap(reserved, reserved_size + page)
        raise OSError(error, os.strerror(error))
    mapping.start, mapping.reserved, mapping.reserved_size, mapping.told = start, <uint64_t> reserved, reserved_size + page, told
    store_release64(&mapping.size, size)
    return <uint8_t *> start


cdef void file_unmap(uint8_t *host) noexcept:
    """Undo `file_map`. No task may be inside."""
    cdef uint32_t i
    for i in range(MAPPINGS):
        if mappings[i].size and mappings[i].start == <uint64_t> host:
            store_release64(&mappings[i].size, 0)
            munmap(<void *> mappings[i].reserved, mappings[i].reserved_size)
            return
