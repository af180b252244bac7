# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""A TAP or TUN interface as a card's network side: one descriptor a queue, read straight into the driver's buffers.

    Linux stack --virtio-net header, frame--> readv(header | posted buffers) --> card
    card --gathered--> writev(header | pieces) --> Linux stack

The virtio-net header carries unfinished checksums and large TCP packets both ways. It is the kernel's word, or that of whoever holds
the other end in a guest, so lengths and offsets are checked before anything is believed. A TUN has no Ethernet header: one is made up on
receiving and taken off on sending. Source: Linux, Documentation/networking/tuntap; virtio 1.2, 5.1.6.
"""

import errno as numbers
import fcntl
import logging
import os
import socket
import struct

import pytun

from libc.errno cimport EAGAIN, EBADF, EINTR, EIO, ENOBUFS, ENODEV, ENOMEM, errno
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy, memset
from posix.uio cimport iovec, readv, writev

from ena_dev.packet.chain cimport chain_skip
from ena_dev.packet.headers cimport ETHERNET_HEADER, ETHERTYPE_IPV4, ETHERTYPE_IPV6, store_be16
from ena_dev.port.port cimport (GSO_ECN, GSO_NONE, GSO_TCP4, GSO_TCP6, META_CHECKED, META_PARTIAL, PORT_CHECKSUM, PORT_EMPTY, PORT_ERROR,
                                PORT_FULL, PORT_GONE, PORT_MALFORMED, PORT_PIECES, PORT_SEGMENTATION, PORT_SENT, PortMeta)

from ena_dev.errors import PortError, UsageError
from ena_dev.port.steering import Steering

cdef extern from "errno.h" nogil:
    int EBADFD

cdef enum:
    HDR_NEEDS_CSUM = 1           # VnetHeader.flags
    HDR_DATA_VALID = 2

TUNSETOFFLOAD, TUNSETVNETHDRSZ = 0x400454D0, 0x400454D8
F_CSUM, F_TSO4, F_TSO6, F_TSO_ECN = 1, 2, 4, 8
PEER_MAC = bytes.fromhex("0200000000fe")     # who sends what comes out of a TUN
NAME_LONGEST = 15

log = logging.getLogger(__name__)


# -- receiving ---------------------------------------------------------------------------------------------------------

cdef int believe(const VnetHeader *header, uint32_t length, PortMeta *meta) noexcept nogil:
    """Offload state from the header of a frame of `length` bytes; 0, or PORT_MALFORMED."""
    cdef uint8_t gso = header.gso_type & ~GSO_ECN
    memset(meta, 0, sizeof(PortMeta))
    if header.flags & HDR_NEEDS_CSUM:
        if <uint32_t> header.csum_start + header.csum_offset + 2 > length:
            return PORT_MALFORMED
        meta.flags, meta.csum_start, meta.csum_offset = META_PARTIAL, header.csum_start, header.csum_offset
    elif header.flags & HDR_DATA_VALID:
        meta.flags = META_CHECKED
    if gso == GSO_NONE:
        return 0
    if (gso != GSO_TCP4 and gso != GSO_TCP6) or not header.gso_size or header.hdr_len > length:
        return PORT_MALFORMED
    meta.gso, meta.segment, meta.header_length = header.gso_type, header.gso_size, header.hdr_len
    return 0


cdef int failed_read() noexcept nogil:
    if errno == EBADFD or errno == EBADF or errno == EIO or errno == ENODEV:
        return PORT_GONE         # the interface was removed
    return PORT_EMPTY


cdef int tap_receive(void *ctx, iovec *buffers, int count, PortMeta *meta) noexcept nogil:
    cdef TapQueue *tap = <TapQueue *> ctx
    cdef VnetHeader header
    cdef iovec pieces[PORT_PIECES + 1]
    cdef ssize_t length
    cdef uint32_t skip = ETHERNET_HEADER if tap.tun else 0
    cdef int first = 1 if tap.vnet else 0, n
    memset(&header, 0, sizeof(header))
    pieces[0].iov_base, pieces[0].iov_len = &header, sizeof(header)
    n = first + chain_skip(buffers, count, skip, pieces + first)
    length = readv(tap.fd, pieces, n)
    if length < 0:
        return failed_read()
    if tap.vnet:
        length -= sizeof(header)
    if length <= 0 or believe(&header, <uint32_t> length, meta):
        tap.malformed += 1
        return PORT_MALFORMED
    if tap.tun:
        return add_ethernet(tap, buffers, count, <uint32_t> length, meta)
    return <int> length


cdef int add_ethernet(TapQueue *tap, iovec *buffers, int count, uint32_t length, PortMeta *meta) noexcept nogil:
    """Put an Ethernet header before the IP packet that lies 14 bytes into the buffers."""
    cdef uint8_t header[14]
    cdef iovec packet[PORT_PIECES]
    cdef uint8_t version
    cdef uint32_t at = 0, size
    cdef int i
    chain_skip(buffers, count, ETHERNET_HEADER, packet)
    version = (<uint8_t *> packet[0].iov_base)[0] >> 4
    if version != 4 and version != 6:
        tap.malformed += 1
        return PORT_MALFORMED
    memcpy(header, tap.ethernet, 12)
    store_be16(header + 12, ETHERTYPE_IPV4 if version == 4 else ETHERTYPE_IPV6)
    for i in range(count):
        size = ETHERNET_HEADER - at
        if size > buffers[i].iov_len:
            size = <uint32_t> buffers[i].iov_len
        memcpy(buffers[i].iov_base, header + at, size)
        at += size
    if meta.flags & META_PARTIAL:
        meta.csum_start += ETHERNET_HEADER
    if meta.header_length:
        meta.header_length += ETHERNET_HEADER
    return <int> (length + ETHERNET_HEADER)


# -- sending -----------------------------------------------------------------------------------------------------------

cdef void tell(const PortMeta *meta, uint16_t skipped, VnetHeader *header) noexcept nogil:
    """The header of a frame whose first `skipped` bytes stay behind."""
    memset(header, 0, sizeof(VnetHeader))
    if meta.flags & META_PARTIAL:
        header.flags, header.csum_start, header.csum_offset = HDR_NEEDS_CSUM, meta.csum_start - skipped, meta.csum_offset
    elif meta.flags & META_CHECKED:
        header.flags = HDR_DATA_VALID
    if meta.gso != GSO_NONE:
        header.gso_type, header.gso_size, header.hdr_len = meta.gso, meta.segment, meta.header_length - skipped


cdef int tap_send(void *ctx, const iovec *buffers, int count, const PortMeta *meta) noexcept nogil:
    cdef TapQueue *tap = <TapQueue *> ctx
    cdef VnetHeader header
    cdef iovec pieces[PORT_PIECES + 3]
    cdef uint32_t skip = ETHERNET_HEADER if tap.tun else 0
    cdef int first = 1 if tap.vnet else 0, n
    cdef ssize_t sent
    if count > PORT_PIECES + 2 or (skip and meta.flags & META_PARTIAL and meta.csum_start < skip):
        return PORT_ERROR
    pieces[0].iov_base, pieces[0].iov_len = &header, sizeof(header)
    tell(meta, skip, &header)
    n = first + chain_skip(buffers, count, skip, pieces + first)
    sent = writev(tap.fd, pieces, n)
    while sent < 0 and errno == EINTR:
        sent = writev(tap.fd, pieces, n)
    if sent >= 0:
        return PORT_SENT
    tap.refused += 1
    return PORT_FULL if errno == EAGAIN or errno == ENOBUFS or errno == ENOMEM else PORT_ERROR


# -- opening -----------------------------------------------------------------------------------------------------------

cdef class TapPort(Port):
    """The TAP (or TUN) `name` with `queues` queues, made if it isn't there. Raises PortError, saying what to do.

    `vnet`: with virtio-net headers, which `offloads` need: unfinished checksums and large packets, towards the card as far as its driver
    takes them. `tun`: an interface without Ethernet; `mac` then is the address that frames from it are sent to.
    """

    def __init__(self, str name not None, int queues=1, *, bint vnet=True, bint offloads=True, bint tun=False, bytes mac=b"\2\0\0\0\0\1"):
        if not 0 < queues <= TAP_QUEUES:
            raise UsageError(f"a TAP has 1 to {TAP_QUEUES} queues, not {queues}")
        if not 0 < len(name) <= NAME_LONGEST or set(name) & set("/:%") or not name.isprintable() or " " in name:
            raise PortError(f"{name!r} is no name of an interface: it has 1 to {NAME_LONGEST} characters, without spaces, /, : and %")
        if len(mac) != 6:
            raise UsageError("a MAC address has 6 bytes")
        self.name, self.queues, self.offloads = name, queues, vnet and offloads
        self._devices = open_queues(name, queues, vnet, tun)
        self._steering, self._refused = None, False
        if attached(name) > queues:
            self.close()
            raise PortError(why_not(name, numbers.EBUSY, queues, tun))
        try:
            self._prepare(vnet, tun, mac)
        except OSError as error:
            self.close()
            raise PortError(f"{name}: the kernel's TUN driver refused to be set up: {error.strerror}") from error

    def _prepare(self, bint vnet, bint tun, bytes mac):
        cdef TapQueue *tap
        cdef bytes ethernet = mac + PEER_MAC
        cdef int i
        for i in range(self.queues):
            tap = &self.taps[i]
            tap.fd, tap.vnet, tap.tun = self._devices[i].fileno(), vnet, tun
            os.set_blocking(tap.fd, False)
            os.set_inheritable(tap.fd, False)
            if vnet:
                fcntl.ioctl(tap.fd, TUNSETVNETHDRSZ, struct.pack("i", sizeof(VnetHeader)))
            memcpy(tap.ethernet, <const uint8_t *> ethernet, 12)
            tap.queue.receive, tap.queue.send, tap.queue.ctx, tap.queue.fd = tap_receive, tap_send, tap, tap.fd
            tap.queue.flags = PORT_CHECKSUM | PORT_SEGMENTATION if self.offloads else 0
        if vnet:
            self.set_offloads(False, False)

    cdef PortQueue *port_queue(self, int index) except NULL:
        if not 0 <= index < self.queues:
            raise UsageError(f"{self.name} has {self.queues} queues, no queue {index}")
        return &self.taps[index].queue

    cdef int set_offloads(self, bint checksum, bint large) except -1:
        """What the kernel may leave undone in what it sends to the card; it does the rest itself."""
        cdef int features = 0
        if not self._devices or not self.taps[0].vnet:
            return 0
        if self.offloads and checksum:
            features = F_CSUM | (F_TSO4 | F_TSO6 | F_TSO_ECN if large else 0)
        try:
            fcntl.ioctl(self.taps[0].fd, TUNSETOFFLOAD, features)
        except OSError as error:
            log.warning("%s: offloads %#x were refused: %s", self.name, features, error.strerror)
        return 0

    def steer(self, bytes key, unsigned int initial, table):
        """Attach a program that puts frames on the queue their hash names, if the kernel lets us; otherwise it picks them itself."""
        if self.queues < 2 or not self._devices or self.taps[0].tun or self._refused:
            return
        try:
            if self._steering is None:
                self._steering = Steering(self.taps[0].fd)
            self._steering.update(key, initial, table)
        except OSError as error:
            log.info("%s: no steering program (%s): the card copies frames between queues itself", self.name, error.strerror)
            self._release_steering()
            self._refused = True

    def _release_steering(self):
        steering, self._steering = self._steering, None
        if steering is not None:
            steering.close()

    def fileno(self, int queue=0):
        """The descriptor of a queue."""
        return self.taps[queue].fd if self._devices else -1

    @property
    def steered(self):
        """Whether the kernel puts frames on the queue that their hash names."""
        return self._steering is not None

    def counters(self):
        """Frames received with a header not to be trusted, and frames refused by the interface (down, or full)."""
        return {"malformed": sum([self.taps[i].malformed for i in range(self.queues)]),
                "refused": sum([self.taps[i].refused for i in range(self.queues)])}

    def close(self):
        """Close all descriptors; an interface that isn't persistent goes with them."""
        cdef int i
        self._release_steering()
        devices, self._devices = self._devices, []
        for i in range(TAP_QUEUES):
            self.taps[i].fd = self.taps[i].queue.fd = -1
        for device in devices:
            device.close()


