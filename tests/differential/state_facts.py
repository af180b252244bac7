"""What may be said of a difference in what is tracked: of both sides' words for it, and of what was sent until then."""

from __future__ import annotations

from typing import Final

from tests.differential.compare import Difference
from tests.differential.facts import arrived, earlier, in_vain, lost, noted, told_of
from tests.differential.packets import Step
from tests.differential.sequence_numbers import end, known_end
from tests.differential.states import Tracked
from tests.differential.wire import ACK, FIN, RST, SYN

CLOSING: Final = frozenset(("FIN_WAIT", "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT"))
RANKS: Final = {
    "SYN_SENT": 0, "SYN_SENT2": 1, "SYN_RECV": 1, "ESTABLISHED": 2, "FIN_WAIT": 3, "CLOSE_WAIT": 3, "LAST_ACK": 4, "TIME_WAIT": 5,
}  # fmt: skip
"""How far a connection is in each state."""


# -- of both sides -----------------------------------------------------------------------------------------------------------


def both(of: Difference) -> tuple[Tracked | None, Tracked | None]:
    """What netfilter has tracked, and we."""
    if of.states is None:
        raise ValueError("packets differ here, not states")
    return of.states


def begun(of: Difference) -> bool:
    """Whether we alone have a flow."""
    return both(of)[0] is None


def words(of: Difference) -> tuple[str, str]:
    """TCP states of both; empty: no flow, or no TCP."""
    there, here = both(of)
    return there.tcp if there else "", here.tcp if here else ""


def elsewhere(of: Difference) -> bool:
    """Whether both have a flow, but not for the same ends."""
    there, here = both(of)
    return there is not None and here is not None and (there.original, there.reply) != (here.original, here.reply)


def behind(of: Difference) -> bool:
    """Whether netfilter has noted less of a connection than we have."""
    there, here = words(of)
    return not elsewhere(of) and there in RANKS and here in RANKS and RANKS[there] < RANKS[here]


# -- of what was sent --------------------------------------------------------------------------------------------------------


def said_of(of: Difference, remark: str) -> bool:
    """Whether conntrack has remarked that about a packet of this flow."""
    return any(remark in each for step, each in zip(of.sequence.steps, of.remarks, strict=False) if step.flow == of.step.flow)


def unheard_fin(of: Difference) -> bool:
    """Whether conntrack let a FIN pass, but took no note of it, for it was more than it expected."""
    return any(left and step.flags & FIN and "more than expected" in says for step, left, says in told_of(of))


def simultaneous(of: Difference) -> bool:
    """Whether both ends have said SYN by themselves, or the one that did has said SYN and ACK, as if the other had."""
    syns = [step for step in arrived(of) if step.flags & SYN]
    return any((step.back != syns[0].back) is not bool(step.flags & ACK) for step in syns[1:] if step != syns[0])


def finished_twice(of: Difference) -> bool:
    """Whether an end has sent FIN more than once."""
    ends = [step.back for step in earlier(of) if step.flags & FIN and not step.flags & (SYN | RST)]
    return len(ends) > len(set(ends))


def begun_behind_fins(of: Difference) -> bool:
    """Whether a SYN has come behind two FINs of an end."""
    ends: list[bool] = []
    for step in earlier(of):
        if step.flags & FIN and not step.flags & (SYN | RST):
            ends.append(step.back)
        elif step.flags & (SYN | ACK | RST) == SYN and len(ends) > len(set(ends)):
            return True
    return False


def acknowledged(of: Difference) -> bool:
    """Whether the other end has acknowledged all that was sent, in fragments that overlap too, by the end whose FIN was the last to
    arrive."""
    steps = arrived(of)
    last = max((at for at, step in enumerate(steps) if step.flags & FIN), default=None)
    if last is None:
        return False
    every = [*steps, *in_vain(of)]
    said = [step for step, _, _ in told_of(of) if step.back == steps[last].back and any(step is each for each in every)]
    most = max(known_end(step) for at, step in enumerate(said) if not step.flags & SYN or _counts(said[:at], step))
    return any(
        step.back != steps[last].back and step.flags & ACK and step.ack >= most and not (step.flags & SYN and at > last)
        for at, step in enumerate(steps)
    )  # fmt: skip


def _counts(before: list[Step], syn: Step) -> bool:
    """Whether a SYN has numbers: the first of its end, or, behind that, the first of its ACKs. `before`: of the same end."""
    asked = next((at for at, step in enumerate(before) if step.flags & SYN), None)
    return asked is None or (syn.flags & ACK != 0 and not any(step.flags & ACK for step in before[asked:]))


