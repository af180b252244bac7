# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""BAR 0 as the driver sees it: 32-bit accesses, nothing else.

Control registers (the first page) are served by a Python object with `read(offset)` and `write(offset, value)`. Doorbell and
unmask registers are compiled slots that the device claims: a write there only stores a value and makes a task ready, so a
compiled driver rings without the GIL.
"""

from libc.stdint cimport uint32_t
from libc.string cimport memset

from ena_dev.errors import BusError


cdef class RegisterBar:
    """One card's BAR 0, 16 KiB. `control` serves offsets below 0x1000."""

    def __cinit__(self, *_):
        memset(&self.bar, 0, sizeof(Bar))

    def __init__(self, control=None):
        self.control = control

    cdef int claim(self, uint32_t offset, register_write_t write, void *ctx) except -1:
        """Own the doorbell at `offset` until `disclaim`. The caller holds the executor's barrier if the data thread runs."""
        if offset < BAR_CONTROL or offset >= BAR_BYTES or offset & 3:
            raise BusError(offset, 4, "not a doorbell offset")
        self.bar.slots[(offset - BAR_CONTROL) >> 2].ctx = ctx
        self.bar.slots[(offset - BAR_CONTROL) >> 2].write = write
        return 0

    cdef int disclaim(self, uint32_t offset) except -1:
        self.bar.slots[(offset - BAR_CONTROL) >> 2].write = NULL
        return 0

    def read(self, uint32_t offset):
        """Read a 32-bit register. Doorbells read as 0. Raises BusError outside the BAR or off a 4-byte boundary."""
        if offset >= BAR_BYTES or offset & 3:
            raise BusError(offset, 4, "outside BAR 0 or not aligned")
        return self.control.read(offset) if offset < BAR_CONTROL else 0

    def write(self, uint32_t offset, value):
        """Write a 32-bit register. Raises BusError outside the BAR or off a 4-byte boundary."""
        if offset >= BAR_BYTES or offset & 3:
            raise BusError(offset, 4, "outside BAR 0 or not aligned")
        if offset < BAR_CONTROL:
            self.control.write(offset, value & 0xFFFFFFFF)
        else:
            bar_write(&self.bar, offset, value & 0xFFFFFFFF)

    @property
    def ignored(self):
        """Writes to doorbells that nobody owns."""
        return self.bar.ignored
