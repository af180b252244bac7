"""What may be said of a difference: who let what out, what conntrack remarked, and what had been sent before."""

from __future__ import annotations

import re
from dataclasses import replace

from tests.differential.compare import OWN, Difference
from tests.differential.packets import Step
from tests.differential.wire import ACK, ETHERNET, FIN, RST, SYN, TCP, read


def only_kernel(of: Difference) -> bool:
    """The kernel let something out, and we nothing."""
    return bool(of.kernel) and not of.ours


def only_ours(of: Difference) -> bool:
    """The other way."""
    return bool(of.ours) and not of.kernel


def remarked(of: Difference, *words: str) -> bool:
    """Whether conntrack said one of these."""
    return any(word in of.kernel_says for word in words)


def answered(of: Difference) -> bool:
    """Whether the kernel's only answer was an ICMP error of its own."""
    if len(of.kernel) != 1:
        return False
    found = read(of.kernel[0][1], ETHERNET)
    return found.is_error and found.source in OWN


def tcp(of: Difference) -> bool:
    """Whether a segment was sent."""
    return of.flow.protocol == TCP and not of.step.error and not of.step.kind


def windows(of: Difference) -> bool:
    """Whether we alone dropped a segment for its numbers."""
    return tcp(of) and only_kernel(of) and of.we_say == "tcp-window"


def opened(of: Difference) -> bool:
    """Whether the other end has ever said something in this connection, as we know it: SYN or SYN and ACK."""
    before = of.sequence.steps[: of.at]
    return any(each.flow == of.step.flow and each.back != of.step.back and each.flags & SYN and not each.error for each in before)


def earlier(of: Difference) -> list[Step]:
    """What was sent of the same flow before, and meant."""
    return [
        step for step in of.sequence.steps[: of.at]
        if step.flow == of.step.flow and not (step.error or step.broken or step.kind or step.source or step.destination)
    ]  # fmt: skip


def unnoted(of: Difference) -> bool:
    """Whether the bound that conntrack speaks of is that of a SYN: it has taken note of nothing else."""
    found = re.search(r"(SEQ|ACK) is over upper bound (\d+)", of.kernel_says)
    if found is None:
        return False
    sender = of.step.back if found[1] == "SEQ" else not of.step.back
    return (int(found[2]) - of.flow.first[sender] + 0x20000) & 0xFFFFFFFF <= 0x20003


def lost(steps: list[Step]) -> bool:
    """Whether one of them had no hop left, or may have been too big."""
    return any(step.ttl < 2 or step.size > 1000 for step in steps)


def refused(of: Difference) -> bool:
    """Whether a RST came before the SYN, whoever's it was, had been answered."""
    steps = earlier(of)
    begun = next((at for at, step in enumerate(steps) if step.flags & (SYN | ACK | FIN | RST) == SYN), len(steps))
    for step in steps[begun:]:
        if step.flags & RST:
            return True
        if step.back != steps[begun].back and step.flags & (SYN | FIN) == SYN and step.ack == 1:
            return False
    return False


def repeated(of: Difference) -> bool:
    """Whether an end has sent FIN more than once."""
    ends = [step.back for step in earlier(of) if step.flags & FIN and not step.flags & (SYN | RST)]
    return len(ends) > len(set(ends))


def credited(of: Difference) -> bool:
    """Whether old data follows some that the other end had not made room for by an ACK of its own, but only by its SYN."""
    steps = earlier(of)
    data = [at for at, step in enumerate(steps) if step.back == of.step.back and step.seq > 0 and not step.flags & (SYN | RST)]
    if not data or of.step.seq > 0:
        return False
    return not any(step.back != of.step.back and step.flags & ACK and not step.flags & SYN for step in steps[: data[0]])


def reopened(of: Difference) -> bool:
    """Whether a SYN followed a RST, this one or an earlier one."""
    steps = [*earlier(of), of.step]
    resets = [at for at, step in enumerate(steps) if step.flags & RST]
    return bool(resets) and any(step.flags & SYN and not step.flags & (ACK | RST) for step in steps[resets[0] :])


def replace_back(of: Difference) -> Difference:
    """The same, asked from the other end: whether the sender itself has said something before."""
    step = replace(of.step, back=not of.step.back)
    steps = (*of.sequence.steps[: of.at], step, *of.sequence.steps[of.at + 1 :])
    return replace(of, sequence=replace(of.sequence, steps=steps))


def elsewhere(of: Difference) -> bool:
    """Whether the same packet left, but by another nic."""
    if len(of.kernel) != 1 or len(of.ours) != 1:
        return False
    (there, theirs), (here, ours) = of.kernel[0], of.ours[0]
    return there != here and theirs[ETHERNET:] == ours[ETHERNET:]
