# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""Setting up the ring, and running a batch. The map is in uring.pxd.

Many a place refuses io_uring (an old kernel, a sysctl, a container's seccomp profile), and some files don't do without waiting: opening
tries both, so that whoever asks can go on with plain calls.
"""

from libc.errno cimport EAGAIN, EINTR, EINVAL, EOPNOTSUPP, errno
from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from ena_dev.bus.atomic cimport load_acquire, store_release

cdef extern from "sys/mman.h" nogil:
    void *mmap(void *address, size_t length, int protection, int flags, int fd, long long offset)
    int munmap(void *address, size_t length)
    int PROT_READ, PROT_WRITE, MAP_SHARED, MAP_POPULATE
    void *MAP_FAILED

cdef extern from "unistd.h" nogil:
    int close(int fd)
    long syscall(long number, ...)

cdef enum:
    # system calls; the numbers are the same on every architecture but Alpha
    SETUP = 425
    ENTER = 426
    REGISTER = 427
    # UringParams.features
    FEATURE_SINGLE_MMAP = 1
    FEATURE_NODROP = 2
    FEATURE_RW_CUR_POS = 8       # as old as the opcodes used here
    FEATURES = FEATURE_SINGLE_MMAP | FEATURE_NODROP | FEATURE_RW_CUR_POS
    OFFSET_REQUESTS = 0x10000000
    ENTER_GETEVENTS = 1
    REGISTER_FILES = 2
    UNREGISTER_FILES = 3
    REQUEST_FIXED_FILE = 1       # UringRequest.flags
    RWF_NOWAIT = 8

cdef struct QueueOffsets:
    uint32_t head, tail, ring_mask, ring_entries
    uint32_t which[4]            # submission: flags, dropped, array, -; completion: overflow, cqes, flags, -
    uint64_t user_address

cdef struct UringParams:         # struct io_uring_params, 120 bytes
    uint32_t sq_entries, cq_entries, flags, thread_cpu, thread_idle, features, workers
    uint32_t reserved[3]
    QueueOffsets submission, completion


cdef int uring_open(Uring *ring, int file) noexcept nogil:
    cdef UringParams params
    cdef int reason
    memset(&params, 0, sizeof(params))
    memset(ring, 0, sizeof(Uring))
    ring.fd = <int> syscall(SETUP, <unsigned int> URING_SLOTS, &params)
    if ring.fd < 0:
        return errno
    reason = map_ring(ring, &params) if params.features & FEATURES == FEATURES else EINVAL
    if not reason and syscall(REGISTER, ring.fd, REGISTER_FILES, &file, 1) < 0:
        reason = errno
    if not reason:
        reason = try_out(ring)
    if reason:
        uring_close(ring)
    return reason


cdef int map_ring(Uring *ring, const UringParams *params) noexcept nogil:
    cdef uint8_t *base
    cdef size_t submission = params.submission.which[2] + params.sq_entries * sizeof(uint32_t)
    cdef size_t completion = params.completion.which[1] + params.cq_entries * sizeof(UringResult)
    if params.sq_entries != URING_SLOTS:
        return EINVAL
    ring.ring_bytes = max(submission, completion)
    ring.ring = mmap(NULL, ring.ring_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring.fd, 0)
    if ring.ring == MAP_FAILED:
        ring.ring = NULL
        return errno
    ring.requests = <UringRequest *> mmap(NULL, URING_SLOTS * sizeof(UringRequest), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
                                          ring.fd, OFFSET_REQUESTS)
    if <void *> ring.requests == MAP_FAILED:
        ring.requests = NULL
        return errno
    base = <uint8_t *> ring.ring
    ring.sq_tail, ring.sq_slots = <uint32_t *> (base + params.submission.tail), <uint32_t *> (base + params.submission.which[2])
    ring.cq_head, ring.cq_tail = <uint32_t *> (base + params.completion.head), <uint32_t *> (base + params.completion.tail)
    ring.finished = <UringResult *> (base + params.completion.which[1])
    ring.sq_mask, ring.cq_mask = params.sq_entries - 1, params.cq_entries - 1
    return 0


cdef int try_out(Uring *ring) noexcept nogil:
    """Whether requests may be told not to wait on this file: a write of one byte, which no frame has, says so."""
    cdef uint8_t byte = 0
    cdef int reason
    uring_prepare(ring, 0, URING_WRITE, &byte, 1)
    reason = uring_run(ring, 0, 1)
    return reason if reason else (EOPNOTSUPP if ring.results[0] == -EOPNOTSUPP else 0)


cdef void uring_close(Uring *ring) noexcept nogil:
    if ring.fd < 0:
        return
    # The kernel takes rings apart in its own time: a file still registered would stay open until then.
    syscall(REGISTER, ring.fd, UNREGISTER_FILES, NULL, 0)
    if ring.requests != NULL:
        munmap(ring.requests, URING_SLOTS * sizeof(UringRequest))
    if ring.ring != NULL:
        munmap(ring.ring, ring.ring_bytes)
    close(ring.fd)
    ring.fd, ring.ring, ring.requests = -1, NULL, NULL


cdef void uring_prepare(Uring *ring, uint32_t slot, uint8_t opcode, void *address, uint32_t length) noexcept nogil:
    """What the slot does, each time it is run. The kernel only reads it: what stays the same needs no preparing again."""
    cdef UringRequest *request = &ring.requests[slot]
    memset(request, 0, sizeof(UringRequest))
    request.opcode, request.flags, request.file, request.rw_flags = opcode, REQUEST_FIXED_FILE, 0, RWF_NOWAIT
    request.address, request.length, request.slot = <uint64_t> address, length, slot


cdef int uring_run(Uring *ring, uint32_t first, uint32_t count) noexcept nogil:
    """Run `count` slots from `first` on, in order; `results` has what became of them. One that was not even begun has -EAGAIN."""
    cdef uint32_t tail = ring.sq_tail[0], submit = count, left = count, i
    cdef long taken
    for i in range(count):
        ring.results[first + i] = -EAGAIN
        ring.sq_slots[(tail + i) & ring.sq_mask] = first + i
    store_release(ring.sq_tail, tail + count)
    while left:
        taken = syscall(ENTER, ring.fd, submit, left, ENTER_GETEVENTS, NULL, <size_t> 0)
        if taken < 0 and errno != EINTR:
            return errno
        submit -= <uint32_t> max(taken, <long> 0)
        left -= min(left, reap(ring))
    return 0


cdef uint32_t reap(Uring *ring) noexcept nogil:
    """Take the results that are there; how many."""
    cdef uint32_t head = ring.cq_head[0], tail = load_acquire(ring.cq_tail), n = tail - head
    cdef UringResult *result
    while head != tail:
        result = &ring.finished[head & ring.cq_mask]
        ring.results[result.slot & (URING_SLOTS - 1)] = result.result
        head += 1
    store_release(ring.cq_head, head)
    return n
