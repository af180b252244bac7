"""Ending flows that may not go on: after a reload those that the new policy forbids, and those of a target that was lost.

A flow keeps its translation and its target. Asked is only whether it may go on as it is: of the same function that let it begin, told
which target it has. If that leads it elsewhere (other egress, other destination behind the translation) it ends, too: nobody judged
the way it goes.

The function is asked once for each kind of flows that it can't tell apart (`appliance/classes.py`), and for each flow that hangs on more.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from functools import partial
from random import Random
from time import monotonic
from typing import Final, NamedTuple

from appliance.balancer.history import History
from appliance.balancer.populate import WHOLE
from appliance.classes import Cuts, generalized
from appliance.decide import decide
from appliance.flow.program import Worker
from appliance.flow.records import FlowView, Tuple5
from appliance.nat.bindings import Bindings
from appliance.policy.facts import SELF, TCP, UDP, Facts
from appliance.ruleset import Ruleset
from appliance.runtime.commands import until_told

SLICE: Final = 512
AT_ONCE: Final = 32
"""Flows that end, each with its farewells, before others get their turn."""
TURN: Final = 0.005
"""Seconds of judging before they do, too."""
KINDS: Final = 1 << 16
"""Kinds of flows that are remembered at most."""
ACTIVE: Final = 10.0
"""Seconds since its last packet within which a flow counts as active."""
PENDING: Final = 1.0
"""Seconds within which a pending flow is decided, or ends."""
SYN: Final = 0x02
ECHO: Final = {1: 8, 58: 128}
UNDECIDED: Final = ("pending", "denied")


Held = Callable[[tuple[str, ...], int, int], bool]
"""Whether an address is, or was, of a domain name in one of some objects: a flow that began by it may go on."""


@dataclass(frozen=True, slots=True)
class Rejudged:
    """What became of the flows that a reload found: judged, ended, seconds it took."""

    judged: int
    ended: int
    seconds: float


class _AnyState:
    """A view for judging what already has its tuple and its target."""

    def __init__(self, bindings: Bindings, held: Held) -> None:
        self.bindings, self._held = bindings, held
        self.random, self.history = Random(0), History(lambda: 0.0, lambda service, target: 0)

    def is_free(self, version: int, protocol: int, reply: Tuple5) -> bool:
        return True

    def comes_home(self, facts: Facts, egress: int, reply: Tuple5) -> bool:
        return True

    def named(self, objects: tuple[str, ...], version: int, address: int) -> bool:
        return self._held(objects, version, address)

    def target_up(self, service: str, target: str) -> bool:
        return True

    def target_share(self, service: str, target: str) -> int:
        return WHOLE


async def end_flows(
    worker: Worker, ends: Callable[[FlowView], str | None], farewell: Callable[[FlowView], Awaitable[None]] | None = None,
    targets: Collection[int] = (),
) -> int:  # fmt: skip
    """End each decided flow, or those of `targets`, for which `ends` gives a reason, after its `farewell`; how many. Yields to the loop
    between slices, after some that have ended, and when its turn is over."""
    cursor = ended = 0
    while True:
        flows, cursor = worker.read(cursor, SLICE, targets)
        over = monotonic() + TURN
        for flow in flows:
            reason = ends(flow) if flow.state not in UNDECIDED else None
            if reason is not None:
                ended += 1
                if farewell is not None:
                    await farewell(flow)
                await until_told(partial(worker.delete, flow.flow, reason))
            if monotonic() > over or (reason is not None and ended % AT_ONCE == 0):
                await asyncio.sleep(0)
                over = monotonic() + TURN
        if cursor == 0:
            return ended
        await asyncio.sleep(0)


class _Way(NamedTuple):
    """Where all flows of a kind may go on to, or why they may not."""

    refused: str | None
    egress: int
    behind: int | None  # the address behind the translation; None: each flow's own destination
    port: int | None  # the same of ports


class Judge:
    """Judges flows under one ruleset, whose classes begin at `cuts`. `host`: the nic of the own stack; `target_of` names a flow's target,
    without its service."""

    def __init__(
        self, ruleset: Ruleset, cuts: Cuts, host: int, target_of: Callable[[FlowView], str | None], bindings: Bindings | None = None,
        held: Held = lambda objects, version, address: False,
    ) -> None:  # fmt: skip
        self._ruleset, self._host, self._target_of = ruleset, host, target_of
        self._view = _AnyState(bindings or Bindings(lambda version, protocol, reply: False, lambda: 0.0, Random(0)), held)
        self._cuts = cuts
        self._ways: dict[tuple[int, ...], _Way] = {}
        self.judged = 0

    def __call__(self, flow: FlowView) -> str | None:
        """Why the flow has to end; None if it may go on."""
        self.judged += 1
        kind = self._kind(flow)
        refused, egress, behind, port = self._ways.get(kind) or self._ask(flow, kind)
        if refused is not None:
            return refused
        _, destination, _, dport = flow.original
        same = egress == flow.nic_out and flow.reply[0] == (destination if behind is None else behind)
        if same and flow.protocol in (TCP, UDP):
            same = flow.reply[2] == (dport if port is None else port)
        return None if same and not self._homeless(flow) else "deleted"

    def _homeless(self, flow: FlowView) -> bool:
        """Whether its source is translated to an address that is not ours any more: answers would go elsewhere."""
        outside = flow.reply[1]
        return outside != flow.original[0] and not self._ruleset.stands(flow.version, outside)

    def _kind(self, flow: FlowView) -> tuple[int, ...]:
        """All that are alike have the same. A flow from an address to itself is like no other."""
        (source, destination, _, dport), version, protocol = flow.original, flow.version, flow.protocol
        return (
            flow.nic_in, version, protocol, flow.target, bisect_right(self._cuts.sources[version], source),
            bisect_right(self._cuts.destinations[version], destination),
            bisect_right(self._cuts.ports, dport) if protocol in (TCP, UDP) else 0, source == destination,
        )  # fmt: skip

    def _ask(self, flow: FlowView, kind: tuple[int, ...]) -> _Way:
        """What is decided of a flow; remembered if it holds for its kind. Who has no target would get one of its own."""
        facts = self._facts(flow)
        made = decide(facts, self._ruleset, self._view)
        behind, _, port, _ = made.reply
        way = _Way(
            None if made.allow else str(made.reason), self._host if made.egress == SELF else made.egress,
            None if behind == facts.destination else behind, None if port == facts.dport else port,
        )  # fmt: skip
        alike = made.target in (None, facts.target) and generalized(facts._replace(target=None), made) is not None
        if alike and len(self._ways) < KINDS:
            self._ways[kind] = way
        return way

    def _facts(self, flow: FlowView) -> Facts:
        nic = SELF if flow.nic_in == self._host else flow.nic_in
        source, destination, sport, dport = flow.original
        return Facts(nic, flow.version, flow.protocol, source, destination, sport, dport, ECHO.get(flow.protocol, -1),
                     SYN if flow.protocol == TCP else 0, target=self._target_of(flow))


async def rejudge(worker: Worker, judge: Judge, generation: int, clock: Callable[[], float]) -> Rejudged:
    """Judge all flows that were decided before `generation`, active ones first. One that wakes up meanwhile may be judged twice.

    A flow whose old decision is still on its way to the compiled path is found last, when that must have arrived.
    """
    started, waiting = clock(), worker.usage()["pending"]
    ended: set[int] = set()  # such a flow may be met again, if it wakes up before it is told to go

    def active(flow: FlowView) -> bool:
        return flow.last_seen >= started - ACTIVE

    def rest(flow: FlowView) -> bool:
        return not started - ACTIVE <= flow.last_seen < started

    def late(flow: FlowView) -> bool:
        return flow.created > started - PENDING

    def ends(flow: FlowView) -> str | None:
        reason = judge(flow)
        if reason is not None:
            ended.add(flow.flow)
        return reason

    def judged(which: Callable[[FlowView], bool]) -> Callable[[FlowView], str | None]:
        return lambda flow: ends(flow) if flow.generation != generation and flow.flow not in ended and which(flow) else None

    await end_flows(worker, judged(active))
    await end_flows(worker, judged(rest))
    if waiting:
        await asyncio.sleep(PENDING)
        await end_flows(worker, judged(late))
    return Rejudged(judge.judged, len(ended), clock() - started)
