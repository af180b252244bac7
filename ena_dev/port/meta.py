"""What is known of a frame beside its bytes, for Python at either end of a port."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FrameMeta:
    """Offload state of one frame. Offsets and lengths are bytes.

    `partial`: the checksum at `csum_start + csum_offset` holds the pseudo header's sum only. `segment`: a TCP packet to be cut into
    segments of that payload; 0: not a large one.
    """

    partial: bool = False
    checked: bool = False
    csum_start: int = 0
    csum_offset: int = 0
    segment: int = 0
    version: int = 4  # of IP, for large packets
    ecn: bool = False  # CWR belongs to the first segment only
    header_length: int = 0
