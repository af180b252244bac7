"""Timeouts that the card proposes to its driver. Source: ENA interface, HW_HINTS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from ena_dev.abi.admin import FeatureCommand
from ena_dev.abi.features import FeatureId, HwHints
from ena_dev.device.feature import Feature
from ena_dev.device.personality import Hints


class HintsOffer:
    """The hints as they stand. They are the operator's: a reset keeps them."""

    def __init__(self, hints: Hints) -> None:
        self.hints = hints

    def reset(self) -> None:
        """A driver can't set them."""

    def features(self) -> Mapping[FeatureId, Feature]:
        return {FeatureId.HW_HINTS: Feature(get=self._get)}

    def record(self) -> HwHints:
        return HwHints(**asdict(self.hints))

    def _get(self, command: FeatureCommand) -> HwHints:
        return self.record()
