# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""Host memory by bus address: allocate, resolve, refuse.

All cards of one host share one `Memory`, as PCI cards in one machine do: a buffer received on one card can be sent from
another by its address alone. A card whose driver lives elsewhere has an address space of its own (`guest_memory`). Bus addresses are
not host pointers; every access goes through `bus_at` (compiled) or `read` and `write` (Python), which refuse what nobody mapped.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset
from cpython.bytes cimport PyBytes_FromStringAndSize

from ena_dev.errors import BusError, UsageError

cdef extern from "sys/mman.h" nogil:
    void *mmap(void *address, size_t length, int prot, int flags, int fd, long offset)
    int madvise(void *address, size_t length, int advice)
    int MADV_HUGEPAGE
    int munmap(void *address, size_t length)
    int PROT_READ, PROT_WRITE, MAP_PRIVATE, MAP_ANONYMOUS, MAP_NORESERVE
    void *MAP_FAILED

ARENA_BASE = 0x1_0000_0000


cdef class AddressSpace:
    """What a card reaches, by bus address. Nothing, until a kind of memory fills the table."""

    def __cinit__(self):
        memset(&self.bus, 0, sizeof(Bus))

    def read(self, uint64_t address, uint64_t length):
        """Copy bytes out. Raises BusError where nothing is mapped."""
        if length == 0:
            return b""
        cdef uint8_t *host = bus_at(&self.bus, address, length, BUS_READ)
        if host == NULL:
            raise BusError(address, length, "not mapped for reading")
        return PyBytes_FromStringAndSize(<char *>host, length)

    def write(self, uint64_t address, const uint8_t[::1] data not None):
        """Copy bytes in. Raises BusError where nothing is mapped."""
        cdef uint64_t length = data.shape[0]
        if length == 0:
            return
        cdef uint8_t *host = bus_at(&self.bus, address, length, BUS_WRITE)
        if host == NULL:
            raise BusError(address, length, "not mapped for writing")
        memcpy(host, &data[0], length)


cdef class Memory(AddressSpace):
    """One host's memory: an arena reserved at once and committed by first touch, in bytes."""

    def __cinit__(self, uint64_t size=1 << 30):
        cdef void *host = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
        if host == MAP_FAILED:
            raise MemoryError(f"can't reserve {size} bytes of host memory")
        madvise(host, size, MADV_HUGEPAGE)         # each frame begins on another page; where this is refused, they are found slower
        self.arena = <uint8_t *>host
        self.arena_base, self.arena_size, self.arena_next = ARENA_BASE, size, 0
        self.bus.regions[0].base, self.bus.regions[0].size = ARENA_BASE, size
        self.bus.regions[0].host, self.bus.regions[0].access = self.arena, BUS_READ | BUS_WRITE
        self.bus.count = 1
        self._free, self._sizes = {}, {}

    def __dealloc__(self):
        if self.arena != NULL:
            munmap(self.arena, self.arena_size)

    def allocate(self, uint64_t size):
        """Reserve `size` bytes, zeroed and page aligned; returns their bus address. Raises MemoryError when none are left."""
        cdef uint64_t rounded = (size + 4095) & ~4095ULL
        if size == 0 or rounded < size:
            raise UsageError(f"can't allocate {size} bytes")
        if self._free.get(rounded):
            address = self._free[rounded].pop()
            memset(self.arena + (<uint64_t>address - self.arena_base), 0, rounded)
        else:
            if rounded > self.arena_size - self.arena_next:
                raise MemoryError(f"host memory is full: {size} bytes wanted, {self.arena_size - self.arena_next} left")
            address = self.arena_base + self.arena_next
            self.arena_next += rounded
        self._sizes[address] = rounded
        return address

    def free(self, uint64_t address):
        """Give back what `allocate` returned. The caller vouches that no card still reaches it."""
        if address not in self._sizes:
            raise UsageError(f"{address:#x} was not allocated here")
        self._free.setdefault(self._sizes.pop(address), []).append(address)

    @property
    def allocated(self):
        """Bytes handed out and not given back."""
        return sum(self._sizes.values())
