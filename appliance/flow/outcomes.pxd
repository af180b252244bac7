# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""How new flows to balanced targets go: counted as they are answered, refused, or met with silence. Header-only.

    TCP   SYN+ACK or SYN back                             answered
          RST back, and nothing but a SYN+ACK before      refused
          the third SYN, or the end of a flow without     silent
    UDP   the first datagram back                         answered

A connection that was answered first and refused then counts as refused alone. Frames of an open connection cost nothing.
"""

from libc.stdint cimport uint8_t

from appliance.flow.engine cimport Engine, Outcome
from appliance.flow.table cimport CLASS_OPENING, Flow
from appliance.flow.tcp cimport CLOSED, ESTABLISHED, SYN_RECEIVED, SYN_SENT


cdef enum:
    PATIENCE = 3               # as many SYNs are sent within three seconds: RFC 6298 with an initial timeout of one


cdef inline void note_opening(Engine *engine, const Flow *flow, int direction, uint8_t tcp) noexcept nogil:
    """A segment passes, and leads to the state `tcp`; its packet isn't counted yet."""
    cdef Outcome *outcome = &engine.outcomes[flow.state.target]
    if not direction:
        outcome.silent += tcp == SYN_SENT and flow.half[0].packets == PATIENCE - 1
    elif tcp == CLOSED:
        if flow.state.tcp <= SYN_RECEIVED or flow.state.tcp == ESTABLISHED and flow.half[1].packets <= 1:
            outcome.refused += 1
            outcome.answered -= flow.state.tcp != SYN_SENT
    else:
        outcome.answered += flow.state.tcp == SYN_SENT and tcp == SYN_RECEIVED


cdef inline void note_expiry(Engine *engine, const Flow *flow) noexcept nogil:
    """A flow ends because nothing more was seen of it."""
    if flow.state.cls == CLASS_OPENING and flow.state.tcp == SYN_SENT:
        engine.outcomes[flow.state.target].silent += flow.half[0].packets < PATIENCE
