"""What the driver says of itself and of its host. Source: ENA interface, HOST_ATTR_CONFIG."""

from __future__ import annotations

from collections.abc import Mapping

from ena_dev.abi.admin import FeatureCommand
from ena_dev.abi.features import FeatureId, HostAttributes, HostInfo
from ena_dev.device.control_buffer import illegal
from ena_dev.device.feature import Feature, payload
from ena_dev.device.interfaces import Memory
from ena_dev.errors import BusError


class Host:
    """The host info page, copied when it is set; the debug area is left to the driver."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self.info: HostInfo | None = None

    def reset(self) -> None:
        self.info = None

    def features(self) -> Mapping[FeatureId, Feature]:
        return {FeatureId.HOST_ATTR_CONFIG: Feature(set=self._set)}

    def _set(self, command: FeatureCommand) -> None:
        address = payload(command, HostAttributes).host_info.value
        try:
            self.info = HostInfo.parse(self._memory.read(address, HostInfo.size())) if address else None
        except BusError as error:
            raise illegal(str(error)) from error
