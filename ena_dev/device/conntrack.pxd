# cython: language_level=3
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from ena_dev.packet.headers cimport Parsed
from ena_dev.packet.siphash cimport Secret

cdef enum:
    # how long a connection may be idle: classes, one list each
    LIFE_BRIEF = 0             # UDP with one question and its answer at most; ICMP
    LIFE_STREAM = 1            # UDP, going on
    LIFE_OPENING = 2           # TCP, heard from one side
    LIFE_ESTABLISHED = 3       # TCP
    LIFE_CLOSED = 4            # TCP, reset or ended by both sides
    LIFE_OTHER = 5             # any other protocol
    LIVES = 6

cdef struct Ends:              # 40 bytes, without holes: hashed and compared as they are
    uint8_t address[2][16]     # the lower end first, so that both directions have the same; an IPv4 address in the first four bytes
    uint16_t port[2]           # ICMP: both are the identifier
    uint8_t version            # 4 | 6
    uint8_t protocol
    uint8_t zero[2]

cdef struct Connection:
    Ends ends
    uint64_t seen              # ns: the last packet
    uint32_t chain             # the next of its bucket, or of those free; 0: none
    uint32_t older, newer      # of its class, 0: none
    uint8_t life
    uint8_t heard              # a bit for each way that a packet went; 0: none yet
    uint8_t ended              # a bit for each way that a FIN went
    uint8_t way                # of the last packet
    uint8_t turns              # changes of way, up to a second answer's

cdef struct Conntrack:
    Secret secret
    uint32_t capacity          # 0: nothing is tracked
    uint32_t count
    uint32_t mask
    uint32_t unused            # of the entries, the first that never held a connection
    uint32_t freed
    uint32_t *buckets
    Connection *entries        # from 1
    uint32_t oldest[LIVES]
    uint32_t newest[LIVES]

cdef int conntrack_init(Conntrack *table, uint32_t capacity, uint64_t k0, uint64_t k1) noexcept nogil     # 0, or -1 without memory
cdef void conntrack_close(Conntrack *table) noexcept nogil
cdef bint conntrack_admits(Conntrack *table, const uint8_t *data, const Parsed *parsed, uint64_t now) noexcept nogil
cdef void conntrack_expire(Conntrack *table, uint64_t now) noexcept nogil
cdef uint64_t conntrack_due(const Conntrack *table) noexcept nogil        # when one expires at the earliest; all ones: none will
