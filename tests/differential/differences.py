"""Where the appliance means to differ from netfilter: what it looks like, why, and by which document.

`known` is the one judge of a long run: a difference that none of these explains is a failure. Each has an example, which
`test_differences.py` runs to see that it still occurs. Predicates ask what both sides themselves said: conntrack's remark about the
packet (`kernel_says`), and the reason that the appliance counted (`we_say`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.differential.compare import OWN, Difference, Sequence
from tests.differential.network import LINKS, packed
from tests.differential.packets import Flow, Step
from tests.differential.wire import ACK, ETHERNET, ICMP, ICMPV6, RST, SYN, TCP, URG, read


@dataclass(frozen=True, slots=True)
class Deliberate:
    """A difference on purpose."""

    name: str
    reason: str
    source: str
    holds: Callable[[Difference], bool]
    example: Sequence


def known(difference: Difference) -> Deliberate | None:
    """What explains a difference; None if nothing does."""
    return next((each for each in DIFFERENCES if each.holds(difference)), None)


# -- what may be said of a difference --------------------------------------------------------------------------------------


def only_kernel(of: Difference) -> bool:
    """The kernel let something out, and we nothing."""
    return bool(of.kernel) and not of.ours


def only_ours(of: Difference) -> bool:
    """The other way."""
    return bool(of.ours) and not of.kernel


def remarked(of: Difference, *words: str) -> bool:
    """Whether conntrack said one of these."""
    return any(word in of.kernel_says for word in words)


def answered(of: Difference) -> bool:
    """Whether the kernel's only answer was an ICMP error of its own."""
    if len(of.kernel) != 1:
        return False
    found = read(of.kernel[0][1], ETHERNET)
    return found.is_error and found.source in OWN


def tcp(of: Difference) -> bool:
    """Whether a segment was sent."""
    return of.flow.protocol == TCP and not of.step.error and not of.step.kind


def windows(of: Difference) -> bool:
    """Whether we alone dropped a segment for its numbers."""
    return tcp(of) and only_kernel(of) and of.we_say == "tcp-window"


def opened(of: Difference) -> bool:
    """Whether the other end has ever said something in this connection, as we know it: SYN or SYN and ACK."""
    return any(
        each.flow == of.step.flow and each.back != of.step.back and each.flags & SYN and not each.error for each in of.sequence.steps[: of.at]
    )


# -- examples --------------------------------------------------------------------------------------------------------------

PLAIN: Final = Flow(4, TCP, "lan", "10.1.0.10", "wan", "203.0.113.9", 80)
PLAIN6: Final = Flow(6, TCP, "lan", "2001:db8:1::10", "wan", "2001:db8:9::9", 80)
PING: Final = Flow(4, ICMP, "lan", "10.1.0.10", "wan", "203.0.113.9")
OPEN: Final = (Step(flags=SYN), Step(back=True, flags=SYN | ACK, ack=1), Step(flags=ACK, seq=1, ack=1))


def after_opening(*steps: Step, flow: Flow = PLAIN) -> Sequence:
    """A connection, and then."""
    return Sequence((flow,), (*OPEN, *steps))


def said(*steps: Step, flow: Flow = PLAIN) -> Sequence:
    """From nothing."""
    return Sequence((flow,), steps)


# -- the list --------------------------------------------------------------------------------------------------------------

DIFFERENCES: Final = (
    Deliberate(
        "old numbers", "a segment that its receiver would only answer with an ACK is dropped; netfilter calls it invalid and lets it pass",
        "van Rooij, 2001, II and IV; RFC 9293, 3.10.7.4; RFC 5961, 5.2",
        lambda of: windows(of) and remarked(of, "SEQ is under lower bound", "ignored ACK under lower bound"),
        after_opening(Step(flags=ACK, seq=-20000, ack=1, size=10)),
    ),
    Deliberate(
        "beyond the window", "data that begins behind the right edge of the window is dropped; netfilter lets up to a window more pass",
        "RFC 9293, 3.10.7.4",
        lambda of: windows(of) and remarked(of, "bytes more than expected"),
        after_opening(Step(flags=ACK, seq=8100, ack=1, size=10)),
    ),
)  # fmt: skip
