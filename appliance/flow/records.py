"""What the fast path tells Python: plain values. Addresses are integers beside an IP version, ports host-order integers, times seconds."""

from collections.abc import Sequence
from typing import NamedTuple

Tuple5 = tuple[int, int, int, int]
"""(source, destination, sport, dport); ICMP echo: the identifier in both."""


class Miss(NamedTuple):
    """The first frame of an unknown flow. The flow is pending: answer with `install` or `deny`; unanswered it ends after a second."""

    flow: int  # handle, for the commands; never reused
    nic: int  # ingress
    queue: int
    version: int
    protocol: int
    source: int
    destination: int
    sport: int
    dport: int
    icmp_type: int  # -1 when not ICMP
    tcp_flags: int
    length: int  # bytes of the frame


class Punt(NamedTuple):
    """A frame the fast path has no answer to. The frame itself is gone: this is a copy of its beginning."""

    reason: str  # handed over: "arp", "nd", "icmp-error", "cut", "dns"; dropped: "ttl", "too-big", "no-neighbour", "no-route", "rejected"
    nic: int  # ingress
    queue: int
    flow: int  # -1: none
    mtu: int  # "cut", "too-big": that of the egress; 0 otherwise
    frame: bytes  # the first bytes, at most 1536, as it was received; "no-neighbour": maybe translated, as it would have left


class Refused(NamedTuple):
    """An install that was not possible; the flow is still pending, and may be installed otherwise or denied."""

    flow: int
    miss: Miss
    reason: str  # "taken": a flow expects the reply tuple already; "table-full"


class FlowView(NamedTuple):
    """One flow as it was when it was read."""

    flow: int
    state: str  # "pending", "denied", "unreplied", "replied", or a TCP state: "syn-sent", "established", ...
    version: int
    protocol: int
    nic_in: int
    nic_out: int  # -1 while pending or denied
    original: Tuple5  # as the first packet arrived
    reply: Tuple5  # as replies arrive; zeros while pending or denied
    rule: int
    generation: int
    service: int
    target: int
    packets: tuple[int, int]  # original, reply direction
    bytes: tuple[int, int]
    created: float
    last_seen: float
    expires: float
    reason: str  # why it is denied; "" otherwise
    said: tuple[int, int] = (0, 0)  # TCP: the sequence number behind the last that each end has sent, originator first
    heard: tuple[int, int] = (0, 0)  # TCP: the latest acknowledgement of each
    shift: int = 0  # TCP: what is added to the numbers of replies on their way; `said` and `heard` are as the target has them
    liberal: bool = False  # TCP: nobody follows its numbers


class Work(NamedTuple):
    """What one `take` hands over, oldest first in each list."""

    misses: list[Miss]
    punts: list[Punt]
    refused: list[Refused]
    ended: Sequence[FlowView] = ()  # TCP that was idle for too long, and whose ends shall be told


class Profile(NamedTuple):
    """How the flows of a rule or a service are kept, as far as it says so."""

    timeouts: tuple[tuple[str, float], ...]  # (name, seconds); 0.0: unsaid
    reset: bool | None = None  # TCP: both ends are told when it was idle for too long
    inbound: bool | None = None  # replies keep a flow that isn't TCP and whose source is hidden
    mss: int = 0  # TCP: the largest segment that a SYN may announce; 1: what both nics carry, 0: unsaid
