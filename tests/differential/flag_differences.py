"""Where the appliance means to differ from netfilter by RSTs, and by what a segment's flags may be: as in `differences`."""

from __future__ import annotations

from typing import Final

from tests.differential.compare import Sequence
from tests.differential.deliberate import FORWARDED, OPEN, Deliberate, after_opening, said
from tests.differential.facts import lost, only_kernel, only_ours, opened, remarked, replace_back, tcp, windows
from tests.differential.packets import Step
from tests.differential.reset_facts import refused
from tests.differential.wire import ACK, FIN, RST, SYN, TCP, URG

FLAGS: Final = (
    # RST
    Deliberate(
        "refusals of a SYN",
        "a RST before the other end has said anything must acknowledge the SYN; to netfilter any will do",
        "RFC 9293, 3.10.7.3",
        lambda of: windows(of) and bool(of.step.flags & RST) and of.step.back and not opened(replace_back(of)),
        said(OPEN[0], Step(back=True, flags=RST, seq=1)),
    ),
    Deliberate(
        "RST out of the window",
        "a RST has to be in the window in every state; netfilter takes any once a connection closes, or while it opens",
        "RFC 9293, 3.10.7.4; RFC 5961, 3.2",
        lambda of: windows(of) and bool(of.step.flags & RST) and not of.kernel_says,
        said(*OPEN, Step(flags=FIN | ACK, seq=1, ack=1), Step(flags=RST, seq=-100000)),
    ),
    Deliberate(
        "the end of what hardly began",
        "a refused connection is forgotten at once; netfilter keeps it if anything came back before",
        "RFC 9293, 3.10.7.1",
        lambda of: of.flow.protocol == TCP and only_kernel(of) and of.we_say in ("not-a-start", "punt: unrelated") and refused(of),
        said(OPEN[0], Step(back=True, flags=ACK), Step(back=True, flags=RST | ACK, ack=1), Step(flags=ACK, seq=1)),
    ),
    Deliberate(
        "errors about segments out of the window",
        "hops are looked at before numbers; netfilter doesn't translate what is invalid, so its answer is lost, or not its own",
        "RFC 1812, 5.3.1",
        lambda of: tcp(of) and bool(of.ours) and lost([of.step]) and of.kernel_says != "",
        Sequence((FORWARDED,), (*OPEN[:2], Step(flags=ACK, seq=1, ack=2, ttl=1))),
    ),
    Deliberate(
        "what a RST acknowledges",
        "nobody looks at it but in SYN-SENT, so neither do we; netfilter wants it in the window",
        "RFC 9293, 3.10.7.4: RST comes before ACK",
        lambda of: tcp(of) and only_ours(of) and of.step.flags & (RST | ACK) == RST | ACK
        and remarked(of, "ACK is over", "SEQ is over", "invalid rst"),
        after_opening(Step(back=True, flags=RST | ACK, seq=1, ack=70000)),
    ),
    # TCP by its flags
    Deliberate(
        "URG",
        "beside RST, or SYN and ACK, it is odd and without meaning; netfilter calls the combination invalid",
        "RFC 9293, 3.10.7.4: URG is looked at behind all others",
        lambda of: tcp(of) and only_ours(of) and bool(of.step.flags & URG) and remarked(of, "invalid tcp flag combination"),
        after_opening(Step(flags=RST | ACK | URG, seq=1, ack=1)),
    ),
    Deliberate(
        "SYN into a connection",
        "either end may say it again, or begin anew: the receiver answers with a challenge ACK",
        "RFC 5961, 4.2; RFC 9293, 3.5 (simultaneous open)",
        lambda of: tcp(of) and only_ours(of) and bool(of.step.flags & SYN) and (
            remarked(of, "(index 0) in dir 1 invalid", "(index 1) in dir 0 invalid")
            or (not of.step.flags & ACK and remarked(of, "SEQ is"))
        ),
        after_opening(Step(flags=SYN | ACK, ack=1)),
    ),
    Deliberate(
        "SYN and ACK where nothing opens",
        "they answer no SYN that is known; netfilter ignores them and lets them pass",
        "RFC 9293, 3.10.7.1",
        lambda of: tcp(of) and only_kernel(of) and of.we_say == "tcp-invalid"
        and of.step.flags & (SYN | ACK) == SYN | ACK,
        after_opening(Step(flags=RST, seq=1), Step(back=True, flags=SYN | ACK, ack=1)),
    ),
)  # fmt: skip