def answered_again(of: Difference) -> bool:
    """Whether a SYN into a connection was followed by a SYN and ACK that acknowledges it."""
    steps = arrived(of)
    opened = next((at for at, step in enumerate(steps) if step.flags & (SYN | ACK) == SYN | ACK), len(steps))
    asked = [(at, step) for at, step in enumerate(steps) if at > opened and step.flags & (SYN | ACK) == SYN]
    return any(
        each.flags & (SYN | ACK) == SYN | ACK and each.back != step.back and each.ack == end(step)
        for at, step in asked for each in steps[at + 1 :]
    )  # fmt: skip


def renumbered(of: Difference) -> bool:
    """Whether a SYN and ACK came behind its end's SYN with higher numbers than that end's: less is too old for netfilter since."""
    steps = told_of(of)
    sent: dict[bool, int] = {}
    for at, (step, left, _) in enumerate(steps):
        if left and step.flags & (SYN | ACK) == SYN | ACK and step.back in sent and end(step) > sent[step.back] and any(
            after.back == step.back and on and end(after) < end(step) and "SEQ is under lower bound" in says
            for after, on, says in steps[at + 1 :]
        ):
            return True
        if left and (step.back in sent or step.flags & SYN):
            sent[step.back] = max(sent.get(step.back, end(step)), end(step))
    return False


def interrupted(of: Difference) -> bool:
    """Whether a SYN into a connection, and the SYN and ACK that acknowledges it, have arrived, and between them came what did not."""
    steps = told_of(of)
    asked = [(at, step) for at, (step, left, _) in enumerate(steps) if left and step.flags & (SYN | ACK) == SYN]
    for at, step in asked[1:]:
        dropped = False
        for each, left, _ in steps[at + 1 :]:
            dropped = dropped or not left
            if left and dropped and each.flags & (SYN | ACK) == SYN | ACK and each.back != step.back and each.ack == end(step):
                return True
    return False


def numbered_by(of: Difference) -> bool:
    """Whether netfilter took the numbers of a SYN and ACK, or RST, that went nowhere: one of that end is too old for it since."""
    steps = told_of(of)
    return any(
        not left and step.flags & (SYN | RST) and step.flags & ACK
        and any(after.back == step.back and on and "SEQ is under lower bound" in says for after, on, says in steps[at + 1 :])
        for at, (step, left, _) in enumerate(steps)
    )  # fmt: skip


def unknown_data(of: Difference) -> bool:
    """Whether data of a SYN in fragments was said again, but less of it, so that netfilter took that for old."""
    steps = told_of(of)
    return any(
        left and step.flags & SYN and step.pieces and any(
            after.back == step.back and on and end(after) < end(step) and "SEQ is under lower bound" in says
            for after, on, says in steps[at + 1 :]
        )
        for at, (step, left, _) in enumerate(steps)
    )  # fmt: skip


# -- what went nowhere -------------------------------------------------------------------------------------------------------


def effect(of: Difference, steps: list[Step], side: int) -> bool:
    """Whether one of these steps is what one side (0: netfilter, 1: we) has noted of a flow, and the other not."""
    mine, other = both(of)[side], both(of)[1 - side]
    if mine is None or not steps:
        return False
    if mine.tcp == "CLOSE":
        return any(step.flags & RST for step in steps)
    if mine.tcp == "SYN_SENT" and other is not None and (other.tcp != "SYN_SENT" or (other.replied and not mine.replied)):
        begins = other.tcp == "CLOSE" and any(step.flags & SYN for step in steps)
        return begins or begun_behind(of, [step for step in steps if step.flags & RST])
    if mine.tcp in CLOSING and (other is None or other.tcp == "FIN_WAIT" or RANKS.get(other.tcp, 9) < RANKS[mine.tcp]):
        return any(step.flags & (FIN | ACK) for step in steps)
    if other is None:
        return True
    if mine.tcp == "ESTABLISHED" and other.tcp == "SYN_RECV":
        return any(step.flags & ACK for step in steps)
    if mine.tcp in ("SYN_SENT2", "SYN_RECV") and other.tcp == "SYN_SENT":
        return any(step.flags & SYN for step in steps)
    return mine.replied and not other.replied and mine.tcp == other.tcp


def begun_behind(of: Difference, steps: list[Step]) -> bool:
    """Whether a SYN has come behind one of these steps."""
    every = earlier(of)
    first = next((at for at, each in enumerate(every) if any(each is step for step in steps)), len(every))
    return any(each.flags & (SYN | ACK | RST) == SYN for each in every[first:])


def hopeless(of: Difference) -> list[Step]:
    """What conntrack took note of, though it had no hops left or was too big."""
    return [step for step in noted(of) if lost([step])]
