# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""Frames that wait for a decision, a neighbour or their packet's first fragment: short lists in order, in one bounded store. Header-only."""

from libc.stdint cimport uint32_t

from ena_dev.driver.pool cimport OWNER_BURST, OWNER_PARKED, Pool, pool_own_chain
from ena_dev.driver.rings cimport Frame


cdef enum:
    PARKED_EACH = 8            # frames of one flow or neighbour
    PARKED_FRAMES = 4096       # of all
    # how full the store may be for one more frame of this kind: 1 / share
    SHARE_DECISION = 1
    SHARE_NEIGHBOUR = 2        # neighbours take seconds to be silent, decisions none: those that are sought can't keep new flows out


cdef struct Spot:
    Frame frame
    uint32_t next              # of the same list, or the free ones; 0 ends

cdef struct Parking:
    Spot spots[PARKED_FRAMES + 1]    # the first is never used
    uint32_t fresh             # spots up to here have been used
    uint32_t free
    uint32_t frames            # parked now
    uint32_t buffers           # that they hold
    uint32_t buffer_limit


cdef inline bint park(Parking *parking, Pool *pool, uint32_t *head, const Frame *frame, uint32_t share, uint32_t most) noexcept nogil:
    """Append a frame to the list at `head`, of at most `most`. False: no room there or in the store, and the caller still owns it."""
    cdef uint32_t *link = head
    cdef uint32_t spot, n
    if parking.buffers + frame.buffers > parking.buffer_limit // share or parking.frames >= PARKED_FRAMES // share:
        return False
    for n in range(most):
        if link[0] == 0:
            break
        link = &parking.spots[link[0]].next
    else:
        return False
    spot = parking.free
    if spot:
        parking.free = parking.spots[spot].next
    elif parking.fresh < PARKED_FRAMES:
        parking.fresh += 1
        spot = parking.fresh
    else:
        return False
    parking.spots[spot].frame = frame[0]
    parking.spots[spot].next = 0
    link[0] = spot
    parking.frames += 1
    parking.buffers += frame.buffers
    pool_own_chain(pool, frame.first, OWNER_PARKED)
    return True


cdef inline bint unpark(Parking *parking, Pool *pool, uint32_t *head, Frame *out) noexcept nogil:
    """Take the oldest frame of a list; False: it is empty."""
    cdef uint32_t spot = head[0]
    if spot == 0:
        return False
    out[0] = parking.spots[spot].frame
    head[0] = parking.spots[spot].next
    parking.spots[spot].next = parking.free
    parking.free = spot
    parking.frames -= 1
    parking.buffers -= out.buffers
    pool_own_chain(pool, out.first, OWNER_BURST)
    return True
