"""The targets of all services: who takes new flows, who is leaving, and what becomes of the flows of those who are lost.

    health checks --fail, recover-->  a Life for each target  --> take_flows: asked by decisions and pool tables
    passive ones  --eject, readmit->                          --> share: how much of its weight counts, while it warms up
    operator      --drain, restore->                          --> flows that end: one walk over the table for all of them
    the file      --weight: 0------>

An operator's word holds across reloads, and until the appliance ends; what shall last is written in the file.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

import structlog

from appliance.balancer.lifecycle import Flows, Life, TargetEvent, TargetState
from appliance.balancer.warmup import Warmups
from appliance.config.models import Service
from appliance.flow.program import Worker
from appliance.flow.records import FlowView
from appliance.runtime.rejudge import end_flows
from appliance.runtime.resets import Resetter
from appliance.runtime.waiting import woken
from ena_dev.errors import UsageError

log = structlog.get_logger("targets")

LOOK: Final = 1.0
"""Seconds between looks at the flows of a target that is leaving."""

SETTLE: Final = 0.05
"""Seconds until flows that were given to a target before are in the table."""

COLD: Final = (TargetState.UNHEALTHY, TargetState.EJECTED, TargetState.DRAINED)
"""Who comes from here to take flows warms up."""

Key = tuple[str, str]
"""(service, target)."""


class Targets:
    """`up`: whether health checks let a target take flows. `number`: the number that its flows carry. Set `resetter` before `run`."""

    def __init__(
        self, worker: Worker, up: Callable[[str, str], bool], number: Callable[[str, str], int], clock: Callable[[], float]
    ) -> None:
        self._worker, self._up, self._number, self._clock = worker, up, number, clock
        self.resetter: Resetter
        self.changed: list[Callable[[str], None]] = []
        """Told the service whenever another set of its targets takes flows."""
        self._services: Mapping[str, Service] = {}
        self._lives: dict[Key, Life] = {}
        self._weightless: set[Key] = set()
        self._warmups = Warmups()
        self._unmet: set[Key] = set()  # nothing was heard of them since the start: all come up at once, and none of them comes back
        self._ending: dict[int, bool] = {}  # numbers of targets whose flows shall end; whether the ends are told
        self._wake = asyncio.Event()

    def configure(self, services: Mapping[str, Service]) -> None:
        """These are all from here on. A weight of 0 tells a target to leave, and another weight brings it back."""
        weights = {(service.name, target.name): target.weight for service in services.values() for target in service.targets}
        self._services = services
        self._warmups.configure({service.name: service.slow_start for service in services.values() if service.slow_start is not None})
        new = weights.keys() - self._lives.keys() if self._lives else set()
        self._unmet = self._unmet & weights.keys() if self._lives else set(weights)
        self._lives = {key: self._lives.get(key) or Life(self._up(*key)) for key in weights}
        for key, life in self._lives.items():
            before = TargetState.UNHEALTHY if key in new else life.state
            if not weights[key] and not life.leaving:
                life.feed(TargetEvent.LEAVE)
            elif weights[key] and key in self._weightless:
                life.feed(self._back(key))
            elif life.state is TargetState.UNHEALTHY and self._up(*key):
                life.feed(TargetEvent.RECOVER)
            if life.state is not before:
                self._warm(key, before)
        self._weightless = {key for key, weight in weights.items() if not weight}
        self._wake.set()

    def take_flows(self, service: str, target: str) -> bool:
        """Whether a target takes new flows."""
        life = self._lives.get((service, target))
        return life is not None and life.state is TargetState.ACTIVE and self._up(service, target)

    def share(self, service: str, target: str) -> int:
        """How much of its weight counts for a target's new flows, in percent."""
        return self._warmups.share((service, target))

    def life(self, service: str, target: str) -> Life:
        """How a target is. KeyError: there is none."""
        return self._lives[service, target]

    def flows(self, service: str, target: str) -> int:
        """How many flows a target has."""
        return self._worker.target_flows(self._number(service, target))

    def now(self) -> float:
        """The clock of deadlines."""
        return self._clock()

    # -- events --------------------------------------------------------------------------------------------------------

    def health_changed(self, service: str, target: str, up: bool) -> None:
        """Health checks have found a target up or down."""
        self._feed((service, target), TargetEvent.RECOVER if up else TargetEvent.FAIL)

    def eject(self, service: str, target: str) -> None:
        """A target's new connections fail."""
        self._feed((service, target), TargetEvent.EJECT)

    def readmit(self, service: str, target: str) -> None:
        """It gets another chance."""
        self._feed((service, target), TargetEvent.READMIT)

    def drain(self, service: str, target: str, seconds: float | None) -> None:
        """Tell a target to leave; its last flows end after so many seconds, or when the service says. Raises UsageError: no such target."""
        key = self._known(service, target)
        drain = self._services[service].drain
        seconds = drain.timeout if seconds is None and drain is not None else seconds
        if seconds is None:
            self._feed(key, TargetEvent.LEAVE)
        else:
            self._feed(key, TargetEvent.DRAIN, self._clock() + max(seconds, SETTLE))

    def restore(self, service: str, target: str) -> None:
        """Bring a target back that was told to leave. Raises UsageError: no such target, or the file says that it leaves."""
        key = self._known(service, target)
        if key in self._weightless:
            raise UsageError(f"the file gives {service}/{target} a weight of 0: change that, and reload")
        self._feed(key, self._back(key))

    def _known(self, service: str, target: str) -> Key:
        if (service, target) not in self._lives:
            raise UsageError(f"there is no target {service}/{target}: use one of {', '.join(map('/'.join, self._lives)) or 'none'}")
        return service, target

    def _back(self, key: Key) -> TargetEvent:
        return TargetEvent.RESTORE if self._up(*key) else TargetEvent.RESTORE_DOWN

    def _feed(self, key: Key, event: TargetEvent, deadline: float | None = None) -> None:
        life = self._lives.get(key)
        if life is None:
            return
        before = life.state
        self._follow(key, life.feed(event, deadline))
        self._warm(key, before)
        self._said(key, before)
        self._tell(key[0])

    def _warm(self, key: Key, before: TargetState) -> None:
        """A target that is back warms up. Not one that was never away, and who was leaving has been kept warm by its flows."""
        known = key not in self._unmet
        self._unmet.discard(key)
        if known and before in COLD and self._lives[key].state is TargetState.ACTIVE:
            self._warmups.begin(key, self._clock())

    def _tell(self, service: str) -> None:
        for changed in self.changed:
            changed(service)
        self._wake.set()

    def _said(self, key: Key, before: TargetState) -> None:
        state = self._lives[key].state
        if state is not before:
            log.info("target's life", service=key[0], target=key[1], before=before.value, now=state.value, flows=self.flows(*key))

    def _follow(self, key: Key, flows: Flows) -> None:
        """Have a target's flows end, if they shall."""
        lost = self._services[key[0]].lost_flows
        if flows is Flows.END or (flows is Flows.LOST and lost != "keep"):
            self._ending[self._number(*key)] = flows is Flows.END or lost == "reset"
            self._wake.set()

    # -- time ----------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """End flows and watch those who leave, until cancelled."""
        while True:
            self._wake.clear()
            self._look(self._clock())
            await self._cut()
            await woken(self._wake, self._pause())

    def _look(self, now: float) -> None:
        for key, life in self._lives.items():
            if life.leaving:
                before = life.state
                self._follow(key, life.look(now, self.flows(*key)))
                self._said(key, before)
        for service in self._warmups.look(now):
            self._tell(service)

    def _pause(self) -> float | None:
        """Seconds until the next look; None: somebody will wake us."""
        now, step = self._clock(), self._warmups.deadline(self._clock())
        due = [life.deadline for life in self._lives.values() if life.deadline is not None]
        due += [now + LOOK] if any(life.leaving for life in self._lives.values()) else []
        due += [] if step is None else [step]
        return max(0.01, min(due) - now) if due else None

    async def _cut(self) -> None:
        """End the flows of all targets that are lost by now, then of those lost meanwhile: the table is long."""
        while self._ending:
            await asyncio.sleep(SETTLE)
            ending, self._ending = self._ending, {}
            ending.pop(0, None)  # flows without a target, and those of targets too many to have a number

            async def farewell(flow: FlowView, ending: dict[int, bool] = ending) -> None:
                if ending[flow.target]:
                    await self.resetter.tell(flow, self._clock())

            def end(flow: FlowView, ending: dict[int, bool] = ending) -> str | None:
                return "no-target" if flow.target in ending else None

            await end_flows(self._worker, end, farewell, ending)
