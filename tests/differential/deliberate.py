"""What a difference on purpose is, and the flows and sequences by which such are shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.differential.compare import Difference, Sequence
from tests.differential.packets import Flow, Step
from tests.differential.wire import ACK, ICMP, SYN, TCP, UDP


@dataclass(frozen=True, slots=True)
class Deliberate:
    """A difference on purpose."""

    name: str
    reason: str
    source: str
    holds: Callable[[Difference], bool]
    example: Sequence


# -- examples ------------------------------------------------------------------------------------------------------------

PLAIN: Final = Flow(4, TCP, "lan", "10.1.0.10", "wan", "203.0.113.9", 80)
PLAIN6: Final = Flow(6, TCP, "lan", "2001:db8:1::10", "wan", "2001:db8:9::9", 80)
PING: Final = Flow(4, ICMP, "lan", "10.1.0.10", "wan", "203.0.113.9")
FORWARDED: Final = Flow(4, TCP, "wan", "192.0.2.77", "dmz", "10.3.0.20", 8443, "203.0.113.1", 443)
REJECTED: Final = Flow(4, TCP, "lan", "10.1.0.10", "wan", "203.0.113.9", 9)
REJECTED6: Final = Flow(6, UDP, "lan", "2001:db8:1::10", "wan", "2001:db8:9::9", 9)
NOBODY: Final = Flow(6, UDP, "wan", "2001:db8:9::9", "wan", "2001:db8:2::40", 53)
HIDDEN: Final = Flow(4, ICMP, "lan", "10.1.7.12", "wan", "203.0.113.9")
NAMES: Final = Flow(4, UDP, "wan", "192.0.2.77", "lan", "10.1.7.12", 53, "203.0.113.1", 53)
OPEN: Final = (Step(flags=SYN), Step(back=True, flags=SYN | ACK, ack=1), Step(flags=ACK, seq=1, ack=1))


def after_opening(*steps: Step, flow: Flow = PLAIN) -> Sequence:
    """A connection, and then."""
    return Sequence((flow,), (*OPEN, *steps))


def said(*steps: Step, flow: Flow = PLAIN) -> Sequence:
    """From nothing."""
    return Sequence((flow,), steps)
