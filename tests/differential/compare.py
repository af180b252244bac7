"""One sequence, packet by packet, on both sides; and at its end, what they have tracked of its flows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tests.differential.kernel import Kernel
from tests.differential.network import LINKS, packed
from tests.differential.ours import Ours
from tests.differential.packets import Flow, Left, Side, Step, key_of, materialize
from tests.differential.states import Tracked
from tests.differential.wire import ECHOES, ETHERNET, canonical, read, whole

OWN: Final = frozenset(packed(address) for link in LINKS.values() for address in link.address.values())


@dataclass(frozen=True, slots=True)
class Sequence:
    """A few flows, and what happens to them."""

    flows: tuple[Flow, ...]
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """Where both sides part. `kernel` and `ours`: (nic, canonical frame) of all that left for the step `at`."""

    sequence: Sequence
    at: int
    kernel: Left
    ours: Left
    kernel_says: str = ""
    """What conntrack remarked about it."""
    we_say: str = ""
    """Why it was dropped."""
    arrived: tuple[bool, ...] = ()
    """Of each earlier step, whether something went on; on both sides, or it would be the first difference."""
    remarks: tuple[str, ...] = ()
    """What conntrack said about each of them."""
    states: tuple[Tracked | None, Tracked | None] | None = None
    """What the kernel and we have tracked, if every packet was the same, but not that. `at` is then the flow's last step, and `arrived`
    speaks of that too."""

    @property
    def step(self) -> Step:
        """What was sent."""
        return self.sequence.steps[self.at]

    @property
    def flow(self) -> Flow:
        """The flow it was about."""
        return self.sequence.flows[self.step.flow]


async def compare(kernel: Kernel, ours: Ours, sequence: Sequence, number: int) -> Difference | None:
    """Send a sequence through both; the first difference. `number`: of the sequence, each has ports of its own."""
    there, here = Side(number), Side(number)
    arrived: list[bool] = []
    remarks: list[str] = []
    for at, step in enumerate(sequence.steps):
        nic, frames = materialize(step, sequence.flows, there)
        kernel.says()
        left_there = _whole(step, [left for frame in frames for left in kernel.pass_through(nic, frame)])
        nic, frames = materialize(step, sequence.flows, here)
        before = ours.drops()
        left_here = _whole(step, [left for frame in frames for left in await ours.pass_through(nic, frame)])
        there.note(sequence.flows, step, left_there)
        here.note(sequence.flows, step, left_here)
        a, b = (_comparable(left, side, sequence.flows) for left, side in ((left_there, there), (left_here, here)))
        says = kernel.says()
        if a != b:
            return Difference(sequence, at, a, b, says, _without(ours.reason_since(before)), tuple(arrived), tuple(remarks))
        arrived.append(any(by != nic for by, _ in a))
        remarks.append(says)
    for at, states in _tracked(kernel, ours, sequence, there, here):
        if states[0] != states[1]:
            return Difference(sequence, at, [], [], "", "", tuple(arrived[: at + 1]), tuple(remarks[: at + 1]), states)
    return None


def _tracked(
    kernel: Kernel, ours: Ours, sequence: Sequence, there: Side, here: Side,
) -> Iterator[tuple[int, tuple[Tracked | None, Tracked | None]]]:
    """What both have tracked of the flow that an end's packets belong to, if it has sent any; with the last step of that flow. Echo
    replies are no other flow's."""
    last = {step.flow: at for at, step in enumerate(sequence.steps)}
    for number, back in sorted({(step.flow, step.back) for step in sequence.steps if not (step.error or step.kind)}):
        flow = sequence.flows[number]
        if back and flow.protocol in ECHOES:
            continue
        found = []
        for of, side in ((kernel, there), (ours, here)):
            tracked = of.tracked(flow.protocol, key_of(Step(number, back), flow, side))
            found.append(tracked and tracked.renamed(flow.protocol, side.aliases(sequence.flows)))
        yield last[number], (found[0], found[1])


def answer(left: Left) -> bool:
    """Whether all that left is an ICMP error of the firewall itself."""
    if len(left) != 1:
        return False
    found = read(left[0][1], ETHERNET)
    return found.is_error and found.source in OWN


def _without(reasons: str) -> str:
    """Of a packet in fragments, only what was wrong with the first: the others follow it, and one that comes twice counts once."""
    return ", ".join(each for each in reasons.split(", ") if each not in ("fragment-first", "fragment-duplicate")) or reasons


def _whole(step: Step, left: Left) -> Left:
    """Fragments that left put together: one side forwards each, the other what it has put together itself."""
    if not step.pieces:
        return left
    nics = dict.fromkeys(nic for nic, _ in left)
    return [(nic, frame) for nic in nics for frame in whole(frame for by, frame in left if by == nic)]


def _comparable(left: Left, side: Side, flows: tuple[Flow, ...]) -> Left:
    if not left:
        return left
    aliases = side.aliases(flows)
    return sorted((nic, canonical(frame, aliases, OWN)) for nic, frame in left)
