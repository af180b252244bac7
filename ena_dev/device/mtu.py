"""The MTU as the driver sets it. Source: ENA interface, MTU."""

from __future__ import annotations

from collections.abc import Mapping

from ena_dev.abi.admin import FeatureCommand
from ena_dev.abi.features import FeatureId, Mtu
from ena_dev.device.control_buffer import illegal
from ena_dev.device.feature import Feature, payload
from ena_dev.device.interfaces import Engine
from ena_dev.device.personality import Personality

SMALLEST_MTU = 128


class MtuSetting:
    """Bytes without the Ethernet header; a reset brings the default back."""

    def __init__(self, personality: Personality, engine: Engine) -> None:
        self._personality, self._engine = personality, engine
        self.mtu = personality.default_mtu

    def reset(self) -> None:
        self._use(self._personality.default_mtu)

    def features(self) -> Mapping[FeatureId, Feature]:
        return {FeatureId.MTU: Feature(set=self._set)}

    def _set(self, command: FeatureCommand) -> None:
        mtu = int(payload(command, Mtu).mtu)
        if not SMALLEST_MTU <= mtu <= self._personality.max_mtu:
            raise illegal(f"an MTU of {mtu}")
        self._use(mtu)

    def _use(self, mtu: int) -> None:
        self.mtu = mtu
        self._engine.set_mtu(mtu)
