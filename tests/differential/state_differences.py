"""Where what the appliance tracks means to differ from what netfilter does, though every packet was the same: as in `differences`.

`explanation` is the one judge of a long run, of packets and of states. Predicates ask what both have tracked, and what was sent.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from tests.differential.compare import Difference
from tests.differential.deliberate import NAMES, OPEN, PLAIN, Deliberate, after_opening, said
from tests.differential.differences import known
from tests.differential.facts import arrived, earlier, in_vain, lost, noted, overlapping, stopped
from tests.differential.packets import Flow, Step
from tests.differential.reset_facts import refused, reopened, reset_elsewhere, reset_unread, resets, restarted, unanswered_reset
from tests.differential.state_facts import (
    CLOSING,
    acknowledged,
    answered_again,
    begun,
    begun_behind_fins,
    behind,
    both,
    effect,
    elsewhere,
    finished_twice,
    hopeless,
    interrupted,
    numbered_by,
    renumbered,
    said_of,
    simultaneous,
    unheard_fin,
    unknown_data,
    words,
)
from tests.differential.wire import ACK, FIN, RST, SYN, UDP

ASKING: Final = Flow(4, UDP, "lan", "10.1.0.10", "wan", "203.0.113.9", 53)


def explanation(difference: Difference) -> Deliberate | None:
    """What explains a difference; None if nothing does."""
    if difference.states is None:
        return known(difference)
    return next((each for each in STATES if each.holds(difference)), None)


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
        lambda of: None not in both(of) and not elsewhere(of) and (
            effect(of, hopeless(of), 0) or (lost(stopped(of)) and behind(of) and said_of(of, "under lower bound"))),
        said(Step(), Step(back=True, ttl=1), flow=ASKING),
    ),
    Deliberate(
        "state: fragments of nothing whole",
        "each goes its way when it comes, and the first is tracked. netfilter puts all together before it looks",
        "RFC 5722, 4 and RFC 791, 3.2: whole packets are their receiver's",
        lambda of: effect(of, in_vain(of), 1) or (elsewhere(of) and overlapping(earlier(of)[0])),
        said(Step(), Step(back=True, size=600, pieces=((0, 51), (32, 0))), flow=ASKING),
    ),
    Deliberate(
        "state: the window of a SYN",
        "is room for data, and a FIN, from the start; netfilter gives none before an ACK, and lets pass what comes, but doesn't track it",
        "RFC 9293, 3.10.7.2 and 3.10.7.3: SND.WND is that of the SYN",
        lambda of: unheard_fin(of) and (
            (behind(of) and words(of)[1] in CLOSING) or (not elsewhere(of) and words(of)[0] in CLOSING and words(of)[1] == "SYN_SENT")),
        said(*OPEN[:2], Step(back=True, flags=ACK, seq=1, ack=1, size=500), Step(back=True, flags=FIN | ACK, seq=501, ack=1)),
    ),
    Deliberate(
        "state: numbers of SYN and ACK",
        "one that acknowledges what was never sent is dropped, and changes nothing; netfilter takes its numbers, or those of a RST, though "
        "it drops it, and what comes then is too old",
        "RFC 9293, 3.10.7.3 and 3.10.7.4",
        lambda of: behind(of) and numbered_by(of),
        said(
            OPEN[0], Step(back=True, flags=SYN | ACK, ack=1, window=1), Step(flags=SYN | ACK, seq=1, ack=3, size=500),
            Step(flags=ACK, seq=1, ack=1, size=20),
        ),
    ),
    Deliberate(
        "state: data in a SYN in fragments",
        "is known as far as the first fragment has it, so less of it isn't too old; netfilter lets that pass, and takes no note of it",
        "RFC 9293, 3.8.1: what is said again has not been acknowledged",
        lambda of: behind(of) and unknown_data(of),
        said(
            Step(flags=SYN, size=600, pieces=((0, 17), (17, 0))), Step(back=True, flags=SYN | ACK, ack=1, window=1),
            Step(flags=ACK, seq=1, ack=1, size=500),
        ),
    ),
    Deliberate(
        "state: SYN into a connection",
        "changes nothing, nor does a SYN and ACK behind it that has the connection's numbers; to netfilter that one begins it again, and "
        "what has lower numbers is too old",
        "RFC 5961, 4.2",
        lambda of: (behind(of) and renumbered(of)) or (
            not elsewhere(of) and words(of)[0] in ("SYN_RECV", "ESTABLISHED") and words(of)[1] in (*CLOSING, "ESTABLISHED")
            and answered_again(of)),
        after_opening(OPEN[0], OPEN[1]),
    ),
    Deliberate(
        "state: a connection that both ends have lost",
        "begins anew by their SYNs, whatever was dropped between them; netfilter forgets the first over anything else that comes",
        "RFC 9293, 3.5.1",
        lambda of: not elsewhere(of) and words(of)[0] in (*CLOSING, "ESTABLISHED") and words(of)[1] == "SYN_RECV" and interrupted(of),
        after_opening(
            Step(flags=SYN, seq=502), Step(flags=FIN | ACK, seq=502, ack=121), Step(back=True, flags=SYN | ACK, ack=503),
        ),
    ),
    Deliberate(
        "state: a SYN behind a RST",
        "begins another connection, whoever has reset the last one; netfilter stays with that unless the same end did",
        "RFC 9293, 3.10.7.1",
        lambda of: words(of)[1] in ("SYN_SENT", "SYN_RECV", "ESTABLISHED", "") and reopened(of),
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
        "challenge. netfilter takes any once a connection closes, or before its SYN is answered, and none that isn't exact, or isn't next, "
        "between",
        "RFC 5961, 3.2; RFC 9293, 3.5.1 (a RST before a SYN is answered is about what the other end remembers)",
        lambda of: (elsewhere(of) and words(of)[0] == "SYN_SENT" and unanswered_reset(of)) or (not elsewhere(of) and (
            (words(of)[0] == "CLOSE" and words(of)[1] not in ("CLOSE", "") and any(not exact for _, exact in resets(of)))
            or (words(of) == ("", "SYN_SENT") and any(not exact for _, exact in resets(of)))
            or (words(of)[0] == "SYN_SENT" and words(of)[1] in (*CLOSING, "ESTABLISHED") and restarted(of)
                and any(not exact for _, exact in resets(of)))
            or (words(of)[0] in ("CLOSE", "SYN_SENT") and words(of)[1] == "SYN_SENT" and unanswered_reset(of))
            or (words(of)[1] == "CLOSE" and words(of)[0] not in ("CLOSE", "") and any(exact for _, exact in resets(of)))
        )),
        after_opening(Step(flags=FIN | ACK, seq=1, ack=1), Step(back=True, flags=RST, seq=101)),
    ),
    Deliberate(
        "state: what a RST acknowledges",
        "nobody looks at, if its number is right; netfilter lets it pass, but takes no note of it",
        "RFC 9293, 3.10.7.4: RST comes before ACK",
        lambda of: not elsewhere(of) and words(of)[0] not in ("CLOSE", "") and words(of)[1] in ("CLOSE", "") and reset_unread(of),
        said(Step(flags=SYN), Step(flags=RST | ACK, seq=1, ack=1), flow=replace(PLAIN, first=(1000, 0xC0000000))),
    ),
    Deliberate(
        "state: the other side",
        "a RST that comes in elsewhere than its flow ends nothing; to netfilter any nic will do",
        "RFC 2827, RFC 3704",
        lambda of: words(of) == ("", "SYN_SENT") and reset_elsewhere(of),
        said(Step(flags=SYN), Step(flags=RST, seq=1, nic="dmz"), flow=replace(PLAIN, port=7)),
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
        lambda of: not elsewhere(of) and finished_twice(of) and (
            (words(of)[1] in CLOSING and words(of)[0] in CLOSING)
            or (words(of)[1] in (*CLOSING, "CLOSE") and words(of)[0] in ("SYN_SENT", "") and begun_behind_fins(of))),
        after_opening(Step(flags=FIN | ACK, seq=1, ack=1), Step(flags=FIN | ACK, seq=1, ack=1)),
    ),
    Deliberate(
        "state: what acknowledges a FIN",
        "is what has its number; netfilter takes whatever comes next, whoever says it, for that",
        "RFC 9293, 3.6",
        lambda of: not elsewhere(of) and words(of) == (("FIN_WAIT", "CLOSE_WAIT") if acknowledged(of) else ("CLOSE_WAIT", "FIN_WAIT")),
        after_opening(Step(flags=FIN | ACK, seq=1, ack=1), Step(back=True, flags=ACK, seq=1, ack=1)),
    ),
    Deliberate(
        "state: challenges",
        "an ACK behind a SYN into a connection is that connection's, if its numbers are; netfilter ignores it",
        "RFC 5961, 4.2",
        lambda of: not elsewhere(of) and said_of(of, "challenge-ack ignored") and words(of)[0] in CLOSING and (
            words(of)[1] in CLOSING or (words(of) == ("LAST_ACK", "SYN_SENT") and arrived(of)[-1].flags & (SYN | ACK) == SYN)),
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
        and (elsewhere(of) or (both(of)[1] is None and both(of)[0] is not None and words(of)[0] in ("", "SYN_SENT"))),
        said(Step(back=True), Step(), flow=NAMES),
    ),
)  # fmt: skip
