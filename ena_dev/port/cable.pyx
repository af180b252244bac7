# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""A cable between two cards on one executor: what one sends is copied once, out of its driver's buffers into those of the other.

    card a --send--> far end's deliver --> card b's posted buffers, or dropped and counted there as an overrun

It takes unfinished checksums and large packets as they are; the card at the far end does for its driver what that driver can't.
"""

from posix.uio cimport iovec

from ena_dev.port.port cimport PORT_CHECKSUM, PORT_PAD, PORT_SEGMENTATION, PORT_SENT, PortMeta

from ena_dev.errors import UsageError


cdef int cable_send(void *ctx, const iovec *pieces, int count, const PortMeta *meta) noexcept nogil:
    """Sent, even if nobody is there or the far end drops it: a cable tells the sender nothing."""
    cdef Plug *far = <Plug *> ctx
    if far.deliver == NULL or far.deliver(far.ctx, pieces, count, meta):
        far.lost += 1
    else:
        far.carried += 1
    return PORT_SENT


cdef class _Cable:
    """What both ends share."""


cdef class CablePort(Port):
    """One end of a cable, as every queue of one card. Made by `cable`."""

    cdef PortQueue *port_queue(self, int index) except NULL:
        if not 0 <= index < self.queues:
            raise UsageError(f"this end of the cable has {self.queues} queues, no queue {index}")
        return &self.queue

    cdef int set_deliver(self, port_deliver_t deliver, void *ctx) except -1:
        cdef _Cable shared = self._cable
        shared.plugs[self._end].deliver = deliver
        shared.plugs[self._end].ctx = ctx
        return 0

    @property
    def carried(self):
        """Frames sent from this end that the far card took."""
        return self.far.carried

    @property
    def lost(self):
        """Frames sent from this end that met no card, or were dropped by it."""
        return self.far.lost


def cable(int queues=1):
    """Both ends of a new cable. Their cards must be stepped by one executor; `queues` of each card share the cable."""
    cdef _Cable shared = _Cable()
    cdef CablePort end
    cdef int n
    if not 0 < queues <= CABLE_QUEUES:
        raise UsageError(f"a cable has 1 to {CABLE_QUEUES} queues, not {queues}")
    ends = []
    for n in range(2):
        end = CablePort()
        end._cable, end._end, end.queues = shared, n, queues
        end.far = &shared.plugs[1 - n]
        end.queue.receive, end.queue.send, end.queue.ctx, end.queue.fd = NULL, cable_send, end.far, -1
        end.queue.flags = PORT_CHECKSUM | PORT_SEGMENTATION | PORT_PAD
        ends.append(end)
    return ends[0], ends[1]
