"""What a card lets through: limits as an instance's network has them, and what went beyond.

    Allowances.parse("bw-in=100M,bw-out=1G,pps=10k,conntrack=1000,linklocal=1024")

The names of the counters are those that drivers print. Source: ENA interface, GET_STATS payloads; EC2 User Guide, network performance
metrics, security group connection tracking.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Any

from ena_dev.errors import UsageError

MOST = {"bw_in": 10**12, "bw_out": 10**12, "pps": 10**9, "conntrack": 1 << 22, "linklocal": 10**9, "max_wait": 10.0}
THOUSANDS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}
TIMES = {"": 1, "s": 1, "ms": 1e-3, "us": 1e-6}
NUMBER = re.compile(r"(\d+(?:\.\d+)?)([a-zA-Z]*)")


@dataclass(frozen=True, slots=True)
class Allowances:
    """The limits of one card; 0 is none. Raises UsageError when made with values that make no sense.

    `bw_in`, `bw_out`: bit/s of Ethernet frames without preamble and checksum; a large packet counts as the segments it becomes on a
    wire. `pps`: packets a second, both directions together. Bursts of 5 ms of a rate pass, and at least 64 KiB or 64 packets. A packet
    beyond a rate waits, behind those of its direction that wait already; one for which a rate would need longer than `max_wait` seconds
    is dropped, so 0 drops at once, and so is one that finds 2048 waiting. A packet that waits to be sent is completed all the same.

    `conntrack`: connections tracked at once; a packet that begins one more is dropped. TCP and UDP connections are known by addresses
    and ports, ICMP echoes by their identifier, others by addresses and protocol; nothing else is tracked: no fragments but the first,
    no ICMP errors, neighbour discovery, group addresses, link-local services, and nothing but IP.

    `linklocal`: packets a second sent to services that the host itself offers at 169.254.0.0/16 and fd00:ec2::/32 (names, metadata,
    time); those beyond, after a burst of one second's, are dropped. EC2 allows 1024.
    """

    bw_in: int = 0
    bw_out: int = 0
    pps: int = 0
    conntrack: int = 0
    linklocal: int = 0
    max_wait: float = 0.05

    def __post_init__(self) -> None:
        for name, most in MOST.items():
            value = getattr(self, name)
            if not 0 <= value <= most:
                raise UsageError(f"{name.replace('_', '-')} of {value}: an allowance is 0 to {most}")

    @classmethod
    def parse(cls, text: str) -> Allowances:
        """Allowances as people write them: KEY=NUMBER with k, M or G for thousands, `max-wait` with s, ms or us. Raises UsageError."""
        keys = {field.name.replace("_", "-"): field.name for field in fields(cls)}
        values: dict[str, Any] = {}
        for part in text.split(",") if text.strip() else ():
            key, _, number = (word.strip() for word in part.partition("="))
            match = NUMBER.fullmatch(number)
            units = TIMES if key == "max-wait" else THOUSANDS
            if key not in keys or match is None or match[2] not in units:
                raise UsageError(f"{part.strip()!r} is no allowance; write KEY=NUMBER as in bw-in=100M, KEY is one of {', '.join(keys)}")
            value = float(match[1]) * units[match[2]]
            values[keys[key]] = value if units is TIMES else round(value)
        return cls(**values)


@dataclass(frozen=True, slots=True)
class AllowanceStats:
    """Packets that waited or were dropped because of an allowance, and how many connections can still be tracked.

    A large packet counts as the segments it becomes on a wire. Counters go on across resets. They stand in the order of the contract's
    metric bits. Without a limit of connections `conntrack_allowance_available` is 0.
    """

    bw_in_allowance_exceeded: int = 0
    bw_out_allowance_exceeded: int = 0
    pps_allowance_exceeded: int = 0
    conntrack_allowance_exceeded: int = 0
    linklocal_allowance_exceeded: int = 0
    conntrack_allowance_available: int = 0
