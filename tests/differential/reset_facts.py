"""What may be said of a difference by the RSTs before it: whom they reached, what they ended, and what came behind them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tests.differential.compare import Difference
from tests.differential.facts import arrived, earlier, in_vain, only_ours, remarked, stopped, tcp, told_of
from tests.differential.network import packed
from tests.differential.packets import Step
from tests.differential.sequence_numbers import OLDEST_ACK, known_end
from tests.differential.wire import ACK, FIN, RST, SYN


def refused(of: Difference) -> bool:
    """Whether a RST came before the SYN, whoever's it was, had been answered."""
    begun: bool | None = None
    answered = False
    for step in arrived(of):
        if step.flags & RST:
            if begun is not None and not answered:
                return True
            begun = None
        elif begun is None:
            begun, answered = (step.back if step.flags & (SYN | ACK | FIN) == SYN else None), False
        elif step.back != begun and step.flags & (SYN | FIN) == SYN and step.ack == 1:
            answered = True
    return False


def reopened(of: Difference) -> bool:
    """Whether a SYN followed a RST that arrived, this one or an earlier one, but netfilter stayed with the connection that was."""
    remarks = _reopenings(of)
    return any(", state " in says for says in remarks) or (remarks != [] and reset_unread(of))


def restarted(of: Difference) -> bool:
    """Whether one did, and netfilter took it for a new connection's."""
    return "" in _reopenings(of)


def reset_unread(of: Difference) -> bool:
    """Whether there was a RST that conntrack let pass, and took no note of for its numbers."""
    return any(left and each.flags & RST and ("lower bound" in says or "more than expected" in says) for each, left, says in told_of(of))


def _reopenings(of: Difference) -> list[str]:
    """What conntrack remarked about SYNs behind a RST that arrived; some may have gone nowhere by policy."""
    remarks: list[str] = []
    reset = False
    for step, left, says in (*told_of(of), *([] if of.states else [(of.step, True, of.kernel_says)])):
        if reset and step.flags & SYN and not step.flags & (ACK | RST):
            remarks.append(says)
        reset = reset or bool(left and step.flags & RST)
    return remarks


def reset_astray(of: Difference) -> bool:
    """Whether a RST came in by another nic than its flow's, or than a packet of its end before."""
    nics = {True: {of.flow.server_nic}, False: {of.flow.client_nic}}
    for step in earlier(of):
        nics[step.back].add(step.nic or (of.flow.server_nic if step.back else of.flow.client_nic))
        if step.flags & RST and len(nics[step.back]) > 1:
            return tcp(of)
    return False


def unclosed(of: Difference) -> bool:
    """Whether there was a RST that conntrack let pass and ignored for what it acknowledges."""
    return any(left and each.flags & (RST | ACK) == RST | ACK and "ignored ACK under" in says for each, left, says in told_of(of))


def forgotten(of: Difference) -> bool:
    """Whether this is an originator's RST about what the other end remembers: it has the number that one waits for."""
    steps = arrived(of)
    opening = next((each for each in steps if each.flags & (SYN | ACK) == SYN), None)
    if opening is None or not tcp(of) or not of.step.flags & RST or of.step.back != opening.back:
        return False
    others = [each for each in steps if each.back != opening.back]
    return not any(each.flags & SYN for each in others) and of.step.seq in {each.ack for each in others if each.flags & ACK}


def unanswered_reset(of: Difference) -> bool:
    """Whether an originator has sent a RST while its SYN had no answer yet: about what the other end remembers. Netfilter may say by an
    ACK that was before it who the originator is."""
    fresh, opening = True, None
    for each, left, says in told_of(of):
        if not left:
            continue
        if each.flags & RST:
            if each.back == opening:
                return True
            fresh, opening = True, None
        elif each.flags & SYN:
            opening = each.back if fresh or each.back == opening else None
            fresh = False
        elif "ignored, state SYN_SENT" in says:
            opening = not each.back
    return False


def odd_reset(of: Difference) -> bool:
    """Whether this follows a RST of an originator that ended less with us than with netfilter, or with netfilter than with us."""
    if not tcp(of) or not only_ours(of):
        return False
    return (forgotten(of) and remarked(of, "SEQ is over upper bound")) or (unclosed(of) and remarked(of, "invalid, state SYN_SENT"))


def reset_elsewhere(of: Difference) -> bool:
    """Whether a RST went nowhere that came in by another nic than the flow's first packet."""
    steps = earlier(of)
    nics = {step.back: step.nic or (of.flow.server_nic if step.back else of.flow.client_nic) for step in reversed(arrived(of))}
    return any(
        step.flags & RST and (step.nic or (of.flow.server_nic if step.back else of.flow.client_nic)) != nics.get(step.back)
        for step in steps if any(step is each for each in stopped(of))
    )  # fmt: skip


def originator(of: Difference) -> bool:
    """Which end began the flow, as it is tracked at last, or said SYN first: whether it was the server."""
    flow = next((each for each in reversed(of.states or ()) if each), None)
    return flow.original[0] != packed(of.flow.client) if flow else next((step.back for step in arrived(of) if step.flags & SYN), False)


def resets(of: Difference) -> Iterator[tuple[Step, bool]]:
    """The RSTs that arrived; whether each has the number that its receiver waits for, follows all that its sender has sent, or answers a
    SYN."""
    sent: dict[bool, int] = {}
    waits: dict[bool, int] = {}
    asked: list[bool] = []
    opening = False
    steps, began = told_of(of), originator(of)
    first = next((at for at, (step, left, _) in enumerate(steps) if left and step.flags & SYN and step.back == began), 0)
    for step, left, _ in steps[first:]:
        if not left and (step.flags & RST or unbelievable(step, sent) or not any(step is each for each in in_vain(of))):
            continue
        if step.flags & RST:
            if asked and set(asked) == {step.back}:        # maybe about what the other end remembers
                yield step, step.seq == sent[step.back] != waits.get(not step.back)
                continue
            answers = opening and bool(step.flags & ACK) and step.ack == sent.get(not step.back)
            yield step, answers or step.seq in (sent.get(step.back), waits.get(not step.back))
            continue
        if step.flags & SYN:
            if step.back in asked and (step.back in waits or not step.flags & ACK):    # said again, or answered by a challenge
                opening = opening and not step.flags & ACK
                continue
            opening = opening or not asked
            asked.append(step.back)
        if step.flags & FIN or (len(set(asked)) == 2 and step.back == asked[0] and step.flags & ACK):
            opening = False
        sent[step.back] = max(sent.get(step.back, known_end(step)), known_end(step))
        if step.flags & ACK:
            waits[step.back] = max(waits.get(step.back, step.ack), step.ack) if len(set(asked)) == 2 else step.ack


def unbelievable(step: Step, sent: Mapping[bool, int]) -> bool:
    """Whether a segment acknowledges what hasn't been sent, or was long ago. `sent`: by each end, as far as it is known."""
    most = sent.get(not step.back)
    return bool(step.flags & ACK) and most is not None and not most - OLDEST_ACK < step.ack <= most
