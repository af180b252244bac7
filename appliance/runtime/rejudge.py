"""After a reload: every flow is judged again under the new policy, active ones first; those it forbids end.

A flow keeps its translation and its target: only whether it may go on is asked, of the same function that let it begin.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Final

from appliance.decide import decide
from appliance.flow.program import Worker
from appliance.flow.records import FlowView
from appliance.policy.facts import SELF, Facts, Tuple5
from appliance.ruleset import Ruleset

SLICE: Final = 512
ACTIVE: Final = 10.0
"""Seconds since its last packet within which a flow counts as active."""
SYN: Final = 0x02
ECHO: Final = {1: 8, 58: 128}
UNJUDGED: Final = ("pending", "denied")


@dataclass(frozen=True, slots=True)
class Rejudged:
    """What became of the flows that a reload found: judged, ended, seconds it took."""

    judged: int
    ended: int
    seconds: float


class _AnyState:
    """A view for judging what already has its tuple and its target."""

    random = Random(0)

    def is_free(self, version: int, protocol: int, reply: Tuple5) -> bool:
        return True

    def target_up(self, service: str, target: str) -> bool:
        return True


async def rejudge(worker: Worker, ruleset: Ruleset, host: int, clock: Callable[[], float]) -> Rejudged:
    """Judge all flows under `ruleset`; yields to the loop between slices."""
    started = clock()
    judged = ended = 0
    for active in (True, False):
        cursor = 0
        while True:
            flows, cursor = worker.read(cursor, SLICE)
            for flow in _due(flows, active, started):
                judged += 1
                if not decide(_facts(flow, host), ruleset, _AnyState()).allow:
                    worker.delete(flow.flow, "policy")
                    ended += 1
            if cursor == 0:
                break
            await asyncio.sleep(0)
    return Rejudged(judged, ended, clock() - started)


def _due(flows: list[FlowView], active: bool, now: float) -> Iterator[FlowView]:
    for flow in flows:
        if flow.state not in UNJUDGED and (now - flow.last_seen < ACTIVE) is active:
            yield flow


def _facts(flow: FlowView, host: int) -> Facts:
    nic = SELF if flow.nic_in == host else flow.nic_in
    source, destination, sport, dport = flow.original
    return Facts(nic, flow.version, flow.protocol, source, destination, sport, dport, ECHO.get(flow.protocol, -1),
                 SYN if flow.protocol == 6 else 0)
