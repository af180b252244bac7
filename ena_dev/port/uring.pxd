# cython: language_level=3
"""Batches of reads and writes on one file by one system call: a small io_uring, without a library.

    slot: one read or write, prepared once      batch: neighbouring slots, submitted and finished in the same call

Nothing is ever left in flight: requests are told not to wait, so each has its result when the call returns. Source: Linux, io_uring(7),
io_uring_setup(2), io_uring_enter(2).
"""

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef enum:
    URING_SLOTS = 32             # a power of two
    # opcodes
    URING_READ = 22
    URING_WRITE = 23

cdef struct UringRequest:        # struct io_uring_sqe, 64 bytes
    uint8_t opcode
    uint8_t flags
    uint16_t priority
    int32_t file
    uint64_t offset
    uint64_t address
    uint32_t length
    uint32_t rw_flags
    uint64_t slot                # user_data
    uint64_t rest[3]

cdef struct UringResult:         # struct io_uring_cqe, 16 bytes
    uint64_t slot
    int32_t result
    uint32_t flags

cdef struct Uring:
    int fd                       # -1: not open
    uint32_t *sq_tail            # in memory that the kernel shares
    uint32_t *sq_slots
    uint32_t *cq_head
    uint32_t *cq_tail
    uint32_t sq_mask, cq_mask
    UringRequest *requests       # by slot
    UringResult *finished
    void *ring
    size_t ring_bytes
    int32_t results[URING_SLOTS] # of the last batch a slot was in: bytes, or -errno

cdef int uring_open(Uring *ring, int file) noexcept nogil                    # 0, or why this kernel won't: an errno
cdef void uring_close(Uring *ring) noexcept nogil                            # the file is free at once; may be repeated
cdef void uring_prepare(Uring *ring, uint32_t slot, uint8_t opcode, void *address, uint32_t length) noexcept nogil
cdef int uring_run(Uring *ring, uint32_t first, uint32_t count) noexcept nogil    # 0, or an errno: the ring is of no use any more
