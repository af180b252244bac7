# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""The base of all ports. The map is in port.pxd."""

from ena_dev.errors import UsageError


cdef class Port:
    """The network side of one card, with `queues` queues. A port belongs to one card at a time, and is closed by who opened it."""

    cdef PortQueue *port_queue(self, int index) except NULL:
        raise UsageError(f"{type(self).__name__} has no queue {index}")

    cdef int set_deliver(self, port_deliver_t deliver, void *ctx) except -1:
        return 0

    cdef int set_offloads(self, bint checksum, bint large) except -1:
        return 0

    def steer(self, bytes key, unsigned int initial, table):
        """Ask for received frames on the queue that their hash names: `table[(initial ^ toeplitz(key, tuple)) % len(table)]`.

        A port that can't leaves the copying between queues to the card. An empty table: everything to queue 0.
        """

    def close(self):
        """Give back what the operating system lent. The card must be closed already."""
