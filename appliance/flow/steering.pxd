# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""By which queue replies come in: each nic's hash and table, asked before a source port is drawn. Header-only.

    hash of the reply = hash of all but its port (once) ^ the port's part (for each port that is tried) --> table --> queue

Source: ENA interface, RSS.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from appliance.flow.key cimport Tuple
from ena_dev.packet.headers cimport PROTOCOL_TCP, PROTOCOL_UDP
from ena_dev.packet.toeplitz cimport ToeplitzTable, toeplitz_run


cdef enum:
    STEERING_ENTRIES = 128     # at most, as the driver wishes


cdef struct Steering:          # of one nic; all zero: nobody knows
    const ToeplitzTable *hash
    uint32_t entries           # a power of two
    uint32_t queues
    uint8_t table[STEERING_ENTRIES]

cdef struct Home:              # where replies shall arrive
    const Steering *steering   # NULL: wherever they like
    uint32_t hash              # of all but the port that they go to
    int place                  # of that port in the hash's input
    uint32_t queues            # of the nic that has fewer
    uint32_t queue             # modulo that


cdef inline void find_home(Home *home, const Steering *inside, uint32_t queue, const Steering *outside, const Tuple *reply) noexcept nogil:
    """The queue that a flow began at, among those of the nic that it leaves by. Where one of the nics has fewer, its own count: from four
    queues replies spread over two, and from two over four."""
    cdef const uint8_t *sport = <const uint8_t *> &reply.sport
    cdef const ToeplitzTable *hash = outside.hash
    home.queues = inside.queues if inside.queues < outside.queues else outside.queues
    home.steering = NULL
    if hash == NULL or home.queues < 2 or not (reply.protocol == PROTOCOL_TCP or reply.protocol == PROTOCOL_UDP):
        return
    home.steering, home.queue = outside, queue % home.queues
    if reply.version == 4:
        home.hash = toeplitz_run(hash, 0, reply.source + 12, 4) ^ toeplitz_run(hash, 4, reply.destination + 12, 4)
        home.place = 8
    else:
        home.hash = toeplitz_run(hash, 0, reply.source, 16) ^ toeplitz_run(hash, 16, reply.destination, 16)
        home.place = 32
    home.hash ^= hash.init ^ toeplitz_run(hash, home.place, sport, 2)
    home.place += 2


cdef inline bint comes_home(const Home *home, uint16_t port) noexcept nogil:
    """Whether replies to a port, in network order, arrive there."""
    cdef uint32_t hash
    if home.steering == NULL:
        return True
    hash = home.hash ^ toeplitz_run(home.steering.hash, home.place, <const uint8_t *> &port, 2)
    return home.steering.table[hash & (home.steering.entries - 1)] % home.queues == home.queue
