"""Judges frames as a receiving host does: lengths that agree, padding of zeros, checksums that scapy finds right."""

from __future__ import annotations

from typing import Any

from scapy.layers.inet import IP, in4_chksum
from scapy.layers.inet6 import IPv6, in6_chksum
from scapy.layers.l2 import Ether
from scapy.packet import Packet
from scapy.utils import checksum

from ena_dev.port.meta import FrameMeta

SMALLEST = 60  # bytes of an Ethernet frame without its check sequence
TCP, UDP, ICMP, ICMPV6 = 6, 17, 1, 58
CHECKSUM_AT = {TCP: 16, UDP: 6, ICMP: 2, ICMPV6: 2}


def judged(frame: bytes, mtu: int, meta: FrameMeta | None = None) -> Packet:
    """The frame, parsed, if a host would take it. AssertionError otherwise."""
    meta = meta or FrameMeta()
    assert len(frame) >= SMALLEST, "a runt"
    packet = Ether(finished(frame, meta))
    for layer in (IP, IPv6):
        if packet.payload.__class__ is layer:
            size = _check(packet.payload, bytes(packet)[14:], layer is IP)
            on_link = meta.segment + meta.header_length - 14 if meta.segment else size
            assert on_link <= mtu, f"{on_link} bytes on a link of {mtu}"
    return packet


def finished(frame: bytes, meta: FrameMeta) -> bytes:
    """The frame as a host that takes partial checksums sees it."""
    if not meta.partial:
        return frame
    at = meta.csum_start + meta.csum_offset
    value = checksum(frame[meta.csum_start :]) or 0xFFFF
    return frame[:at] + value.to_bytes(2, "big") + frame[at + 2 :]


def _check(ip: Packet, data: bytes, v4: bool) -> int:
    """Bytes of the packet, by its own header, once all of it was found right."""
    size = int.from_bytes(data[2:4], "big") if v4 else 40 + int.from_bytes(data[4:6], "big")
    header = (data[0] & 15) * 4 if v4 else 40
    assert header <= size <= len(data), f"{len(data)} bytes for a packet of {size}"
    assert len(data) == size or (len(data) == SMALLEST - 14 and not any(data[size:])), "neither exact nor padded with zeros"
    if v4:
        assert checksum(data[:header]) == 0, "IPv4 header checksum"
    protocol, payload = data[9] if v4 else data[6], data[header:size]
    if protocol in CHECKSUM_AT and not (v4 and int.from_bytes(data[6:8], "big") & 0x3FFF):
        _check_transport(ip, protocol, payload, v4)
    return size


def _check_transport(ip: Any, protocol: int, payload: bytes, v4: bool) -> None:
    at = CHECKSUM_AT[protocol]
    if protocol == UDP:
        assert int.from_bytes(payload[4:6], "big") == len(payload), "UDP length"
        if v4 and payload[at : at + 2] == b"\0\0":
            return
        assert payload[at : at + 2] != b"\0\0", "UDP over IPv6 without a checksum"
    pseudo = in4_chksum if v4 else in6_chksum
    value = checksum(payload) if protocol == ICMP else pseudo(protocol, ip, payload)
    assert value in (0, 0xFFFF), f"checksum of protocol {protocol}"
