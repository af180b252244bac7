"""Health checks of balancer targets: probes from the appliance's own stack, through the firewall like any other traffic.

The cores (`appliance.balancer.health`) decide what a result means; this shell asks the world for probes, and tells what changed.
If fewer of a service's targets (of one IP version) are up than `fail-open-below`, all of them count as up: a check that fails for all
is more likely wrong than right. What is told is how a target counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address, IPv6Address
from random import Random

import structlog

from appliance.balancer.health import HealthCheck, failing_open
from appliance.config.models import Health
from appliance.ruleset import CheckedTarget
from appliance.runtime.waiting import woken

log = structlog.get_logger("health")

Key = tuple[str, str]
Group = tuple[str, int]
"""The targets of a service of one IP version."""
OnChange = Callable[[str, str, bool], None]
Probe = Callable[[Health, str, int, str | None], Awaitable[str]]
"""(what to ask, address, port, own address to leave from) -> empty when the answer was good, otherwise why not."""


class HealthChecker:
    """Probes every checked target in its rhythm. `source(version, address)` is the own address that probes leave from."""

    def __init__(self, probe: Probe, source: Callable[[int, int], str | None], on_change: OnChange, random: Random) -> None:
        self._ask, self._source, self._on_change, self._random = probe, source, on_change, random
        self._checks: dict[Key, tuple[CheckedTarget, HealthCheck]] = {}
        self._groups: dict[Group, list[Key]] = {}
        self._open: set[Group] = set()
        self._changed = asyncio.Event()
        self._probes: set[asyncio.Task[None]] = set()

    def configure(self, targets: tuple[CheckedTarget, ...]) -> None:
        """Check these from here on. A target whose check did not change keeps what is known about it."""
        now = asyncio.get_running_loop().time()
        wanted = {(t.service, t.target): t for t in targets if t.health is not None}
        kept = {key: pair for key, pair in self._checks.items() if wanted.get(key) == pair[0]}
        groups: dict[Group, list[Key]] = {}
        for key, target in wanted.items():
            groups.setdefault((target.service, target.version), []).append(key)
            if key not in kept and target.health is not None:
                health = target.health
                kept[key] = (target, HealthCheck(now, health.every, health.rise, health.fall, self._random, health.jitter))
        self._checks, self._groups = kept, groups
        self._open = {group for group in groups if self._opens(group)}
        self._changed.set()

    def up(self, service: str, target: str) -> bool:
        """Whether a target may take new flows; always true for one that is not checked."""
        pair = self._checks.get((service, target))
        return pair is None or pair[1].up or (service, pair[0].version) in self._open

    def state(self, service: str, target: str) -> str:
        """What checks know about a target."""
        pair = self._checks.get((service, target))
        return "unchecked" if pair is None else pair[1].state.value

    async def run(self) -> None:
        """Probe until cancelled."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                self._changed.clear()
                for target, check in list(self._checks.values()):
                    if check.due(loop.time()):
                        task = asyncio.create_task(self._probe(target, check))
                        self._probes.add(task)
                        task.add_done_callback(self._probes.discard)
                due = min((d for _, check in self._checks.values() if (d := check.deadline()) is not None), default=None)
                await woken(self._changed, None if due is None else due - loop.time())
        finally:
            for task in self._probes:
                task.cancel()

    async def _probe(self, target: CheckedTarget, check: HealthCheck) -> None:
        loop = asyncio.get_running_loop()
        why = await self._attempt(target)
        group = target.service, target.version
        known = self._checks.get((target.service, target.target), (None, None))[1] is check
        before = [self.up(*key) for key in self._groups[group]] if known else []
        state = check.result(loop.time(), not why)
        self._changed.set()
        if state is not None and known:
            log.info("target changed", service=target.service, target=target.target, state=state.value, why=why)
            self._tell(group, before, target.target)

    def _tell(self, group: Group, before: list[bool], probed: str) -> None:
        """Say which of a group's targets count otherwise than before, and that the one just probed is down, if so: it may have flows
        from before it was unknown."""
        if self._opens(group) is not (group in self._open):
            self._open ^= {group}
            log.warning("fail open", service=group[0], version=group[1], all_count_as_up=group in self._open)
        for key, was in zip(self._groups[group], before, strict=True):
            now = self.up(*key)
            if now is not was or (not now and key[1] == probed):
                self._on_change(*key, now)

    def _opens(self, group: Group) -> bool:
        pairs = [self._checks[key] for key in self._groups[group]]
        health = pairs[0][0].health
        return health is not None and failing_open([check.state for _, check in pairs], health.fail_open_below)

    async def _attempt(self, target: CheckedTarget) -> str:
        """One probe; whatever goes wrong with it is the target's failure, and no end to its checks."""
        address = str(IPv4Address(target.address) if target.version == 4 else IPv6Address(target.address))
        try:
            return await self._ask(target.health or Health(), address, target.port, self._source(target.version, target.address))
        except Exception as error:
            log.exception("a probe failed by itself", service=target.service, target=target.target)
            return str(error) or type(error).__name__
