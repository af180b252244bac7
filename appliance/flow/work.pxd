# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""What goes to a pair's coroutine: misses, refusals, punts and flows that have ended, by rings that are full rather than slow. Header-only."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy

from appliance.flow.engine cimport (
    Copied, ENDED_RING, Engine, Lane, MISS_RING, Miss, PUNT_ND, PUNT_NEIGHBOURS, PUNT_REJECTED, PUNT_RING, Punt, SNAPSHOT, drop,
)
from appliance.flow.reasons cimport DROP_INTERNAL, DROP_PUNT_FULL
from appliance.flow.table cimport Flow, flow_handle
from ena_dev.bus.atomic cimport load_acquire, store_release
from ena_dev.driver.pool cimport pool_give_chain
from ena_dev.driver.pair cimport pair_bell
from ena_dev.driver.rings cimport Frame


cdef inline Lane *lane_of(Engine *engine, uint8_t nic, uint16_t queue) noexcept nogil:
    """The lane of a queue pair; of the nic's first one if it has fewer by now. NULL: there is none."""
    if queue >= engine.nics[nic].queues:
        queue = 0
    return engine.nics[nic].lanes[queue] if engine.nics[nic].queues else NULL


cdef inline bint miss_room(Lane *lane) noexcept nogil:
    return lane.miss_tail - load_acquire(&lane.miss_head) < MISS_RING


cdef inline void push_miss(Lane *lane, uint32_t slot, uint8_t refused) noexcept nogil:
    """Ask for a decision on a pending flow. The caller has made sure of room."""
    cdef Miss *miss = &lane.misses[lane.miss_tail & (MISS_RING - 1)]
    cdef Flow *flow = &lane.engine.table.flows[slot]
    miss.key, miss.flow, miss.length = flow.half[0].key, flow_handle(lane.engine.table, slot), flow.state.length
    miss.nic, miss.queue, miss.tcp_flags, miss.refused = flow.state.nic_in, flow.state.queue, flow.state.tcp_flags, refused
    store_release(&lane.miss_tail, lane.miss_tail + 1)
    pair_bell(lane.pair)


cdef inline bint push_ended(Lane *lane, uint32_t slot) noexcept nogil:
    """A flow of TCP ends, and its ends shall be told. False: too many wait for that."""
    cdef Copied *item = &lane.ended[lane.ended_tail & (ENDED_RING - 1)]
    if lane.ended_tail - load_acquire(&lane.ended_head) >= ENDED_RING:
        return False
    item.flow, item.connection, item.slot = lane.engine.table.flows[slot], lane.engine.table.connections[slot], slot
    store_release(&lane.ended_tail, lane.ended_tail + 1)
    pair_bell(lane.pair)
    return True


cdef inline bint push_punt(Lane *lane, const Frame *frame, uint8_t reason, int64_t flow, uint32_t mtu, uint32_t room) noexcept nogil:
    """A copy of the frame's beginning to Python, if fewer than `room` wait there."""
    cdef Punt *item = &lane.punts[lane.punt_tail & (PUNT_RING - 1)]
    if lane.punt_tail - load_acquire(&lane.punt_head) >= room:
        return False
    item.flow, item.mtu, item.reason, item.nic, item.queue = flow, mtu, reason, frame.nic, frame.queue
    item.length = <uint16_t> (frame.first_length if frame.first_length < SNAPSHOT else SNAPSHOT)
    memcpy(item.data, frame.data, item.length)
    store_release(&lane.punt_tail, lane.punt_tail + 1)
    pair_bell(lane.pair)
    return True


cdef inline void punt(Engine *engine, Frame *frame, uint8_t reason, int64_t flow, uint32_t mtu) noexcept nogil:
    """A frame is Python's from now on."""
    cdef Lane *lane = lane_of(engine, frame.nic, frame.queue)
    if lane == NULL:
        drop(engine, frame, DROP_INTERNAL)
    elif not push_punt(lane, frame, reason, flow, mtu, PUNT_RING if reason <= PUNT_ND else PUNT_RING - PUNT_NEIGHBOURS):
        drop(engine, frame, DROP_PUNT_FULL)
    else:
        engine.counters.punted += 1
        pool_give_chain(engine.pool, frame.first)


cdef inline void drop_telling(Engine *engine, Frame *frame, uint32_t reason, uint8_t what, int64_t flow, uint32_t mtu) noexcept nogil:
    """The end of a frame whose sender is told so, by Python. What a rule rejects leaves half of the ring to what others need."""
    cdef Lane *lane = lane_of(engine, frame.nic, frame.queue)
    if lane != NULL:
        push_punt(lane, frame, what, flow, mtu, PUNT_RING // 2 if what == PUNT_REJECTED else PUNT_RING - PUNT_NEIGHBOURS)
    drop(engine, frame, reason)


cdef inline void reject(Engine *engine, Frame *frame, uint32_t reason) noexcept nogil:
    drop_telling(engine, frame, reason, PUNT_REJECTED, -1, 0)
