"""What may be said of a difference: who let what out, what conntrack remarked, and what had been sent before."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Final

from tests.differential.compare import OWN, Difference, answer
from tests.differential.network import OUTSIDE, packed
from tests.differential.packets import Flow, Step
from tests.differential.wire import ACK, ECHO_PROTOCOL, ECHOES, ETHERNET, FIN, RST, SYN, TCP, read

Spans = tuple[tuple[int, int], ...]
TRANSLATED: Final = OWN | {packed(address) for address in OUTSIDE}


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


def went_on(of: Difference) -> bool:
    """The kernel let it go on, by another nic."""
    nic = of.step.nic or (of.flow.server_nic if of.step.back else of.flow.client_nic)
    return bool(of.kernel) and all(by != nic for by, _ in of.kernel)


def only_rejected(of: Difference) -> bool:
    """We answered that nothing will come of it."""
    nic = of.step.nic or (of.flow.server_nic if of.step.back else of.flow.client_nic)
    return of.we_say == "rejected" and all(by == nic for by, _ in of.ours)


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
    return [step for step, _, _ in told_of(of)]


def arrived(of: Difference) -> list[Step]:
    """What of it left on both sides."""
    return [step for step, left, _ in told_of(of) if left]


def stopped(of: Difference) -> list[Step]:
    """What of it didn't."""
    return [step for step, left, _ in told_of(of) if not left]


def noted(of: Difference) -> list[Step]:
    """What of it didn't, though conntrack took it for valid, or lets such pass."""
    passing = ("ignored, state", "under lower bound", "more than expected")
    return [step for step, left, says in told_of(of) if not left and (not says or any(each in says for each in passing))]


def told_of(of: Difference) -> list[tuple[Step, bool, str]]:
    """What was sent of the same flow before, and meant; whether it left, and what conntrack remarked about it."""
    return [
        (step, left, says) for step, left, says in zip(of.sequence.steps, of.arrived, of.remarks, strict=False)
        if step.flow == of.step.flow and not (step.error or step.broken or step.kind) and _between_ends(step, of.flow)
    ]  # fmt: skip


def _between_ends(step: Step, flow: Flow) -> bool:
    """Whether it goes from one end of its flow to the other."""
    source, destination = (flow.server, flow.client) if step.back else (flow.client, flow.server)
    return step.source in ("", source) and step.destination in ("", destination, *(() if step.back else (flow.visible,)))


def lost(steps: list[Step]) -> bool:
    """Whether one of them had no hop left, or may have been too big."""
    return any(step.ttl < 2 or step.size > 1000 for step in steps)


def lost_beginning(of: Difference) -> bool:
    """Whether what might have begun the flow first was lost; of TCP a SYN, though other segments may have come before it in vain."""
    first = next((each for each in earlier(of) if not tcp(of) or each.flags & (SYN | ACK | FIN | RST) == SYN), None)
    return first is not None and lost([first]) and any(first is each for each in stopped(of))


def repeated(of: Difference) -> bool:
    """Whether an end has sent FIN more than once; and has been followed by a SYN, if this isn't TCP itself, but an error."""
    steps, ends = earlier(of), [step.back for step in arrived(of) if step.flags & FIN and not step.flags & (SYN | RST)]
    return len(ends) > len(set(ends)) and (tcp(of) or steps[-1].flags & (SYN | ACK) == SYN)


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


def reported(of: Difference) -> bool:
    """Whether both passed somebody's ICMP error on, we under that address, the kernel under that of the flow's end on this side."""
    if not of.step.error or not _but_for(of, ((10, 16),), ((8, 24),)):
        return False
    end = of.flow.server if of.step.back else of.flow.client
    names = (of.step.source or of.step.reporter or end), end
    return [read(frame, ETHERNET).source for frame in (of.ours[0][1], of.kernel[0][1])] == [packed(each) for each in names]


def astray(of: Difference, steps: list[Step]) -> list[Step]:
    """Those that came in by another nic than their flow's."""
    return [each for each in steps if each.nic not in ("", of.flow.server_nic if each.back else of.flow.client_nic)]


def misquoted(of: Difference) -> bool:
    """Whether an error comes in by the nic of its flow's other end, but what it may quote went to an address behind another."""
    steps = [step for step in of.sequence.steps[: of.at] if step.flow == of.step.flow and step.back != of.step.back]
    return of.step.error is not None and of.step.nic != "" and any(step.destination for step in steps)


def sidestepped(of: Difference) -> bool:
    """Whether a packet of this flow came in by another nic than its flow's, or from an address that is behind another."""
    steps = [step for step in of.sequence.steps[: of.at + 1] if step.flow == of.step.flow]
    return any(step.source or astray(of, [step]) for step in steps)


def turned(of: Difference) -> bool:
    """Whether a packet of the same flow came in where it had to leave again."""
    return any(each.nic == (of.flow.client_nic if each.back else of.flow.server_nic) for each in astray(of, earlier(of)))


def overlapping(step: Step) -> bool:
    """Whether fragments of a packet say some of it twice."""
    pieces = sorted(step.pieces)
    return any(end == 0 or end > start for (_, end), (start, _) in pairwise(pieces))


def routed(of: Difference) -> bool:
    """Whether both told something by an ICMP error, by different nics."""
    return answer(of.ours) and len(of.kernel) == 1 and of.kernel[0][0] != of.ours[0][0] and read(of.kernel[0][1], ETHERNET).is_error


def readdressed_segment(of: Difference) -> bool:
    """Whether the same segment left by the same nic, but under another address, or from another port."""
    if not tcp(of) or len(of.kernel) != 1 or len(of.ours) != 1:
        return False
    (there, theirs), (here, ours) = of.kernel[0], of.ours[0]
    segments = []
    for frame in (theirs, ours):
        found = read(frame, ETHERNET)
        segments.append((found.destination, frame[found.l4 + 2 : found.l4 + 16], frame[found.l4 + 18 :]))
    return there == here and segments[0] == segments[1]


def begun_behind_challenge(of: Difference) -> bool:
    """Whether a SYN came behind what conntrack took for a challenge, and we for the last ACK of a connection."""
    taken = False
    for step, left, says in told_of(of):
        taken = taken or (left and "challenge-ack ignored" in says)
        if taken and left and step.flags & (SYN | ACK) == SYN:
            return tcp(of)
    return False


def to_translated(of: Difference) -> bool:
    """Whether our error is about a packet to an address that, but for translation, is the firewall's own, or nobody's."""
    if not answer(of.ours):
        return False
    frame = of.ours[0][1]
    return read(frame, read(frame, ETHERNET).l4 + 8).destination in TRANSLATED


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


def in_vain(of: Difference) -> list[Step]:
    """Fragments that say something twice, or whose first is too short, and that conntrack has never seen as a packet."""
    silent = [step for step, left, says in told_of(of) if step.pieces and not left and not says]
    return [step for step in silent if overlapping(step) or min(stop for start, stop in step.pieces if start == 0) < 4]
