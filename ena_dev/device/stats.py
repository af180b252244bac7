"""What the card counts since its last reset.

The engine's counters only grow; here they are read against where they stood at the reset.
Source: ENA interface, GET_STATS; Keep-alive.
"""

from __future__ import annotations

from dataclasses import fields

from ena_dev.abi.admin import BasicStatsResponse, GetStats, StatsType
from ena_dev.device.control_buffer import unsupported
from ena_dev.device.interfaces import BasicStats, Engine


class Stats:
    """Counters since the last reset."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._base = BasicStats()

    def reset(self) -> None:
        self._base = self._engine.statistics()

    def current(self) -> BasicStats:
        now, base = self._engine.statistics(), self._base
        return BasicStats(**{field.name: getattr(now, field.name) - getattr(base, field.name) for field in fields(BasicStats)})

    def execute(self, command: GetStats) -> BasicStatsResponse:
        """GET_STATS. Whatever scope is asked for, the whole card is meant. Raises Refused."""
        if command.stats_type != StatsType.BASIC:
            raise unsupported(f"statistics of type {command.stats_type}")
        current = self.current()
        return BasicStatsResponse(**{field.name: getattr(current, field.name) for field in fields(BasicStats)})
