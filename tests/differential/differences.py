"""Where the appliance means to differ from netfilter: what it looks like, why, and by which document.

`known` is the one judge of a long run: a difference that none of these explains is a failure. Each has an example, which
`test_differential.py` runs to see that it still occurs. Predicates ask what both sides themselves said: conntrack's remark about the
packet (`kernel_says`), and the reason that the appliance counted (`we_say`).
"""

from __future__ import annotations

from typing import Final

from tests.differential.compare import Difference, Sequence, answer
from tests.differential.deliberate import (
    FORWARDED,
    HIDDEN,
    NAMES,
    NOBODY,
    OPEN,
    PING,
    PLAIN6,
    REJECTED,
    REJECTED6,
    Deliberate,
    after_opening,
    said,
)
from tests.differential.facts import (
    answered,
    asked_oddly,
    astray,
    earlier,
    lost,
    misquoted,
    only_answered,
    only_kernel,
    only_ours,
    only_rejected,
    readdressed,
    rehopped,
    remarked,
    reported,
    routed,
    stopped,
    tcp,
    to_translated,
    went_on,
)
from tests.differential.flag_differences import FLAGS
from tests.differential.later_differences import LATER
from tests.differential.number_differences import NUMBERS
from tests.differential.packets import Flow, Step
from tests.differential.wire import ACK, SYN, UDP


def known(difference: Difference) -> Deliberate | None:
    """What explains a difference; None if nothing does."""
    return next((each for each in DIFFERENCES if each.holds(difference)), None)


DIFFERENCES: Final = (
    # TCP
    *NUMBERS, *FLAGS,
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
        "the other side",
        "a flow's packets come in where the flow does, errors about it too; to netfilter any nic will do",
        "RFC 2827, RFC 3704",
        lambda of: not of.ours and bool(of.kernel) and (
            of.we_say == "wrong-nic" or (of.we_say == "punt: unrelated" and (bool(astray(of, [*earlier(of), of.step])) or misquoted(of)))
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
    # what came before
    *LATER,
)  # fmt: skip
