"""The vendor feature of packets larger than the MTU; see `ena_dev.abi.features`."""

from __future__ import annotations

from collections.abc import Mapping

from ena_dev.abi.admin import FeatureCommand
from ena_dev.abi.features import FeatureId, LargeReceiveChoice, LargeReceiveFlag, LargeReceiveOffer
from ena_dev.device.control_buffer import illegal
from ena_dev.device.feature import Feature, payload
from ena_dev.device.personality import LARGE_PACKET
from ena_dev.device.queues import Queues


class LargeReceive:
    """Offered, and chosen. The choice is kept with the queues, whose completions must have room for it."""

    def __init__(self, queues: Queues) -> None:
        self._queues = queues

    def reset(self) -> None:
        """The queues forget it."""

    def features(self) -> Mapping[FeatureId, Feature]:
        return {FeatureId.LARGE_RECEIVE: Feature(get=self._get, set=self._set)}

    def _get(self, command: FeatureCommand) -> LargeReceiveOffer:
        return LargeReceiveOffer(supported_flags=LargeReceiveFlag.SEGMENT_SIZE, max_packet=LARGE_PACKET)

    def _set(self, command: FeatureCommand) -> None:
        flags = int(payload(command, LargeReceiveChoice).enabled_flags)
        if flags & ~int(LargeReceiveFlag.SEGMENT_SIZE):  # the complement of a flag knows only defined bits
            raise illegal(f"large receive flags {flags:#x}")
        self._queues.set_large_receive(bool(flags))
