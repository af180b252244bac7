"""What may be said of a difference in TCP by the numbers of what was sent before, and by what conntrack remarked about that then."""

from __future__ import annotations

import re
from typing import Final

from tests.differential.compare import Difference
from tests.differential.facts import arrived, told_of
from tests.differential.packets import Step
from tests.differential.wire import ACK, FIN, RST, SYN

OLDEST_ACK: Final = 66001
"""How far an ACK may be behind, for both."""


def end(step: Step) -> int:
    """Behind its last number."""
    return step.seq + step.size + bool(step.flags & (SYN | FIN))


def known_end(step: Step) -> int:
    """The same as far as its first fragment has it, if it is a SYN: what else of its data there is we don't count."""
    first = next((stop for start, stop in step.pieces if start == 0), 0)
    if not first or not step.flags & SYN:
        return end(step)
    header = 24 + 4 * step.sack_permitted + 4 * (step.scale is not None) + 12 * step.timestamps + 12 * (step.sack is not None)
    return min(end(step), step.seq + 1 + first * 8 - header)


def offers(of: Difference, back: bool) -> list[Step]:
    """The SYNs of one end that arrived."""
    return [each for each in arrived(of) if each.back == back and each.flags & SYN]


def bound(of: Difference, what: str) -> int | None:
    """The upper bound that conntrack names, as a step's number; `what`: SEQ or ACK. None: it speaks of something else."""
    found = re.search(rf"{what} is over upper bound (\d+)", of.kernel_says)
    sender = of.step.back if what == "SEQ" else not of.step.back
    return (int(found[1]) - of.flow.first[sender] + (1 << 31)) % (1 << 32) - (1 << 31) - 1 if found else None


def within_syn(of: Difference) -> bool:
    """Whether the number is in the window that the other end has offered by a SYN, not only by an ACK, or behind all that its sender has
    sent. Data may begin right at the window's edge, where its receiver takes none of it; a RST may not."""
    own, theirs = offers(of, of.step.back), offers(of, not of.step.back)
    if not own or not theirs:
        return False
    window = max(max(each.window for each in theirs), 1) + (not of.step.flags & RST)
    last = max(end(each) for each in arrived(of) if each.back == of.step.back)
    return any(0 < of.step.seq - each.seq <= window for each in own) or of.step.seq == last


def unnoted(of: Difference) -> bool:
    """Whether an ACK is above what conntrack knows of the other end: a SYN, or less than that end had sent, for it takes the last number
    of data that it calls more than expected, though it be data that was sent before."""
    known = bound(of, "ACK")
    last = [each for each, left, says in told_of(of) if left and each.back != of.step.back and "more than expected" in says]
    return known in {end(each) for each in (*offers(of, not of.step.back), *last)}


def credited(of: Difference) -> bool:
    """Whether old data follows some that the other end had not made room for by an ACK of its own, but only by its SYN."""
    steps = arrived(of)
    data = [at for at, step in enumerate(steps) if step.back == of.step.back and step.seq > 0 and not step.flags & (SYN | RST)]
    if not data or of.step.seq > 0:
        return False
    return not any(step.back != of.step.back and step.flags & ACK and not step.flags & SYN for step in steps[: data[0]])


def older_answer(of: Difference) -> bool:
    """Whether a SYN and ACK acknowledges nothing of the SYN that it would answer."""
    asked = offers(of, not of.step.back)
    return of.step.flags & (SYN | ACK) == SYN | ACK and bool(asked) and of.step.ack <= asked[-1].seq


def acknowledged_unasked(of: Difference) -> bool:
    """Whether a number is above what conntrack has room for, but not if a SACK option counts that the ends haven't both permitted."""
    known = bound(of, "SEQ")
    permitted = [bool(each.sack_permitted) for back in (False, True) for each in offers(of, back)[:1]]
    edges = [each.sack[1] + max(each.window, 1) for each in arrived(of) if each.sack and each.back != of.step.back]
    return known is not None and not all(permitted) and any(known <= of.step.seq <= edge for edge in edges)


def unheard(of: Difference) -> bool:
    """Whether an ACK is about data that conntrack took no note of, because it took it for a challenge."""
    known = bound(of, "ACK")
    ignored = [each for each, _, says in told_of(of) if each.back != of.step.back and "challenge-ack ignored" in says]
    return known is not None and any(known < of.step.ack <= end(each) for each in ignored)


def long_ago(of: Difference) -> bool:
    """Whether an ACK is too old, but not by the window that conntrack ascribes to its sender, for the data that it got before it had made
    room for it by an ACK."""
    steps = arrived(of)
    own = [at for at, step in enumerate(steps) if step.back == of.step.back]
    first = next((at for at in own if not steps[at].flags & SYN), len(steps))
    ahead = [end(step) - 1 for step in steps[:first] if step.back != of.step.back and not step.flags & (SYN | RST)]
    if not own or not ahead:
        return False
    most = max(end(step) for step in steps if step.back != of.step.back)
    return most - max(steps[at].window for at in own) - max(ahead) - 1 < of.step.ack <= most - OLDEST_ACK


def old_beginning(of: Difference) -> bool:
    """Whether a first fragment ends before what its sender has sent already."""
    first = next((stop for start, stop in of.step.pieces if start == 0), 0) * 8 - 20
    return first > 0 and any(each.back == of.step.back and of.step.seq + first < end(each) for each in arrived(of))
