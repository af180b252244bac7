"""What may be said of a difference: who let what out, what conntrack remarked, and what had been sent before."""

from __future__ import annotations

import re
from dataclasses import replace

from tests.differential.compare import Difference, answer
from tests.differential.packets import Flow, Step
from tests.differential.wire import ACK, ECHO_PROTOCOL, ECHOES, ETHERNET, FIN, RST, SYN, TCP, read

Spans = tuple[tuple[int, int], ...]


def only_kernel(of: Difference) -> bool:
    """The kernel let something out, and we nothing."""
    return bool(of.kernel) and not of.ours


def only_answered(of: Difference) -> bool:
    """We alone sent something, or both, and nothing went on."""
    nic = of.step.nic or (of.flow.server_nic if of.step.back else of.flow.client_nic)
    return bool(of.ours) and all(by == nic for by, _ in (*of.kernel, *of.ours))


def only_ours(of: Difference) -> bool:
    """The other way."""
    return bool(of.ours) and not of.kernel


def remarked(of: Difference, *words: str) -> bool:
    """Whether conntrack said one of these."""
    return any(word in of.kernel_says for word in words)


def answered(of: Difference) -> bool:
    """Whether the kernel's only answer was an ICMP error of its own, maybe under an address that it has translated."""
    nic = of.step.nic or (of.flow.server_nic if of.step.back else of.flow.client_nic)
    return answer(of.kernel) or (len(of.kernel) == 1 and of.kernel[0][0] == nic and read(of.kernel[0][1], ETHERNET).is_error)


def tcp(of: Difference) -> bool:
    """Whether a segment was sent."""
    return of.flow.protocol == TCP and not of.step.error and not of.step.kind


def windows(of: Difference) -> bool:
    """Whether we alone dropped a segment for its numbers."""
    return tcp(of) and only_kernel(of) and of.we_say == "tcp-window"


def opened(of: Difference) -> bool:
    """Whether the other end has ever said something in this connection, as we know it: SYN or SYN and ACK."""
    return any(each.back != of.step.back and each.flags & SYN for each in arrived(of))


def earlier(of: Difference) -> list[Step]:
    """What was sent of the same flow before, and meant."""
    return [step for step, _ in _before(of)]


def arrived(of: Difference) -> list[Step]:
    """What of it left on both sides."""
    return [step for step, left in _before(of) if left]


def stopped(of: Difference) -> list[Step]:
    """What of it didn't."""
    return [step for step, left in _before(of) if not left]


def _before(of: Difference) -> list[tuple[Step, bool]]:
    return [
        (step, left) for step, left in zip(of.sequence.steps, of.arrived, strict=False)
        if step.flow == of.step.flow and not (step.error or step.broken or step.kind) and _between_ends(step, of.flow)
    ]  # fmt: skip


def _between_ends(step: Step, flow: Flow) -> bool:
    """Whether it goes from one end of its flow to the other."""
    source, destination = (flow.server, flow.client) if step.back else (flow.client, flow.server)
    return step.source in ("", source) and step.destination in ("", destination)


def unnoted(of: Difference) -> bool:
    """Whether the bound that conntrack speaks of is that of a SYN: it has taken note of nothing else."""
    found = re.search(r"(SEQ|ACK) is over upper bound (\d+)", of.kernel_says)
    if found is None:
        return False
    sender = of.step.back if found[1] == "SEQ" else not of.step.back
    return (int(found[2]) - of.flow.first[sender] + 0x20000) & 0xFFFFFFFF <= 0x20003


def within_syn(of: Difference) -> bool:
    """Whether a segment's number is in the window that the other end's SYN has offered, or behind all that its sender has sent."""
    theirs, own = ([each for each in arrived(of) if (each.back == of.step.back) is mine] for mine in (False, True))
    offers, begun = ([each for each in steps if each.flags & SYN] for steps in (theirs, own))
    if not offers or not begun:
        return False
    end = max(each.seq + each.size + bool(each.flags & (SYN | FIN)) for each in own)
    return 0 < of.step.seq - begun[-1].seq <= offers[-1].window or of.step.seq == end


def lost(steps: list[Step]) -> bool:
    """Whether one of them had no hop left, or may have been too big."""
    return any(step.ttl < 2 or step.size > 1000 for step in steps)


def refused(of: Difference) -> bool:
    """Whether a RST came before the SYN, whoever's it was, had been answered."""
    steps = arrived(of)
    begun = next((at for at, step in enumerate(steps) if step.flags & (SYN | ACK | FIN | RST) == SYN), len(steps))
    for step in steps[begun:]:
        if step.flags & RST:
            return True
        if step.back != steps[begun].back and step.flags & (SYN | FIN) == SYN and step.ack == 1:
            return False
    return False


def repeated(of: Difference) -> bool:
    """Whether an end has sent FIN more than once; and has been followed by a SYN, if this isn't TCP itself, but an error."""
    steps, ends = earlier(of), [step.back for step in arrived(of) if step.flags & FIN and not step.flags & (SYN | RST)]
    return len(ends) > len(set(ends)) and (tcp(of) or steps[-1].flags & (SYN | ACK) == SYN)


def credited(of: Difference) -> bool:
    """Whether old data follows some that the other end had not made room for by an ACK of its own, but only by its SYN."""
    steps = arrived(of)
    data = [at for at, step in enumerate(steps) if step.back == of.step.back and step.seq > 0 and not step.flags & (SYN | RST)]
    if not data or of.step.seq > 0:
        return False
    return not any(step.back != of.step.back and step.flags & ACK and not step.flags & SYN for step in steps[: data[0]])


def reopened(of: Difference) -> bool:
    """Whether a SYN followed a RST that arrived, this one or an earlier one, and maybe a policy against it."""
    reset = False
    for step, left in (*_before(of), (of.step, True)):
        if reset and step.flags & SYN and not step.flags & (ACK | RST):
            return True
        reset = reset or bool(left and step.flags & RST)
    return False


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


def readdressed(of: Difference) -> bool:
    """Whether both told the same by an ICMP error, we under our own address."""
    return answer(of.ours) and _but_for(of, ((4, 8), (10, 16)), ((8, 24),))


def rehopped(of: Difference) -> bool:
    """Whether both told the same by an ICMP error, but for the hop limit of the IPv6 packet that it quotes."""
    return answer(of.ours) and of.flow.version == 6 and _but_for(of, (), ((55, 56),))


def _but_for(of: Difference, four: Spans, six: Spans) -> bool:
    """Whether the same ICMP error left on both sides by the same nic, but for some bytes of the packet, by its version, and checksums."""
    if len(of.kernel) != 1 or len(of.ours) != 1 or of.kernel[0][0] != of.ours[0][0]:
        return False
    bare = []
    for _, frame in (of.kernel[0], of.ours[0]):
        data, found = bytearray(frame), read(frame, ETHERNET)
        for start, end in four if found.version == 4 else (*six, (42, 44)):
            data[ETHERNET + start : ETHERNET + end] = bytes(end - start)
        bare.append(data)
    return bare[0] == bare[1]


def asked_oddly(of: Difference) -> bool:
    """Whether an echo request had a code."""
    request = ECHOES[ECHO_PROTOCOL[of.flow.version]][0]
    return any(
        each.kind and each.kind[1] and each.flow == of.step.flow and each.kind[0] == request
        for each in of.sequence.steps[: of.at]
    )
