# cython: language_level=3
from libc.stdint cimport uint8_t, uint16_t, uint64_t

from ena_dev.port.port cimport Port, PortQueue

cdef enum:
    TAP_QUEUES = 32

cdef struct VnetHeader:          # struct virtio_net_hdr, 10 bytes, native order. Source: virtio 1.2, 5.1.6
    uint8_t flags
    uint8_t gso_type
    uint16_t hdr_len
    uint16_t gso_size
    uint16_t csum_start
    uint16_t csum_offset

cdef struct TapQueue:
    PortQueue queue
    int fd
    uint8_t vnet                 # a VnetHeader before each frame
    uint8_t tun                  # no Ethernet header on the descriptor
    uint8_t ethernet[12]         # TUN: addresses of received frames
    uint64_t malformed, refused  # frames with a header not to be trusted; refused by the interface

cdef class TapPort(Port):
    cdef TapQueue taps[TAP_QUEUES]
    cdef readonly str name
    cdef readonly bint offloads
    cdef list _devices
    cdef object _steering
    cdef bint _refused           # the kernel takes no steering program
