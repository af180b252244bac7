"""Where what the appliance tracks means to differ from what netfilter does, though every packet was the same: as in `differences`.

`explanation` is the one judge of a long run, of packets and of states. Predicates ask what both have tracked, and what was sent.
"""

from __future__ import annotations

from typing import Final

from tests.differential.compare import Difference
from tests.differential.differences import NAMES, OPEN, Deliberate, after_opening, known, said
from tests.differential.facts import arrived, earlier, lost, overlapping, refused, reopened, stopped
from tests.differential.packets import Flow, Step
from tests.differential.states import Tracked
from tests.differential.wire import ACK, FIN, RST, SYN, UDP

ASKING: Final = Flow(4, UDP, "lan", "10.1.0.10", "wan", "203.0.113.9", 53)

CLOSING: Final = frozenset(("FIN_WAIT", "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT"))


def explanation(difference: Difference) -> Deliberate | None:
    """What explains a difference; None if nothing does."""
    if difference.states is None:
        return known(difference)
    return next((each for each in STATES if each.holds(difference)), None)


# -- facts -----------------------------------------------------------------------------------------------------------------


def begun(of: Difference) -> bool:
    """Whether we alone have a flow."""
    return _both(of)[0] is None


def words(of: Difference) -> tuple[str, str]:
    """TCP states of both; empty: no flow, or no TCP."""
    there, here = _both(of)
    return there.tcp if there else "", here.tcp if here else ""


def elsewhere(of: Difference) -> bool:
    """Whether both have a flow, but not for the same ends."""
    there, here = _both(of)
    return there is not None and here is not None and (there.original, there.reply) != (here.original, here.reply)


def _both(of: Difference) -> tuple[Tracked | None, Tracked | None]:
    if of.states is None:
        raise ValueError("packets differ here, not states")
    return of.states


def noted(of: Difference) -> list[Step]:
    """What of a flow left nowhere, though conntrack took it for valid."""
    silent = [step for step, remark in zip(of.sequence.steps, of.remarks, strict=False) if not remark or "ignored, state" in remark]
    return [step for step in stopped(of) if any(step is each for each in silent)]


def said_of(of: Difference, remark: str) -> bool:
    """Whether conntrack has remarked that about a packet of this flow."""
    return any(remark in each for step, each in zip(of.sequence.steps, of.remarks, strict=False) if step.flow == of.step.flow)


def reset(of: Difference) -> bool:
    """Whether a RST has arrived."""
    return any(step.flags & RST for step in arrived(of))


def simultaneous(of: Difference) -> bool:
    """Whether both ends have said SYN by themselves, or the one that did has said SYN and ACK, as if the other had."""
    syns = [step for step in arrived(of) if step.flags & SYN]
    return any((step.back != syns[0].back) is not bool(step.flags & ACK) for step in syns[1:] if step != syns[0])


def finished_twice(of: Difference) -> bool:
    """Whether an end has sent FIN more than once."""
    ends = [step.back for step in earlier(of) if step.flags & FIN and not step.flags & (SYN | RST)]
    return len(ends) > len(set(ends))


def begun_behind_fins(of: Difference) -> bool:
    """Whether a SYN has come behind the last FIN."""
    steps = earlier(of)
    last = max((at for at, step in enumerate(steps) if step.flags & FIN), default=len(steps))
    return any(step.flags & (SYN | ACK | RST) == SYN for step in steps[last:])


# -- the list --------------------------------------------------------------------------------------------------------------

