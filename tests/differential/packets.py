"""What happens, in words that hold for both sides: flows, and steps of one sequence. A step becomes a frame on each side.

A step of a flow says who sends and what; where the flow is translated by then, each side's own translation is answered, and the packets
that really left are quoted in ICMP errors.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from itertools import count
from typing import Final

from tests.differential.network import LINKS, frame_to, packed
from tests.differential.states import Ends
from tests.differential.wire import (
    ACK,
    ECHO_PROTOCOL,
    ECHOES,
    ETHERNET,
    ICMP,
    ICMPV6,
    SYN,
    TCP,
    UDP,
    Read,
    fragments,
    packet,
    read,
    summed,
)  # fmt: skip

Left = list[tuple[str, bytes]]
IDENTIFICATIONS: Final = count()
"""Of packets in fragments: none comes again while a side may still wait for the rest of a packet, or drop it."""


@dataclass(frozen=True, slots=True)
class Flow:
    """Who talks to whom. The client sends to `visible`; if that is a forwarded port, `server` is where it leads."""

    version: int
    protocol: int
    client_nic: str
    client: str
    server_nic: str
    server: str
    port: int = 0
    visible: str = ""
    visible_port: int = 0
    first: tuple[int, int] = (1000, 5000)
    """The first sequence numbers of client and server."""
    low: bool = False
    """The client's port is below 1024."""


@dataclass(frozen=True, slots=True)
class Step:
    """One packet. Numbers of TCP count from the ends' first ones. `back`: the server sends it."""

    flow: int = 0
    back: bool = False
    flags: int = 0
    seq: int = 0
    ack: int = 0
    window: int = 8000
    size: int = 0
    scale: int | None = None
    sack_permitted: bool = False
    sack: tuple[int, int] | None = None
    timestamps: bool = False
    error: tuple[int, int] | None = None
    """ICMP type and code: an error about the last packet that the sender got."""
    info: int = 0
    quote: int = 8
    """How many bytes of the transport header and beyond it quotes."""
    shift: int = 0
    """Added to the quoted packet's source port, so that it is nobody's."""
    reporter: str = ""
    """Who reports; the quoted packet's receiver, if not said."""
    kind: tuple[int, int] | None = None
    """ICMP type and code of something that is neither an error nor an echo."""
    ttl: int = 64
    tos: int = 0
    df: bool = True
    nic: str = ""
    """It comes in elsewhere."""
    source: str = ""
    destination: str = ""
    broken: bool = False
    """Its checksum is wrong."""
    unsummed: bool = False
    """UDP without a checksum."""
    pieces: tuple[tuple[int, int], ...] = ()
    """It comes in fragments, in this order: from where to where of what follows the IP header, in units of eight bytes; 0: to its end."""


@dataclass(slots=True)
class Side:
    """What one side has made of a sequence's flows so far."""

    number: int
    ends: dict[int, tuple[bytes, int]] = field(default_factory=dict)
    """Under which address and port a flow's server knows its client."""
    passing: dict[tuple[int, bytes, int], int] = field(default_factory=dict)
    """What the ports of other packets that left stand for, whoever sent them."""
    last: dict[tuple[int, bool], tuple[str, bytes]] = field(default_factory=dict)
    """The last packet of a flow that left, by direction, and by which nic."""

    def aliases(self, flows: tuple[Flow, ...]) -> dict[tuple[int, bytes, int], int]:
        """The ports that stand for others."""
        known = {(flows[n].protocol, address, port): port_of(flows[n], n, self.number) for n, (address, port) in self.ends.items()}
        return known | self.passing

    def note(self, flows: tuple[Flow, ...], step: Step, left: Left) -> None:
        """Learn from what left for a step."""
        if step.error or step.kind or len(left) != 1:
            return
        nic, frame = left[0]
        found = read(frame, ETHERNET)
        rejected = nic == (flows[step.flow].server_nic if step.back else flows[step.flow].client_nic)
        if found.is_error or found.protocol != flows[step.flow].protocol or rejected:
            return
        self.last[step.flow, step.back] = nic, frame[ETHERNET:]
        if not step.back:
            self.passing[found.protocol, found.source, found.sport] = port_of(flows[step.flow], step.flow, self.number)
        elif step.flow not in self.ends or step.source or step.destination or step.flags & (SYN | ACK) == SYN:    # a flow of the server's
            self.passing[found.protocol, found.source, found.sport] = flows[step.flow].port
        if not step.back and nic == flows[step.flow].server_nic and not (step.source or step.destination):
            self.ends[step.flow] = found.source, found.sport


def port_of(flow: Flow, index: int, number: int) -> int:
    """The client's port, or identifier, which no other sequence uses."""
    return 1 + (number * 3 + index) % 1023 if flow.low else 1024 + (number * 4 + index) % 64000


