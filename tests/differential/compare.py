"""One sequence, packet by packet, on both sides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tests.differential.kernel import Kernel
from tests.differential.network import LINKS, packed
from tests.differential.ours import Ours
from tests.differential.packets import Flow, Left, Side, Step, materialize
from tests.differential.wire import ETHERNET, canonical, read

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
    """Of each earlier step, whether its packet left; on both sides, or it would be the first difference."""

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
    for at, step in enumerate(sequence.steps):
        nic, frame = materialize(step, sequence.flows, there)
        kernel.says()
        left_there = kernel.pass_through(nic, frame)
        nic, frame = materialize(step, sequence.flows, here)
        before = ours.drops()
        left_here = await ours.pass_through(nic, frame)
        there.note(sequence.flows, step, left_there)
        here.note(sequence.flows, step, left_here)
        a, b = (_comparable(left, side, sequence.flows) for left, side in ((left_there, there), (left_here, here)))
        if a != b:
            return Difference(sequence, at, a, b, kernel.says(), ours.reason_since(before), tuple(arrived))
        arrived.append(bool(a) and not answer(a))
    return None


def answer(left: Left) -> bool:
    """Whether all that left is an ICMP error of the firewall itself."""
    if len(left) != 1:
        return False
    found = read(left[0][1], ETHERNET)
    return found.is_error and found.source in OWN


def _comparable(left: Left, side: Side, flows: tuple[Flow, ...]) -> Left:
    if not left:
        return left
    aliases = side.aliases(flows)
    return sorted((nic, canonical(frame, aliases, OWN)) for nic, frame in left)