def open_queues(str name, int queues, bint vnet, bint tun):
    """All queues of the interface, or PortError and none."""
    flags = (pytun.IFF_TUN if tun else pytun.IFF_TAP) | pytun.IFF_NO_PI | (pytun.IFF_VNET_HDR if vnet else 0)
    opened, failure = [], None
    # An interface that exists says whether it has several queues. One queue goes with either; the plain form is tried first.
    attempts = [flags, flags | pytun.IFF_MULTI_QUEUE] if queues == 1 else [flags | pytun.IFF_MULTI_QUEUE]
    for attempt in attempts:
        try:
            while len(opened) < queues:
                opened.append(pytun.TunTapDevice(name=name, flags=attempt))
            return opened
        except (pytun.Error, OSError) as error:
            for device in opened:
                device.close()
            opened.clear()
            failure = failure or error
    number = failure.errno if isinstance(failure, OSError) else failure.args[0]
    raise PortError(why_not(name, number, queues, tun)) from failure


def attached(str name):
    """How many queues of the interface are open, by whomever; 0 where /sys doesn't show it. Frames would be dealt out among all of them."""
    try:
        with open(f"/sys/class/net/{name}/ifindex") as file:
            if int(file.read()) != socket.if_nametoindex(name):
                return 0                         # /sys is of another network namespace
        return len([queue for queue in os.listdir(f"/sys/class/net/{name}/queues") if queue.startswith("tx-")])
    except OSError:
        return 0


def why_not(str name, number, int queues, bint tun):
    """What to do about a failed opening, by its errno."""
    kind = "tun" if tun else "tap"
    make = f"ip tuntap add {name} mode {kind}" + (" multi_queue" if queues > 1 else "")
    return {
        numbers.ENOENT: f"{name}: there is no /dev/net/tun; load the module `tun`, or start the container with --device /dev/net/tun",
        numbers.ENODEV: f"{name}: the kernel has no TUN driver; load the module `tun`",
        numbers.EACCES: f"{name}: /dev/net/tun may not be opened; run as root, or allow this user to read and write it",
        numbers.EPERM: f"{name}: not permitted; grant CAP_NET_ADMIN, or make the interface for this user: {make} user ...",
        numbers.EBUSY: f"{name}: in use by another process",
        numbers.EINVAL: f"{name}: exists, but not as a {kind} with{'' if queues > 1 else 'out'} several queues; remove it, or make it "
                        f"with: {make}",
        numbers.E2BIG: f"{name}: the kernel gives it fewer than {queues} queues",
        numbers.EMFILE: f"{name}: too many open files; raise the limit (ulimit -n)",
    }.get(number, f"{name}: can't be opened: {os.strerror(number) if isinstance(number, int) else number}")