def materialize(step: Step, flows: tuple[Flow, ...], side: Side) -> tuple[str, list[bytes]]:
    """The frames of a step on one side, and the nic by which they come in."""
    flow = flows[step.flow]
    if step.error:
        nic, sender, data = _error(step, flow, side)
    else:
        nic, sender, data = (flow.server_nic, flow.server, _packet(step, flow, side)) if step.back else (
            flow.client_nic, flow.client, _packet(step, flow, side))  # fmt: skip
    if step.nic:
        nic, sender = step.nic, LINKS[step.nic].hosts[flow.version][0]
    packets = [data]
    if step.pieces:
        packets = fragments(data, step.pieces, next(IDENTIFICATIONS))
    return nic, [frame_to(LINKS[nic], sender, each) for each in packets]


def _ends(step: Step, flow: Flow, side: Side) -> Ends:
    """Addresses and ports as the sender writes them."""
    own = packed(flow.client), port_of(flow, step.flow, side.number)
    if step.back:
        known, known_port = side.ends.get(step.flow, own)
        source, sport, destination, dport = packed(flow.server), flow.port, known, known_port
        if step.destination:                   # this port stands for the client's there too
            side.passing[flow.protocol, packed(step.destination), known_port] = own[1]
    else:
        source, sport, destination, dport = *own, packed(flow.visible or flow.server), flow.visible_port or flow.port
    return packed(step.source) if step.source else source, packed(step.destination) if step.destination else destination, sport, dport


def key_of(step: Step, flow: Flow, side: Side) -> Ends:
    """By what a step's packet is known: `_ends`, but for an echo the identifier twice."""
    source, destination, sport, dport = _ends(step, flow, side)
    if flow.protocol in ECHOES:
        sport = dport = dport if step.back else sport
    return source, destination, sport, dport


def _packet(step: Step, flow: Flow, side: Side) -> bytes:
    source, destination, sport, dport = _ends(step, flow, side)
    data = bytes((step.size * 7 + n) & 255 for n in range(step.size))
    protocol = flow.protocol
    if step.kind:
        protocol = ECHO_PROTOCOL[flow.version]
        message = bytes(step.kind) + b"\0\0" + port_of(flow, step.flow, side.number).to_bytes(2) + b"\0\1" + data
    elif protocol == TCP:
        message = _segment(step, flow, sport, dport) + data
    elif protocol == UDP:
        message = struct.pack("!HHHH", sport, dport, 8 + len(data), 0) + data
    elif protocol in (ICMP, ICMPV6):
        identifier = dport if step.back else sport
        message = bytes((ECHOES[protocol][step.back], 0, 0, 0)) + identifier.to_bytes(2) + step.seq.to_bytes(2) + data
    else:
        message = data
    if protocol in (TCP, UDP, ICMP, ICMPV6) and not step.unsummed:
        message = summed(source, destination, protocol, message)
    if step.broken:
        message = message[:-1] + bytes((message[-1] ^ 0x55,))
    return packet(source, destination, protocol, message, step.ttl, step.tos, step.df)


def _segment(step: Step, flow: Flow, sport: int, dport: int) -> bytes:
    mine, other = flow.first[step.back], flow.first[not step.back]
    options = b""
    if step.flags & SYN:
        options += b"\2\4\5\xb4" + b"\4\2\1\1" * step.sack_permitted
        if step.scale is not None:
            options += bytes((3, 3, step.scale, 1))
    if step.timestamps:
        options += b"\1\1\x08\x0a" + struct.pack("!II", 1000 + step.seq & 0xFFFFFFFF, 77)
    if step.sack:
        options += b"\1\1\5\x0a" + struct.pack("!II", *((other + edge) & 0xFFFFFFFF for edge in step.sack))
    seq, ack = (mine + step.seq) & 0xFFFFFFFF, (other + step.ack) & 0xFFFFFFFF if step.flags & ACK else 0
    length = (20 + len(options)) // 4
    return struct.pack("!HHIIBBHHH", sport, dport, seq, ack, length << 4, step.flags, step.window, 0, 0) + options


def _error(step: Step, flow: Flow, side: Side) -> tuple[str, str, bytes]:
    """An ICMP error of the client (or somebody near it) about what the server sent, or the other way."""
    got = side.last.get((step.flow, not step.back))
    if got is None:
        imagined = Step(step.flow, not step.back, flags=16, size=20)
        got = (flow.server_nic if step.back else flow.client_nic), _packet(imagined, flow, side)
    nic, quoted = got
    found = read(quoted)
    quoted = _shifted(quoted[: found.l4 + step.quote], found, step.shift)
    reporter = step.reporter or (flow.server if step.back else flow.client)
    source, destination = packed(step.source or reporter), packed(step.destination) if step.destination else found.source
    protocol = ECHO_PROTOCOL[flow.version]
    assert step.error is not None
    message = summed(source, destination, protocol, bytes(step.error) + b"\0\0" + step.info.to_bytes(4) + quoted)
    if step.broken:
        message = message[:-1] + bytes((message[-1] ^ 0x55,))
    return nic, reporter, packet(source, destination, protocol, message, step.ttl, step.tos, step.df)


def _shifted(quoted: bytes, found: Read, shift: int) -> bytes:
    if not shift:
        return quoted
    at = found.l4 + (4 if found.protocol in (ICMP, ICMPV6) else 0)
    return quoted[:at] + ((found.sport + shift) & 0xFFFF).to_bytes(2) + quoted[at + 2 :]
