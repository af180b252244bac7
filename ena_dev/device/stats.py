"""GET_STATS: what the card counts.

Basic counters count since the last reset: the engine's only grow, here they are read against where they stood at the reset. What
exceeded an allowance goes on across resets. Extended statistics have no contents in the contract, and those of ENA Express would claim
a network that this card isn't on: both are refused as unsupported.
Source: ENA interface, GET_STATS; Keep-alive.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import asdict, astuple, fields

from ena_dev.abi.admin import (
    AdminCompletion,
    BasicStatsResponse,
    CustomerMetric,
    CustomerMetricsResponse,
    EniStatsResponse,
    GetStats,
    StatsType,
)
from ena_dev.abi.features import Capability
from ena_dev.device.control_buffer import unsupported, write_buffer
from ena_dev.device.interfaces import BasicStats, Engine, Memory
from ena_dev.device.personality import Personality

METRICS = sum(CustomerMetric)  # all of them, always: drivers count on the map they were told first
ENI = tuple(name for name, *_ in EniStatsResponse._fields_ if not name.startswith("_"))


class Stats:
    """The counters of one card."""

    def __init__(self, personality: Personality, memory: Memory, engine: Engine) -> None:
        self._memory, self._engine = memory, engine
        self._base = BasicStats()
        self._kinds: dict[int, Callable[[GetStats], AdminCompletion]] = {StatsType.BASIC: self._basic}
        if personality.capabilities & Capability.ENI_STATS:
            self._kinds[StatsType.ENI] = self._eni
        if personality.capabilities & Capability.CUSTOMER_METRICS:
            self._kinds[StatsType.CUSTOMER_METRICS] = self._customer_metrics

    def reset(self) -> None:
        self._base = self._engine.statistics()

    def current(self) -> BasicStats:
        """The basic counters since the last reset."""
        now, base = self._engine.statistics(), self._base
        return BasicStats(**{field.name: getattr(now, field.name) - getattr(base, field.name) for field in fields(BasicStats)})

    def execute(self, command: GetStats) -> AdminCompletion:
        """GET_STATS. Whatever scope is asked for, the whole card is meant. Raises Refused."""
        answer = self._kinds.get(command.stats_type)
        if answer is None:
            raise unsupported(f"statistics of type {command.stats_type}")
        return answer(command)

    def _basic(self, command: GetStats) -> BasicStatsResponse:
        return BasicStatsResponse(**asdict(self.current()))

    def _eni(self, command: GetStats) -> EniStatsResponse:
        counted = asdict(self._engine.shaper.statistics())
        return EniStatsResponse(**{name: counted[name] for name in ENI})

    def _customer_metrics(self, command: GetStats) -> CustomerMetricsResponse:
        """The map, and the values where there is a buffer: a driver that only asks for the map gives none. No flag tells of it."""
        if command.buffer.length:
            values = astuple(self._engine.shaper.statistics())
            write_buffer(self._memory, command.buffer, struct.pack(f"<{len(values)}Q", *values))
        return CustomerMetricsResponse(reported_metrics=METRICS)
