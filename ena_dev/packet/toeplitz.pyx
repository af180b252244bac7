# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""The Toeplitz hash of receive side scaling: a key expanded to a table of 36 KiB.

For each set bit of the input, first bit first, the hash takes in the 32 bits of the key that begin at that bit's position.
Source: ENA interface, hash function; RSS verification suite of the Windows driver kit.
"""

from ena_dev.errors import UsageError

SYMMETRIC_KEY = bytes.fromhex("6d5a" * 20)   # period of 16 bits: both directions of a flow hash alike


cdef class Toeplitz:
    """Hashes with one key. `key`: 40 bytes in the order in which a standard Toeplitz hash uses them; `init` is XORed into each hash."""

    def __init__(self, bytes key not None, uint32_t init=0):
        if len(key) != TOEPLITZ_KEY:
            raise UsageError(f"a Toeplitz key has {TOEPLITZ_KEY} bytes, not {len(key)}")
        self.key = key
        self.table.init = init
        fill(&self.table, key)

    @classmethod
    def from_control_buffer(cls, bytes key not None, uint32_t init):
        """The hash a card computes from the key as it stands in the control buffer: the last byte is used first.

        Source: ENA interface, hash function.
        """
        return cls(key[::-1], init)

    @property
    def init(self):
        return self.table.init

    def hash(self, bytes data not None):
        """Hash of source and destination address, then both ports if there are any: at most 36 bytes, in network order."""
        if len(data) > TOEPLITZ_INPUT:
            raise UsageError(f"the hash input has at most {TOEPLITZ_INPUT} bytes, not {len(data)}")
        return self.table.init ^ toeplitz_run(&self.table, 0, data, <int> len(data))


cdef void fill(ToeplitzTable *table, const uint8_t *key) noexcept nogil:
    """Rows from the key: each value's entry is that of the value without its lowest set bit, and that bit's window."""
    cdef uint32_t windows[8]                     # by bit number of the input byte, 7 being its first bit
    cdef uint32_t word
    cdef int position, bit, value
    for position in range(TOEPLITZ_INPUT):
        word = ((<uint32_t> key[position] << 24) | (<uint32_t> key[position + 1] << 16)
                | (<uint32_t> key[position + 2] << 8) | key[position + 3])
        for bit in range(8):
            windows[7 - bit] = word
            word = word << 1 | (key[position + 4] >> (7 - bit) & 1)
        table.rows[position][0] = 0
        for value in range(1, 256):
            bit = 0
            while not value >> bit & 1:
                bit += 1
            table.rows[position][value] = table.rows[position][value & (value - 1)] ^ windows[bit]
