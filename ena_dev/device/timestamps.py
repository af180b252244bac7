"""Time stamps in completions, by the card's own clock: the one that its PHC tells.

Completions that are large enough have a stamp always; a driver that wants stamps chooses them here, and makes its queues with such
completions. A stamp is when the engine took up the burst that the packet was sent or received in, so packets of one burst share it.
Source: ENA interface, HW_TIMESTAMP.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ena_dev.abi.admin import FeatureCommand
from ena_dev.abi.clocks import HwTimestamp, TimestampMode
from ena_dev.abi.features import FeatureId
from ena_dev.device.control_buffer import illegal, unsupported
from ena_dev.device.feature import Feature, payload
from ena_dev.device.host_clock import ClockReading
from ena_dev.device.interfaces import Engine


class Timestamps:
    """The choice of one card's driver, and the way from the engine's clock to `clock`."""

    def __init__(self, engine: Engine, clock: Callable[[], ClockReading]) -> None:
        self._engine, self._clock = engine, clock
        self.enabled = False

    def reset(self) -> None:
        self.enabled = False

    def features(self) -> Mapping[FeatureId, Feature]:
        return {FeatureId.HW_TIMESTAMP: Feature(get=self._get, set=self._set)}

    def refresh(self) -> None:
        """Follow the clock, which may be set while stamps are wanted. At least once a second."""
        if self.enabled:
            reading = self._clock()
            self._engine.set_clock_offset(reading.utc - reading.monotonic)

    def _get(self, command: FeatureCommand) -> HwTimestamp:
        if command.feature_version < HwTimestamp.VERSION:
            raise unsupported(f"time stamps of version {command.feature_version}")
        return HwTimestamp(version=HwTimestamp.VERSION, tx=TimestampMode.ALL, rx=TimestampMode.ALL)

    def _set(self, command: FeatureCommand) -> None:
        choice = payload(command, HwTimestamp)
        if choice.version > HwTimestamp.VERSION:  # 0 is every SET's version: whoever leaves it means the only one there is
            raise unsupported(f"time stamps of version {choice.version}")
        if max(choice.tx, choice.rx) > TimestampMode.ALL:
            raise illegal(f"time stamps of modes {choice.tx} and {choice.rx}")
        self.enabled = TimestampMode.ALL in (choice.tx, choice.rx)
        self.refresh()
