"""Passive checks of balancer targets: how new connections went, as the fast path has counted it, and who is ejected for that.

The core (`appliance.balancer.outliers`) decides what the counters mean. This shell reads them, once a second, and a target's at once when
another connection to it has failed: a client that is fast has lost few more by then. It heeds what must not happen to a service: more of
its targets (of one IP version) ejected than `max-ejected`, or nobody left who takes flows.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog

from appliance.balancer.lifecycle import TargetState
from appliance.balancer.outliers import Limits, Opened, Record, may_eject
from appliance.config.models import Service, Target
from appliance.flow.program import Worker
from appliance.runtime.targets import Key, Targets

log = structlog.get_logger("targets")

LOOK: Final = 1.0
"""Seconds between looks at all targets."""
GLANCES: Final = 20, 1000
"""In so many parts of it, those are looked at who have failed again; in fewer, if that were more looks at one target than so many."""


class Ejections:
    """`number`: the number that a target's flows carry, 0 for none."""

    def __init__(self, worker: Worker, targets: Targets, number: Callable[[str, str], int], clock: Callable[[], float]) -> None:
        self._worker, self._targets, self._number, self._clock = worker, targets, number, clock
        self._services: Mapping[str, Service] = {}
        self._records: dict[Key, Record] = {}

    def configure(self, services: Mapping[str, Service]) -> None:
        """Watch the targets of these, those with `passive`, from here on. Whoever is ejected and is not watched any more is back."""
        self._services = {name: service for name, service in services.items() if service.passive is not None}
        keys = [(service.name, target.name) for service in self._services.values() for target in service.targets]
        for key in self._records.keys() - set(keys):
            self._targets.readmit(*key)
        self._records = {key: self._records.get(key) or Record() for key in keys}

    async def run(self) -> None:
        """Look at the counters until cancelled."""
        while True:
            self._look(self._clock())
            often, most = GLANCES
            parts = max(1, min(often, most // len(self._records))) if self._records else 1
            for part in range(parts):
                if part:
                    self._look(self._clock(), failing=True)
                await asyncio.sleep(LOOK / parts)

    def shown(self, service: str, target: str) -> dict[str, Any]:
        """How a target's new connections went, and until when and why it is ejected, for `status`."""
        record = self._records.get((service, target))
        ejected = None
        if record is not None and record.until is not None:
            ejected = {"until": time.time() + record.until - self._clock(), "why": record.why, "times": record.times}
        return {"opened": self._opened((service, target))._asdict(), "ejected": ejected}

    def _opened(self, key: Key) -> Opened:
        number = self._number(*key)
        return Opened(*self._worker.target_outcomes(number)) if number else Opened(0, 0, 0)

    def _look(self, now: float, failing: bool = False) -> None:
        """Judge all targets, or those alone that have failed since they were judged."""
        for service in self._services.values():
            for version in (4, 6):
                group = [target for target in service.targets if target.address.version == version]
                for target in group:
                    if not failing or self._has_failed((service.name, target.name)):
                        self._look_at(service, target, group, now)

    def _has_failed(self, key: Key) -> bool:
        return self._opened(key).failed != self._records[key].failed

    def _look_at(self, service: Service, target: Target, group: list[Target], now: float) -> None:
        key, passive = (service.name, target.name), service.passive
        record, state = self._records[key], self._targets.life(*key).state
        if state is TargetState.EJECTED and record.until is not None and now < record.until:
            return
        if record.until is not None:
            record.back(now)
            self._targets.readmit(*key)
        if passive is None or not self._targets.take_flows(*key):
            return
        limits = Limits(passive.failures, passive.within, passive.eject_for)
        why = record.judge(now, self._opened(key), limits)
        if why and self._dispensable(service, target, group, passive.max_ejected):
            record.eject(now, why, limits)
            log.warning("a target is ejected", service=service.name, target=target.name, why=why, times=record.times)
            self._targets.eject(*key)

    def _dispensable(self, service: Service, target: Target, group: list[Target], most: float) -> bool:
        states = [self._targets.life(service.name, each.name).state for each in group]
        others = any(self._targets.take_flows(service.name, each.name) for each in group if each is not target)
        return others and may_eject(states.count(TargetState.EJECTED), len(group), most)
