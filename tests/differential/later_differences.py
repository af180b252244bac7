"""Where a packet that both treated alike was noted differently, so that a later one shows it: as in `differences`, and asked last."""

from __future__ import annotations

from typing import Final

from tests.differential.deliberate import OPEN, PING, Deliberate, after_opening, said
from tests.differential.facts import (
    answered,
    arrived,
    astray,
    elsewhere,
    lost,
    lost_beginning,
    noted,
    only_kernel,
    only_ours,
    overlapping,
    readdressed_segment,
    remarked,
    repeated,
    sidestepped,
    stopped,
    tcp,
    turned,
    windows,
)
from tests.differential.packets import Step
from tests.differential.reset_facts import odd_reset, refused, reopened, reset_astray, resets, restarted, unanswered_reset
from tests.differential.wire import ACK, FIN, RST, SYN, TCP

LATER: Final = (
    Deliberate(
        "a first packet that goes nowhere",
        "a flow begins when policy allows it, though its first packet may have no hop left, or be too big",
        "none: netfilter confirms a flow by a packet that left",
        lambda of: bool(of.ours) and (remarked(of, "invalid new") or not of.kernel_says)
        and (lost_beginning(of) or (lost(stopped(of)) and not tcp(of))),
        said(Step(flags=SYN, ttl=1), Step(back=True, flags=SYN | ACK, ack=1)),
    ),
    Deliberate(
        "packets that go nowhere",
        "change no connection: their receiver has not seen them. netfilter has tracked a packet before it looks at its hops",
        "RFC 9293, 3.10.7: what counts is what a receiver got",
        lambda of: tcp(of) and (
            ((only_ours(of) or (only_kernel(of) and of.we_say in ("tcp-window", "tcp-invalid"))) and lost(noted(of)))
            or (lost([step for step in noted(of) if step.flags & RST])
                and (readdressed_segment(of) or (only_kernel(of) and of.we_say in ("policy", "not-a-start"))))
        ),
        after_opening(Step(back=True, flags=ACK, seq=1, ack=1, size=10, ttl=1), Step(flags=ACK, seq=1, ack=11)),
    ),
    Deliberate(
        "fragments of nothing whole",
        "each goes its way when it comes, and the first is tracked: if a later one overlaps, its receiver puts nothing together. netfilter "
        "puts all together before it looks",
        "RFC 5722, 4 and RFC 791, 3.2: whole packets are their receiver's",
        lambda of: ((bool(of.ours) or windows(of)) and any(overlapping(step) for step in stopped(of)))
        or (only_kernel(of) and of.we_say in ("tcp-invalid", "not-a-start")
            and any(overlapping(step) and step.flags & (SYN | RST) for step in stopped(of))),
        said(Step(flags=SYN, size=600, pieces=((0, 51), (32, 0))), Step(back=True, flags=SYN | ACK, ack=1)),
    ),
    Deliberate(
        "a SYN behind a RST",
        "begins another connection, whoever has reset the last one; netfilter stays with that unless the same end did",
        "RFC 9293, 3.10.7.1",
        lambda of: of.flow.protocol == TCP and reopened(of) and (
            (only_ours(of) and of.kernel_says != "") or readdressed_segment(of)
            or (only_kernel(of) and of.we_say in ("tcp-invalid", "not-a-start", "policy", "punt: unrelated"))),
        after_opening(Step(back=True, flags=RST | ACK, seq=1, ack=1), OPEN[0], Step(flags=ACK, seq=1, ack=1)),
    ),
    Deliberate(
        "a RST in the window",
        "changes nothing if its number isn't exact: its receiver answers with a challenge; netfilter closes what was opening, or closing",
        "RFC 5961, 3.2; RFC 9293, 3.5.1 (a RST before a SYN is answered is about what the other end remembers)",
        lambda of: of.flow.protocol == TCP and (
            odd_reset(of)
            or (tcp(of) and only_ours(of) and remarked(of, "invalid, state SYN_SENT") and restarted(of))
            or (readdressed_segment(of) and any(each.flags & RST for each in arrived(of)))
            or (tcp(of) and only_kernel(of) and of.we_say == "tcp-invalid" and not of.step.flags & SYN
                and (unanswered_reset(of) or any(not exact for _, exact in resets(of))))
            or (unanswered_reset(of) and (
                windows(of) or (only_ours(of) and (not of.kernel_says or remarked(of, "is over upper bound", "invalid rst", "invalid new")))
            ))
        ),
        said(
            OPEN[0], Step(back=True, flags=ACK, ack=1, size=999), Step(flags=RST, seq=1),
            Step(back=True, flags=FIN | ACK, seq=999, ack=1),
        ),
    ),
    Deliberate(
        "the numbers of a RST",
        "count for nothing, nor does its window: its receiver looks at nothing else of it. To netfilter what it acknowledges makes room",
        "RFC 9293, 3.10.7.4: RST comes before ACK",
        lambda of: (windows(of) and not of.kernel_says and any(each.flags & RST for each in arrived(of)))
        or (tcp(of) and only_ours(of) and remarked(of, "invalid rst")
            and any(each.flags & RST and each.ack > of.step.seq and each.back != of.step.back for each in arrived(of))),
        said(*OPEN[:2], Step(back=True, flags=RST, seq=101), Step(flags=ACK, seq=1, ack=101)),
    ),
    Deliberate(
        "refusals in fragments",
        "a connection that is refused by one is closed, and not forgotten yet: the later fragments belong to it",
        "none: netfilter puts all together before it looks",
        lambda of: only_ours(of) and refused(of) and any(each.flags & RST and each.pieces for each in arrived(of)),
        said(
            OPEN[0], Step(back=True, flags=RST | ACK, ack=1, size=600, pieces=((0, 51), (51, 0))),
            Step(back=True, flags=ACK, ack=1, size=500),
        ),
    ),
    Deliberate(
        "simultaneous open",
        "an ACK may end it, not a SYN and ACK alone",
        "RFC 9293, 3.10.7.4: SYN-RECEIVED",
        lambda of: tcp(of) and (only_ours(of) or windows(of) or (only_kernel(of) and of.we_say == "not-a-start"))
        and any(each.back and each.flags & (SYN | ACK) == SYN for each in arrived(of)),
        said(OPEN[0], Step(back=True, flags=SYN), Step(flags=ACK, seq=1, ack=1)),
    ),
    Deliberate(
        "whose FIN",
        "one that is said again is not the other end's: the connection is half closed still; netfilter counts them",
        "RFC 9293, 3.6",
        lambda of: of.flow.protocol == TCP and repeated(of)
        and (only_ours(of) or (only_kernel(of) and of.we_say in ("tcp-window", "tcp-invalid"))),
        after_opening(
            Step(back=True, flags=FIN | ACK, seq=1, ack=1), Step(back=True, flags=FIN | ACK, seq=2, ack=1),
            Step(back=True, flags=ACK, seq=3, ack=1), Step(back=True, flags=SYN, seq=503),
        ),
    ),
    Deliberate(
        "the way back",
        "a flow belongs to the nic that it came in by: answers leave there, nothing else changes it; netfilter routes each "
        "packet for itself",
        "RFC 3704, 2.3 (multihoming)",
        lambda of: (elsewhere(of) and sidestepped(of)) or (bool(of.ours) and bool(astray(of, arrived(of))))
        or (reset_astray(of) and (only_ours(of) or (only_kernel(of) and of.we_say in ("tcp-window", "tcp-invalid"))))
        or (bool(of.ours) and restarted(of) and any(each.flags & SYN for each in astray(of, stopped(of))))
        or (bool(of.ours) and answered(of) and lost([of.step]) and turned(of)),
        said(Step(nic="dmz"), Step(back=True), flow=PING),
    ),
)  # fmt: skip
