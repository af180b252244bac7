"""Datagrams of IPv4 by their bytes, Ethernet header included: where thousands of a kind are needed, scapy takes its time."""

from __future__ import annotations


def from_port(frame: bytes, port: int) -> bytes:
    """The same datagram, sent from port 0, from another: its checksum is right again."""
    total = (~int.from_bytes(frame[40:42]) & 0xFFFF) + port
    return frame[:34] + port.to_bytes(2) + frame[36:40] + (~(total + (total >> 16)) & 0xFFFF).to_bytes(2) + frame[42:]


def returned(frame: bytes) -> bytes:
    """A datagram back to where it came from. Sums stay right: they don't depend on who of two is which."""
    return frame[6:12] + frame[:6] + frame[12:26] + frame[30:34] + frame[26:30] + frame[36:38] + frame[34:36] + frame[38:]


def ports(frame: bytes) -> tuple[int, int] | None:
    """Source and destination port; None of what is no datagram."""
    if frame[12:15] != b"\x08\x00\x45" or frame[23] != 17:
        return None
    return int.from_bytes(frame[34:36]), int.from_bytes(frame[36:38])
