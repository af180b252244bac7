# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""A TAP or TUN interface as a card's network side: opened, set up, steered, closed. What passes through it is in `tap_queue`."""

import errno as numbers
import fcntl
import logging
import os
import socket
import struct

import pytun

from libc.stdint cimport uint8_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from ena_dev.port.port cimport PORT_CHECKSUM, PORT_SEGMENTATION
from ena_dev.port.tap_queue cimport (AHEAD_STRIDE, KEPT_STRIDE, TAP_BURST, TapQueue, VnetHeader, tap_close_ring, tap_flush, tap_open_ring,
                                     tap_receive, tap_send)

from ena_dev.errors import PortError, UsageError
from ena_dev.port.steering import Steering

TUNSETOFFLOAD, TUNSETVNETHDRSZ = 0x400454D0, 0x400454D8
F_CSUM, F_TSO4, F_TSO6, F_TSO_ECN = 1, 2, 4, 8
PEER_MAC = bytes.fromhex("0200000000fe")     # who sends what comes out of a TUN
NAME_LONGEST = 15

log = logging.getLogger(__name__)


cdef class TapPort(Port):
    """The TAP (or TUN) `name` with `queues` queues, made if it isn't there. Raises PortError, saying what to do.

    `vnet`: with virtio-net headers, which `offloads` need: unfinished checksums and large packets, towards the card as far as its driver
    takes them. `tun`: an interface without Ethernet; `mac` then is the address that frames from it are sent to. `io_uring`: several
    frames by one system call, if the kernel allows it.
    """

    def __cinit__(self):
        cdef int i
        for i in range(TAP_QUEUES):
            self.taps[i].fd = self.taps[i].ring.fd = -1

    def __init__(self, str name not None, int queues=1, *, bint vnet=True, bint offloads=True, bint tun=False, bytes mac=b"\2\0\0\0\0\1",
                 bint io_uring=True):
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
            if io_uring:
                self._open_rings()
        except OSError as error:
            self.close()
            raise PortError(f"{name}: the kernel's TUN driver refused to be set up: {error.strerror}") from error

    def __dealloc__(self):
        cdef int i
        for i in range(TAP_QUEUES):
            tap_close_ring(&self.taps[i])
        free(self._frames)

    def _prepare(self, bint vnet, bint tun, bytes mac):
        cdef TapQueue *tap
        cdef bytes ethernet = mac + PEER_MAC
        cdef uint8_t *frames
        cdef int i
        self._frames = calloc(self.queues * TAP_BURST, AHEAD_STRIDE + KEPT_STRIDE)       # most of it is never touched, and so never there
        if self._frames == NULL:
            raise MemoryError
        for i in range(self.queues):
            frames = <uint8_t *> self._frames + <size_t> i * TAP_BURST * (AHEAD_STRIDE + KEPT_STRIDE)
            tap = &self.taps[i]
            tap.fd, tap.vnet, tap.tun = self._devices[i].fileno(), vnet, tun
            tap.ahead, tap.kept, tap.ask = frames, frames + TAP_BURST * AHEAD_STRIDE, 1
            os.set_blocking(tap.fd, False)
            os.set_inheritable(tap.fd, False)
            if vnet:
                fcntl.ioctl(tap.fd, TUNSETVNETHDRSZ, struct.pack("i", sizeof(VnetHeader)))
            memcpy(tap.ethernet, <const uint8_t *> ethernet, 12)
            tap.queue.receive, tap.queue.send, tap.queue.flush = tap_receive, tap_send, tap_flush
            tap.queue.ctx, tap.queue.fd = tap, tap.fd
            tap.queue.flags = PORT_CHECKSUM | PORT_SEGMENTATION if self.offloads else 0
        if vnet:
            self.set_offloads(False, False)

    def _open_rings(self):
        cdef int i, reason
        for i in range(self.queues):
            reason = tap_open_ring(&self.taps[i])
            if reason:
                log.info("%s: no io_uring (%s): one frame a system call", self.name, os.strerror(reason))
                return

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

    @property
    def io_uring(self):
        """Whether several frames go by one system call."""
        return self.queues > 0 and self.taps[0].ring.fd >= 0

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
            tap_close_ring(&self.taps[i])
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
    what = f"{kind.upper()} {name}"
    return {
        numbers.ENOENT: f"{what}: there is no /dev/net/tun; load the module `tun`, or start the container with --device /dev/net/tun",
        numbers.ENODEV: f"{what}: the kernel has no TUN driver; load the module `tun`",
        numbers.EACCES: f"{what}: /dev/net/tun may not be opened; run as root, or allow this user to read and write it",
        numbers.EPERM: f"{what}: not permitted; grant CAP_NET_ADMIN, or make the interface for this user: {make} user ...",
        numbers.EBUSY: f"{what}: in use by another process; end that one, or choose another name",
        numbers.EINVAL: f"{what}: exists, but not as a {kind} with{'' if queues > 1 else 'out'} several queues; remove it, or make it "
                        f"with: {make}",
        numbers.E2BIG: f"{what}: the kernel gives it fewer than {queues} queues",
        numbers.EMFILE: f"{what}: too many open files; raise the limit (ulimit -n)",
    }.get(number, f"{what}: can't be opened: {os.strerror(number) if isinstance(number, int) else number}")