STATES: Final[tuple[Deliberate, ...]] = (
    Deliberate(
        "state: a first packet that goes nowhere",
        "a flow begins when policy allows it, though its first packet may have no hop left, or be too big",
        "none: netfilter confirms a flow by a packet that left",
        lambda of: ((begun(of) or elsewhere(of)) and lost(noted(of)))
        or (begun(of) and lost(stopped(of)) and (said_of(of, "icmp checksum") or said_of(of, "ICMPv6 checksum"))),
        said(Step(ttl=1), flow=ASKING),
    ),
    Deliberate(
        "state: packets that go nowhere",
        "change no flow, and are no answer: their receiver has not seen them. netfilter has tracked a packet before it looks at its hops",
        "RFC 9293, 3.10.7: what counts is what a receiver got",
        lambda of: None not in _both(of) and not elsewhere(of) and lost(noted(of)),
        said(Step(), Step(back=True, ttl=1), flow=ASKING),
    ),
    Deliberate(
        "state: fragments of nothing whole",
        "each goes its way when it comes, and the first is tracked. netfilter puts all together before it looks",
        "RFC 5722, 4 and RFC 791, 3.2: whole packets are their receiver's",
        lambda of: any(step.pieces for step in stopped(of)) and (not elsewhere(of) or overlapping(earlier(of)[0])),
        said(Step(), Step(back=True, size=600, pieces=((0, 51), (32, 0))), flow=ASKING),
    ),
    Deliberate(
        "state: the window of a SYN",
        "is room for data, and a FIN, from the start; netfilter gives none before an ACK, and lets pass what comes, but doesn't track it",
        "RFC 9293, 3.10.7.2 and 3.10.7.3: SND.WND is that of the SYN",
        lambda of: not elsewhere(of) and said_of(of, "bytes more than expected") and words(of)[0] in ("SYN_RECV", "ESTABLISHED")
        and words(of)[1] in CLOSING,
        said(*OPEN[:2], Step(back=True, flags=ACK, seq=1, ack=1, size=500), Step(back=True, flags=FIN | ACK, seq=501, ack=1)),
    ),
    Deliberate(
        "state: numbers of SYN and ACK",
        "one that acknowledges what was never sent is dropped, and changes nothing; netfilter takes its numbers though it drops it, and "
        "what comes then is too old",
        "RFC 9293, 3.10.7.3 and 3.10.7.4",
        lambda of: words(of) == ("SYN_RECV", "ESTABLISHED") and said_of(of, "under lower bound")
        and any(step.flags & (SYN | ACK) == SYN | ACK for step in stopped(of)),
        said(
            OPEN[0], Step(back=True, flags=SYN | ACK, ack=1, window=1), Step(flags=SYN | ACK, seq=1, ack=3, size=500),
            Step(flags=ACK, seq=1, ack=1, size=20),
        ),
    ),
    Deliberate(
        "state: a SYN behind a RST",
        "begins another connection, whoever has reset the last one; netfilter stays with that unless the same end did",
        "RFC 9293, 3.10.7.1",
        lambda of: reopened(of),
        after_opening(Step(back=True, flags=RST | ACK, seq=1, ack=1), OPEN[0]),
    ),
    Deliberate(
        "state: the end of what hardly began",
        "a refused connection is forgotten at once; netfilter keeps it if anything came back before",
        "RFC 9293, 3.10.7.1",
        lambda of: words(of) == ("CLOSE", "") and refused(of),
        said(OPEN[0], Step(back=True, flags=ACK), Step(back=True, flags=RST | ACK, ack=1)),
    ),
    Deliberate(
        "state: refusals in fragments",
        "a connection that is refused by one is closed, and not forgotten yet: the later fragments belong to it",
        "none: netfilter puts all together before it looks",
        lambda of: words(of) == ("", "CLOSE") and any(step.flags & RST and step.pieces for step in arrived(of)),
        said(OPEN[0], Step(back=True, flags=RST | ACK, ack=1, size=600, pieces=((0, 51), (51, 0)))),
    ),
    Deliberate(
        "state: a RST in the window",
        "closes if its number is the one that its receiver waits for, or follows all that was sent; its receiver answers any other with a "
        "challenge. netfilter takes any once a connection closes, and none that isn't exact, or isn't next, before",
        "RFC 5961, 3.2",
        lambda of: not elsewhere(of) and reset(of) and words(of).count("CLOSE") == 1 and "" not in words(of),
        after_opening(Step(flags=FIN | ACK, seq=1, ack=1), Step(back=True, flags=RST, seq=101)),
    ),
    Deliberate(
        "state: simultaneous open",
        "is in the state that an answer to the first SYN would bring, and ends by an ACK; netfilter has a state for it, that a "
        "SYN and ACK ends",
        "RFC 9293, 3.10.7.4: SYN-RECEIVED",
        lambda of: not elsewhere(of) and simultaneous(of) and words(of)[1] != ""
        and (words(of)[0] in ("SYN_SENT2", "SYN_RECV") or words(of) == ("ESTABLISHED", "SYN_RECV")),
        said(OPEN[0], Step(back=True, flags=SYN)),
    ),
    Deliberate(
        "state: whose FIN",
        "one that is said again is not the other end's: the connection is half closed still; netfilter counts them, and takes a SYN "
        "behind two for another connection",
        "RFC 9293, 3.6",
        lambda of: not elsewhere(of) and finished_twice(of) and words(of)[1] in CLOSING
        and (words(of)[0] in CLOSING or (words(of)[0] in ("SYN_SENT", "") and begun_behind_fins(of))),
        after_opening(Step(flags=FIN | ACK, seq=1, ack=1), Step(flags=FIN | ACK, seq=1, ack=1)),
    ),
    Deliberate(
        "state: what acknowledges a FIN",
        "is what has its number; netfilter takes whatever comes next, whoever says it, for that",
        "RFC 9293, 3.6",
        lambda of: not elsewhere(of) and set(words(of)) == {"CLOSE_WAIT", "FIN_WAIT"},
        after_opening(Step(flags=FIN | ACK, seq=1, ack=1), Step(back=True, flags=ACK, seq=1, ack=1)),
    ),
    Deliberate(
        "state: challenges",
        "an ACK behind a SYN into a connection is that connection's, if its numbers are; netfilter ignores it",
        "RFC 5961, 4.2",
        lambda of: not elsewhere(of) and said_of(of, "challenge-ack ignored") and CLOSING.issuperset(words(of)),
        after_opening(
            Step(flags=FIN | ACK, seq=1, ack=1), Step(back=True, flags=FIN | ACK, seq=1, ack=2), OPEN[0],
            Step(back=True, flags=ACK, seq=2, ack=2),
        ),
    ),
    Deliberate(
        "state: low ports",
        "below 1024 the appliance's address keeps its ports for itself: what comes to one is no answer to who hides there, but "
        "another flow",
        "RFC 4787, 4.2.1 (port preservation is a matter of choice); REQ-3a recommends netfilter's way",
        lambda of: of.flow.port < 1024 and bool(of.flow.visible)
        and (elsewhere(of) or (_both(of)[1] is None and _both(of)[0] is not None and words(of)[0] in ("", "SYN_SENT"))),
        said(Step(back=True), Step(), flow=NAMES),
    ),
)  # fmt: skip
