# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""Internet checksums for Python callers: numbers in host order, as a reader of the packet writes them. Compiled code cimports the .pxd."""

from ena_dev.errors import UsageError
from ena_dev.packet.headers cimport htonl, htons, ntohs


def checksum(bytes data not None):
    """The Internet checksum of `data` (RFC 1071): what belongs in a checksum field that was zero."""
    return ntohs(checksum_finish(checksum_sum(data, len(data), 0)))


def checksum_pieces(pieces, bint udp=False):
    """The same over pieces of one stream, of any length each. With `udp`, never 0."""
    cdef uint64_t total = 0
    cdef size_t offset = 0
    cdef bytes piece
    for piece in pieces:
        total = checksum_add(total, piece, len(piece), offset)
        offset += len(piece)
    return ntohs(checksum_finish_udp(total) if udp else checksum_finish(total))


def transport_checksum(source, destination, int protocol, bytes data not None):
    """The checksum of a transport header and its payload, whose field is zero, between two addresses of one family."""
    cdef bytes addresses = source.packed + destination.packed
    cdef uint64_t total = <uint64_t> htonl(len(data)) + htonl(protocol)
    if source.version != destination.version:
        raise UsageError(f"{source} and {destination} are of different families")
    total = checksum_sum(addresses, len(addresses), total)
    total = checksum_sum(data, len(data), total)
    return ntohs(checksum_finish_udp(total) if protocol == 17 else checksum_finish(total))


def update(int field, bytes old not None, bytes new not None, *, bint udp=False, bint partial=False):
    """A checksum field after words `old` became `new` (even, equal lengths). `partial`: the field holds a pseudo header's sum."""
    cdef uint16_t stored = htons(<uint16_t> field)
    cdef uint64_t delta
    if len(old) != len(new) or len(old) & 1:
        raise UsageError(f"old and new must be of one even length, not {len(old)} and {len(new)}")
    delta = checksum_fold(checksum_delta(old, new, len(old)))
    if partial:
        return ntohs(checksum_apply_partial(stored, delta))
    return ntohs(checksum_apply_udp(stored, delta) if udp else checksum_apply(stored, delta))
