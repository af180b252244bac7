"""Where the appliance means to differ from netfilter: what it looks like, why, and by which document.

`known` is the one judge of a long run: a difference that none of these explains is a failure. Each has an example, which
`test_differences.py` runs to see that it still occurs. Predicates ask what both sides themselves said: conntrack's remark about the
packet (`kernel_says`), and the reason that the appliance counted (`we_say`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.differential.compare import Difference, Sequence, answer
from tests.differential.facts import (
    answered,
    arrived,
    asked_oddly,
    astray,
    begun_anew,
    begun_behind_challenge,
    earlier,
    elsewhere,
    lost,
    lost_beginning,
    only_answered,
    only_kernel,
    only_ours,
    only_rejected,
    opened,
    overlapping,
    readdressed,
    refused,
    rehopped,
    remarked,
    reopened,
    repeated,
    replace_back,
    reported,
    routed,
    stopped,
    tcp,
    to_translated,
    turned,
    went_on,
    windows,
)
from tests.differential.packets import Flow, Step
from tests.differential.sequence_numbers import (
    acknowledged_unasked,
    credited,
    forgotten,
    long_ago,
    odd_reset,
    old_beginning,
    older_answer,
    unheard,
    unnoted,
    within_syn,
)
from tests.differential.wire import ACK, FIN, ICMP, RST, SYN, TCP, UDP, URG


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


# -- examples --------------------------------------------------------------------------------------------------------------

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


# -- the list --------------------------------------------------------------------------------------------------------------

DIFFERENCES: Final = (
    # TCP by its numbers
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
            ((only_kernel(of) or only_ours(of)) and lost(stopped(of)))
            or (begun_anew(of) and lost([step for step in stopped(of) if step.flags & RST]))
        ),
        after_opening(Step(back=True, flags=ACK, seq=1, ack=1, size=10, ttl=1), Step(flags=ACK, seq=1, ack=11)),
    ),
    Deliberate(
        "fragments of nothing whole",
        "each goes its way when it comes, and the first is tracked: if a later one overlaps, its receiver puts nothing together. netfilter "
        "puts all together before it looks",
        "RFC 5722, 4 and RFC 791, 3.2: whole packets are their receiver's",
        lambda of: any(overlapping(step) for step in stopped(of)),
        said(Step(flags=SYN, size=600, pieces=((0, 51), (32, 0))), Step(back=True, flags=SYN | ACK, ack=1)),
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
        "a SYN behind a RST",
        "begins another connection, whoever has reset the last one; netfilter stays with that unless the same end did",
        "RFC 9293, 3.10.7.1",
        lambda of: of.flow.protocol == TCP and reopened(of),
        after_opening(Step(back=True, flags=RST | ACK, seq=1, ack=1), OPEN[0], Step(flags=ACK, seq=1, ack=1)),
    ),
    Deliberate(
        "the end of what hardly began",
        "a refused connection is forgotten at once; netfilter keeps it if anything came back before",
        "RFC 9293, 3.10.7.1",
        lambda of: of.flow.protocol == TCP and only_kernel(of) and of.we_say in ("not-a-start", "punt: unrelated") and refused(of),
        said(OPEN[0], Step(back=True, flags=ACK), Step(back=True, flags=RST | ACK, ack=1), Step(flags=ACK, seq=1)),
    ),
    Deliberate(
        "a RST in the window",
        "changes nothing if its number isn't exact: its receiver answers with a challenge; netfilter closes what was opening",
        "RFC 5961, 3.2; RFC 9293, 3.5.1 (a RST before a SYN is answered is about what the other end remembers)",
        lambda of: odd_reset(of) or (only_ours(of) and forgotten(of) and remarked(of, "SEQ is over upper bound"))
        or (of.flow.protocol == TCP and any(each.flags & RST for each in arrived(of)) and (
            windows(of)
            or (tcp(of) and only_kernel(of) and of.we_say == "tcp-invalid" and not of.step.flags & SYN)
            or (only_ours(of) and (tcp(of) or of.step.error is not None)
                and (not of.kernel_says or remarked(of, "invalid rst", "invalid new")))
        )),
        said(*OPEN[:2], Step(back=True, flags=RST, seq=101), Step(flags=ACK, seq=1, ack=101)),
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
        lambda of: of.flow.protocol == TCP and (only_kernel(of) or only_ours(of)) and repeated(of),
        after_opening(
            Step(back=True, flags=FIN | ACK, seq=1, ack=1), Step(back=True, flags=FIN | ACK, seq=2, ack=1),
            Step(back=True, flags=ACK, seq=3, ack=1), Step(back=True, flags=SYN, seq=503),
        ),
    ),
    # who may begin
    Deliberate(
        "ICMP queries",
        "of all that ICMP can ask, an echo request alone begins a flow; netfilter tracks timestamps and netmasks too",
        "RFC 6918 (deprecated ICMP messages), RFC 5508, 3",
        lambda of: only_kernel(of) and of.step.kind is not None and of.we_say in ("not-a-start", "policy", "bad-address"),
        said(Step(kind=(13, 0)), flow=PING),
    ),
    Deliberate(
        "martians",
        "addresses that no router may forward are dropped for every zone; netfilter leaves some of them to the rules",
        "RFC 1812, 5.3.7; RFC 6890; RFC 4291, 2.5",
        lambda of: bool(of.kernel) and not of.ours and of.we_say in ("bad-address", "multicast"),
        said(Step(flags=SYN, source="2001:db8:2::1"), flow=PLAIN6),
    ),
    Deliberate(
        "errors of ours",
        "what policy drops is not answered, or as policy says; netfilter's router tells of hops and sizes before its filter is asked",
        "RFC 1812, 4.3.2.7 and 5.3.9: filtering may be silent",
        lambda of: answered(of) and (not of.ours or of.we_say == "rejected") and of.we_say not in ("", "internal") and not rehopped(of),
        said(Step(flags=ACK, ttl=1)),
    ),
    Deliberate(
        "who reports",
        "an error of our own comes from our address on that nic; netfilter hides it behind the address that the flow hides behind",
        "RFC 1812, 4.3.2.4",
        readdressed,
        said(Step(back=True, flags=SYN), OPEN[0], Step(back=True, flags=SYN | ACK, ack=1, ttl=1), flow=FORWARDED),
    ),
    Deliberate(
        "who else reports",
        "an error from beyond a flow's end keeps its sender's address, if the end has its own; netfilter gives it the end's as soon as it "
        "has moved the end's port",
        "RFC 5508, REQ-4: of an error from outside, the destination alone is translated",
        reported,
        said(Step(back=True, flags=SYN), OPEN[0], Step(back=True, flags=SYN | ACK, ack=1), Step(error=(11, 0), reporter="203.0.113.9"),
             flow=FORWARDED),
    ),
    Deliberate(
        "the hops of what is quoted",
        "are as they came; netfilter rejects an IPv6 packet when it has taken one away",
        "RFC 4443, 2.4 (c): the packet that caused it",
        rehopped,
        said(Step(), flow=REJECTED6),
    ),
    Deliberate(
        "nobody's addresses",
        "what comes to an outside address without being expected, or by another nic, has no route, and its sender is told; "
        "here, netfilter's routes are silent about them",
        "RFC 1812, 5.2.7.1",
        lambda of: answer(of.ours) and not of.kernel and of.we_say == "no-route",
        said(Step(), flow=NOBODY),
    ),
    Deliberate(
        "where rejections go",
        "back by the nic and to the neighbour that the packet came from, whoever it says it is from; netfilter routes them",
        "RFC 3704, 2.3 (multihoming)",
        lambda of: (tcp(of) or routed(of)) and of.we_say == "rejected" and bool(of.step.nic or of.step.source),
        said(Step(flags=SYN, nic="dmz"), flow=REJECTED),
    ),
    Deliberate(
        "rejected fragments",
        "the first is answered when it comes, and as far as it goes; netfilter answers the whole packet, if there is one",
        "RFC 792 (an error is about the first fragment); RFC 9293, 3.10.7.1",
        lambda of: of.step.pieces != () and only_answered(of) and "rejected" in of.we_say.split(", "),
        said(Step(flags=SYN, size=600, pieces=((0, 16), (16, 0))), flow=REJECTED),
    ),
    Deliberate(
        "what follows a rejected SYN",
        "is rejected as well; netfilter calls it invalid, and says nothing",
        "RFC 9293, 3.10.7.1: without a connection all but a RST is answered by a RST",
        lambda of: tcp(of) and only_ours(of) and of.we_say == "rejected" and any(step.flags & SYN for step in stopped(of)),
        said(OPEN[0], OPEN[2], flow=REJECTED),
    ),
    Deliberate(
        "low ports",
        "below 1024 the appliance's address keeps its ports for itself: who hides behind it gets another; netfilter lets them have these",
        "RFC 4787, 4.2.1 (port preservation is a matter of choice); REQ-3a recommends netfilter's way",
        lambda of: of.flow.port < 1024 and bool(of.flow.visible) and any(each.back for each in earlier(of))
        and ((only_kernel(of) and of.we_say in ("policy", "not-a-start")) or (went_on(of) and only_rejected(of))),
        said(Step(back=True), Step(), flow=NAMES),
    ),
    Deliberate(
        "crossing flows",
        "one whose answers would be another flow's packets is refused, if nothing else about it is translated; netfilter moves its port",
        "RFC 4787, 5 (a filter that is no NAT leaves ports alone)",
        lambda of: only_kernel(of) and of.we_say == "nat-exhausted" and any(each.back != of.step.back for each in earlier(of)),
        Sequence((Flow(4, UDP, "lan", "10.1.7.12", "dmz", "10.3.0.20", 5000),), (Step(), Step(back=True, destination="10.1.7.12"))),
    ),
    # sides
    Deliberate(
        "the way back",
        "a flow belongs to the nic that it came in by: answers leave there, nothing else changes it; netfilter routes each "
        "packet for itself",
        "RFC 3704, 2.3 (multihoming)",
        lambda of: elsewhere(of) or bool(astray(of, arrived(of)))
        or (tcp(of) and any(each.flags & RST for each in astray(of, earlier(of))))
        or (bool(of.ours) and answered(of) and lost([of.step]) and turned(of)),
        said(Step(nic="dmz"), Step(back=True), flow=PING),
    ),
    Deliberate(
        "the other side",
        "a flow's packets come in where the flow does, errors about it too; to netfilter any nic will do",
        "RFC 2827, RFC 3704",
        lambda of: not of.ours and bool(of.kernel) and (
            of.we_say == "wrong-nic" or (of.we_say == "punt: unrelated" and bool(astray(of, [*earlier(of), of.step])))
        ),
        after_opening(Step(back=True, flags=ACK, seq=1, ack=1, nic="dmz")),
    ),
    # ICMP
    Deliberate(
        "checksums of ICMP",
        "that of an echo is for its receiver to judge, and stays as wrong as it was",
        "RFC 1812, 5.2.2 (a router checks the IP header); RFC 1624",
        lambda of: remarked(of, "icmp checksum", "ICMPv6 checksum failed") and (
            (only_ours(of) and (of.we_say == "rejected" or not answer(of.ours)))
            or (bool(of.ours) and answered(of) and not answer(of.ours))
        ),
        said(Step(broken=True, size=4), flow=PING),
    ),
    Deliberate(
        "hops of a wrong checksum",
        "are counted, wherever the packet is translated to; netfilter doesn't translate it, so it is the firewall's own, or nobody's",
        "RFC 1812, 5.3.1 (hops are looked at) and 5.2.2 (an ICMP checksum is not)",
        lambda of: remarked(of, "icmp checksum", "ICMPv6 checksum failed") and only_ours(of) and of.we_say in ("ttl", "too-big")
        and lost([of.step]) and to_translated(of),
        said(Step(), Step(back=True, ttl=1, broken=True, size=4), flow=HIDDEN),
    ),
    Deliberate(
        "the code of an echo",
        "tells no flow from another: some answer a code that isn't 0 by 0; to netfilter that answers nothing",
        "RFC 792 (the reply's code is 0); RFC 5508, 3 (queries are known by their identifier)",
        lambda of: only_ours(of) and not tcp(of) and asked_oddly(of),
        said(Step(kind=(8, 1)), Step(back=True), flow=PING),
    ),
    Deliberate(
        "source quench and redirects",
        "go no further",
        "RFC 6633, 3; RFC 1122, 3.2.2.2 (a redirect comes from a neighbour)",
        lambda of: only_kernel(of) and of.flow.version == 4 and of.step.error is not None and of.step.error[0] in (4, 5),
        after_opening(Step(back=True, error=(4, 0))),
    ),
    Deliberate(
        "errors about what has arrived",
        "an error that quotes TCP is about a segment that isn't acknowledged yet; netfilter asks whether there is such a connection",
        "RFC 5927, 4.1",
        lambda of: only_kernel(of) and of.step.error is not None and of.we_say == "punt: not-in-flight",
        after_opening(
            Step(flags=ACK, seq=1, ack=1, size=10), Step(back=True, flags=ACK, seq=1, ack=11), Step(back=True, error=(3, 4), info=1280),
        ),
    ),
    Deliberate(
        "unassigned errors",
        "of ICMPv6 the four errors pass that have a meaning; netfilter relates all types below 128",
        "RFC 4890, 4.3.4",
        lambda of: only_kernel(of) and of.flow.version == 6 and of.step.error is not None and of.step.error[0] > 4,
        after_opening(Step(back=True, error=(5, 0)), flow=PLAIN6),
    ),
    Deliberate(
        "short quotes",
        "an error has to quote eight bytes of what it is about behind the IP header",
        "RFC 792; RFC 1122, 3.2.2; RFC 4443, 2.4",
        lambda of: only_kernel(of) and of.step.error is not None and of.step.quote < 8,
        after_opening(Step(back=True, error=(3, 1), quote=4)),
    ),
)  # fmt: skip
