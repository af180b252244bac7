# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""Packet faults on request: loss, duplication, delay, jitter and reordering, between the card's engines and its port, both ways.

A frame that is held back is copied, so that its buffers are free at once; the line's task releases it when it is due. All chances come
from one seeded generator, so a run repeats exactly.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from posix.uio cimport iovec

from ena_dev.bus.executor cimport task_init
from ena_dev.packet.chain cimport chain_peek

cdef enum:
    OVERTAKEN = 1000000        # ns by which a reordered frame falls behind, beyond its delay


cdef int line_init(Line *line, release_t release, done_t done, void *ctx) noexcept nogil:
    line.release, line.done, line.ctx, line.count, line.order = release, done, ctx, 0, 0
    line.heap = <Held *> calloc(LINE_FRAMES, sizeof(Held))
    task_init(&line.task, line_step, line)
    line_set(line, 0, 0, 0, 0, 0, 0)
    return 0 if line.heap != NULL else -1


cdef void line_close(Line *line) noexcept nogil:
    cdef uint32_t i
    if line.heap == NULL:
        return
    for i in range(line.count):
        free(line.heap[i].data)
    free(line.heap)
    line.heap, line.count = NULL, 0


cdef void line_set(Line *line, uint64_t seed, double loss, double duplication, double reorder, uint64_t delay,
                   uint64_t jitter) noexcept nogil:
    """New chances. Frames under way keep their time."""
    line.random = (seed + 1) * 0x9E3779B97F4A7C15ULL
    if not line.random:
        line.random = 1
    line.loss, line.duplication, line.reorder, line.delay, line.jitter = loss, duplication, reorder, delay, jitter


cdef double draw(Line *line) noexcept nogil:
    """The next number of 0..1, without 1: xorshift64*."""
    line.random ^= line.random >> 12
    line.random ^= line.random << 25
    line.random ^= line.random >> 27
    return <double> ((line.random * 0x2545F4914F6CDD1DULL) >> 11) / 9007199254740992.0


cdef int line_take(Line *line, uint8_t way, uint16_t queue, const iovec *pieces, int count, uint32_t length, const PortMeta *meta,
                   uint64_t now) noexcept nogil:
    """A frame meets its fate, LINE_*."""
    cdef uint64_t hold = line.delay
    if line.loss > 0 and draw(line) < line.loss:
        line.lost += 1
        return LINE_LOST
    if line.jitter:
        hold += <uint64_t> (draw(line) * <double> line.jitter)
    if line.duplication > 0 and draw(line) < line.duplication:
        line.duplicated += keep(line, way, queue, pieces, count, length, meta, now + hold)
    if line.reorder > 0 and draw(line) < line.reorder:
        line.reordered += 1
        hold += OVERTAKEN
    if not hold:
        return LINE_PASSES
    if not keep(line, way, queue, pieces, count, length, meta, now + hold):
        return LINE_FULL
    line.delayed += 1
    return LINE_HELD


cdef int keep(Line *line, uint8_t way, uint16_t queue, const iovec *pieces, int count, uint32_t length, const PortMeta *meta,
              uint64_t due) noexcept nogil:
    """Copy a frame into the line: 1, or 0 when it is full."""
    cdef Held held
    if line.count == LINE_FRAMES or not held_copy(&held, way, queue, pieces, count, length, meta):
        line.refused += 1
        return 0
    held.due, held.order = due, line.order
    line.order += 1
    push(line, &held)
    line.task.deadline = line.heap[0].due
    return 1


cdef bint held_copy(Held *held, uint8_t way, uint16_t queue, const iovec *pieces, int count, uint32_t length,
                    const PortMeta *meta) noexcept nogil:
    """A frame into memory of its own; False without memory."""
    held.data = <uint8_t *> malloc(length if length else 1)
    if held.data == NULL:
        return False
    held.length = chain_peek(pieces, count, held.data, length)
    held.meta, held.way, held.queue = meta[0], way, queue
    return True


cdef inline bint before(const Held *a, const Held *b) noexcept nogil:
    return a.due < b.due or (a.due == b.due and a.order < b.order)


cdef void push(Line *line, const Held *held) noexcept nogil:
    cdef uint32_t at = line.count, parent
    line.count += 1
    while at:
        parent = (at - 1) // 2
        if not before(held, &line.heap[parent]):
            break
        line.heap[at] = line.heap[parent]
        at = parent
    line.heap[at] = held[0]


cdef void pop(Line *line) noexcept nogil:
    """Remove the earliest."""
    cdef uint32_t at = 0, child
    cdef Held last
    line.count -= 1
    last = line.heap[line.count]
    while 2 * at + 1 < line.count:
        child = 2 * at + 1
        if child + 1 < line.count and before(&line.heap[child + 1], &line.heap[child]):
            child += 1
        if not before(&line.heap[child], &last):
            break
        line.heap[at] = line.heap[child]
        at = child
    if line.count:
        line.heap[at] = last


cdef int line_step(void *ctx, uint64_t now, int budget) noexcept nogil:
    """Release what is due. Returns the frames released."""
    cdef Line *line = <Line *> ctx
    cdef Held held
    cdef int done = 0
    while done < budget and line.count and line.heap[0].due <= now:
        held = line.heap[0]
        pop(line)
        line.release(line.ctx, &held, now)
        free(held.data)
        done += 1
    line.task.deadline = line.heap[0].due if line.count else 0xFFFFFFFFFFFFFFFFULL
    if done:
        line.done(line.ctx, now)
    return done
