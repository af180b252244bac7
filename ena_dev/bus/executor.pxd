# cython: language_level=3
from libc.stdint cimport uint32_t, uint64_t
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from ena_dev.bus.atomic cimport fence, load_acquire, store_release

cdef enum:
    EXEC_TASKS = 512


ctypedef int (*step_t)(void *ctx, uint64_t now, int budget) noexcept nogil

cdef struct Exec:
    void *tasks[EXEC_TASKS]    # Task *, NULL where free
    uint32_t count             # highest slot in use + 1
    uint32_t asleep            # atomic: 1 while somebody waits on the epoll descriptor
    int bell                   # eventfd: wakes a sleeping executor
    int epoll
    uint64_t now               # of the round under way, ns
    uint32_t live              # 1 while the thread runs rounds: time passes within them

cdef struct Task:
    step_t step                # work done, at most `budget`; returning `budget` means: call me again
    void *ctx
    Exec *executor             # NULL until added
    uint32_t ready             # atomic
    uint32_t paused
    uint64_t deadline          # ns of CLOCK_MONOTONIC; NO_DEADLINE: none
    int fd                     # readable (edge) makes the task ready; -1: none


cdef extern from "sys/eventfd.h" nogil:
    int eventfd_write(int fd, uint64_t value)


cdef inline uint64_t clock_now() noexcept nogil:
    cdef timespec ts
    clock_gettime(CLOCK_MONOTONIC, &ts)
    return <uint64_t>ts.tv_sec * 1000000000ULL + <uint64_t>ts.tv_nsec


cdef inline uint64_t exec_clock(const Exec *executor) noexcept nogil:
    """The time at this moment, ns: a frame may have come long after its round began. Rounds by hand and of an event loop have one time."""
    return clock_now() if executor.live else executor.now


cdef inline void task_wake(Task *task) noexcept nogil:
    """Make a task ready, from any thread, and wake its executor if that sleeps."""
    store_release(&task.ready, 1)
    fence()
    if task.executor != NULL and load_acquire(&task.executor.asleep):
        eventfd_write(task.executor.bell, 1)


cdef inline void task_init(Task *task, step_t step, void *ctx) noexcept nogil:
    task.step, task.ctx, task.executor = step, ctx, NULL
    task.ready, task.paused, task.deadline, task.fd = 0, 0, 0xFFFFFFFFFFFFFFFFULL, -1


cdef extern from "sys/epoll.h" nogil:
    ctypedef union epoll_data:
        uint32_t u32
    struct epoll_event:
        uint32_t events
        epoll_data data

cdef extern from "pthread.h" nogil:
    ctypedef struct pthread_mutex_t:
        pass

cdef class Executor:
    cdef Exec exec
    cdef pthread_mutex_t lock
    cdef uint32_t waiting, stopping
    cdef int budget
    cdef object _thread, _loop, _timer, _owners
    cdef readonly uint64_t rounds
    cdef int add(self, Task *task, object owner) except -1
    cdef int remove(self, Task *task) except -1
    cdef uint64_t next_deadline(self) noexcept nogil
    cdef bint any_ready(self) noexcept nogil
    cdef int run_round(self, uint64_t now) noexcept nogil
    cdef void mark(self, epoll_event *events, int n) noexcept nogil
    cdef int step_all(self, uint64_t now) noexcept nogil
    cdef void thread_loop(self) noexcept nogil
    cdef void acquire(self) noexcept nogil
    cdef void release(self) noexcept nogil
