# cython: language_level=3
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from posix.uio cimport iovec

from ena_dev.bus.executor cimport Task
from ena_dev.port.port cimport PortMeta

cdef enum:
    LINE_FRAMES = 2048         # frames held back at once
    WAY_IN = 0                 # from the port
    WAY_OUT = 1                # to the port
    # fates of a frame
    LINE_PASSES = 0            # it goes on as if nothing were
    LINE_HELD = 1              # the line has a copy, and releases it later
    LINE_LOST = 2
    LINE_FULL = 3              # it should have been held, but there was no room

cdef struct Held:              # a frame on its way, in memory of its own
    uint64_t due
    uint64_t order             # of frames that are due together
    uint8_t *data
    uint32_t length
    PortMeta meta
    uint8_t way
    uint16_t queue             # WAY_OUT: of the port

# Where a released frame goes on. `done` comes once after each step that released any.
ctypedef void (*release_t)(void *ctx, Held *held, uint64_t now) noexcept nogil
ctypedef void (*done_t)(void *ctx, uint64_t now) noexcept nogil

cdef struct Line:
    release_t release
    done_t done
    void *ctx
    Task task
    uint64_t random            # state of the generator, never 0
    double loss, duplication, reorder
    uint64_t delay, jitter     # ns
    Held *heap                 # the earliest first
    uint32_t count
    uint64_t order
    uint64_t lost, duplicated, delayed, reordered, refused

cdef int line_init(Line *line, release_t release, done_t done, void *ctx) noexcept nogil       # 0, or -1 without memory
cdef void line_close(Line *line) noexcept nogil
cdef void line_set(Line *line, uint64_t seed, double loss, double duplication, double reorder, uint64_t delay,
                   uint64_t jitter) noexcept nogil
cdef int line_take(Line *line, uint8_t way, uint16_t queue, const iovec *pieces, int count, uint32_t length, const PortMeta *meta,
                   uint64_t now) noexcept nogil
cdef bint held_copy(Held *held, uint8_t way, uint16_t queue, const iovec *pieces, int count, uint32_t length,
                    const PortMeta *meta) noexcept nogil
cdef int line_step(void *ctx, uint64_t now, int budget) noexcept nogil
