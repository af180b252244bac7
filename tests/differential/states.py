"""What is tracked of a flow, in words that hold for both sides: netfilter's.

    ours            netfilter's
    syn-sent        SYN_SENT
    syn-received    SYN_RECV
    established     ESTABLISHED
    fin-wait        FIN_WAIT, until what follows acknowledges the FIN: CLOSE_WAIT. Whose FIN it was netfilter doesn't say
    close-wait      the same
    closing         LAST_ACK
    time-wait       TIME_WAIT
    closed          CLOSE
    pending, denied no flow: netfilter tracks what it lets pass

Whether a flow is assured isn't compared: for netfilter that is whether it may be evicted, and ours are evicted by other classes. Nor are
flows between others than a sequence's own ends, which odd addresses may have begun.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from appliance.flow.records import FlowView, Tuple5
from tests.differential.network import text
from tests.differential.wire import ECHOES, TCP, Aliases

Ends = tuple[bytes, bytes, int, int]
"""Source, destination, and their ports; of an echo, the identifier twice."""
WORDS: Final = {
    "syn-sent": "SYN_SENT", "syn-received": "SYN_RECV", "established": "ESTABLISHED", "closing": "LAST_ACK", "time-wait": "TIME_WAIT",
    "closed": "CLOSE",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tracked:
    """One flow."""

    original: Ends
    """As its first packet came in."""
    reply: Ends
    """As its answers do."""
    replied: bool
    tcp: str
    """TCP_STATES; empty for others."""

    def __str__(self) -> str:
        ways = " / ".join(f"{text(a)} {b} > {text(c)} {d}" for a, c, b, d in (self.original, self.reply))
        return f"{self.tcp or 'flow'}{', replied' * self.replied}: {ways}"

    def renamed(self, protocol: int, aliases: Aliases) -> Tracked:
        """With its flow's own ports."""
        return Tracked(_renamed(protocol, self.original, aliases), _renamed(protocol, self.reply, aliases), self.replied, self.tcp)


def of_ours(flow: FlowView) -> Tracked | None:
    """What the appliance shows, in netfilter's words; None for what netfilter has no flow for."""
    if flow.state in ("pending", "denied"):
        return None
    size = 4 if flow.version == 4 else 16
    original, reply = (_packed(ends, size) for ends in (flow.original, flow.reply))
    return Tracked(original, reply, flow.packets[1] > 0, _word(flow) if flow.protocol == TCP else "")


def _word(flow: FlowView) -> str:
    if flow.state in ("fin-wait", "close-wait"):
        end = flow.state == "close-wait"
        return "CLOSE_WAIT" if flow.heard[not end] == flow.said[end] else "FIN_WAIT"
    return WORDS[flow.state]


def _packed(ends: Tuple5, size: int) -> Ends:
    source, destination, sport, dport = ends
    return source.to_bytes(size), destination.to_bytes(size), sport, dport


def _renamed(protocol: int, ends: Ends, aliases: Aliases) -> Ends:
    source, destination, *ports = ends
    sport, dport = (aliases.get((protocol, address, port), port) for address, port in zip((source, destination), ports, strict=True))
    if protocol in ECHOES:
        sport = dport = sport if dport in ports else dport
    return source, destination, sport, dport
