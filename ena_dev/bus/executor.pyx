# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""The executor: steps what is ready, at most `budget` frames a task, in turn. It knows no card and no driver.

Three ways to run the same rounds:

    round(now)         by hand, in virtual time: tests
    attach(loop)       from an event loop, on its clock: small appliances
    start() / stop()   in a data thread of its own, which never takes the GIL: the appliance

`held()` is the one barrier: inside it no task runs, so tasks, queues and tables may be changed or read from Python. It waits
for at most the round under way. Tasks, once added, live until removed; their owners are kept alive with them.
"""

import contextlib
import os
import signal
import threading

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset
from posix.time cimport timespec

from ena_dev.bus.atomic cimport fence, fetch_add, load_acquire, store_release, exchange
from ena_dev.errors import UsageError

cdef extern from "sys/epoll.h" nogil:
    int epoll_create1(int flags)
    int epoll_ctl(int epfd, int op, int fd, epoll_event *event)
    int epoll_wait(int epfd, epoll_event *events, int maximum, int timeout)
    int epoll_pwait2(int epfd, epoll_event *events, int maximum, const timespec *timeout, const void *signals)
    int EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLLIN
    uint32_t EPOLLET

cdef extern from "sys/eventfd.h" nogil:
    int eventfd(unsigned int count, int flags)
    int eventfd_read(int fd, uint64_t *value)
    int EFD_CLOEXEC, EFD_NONBLOCK

cdef extern from "pthread.h" nogil:
    int pthread_mutex_init(pthread_mutex_t *mutex, void *attributes)
    int pthread_mutex_lock(pthread_mutex_t *mutex)
    int pthread_mutex_unlock(pthread_mutex_t *mutex)
    int pthread_mutex_destroy(pthread_mutex_t *mutex)

cdef extern from "sched.h" nogil:
    int sched_yield()

cdef extern from "unistd.h" nogil:
    int close(int fd)

cdef enum:
    BELL = 0xFFFFFF     # the bell's event, where a task's slot would stand
    PASSES = 4          # what becomes ready in a round runs in the same round, this often
    EVENTS = 64

cdef extern from *:
    """
    #define SOFTENA_LONGEST_SLEEP 60000000000ULL   // ns
    """
    const uint64_t LONGEST_SLEEP "SOFTENA_LONGEST_SLEEP"



FAULTS = {signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV}
"""What a thread brings on itself: blocked, it could only end the process, whoever stands ready to answer."""

NICE = -10
"""Niceness of the data thread: frames go before decisions when cores are short."""


cdef int wait_until(int epoll, epoll_event *events, uint64_t due) noexcept nogil:
    """Sleep until a descriptor is ready or `due` (ns) has come; moderation delays are shorter than epoll_wait's milliseconds."""
    cdef timespec timeout
    cdef uint64_t now = clock_now(), left
    cdef int n
    if due <= now:
        return 0
    left = due - now
    timeout.tv_sec, timeout.tv_nsec = <long>(min(left, LONGEST_SLEEP) // 1000000000ULL), <long>(min(left, LONGEST_SLEEP) % 1000000000ULL)
    n = epoll_pwait2(epoll, events, EVENTS, &timeout, NULL)
    if n < 0:                                   # interrupted, or a kernel before 5.11
        n = epoll_wait(epoll, events, EVENTS, <int>(min(left, 50000000ULL) // 1000000ULL + 1))
    return max(n, 0)


cdef class Executor:
    """Steps tasks. `budget`: frames a task may handle in one turn."""

    def __cinit__(self, int budget=32):
        memset(&self.exec, 0, sizeof(Exec))
        self.budget, self.waiting, self.stopping = budget, 0, 0
        self._owners = {}
        pthread_mutex_init(&self.lock, NULL)
        self.exec.bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)
        self.exec.epoll = epoll_create1(EPOLL_CLOEXEC)
        if self.exec.bell < 0 or self.exec.epoll < 0:
            raise OSError("can't create the executor's eventfd or epoll descriptor")
        cdef epoll_event event
        event.events, event.data.u32 = EPOLLIN, BELL
        epoll_ctl(self.exec.epoll, EPOLL_CTL_ADD, self.exec.bell, &event)

    def __dealloc__(self):
        if self.exec.epoll > 0:                 # 0: never opened, for wrong arguments
            close(self.exec.epoll)
        if self.exec.bell > 0:
            close(self.exec.bell)
        pthread_mutex_destroy(&self.lock)

    # -- tasks -------------------------------------------------------------------------------------------------------

    cdef int add(self, Task *task, object owner) except -1:
        """Take a task in; `owner` is kept alive until it is removed. The caller holds the barrier if the thread runs."""
        cdef uint32_t i
        cdef epoll_event event
        for i in range(EXEC_TASKS):
            if self.exec.tasks[i] == NULL:
                break
        else:
            raise UsageError(f"the executor is full: {EXEC_TASKS} tasks")
        if task.fd >= 0:
            event.events, event.data.u32 = EPOLLIN | EPOLLET, i
            if epoll_ctl(self.exec.epoll, EPOLL_CTL_ADD, task.fd, &event):
                raise OSError(f"can't wait for descriptor {task.fd}")
        self.exec.tasks[i] = task
        self.exec.count = max(self.exec.count, i + 1)
        task.executor = &self.exec
        self._owners[<size_t>task] = owner
        task_wake(task)
        return 0

    cdef int remove(self, Task *task) except -1:
        cdef uint32_t i
        for i in range(self.exec.count):
            if self.exec.tasks[i] == task:
                self.exec.tasks[i] = NULL
                task.executor = NULL
                if task.fd >= 0:
                    epoll_ctl(self.exec.epoll, EPOLL_CTL_DEL, task.fd, NULL)
                self._owners.pop(<size_t>task, None)
                return 0
        return 0

    cdef uint64_t next_deadline(self) noexcept nogil:
        cdef uint64_t earliest = 0xFFFFFFFFFFFFFFFFULL
        cdef uint32_t i
        cdef Task *task
        for i in range(self.exec.count):
            task = <Task *>self.exec.tasks[i]
            if task != NULL and not task.paused and task.deadline < earliest:
                earliest = task.deadline
        return earliest

    cdef bint any_ready(self) noexcept nogil:
        cdef uint32_t i
        cdef Task *task
        for i in range(self.exec.count):
            task = <Task *>self.exec.tasks[i]
            if task != NULL and not task.paused and load_acquire(&task.ready):
                return True
        return False

    # -- rounds ------------------------------------------------------------------------------------------------------

    cdef int run_round(self, uint64_t now) noexcept nogil:
        """Step what is ready or due, a few passes; returns the work done."""
        cdef int total = 0, work, pass_work
        cdef uint32_t i, n
        cdef bint spent = False
        cdef Task *task
        self.exec.now = now
        for n in range(PASSES):
            pass_work = 0
            for i in range(self.exec.count):
                task = <Task *>self.exec.tasks[i]
                if task == NULL or task.paused:
                    continue
                if not exchange(&task.ready, 0) and task.deadline > now:
                    continue
                work = task.step(task.ctx, now, self.budget)
                if work >= self.budget:
                    store_release(&task.ready, 1)
                    spent = True
                pass_work += work + 1
            total += pass_work
            if pass_work == 0 or spent:    # who floods has had its turn: others may have become ready
                break
        self.rounds += 1
        return total

    cdef void mark(self, epoll_event *events, int n) noexcept nogil:
        """Make ready what the events name. By slot, under the barrier: a task removed meanwhile is simply not there."""
        cdef uint64_t count
        cdef uint32_t slot
        cdef int i
        for i in range(n):
            slot = events[i].data.u32
            if slot == BELL:
                eventfd_read(self.exec.bell, &count)
            elif self.exec.tasks[slot] != NULL:
                store_release(&(<Task *>self.exec.tasks[slot]).ready, 1)

    cdef int step_all(self, uint64_t now) noexcept nogil:
        """Collect events without waiting, then run a round. The caller holds the barrier."""
        cdef epoll_event events[EVENTS]
        self.mark(events, epoll_wait(self.exec.epoll, events, EVENTS, 0))
        return self.run_round(now)

    def round(self, double now):
        """Run one round by hand at time `now` (seconds); returns the work done (0: nothing was ready)."""
        cdef int work
        cdef uint64_t ns = <uint64_t>(now * 1e9 + 0.5)
        with nogil:
            self.acquire()
            work = self.step_all(ns)
            self.release()
        return work

    def run_until_idle(self, double now, int limit=10000):
        """Rounds at one point in time until nothing is ready; returns how many. Raises UsageError beyond `limit`."""
        cdef int n
        for n in range(limit):
            if not self.round(now):
                return n
        raise UsageError(f"the executor is still busy after {limit} rounds")

    @property
    def deadline(self):
        """When a task wants to be stepped next, in seconds; None if no task waits for a time."""
        cdef uint64_t earliest
        with nogil:
            self.acquire()
            earliest = self.next_deadline()
            self.release()
        return None if earliest == 0xFFFFFFFFFFFFFFFFULL else earliest / 1e9

    # -- the barrier -------------------------------------------------------------------------------------------------

    cdef void acquire(self) noexcept nogil:
        fetch_add(&self.waiting, 1)
        pthread_mutex_lock(&self.lock)
        fetch_add(&self.waiting, -1)

    cdef void release(self) noexcept nogil:
        pthread_mutex_unlock(&self.lock)

    def held(self):
        """A context inside which no task runs. Not to be nested; never await inside it."""
        return _Held(self)

    # -- from an event loop --------------------------------------------------------------------------------------------

    def attach(self, loop):
        """Run rounds from `loop`, on its clock, whenever something is ready or due."""
        if self._loop is not None or self.threaded:
            raise UsageError("the executor runs already")
        self._loop = loop
        loop.add_reader(self.exec.epoll, self._turn)
        self._turn()

    def detach(self):
        if self._loop is None:
            return
        self._loop.remove_reader(self.exec.epoll)
        if self._timer is not None:
            self._timer.cancel()
        self._loop = self._timer = None
        store_release(&self.exec.asleep, 0)

    def _turn(self):
        if self._loop is None:
            return
        store_release(&self.exec.asleep, 0)
        self.round(self._loop.time())
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        store_release(&self.exec.asleep, 1)
        fence()
        if self.any_ready():
            eventfd_write(self.exec.bell, 1)    # let the loop breathe between rounds
            return
        due = self.deadline
        if due is not None:
            self._timer = self._loop.call_at(due, self._turn)

    # -- in a thread ---------------------------------------------------------------------------------------------------

    @property
    def threaded(self):
        return self.exec.live == 1

    def start(self):
        """Run rounds in a data thread until `stop`. The thread never takes the GIL and blocks all signals that others send."""
        if self._loop is not None or self.threaded:
            raise UsageError("the executor runs already")
        store_release(&self.stopping, 0)
        self.exec.live = 1
        self._thread = threading.Thread(target=self._thread_main, name="softena-data", daemon=True)
        self._thread.start()

    def stop(self):
        """End the data thread at a round's end and join it."""
        if not self.threaded:
            return
        store_release(&self.stopping, 1)
        eventfd_write(self.exec.bell, 1)
        self._thread.join()
        self.exec.live, self._thread = 0, None

    def _thread_main(self):
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals() - FAULTS)
        with contextlib.suppress(OSError):              # without the right to, it competes as an equal
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        with nogil:
            self.thread_loop()

    cdef void thread_loop(self) noexcept nogil:
        cdef epoll_event events[EVENTS]
        cdef bint busy
        cdef uint64_t due = 0
        cdef int n = 0
        while not load_acquire(&self.stopping):
            while load_acquire(&self.waiting):
                sched_yield()
            pthread_mutex_lock(&self.lock)
            self.mark(events, n)
            self.step_all(clock_now())
            store_release(&self.exec.asleep, 1)
            fence()
            busy = self.any_ready() or load_acquire(&self.stopping)    # the round may have read the bell of `stop`
            due = self.next_deadline()
            pthread_mutex_unlock(&self.lock)
            n = 0 if busy else wait_until(self.exec.epoll, events, due)
            store_release(&self.exec.asleep, 0)


cdef class _Held:
    cdef Executor executor

    def __init__(self, executor):
        self.executor = executor

    def __enter__(self):
        with nogil:
            self.executor.acquire()
        return self.executor

    def __exit__(self, *exc):
        self.executor.release()
