# cython: language_level=3
from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef enum:
    BUS_READ = 1          # the device may read here
    BUS_WRITE = 2         # the device may write here
    BUS_REGIONS = 64

cdef struct Region:
    uint64_t base
    uint64_t size
    uint8_t *host
    uint32_t access

cdef struct Bus:
    Region regions[BUS_REGIONS]
    uint32_t count
    uint32_t last         # index of the last hit: looked at first
    uint32_t generation   # counts changes of the table: pointers kept from an older one are looked up again


cdef inline uint8_t *bus_at(Bus *bus, uint64_t address, uint64_t length, uint32_t access) noexcept nogil:
    """The host's view of `length` bytes at a bus address, or NULL if any of them is unmapped or not accessible so.

    A range that crosses two regions is refused. A length of zero is refused.
    """
    cdef uint32_t i = bus.last
    cdef uint32_t n
    cdef Region *r
    if length == 0:
        return NULL
    for n in range(bus.count + 1):
        if i < bus.count:
            r = &bus.regions[i]
            if address >= r.base and address - r.base < r.size and length <= r.size - (address - r.base):
                if r.access & access != access:
                    return NULL
                bus.last = i
                return r.host + (address - r.base)
        i = n
    return NULL


cdef class AddressSpace:
    cdef Bus bus


cdef class Memory(AddressSpace):
    cdef uint8_t *arena
    cdef uint64_t arena_base, arena_size, arena_next
    cdef dict _free, _sizes
