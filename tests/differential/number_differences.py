"""Where the appliance means to differ from netfilter by what a segment's numbers may be, and what has changed them: as in `differences`."""

from __future__ import annotations

from typing import Final

from tests.differential.deliberate import OPEN, Deliberate, after_opening, said
from tests.differential.facts import (
    arrived,
    begun_behind_challenge,
    earlier,
    lost,
    only_kernel,
    only_ours,
    remarked,
    tcp,
    windows,
)
from tests.differential.packets import Step
from tests.differential.sequence_numbers import (
    acknowledged_unasked,
    credited,
    long_ago,
    old_beginning,
    older_answer,
    unheard,
    unnoted,
    within_syn,
)
from tests.differential.wire import ACK, FIN, RST, SYN

NUMBERS: Final = (
    Deliberate(
        "old numbers",
        "a segment that its receiver would only answer with an ACK is dropped; netfilter calls it invalid and lets it pass",
        "van Rooij, 2001, II and IV; RFC 9293, 3.10.7.4; RFC 5961, 5.2",
        lambda of: tcp(of) and only_kernel(of) and of.we_say in ("tcp-window", "tcp-invalid")
        and remarked(of, "SEQ is under lower bound", "ignored ACK under lower bound"),
        after_opening(Step(flags=ACK, seq=-20000, ack=1, size=10)),
    ),
    Deliberate(
        "the window of a SYN",
        "is room for data from the start; netfilter gives none before an ACK: it drops what comes, or takes it for a larger window of its "
        "receiver, behind which less is too old",
        "RFC 9293, 3.10.7.2 and 3.10.7.3: SND.WND is that of the SYN",
        lambda of: (windows(of) and not of.kernel_says and not of.step.flags & (SYN | RST) and (credited(of) or long_ago(of)))
        or (tcp(of) and only_ours(of) and not lost([of.step]) and (
            (remarked(of, "SEQ is over") and within_syn(of)) or (unnoted(of) and not of.step.flags & RST))),
        said(Step(flags=SYN, window=1), OPEN[1], Step(back=True, flags=FIN | ACK, seq=1, ack=1), Step(back=True, flags=ACK, ack=1)),
    ),
    Deliberate(
        "beyond the window",
        "data that begins behind the right edge of the window is dropped; netfilter lets up to a window more pass",
        "RFC 9293, 3.10.7.4",
        lambda of: windows(of) and remarked(of, "bytes more than expected"),
        after_opening(Step(flags=ACK, seq=8100, ack=1, size=10)),
    ),
    Deliberate(
        "numbers of SYN and ACK",
        "one that acknowledges what was never sent, or an older SYN, is dropped; netfilter ignores such segments and lets them pass, or "
        "takes their numbers though it drops them",
        "RFC 9293, 3.10.7.3 and 3.10.7.4",
        lambda of: windows(of) and (
            remarked(of, "ignored, state") or older_answer(of)
            or (not of.kernel_says and any(each.flags & SYN and each.seq for each in (*earlier(of), of.step)))
        ),
        said(*OPEN[:2], Step(back=True, flags=SYN | ACK, ack=500)),
    ),
    Deliberate(
        "challenges",
        "an answer to a SYN in a connection has that connection's numbers; netfilter takes any, and what it says isn't noted",
        "RFC 5961, 4.2",
        lambda of: (windows(of) and remarked(of, "challenge-ack ignored")) or (tcp(of) and only_ours(of) and unheard(of))
        or (only_kernel(of) and of.we_say == "tcp-invalid" and begun_behind_challenge(of)),
        after_opening(
            Step(back=True, flags=FIN | ACK, seq=1, ack=1), Step(back=True, flags=FIN | ACK, seq=2, ack=1), Step(flags=SYN, seq=-1048455),
            Step(back=True, flags=ACK, seq=24, ack=121),
        ),
    ),
    Deliberate(
        "unasked SACK",
        "what a SACK option acknowledges has to have been sent, permitted or not, and the window counts from there; netfilter doesn't read "
        "it without permission",
        "RFC 2018, 2 and 3",
        lambda of: (windows(of) and of.step.sack is not None and not of.kernel_says)
        or (tcp(of) and only_ours(of) and remarked(of, "SEQ is over upper bound") and acknowledged_unasked(of)),
        after_opening(Step(back=True, flags=ACK, seq=1, ack=1, sack=(1, 51))),
    ),
    Deliberate(
        "data in a SYN in fragments",
        "is known as far as the first fragment has it: what acknowledges more is dropped",
        "none: nobody sends such; later fragments of a SYN that may be forged have to change nothing",
        lambda of: windows(of) and any(step.flags & SYN and step.pieces for step in arrived(of)),
        said(OPEN[0], Step(back=True, flags=SYN | ACK, ack=1, size=600, pieces=((0, 38), (38, 0))), Step(flags=ACK, seq=1, ack=601)),
    ),
    Deliberate(
        "old data in fragments",
        "is judged by where the first fragment ends: what is older than a window goes no further; netfilter asks where the packet ends",
        "RFC 9293, 3.8.1: what is said again has not been acknowledged, so it begins in the window",
        lambda of: windows(of) and not of.kernel_says and old_beginning(of),
        after_opening(
            Step(back=True, flags=ACK, seq=7900, ack=1, size=100),
            Step(back=True, flags=ACK, seq=-400, ack=1, size=600, pieces=((0, 8), (8, 0))),
        ),
    ),
    Deliberate(
        "tiny fragments",
        "a first fragment has all of its packet's headers, or is dropped",
        "RFC 1858, 3; RFC 3128; RFC 7112",
        lambda of: only_kernel(of) and "fragment-tiny" in of.we_say.split(", ") and of.step.pieces != ()
        and min(end for start, end in of.step.pieces if start == 0) < 4,
        said(Step(flags=SYN, size=600, pieces=((0, 2), (2, 0)))),
    ),
)  # fmt: skip
