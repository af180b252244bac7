"""Health checks of balancer targets: TCP connections from the appliance's own stack, through the firewall like any other.

The cores (`appliance.balancer.health`) decide what a result means; this shell asks the world for probes, and tells what changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from ipaddress import IPv4Address, IPv6Address
from random import Random

import structlog

from appliance.balancer.health import HealthCheck, HealthState
from appliance.ruleset import CheckedTarget

log = structlog.get_logger("health")

Key = tuple[str, str]
OnChange = Callable[[str, str, bool], None]
Probe = Callable[[str, int, str | None, float], Awaitable[str]]
"""(address, port, own address to leave from, seconds) -> empty when a connection opened, otherwise why not."""


class HealthChecker:
    """Probes every checked target in its rhythm. `source(version, address)` is the own address that probes leave from."""

    def __init__(self, probe: Probe, source: Callable[[int, int], str | None], on_change: OnChange, random: Random) -> None:
        self._connect, self._source, self._on_change, self._random = probe, source, on_change, random
        self._checks: dict[Key, tuple[CheckedTarget, HealthCheck]] = {}
        self._changed = asyncio.Event()
        self._probes: set[asyncio.Task[None]] = set()

    def configure(self, targets: tuple[CheckedTarget, ...]) -> None:
        """Check these from here on. A target whose check did not change keeps what is known about it."""
        now = asyncio.get_running_loop().time()
        wanted = {(t.service, t.target): t for t in targets if t.health is not None}
        kept = {key: pair for key, pair in self._checks.items() if wanted.get(key) == pair[0]}
        for key, target in wanted.items():
            if key not in kept and target.health is not None:
                health = target.health
                kept[key] = (target, HealthCheck(now, health.every, health.rise, health.fall, self._random))
        self._checks = kept
        self._changed.set()

    def up(self, service: str, target: str) -> bool:
        """Whether a target may take new flows; always true for one that is not checked."""
        pair = self._checks.get((service, target))
        return pair is None or pair[1].up

    def states(self) -> Mapping[Key, str]:
        """What is known about each checked target."""
        return {key: check.state.value for key, (_, check) in self._checks.items()}

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
                try:
                    async with asyncio.timeout_at(due):
                        await self._changed.wait()
                except TimeoutError:
                    pass
        finally:
            for task in self._probes:
                task.cancel()

    async def _probe(self, target: CheckedTarget, check: HealthCheck) -> None:
        loop = asyncio.get_running_loop()
        why = await self._attempt(target)
        state = check.result(loop.time(), not why)
        self._changed.set()
        if state is not None and self._checks.get((target.service, target.target), (None, None))[1] is check:
            log.info("target changed", service=target.service, target=target.target, state=state.value, why=why)
            self._on_change(target.service, target.target, state is HealthState.UP)

    async def _attempt(self, target: CheckedTarget) -> str:
        """One probe; whatever goes wrong with it is the target's failure, and no end to its checks."""
        patience = target.health.timeout if target.health is not None else 1.0
        address = str(IPv4Address(target.address) if target.version == 4 else IPv6Address(target.address))
        try:
            return await self._connect(address, target.port, self._source(target.version, target.address), patience)
        except Exception as error:
            log.exception("a probe failed by itself", service=target.service, target=target.target)
            return str(error) or type(error).__name__
