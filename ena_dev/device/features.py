"""GET_FEATURE and SET_FEATURE: each handed to the feature it names.

A feature that the card's personality does not offer, or has no such direction, is refused as unsupported: the one status that every
driver tolerates.
Source: ENA interface, Features.
"""

from __future__ import annotations

from collections.abc import Iterable

from ena_dev.abi.admin import FeatureCommand, RawCompletion
from ena_dev.device.control_buffer import unsupported
from ena_dev.device.feature import Feature, FeatureGroup
from ena_dev.device.personality import Personality

NOTHING = Feature()


class Features:
    """The features of one card. `get` and `set` raise Refused."""

    def __init__(self, personality: Personality, groups: Iterable[FeatureGroup]) -> None:
        self._personality = personality
        self._features: dict[int, Feature] = {number: feature for group in groups for number, feature in group.features().items()}

    def get(self, command: FeatureCommand) -> RawCompletion:
        getter = self._find(command).get
        if getter is None:
            raise unsupported(f"get of feature {command.feature_id}")
        return RawCompletion(payload=(*bytes(getter(command)),))

    def set(self, command: FeatureCommand) -> RawCompletion:
        setter = self._find(command).set
        if setter is None:
            raise unsupported(f"set of feature {command.feature_id}")
        answer = setter(command)
        return RawCompletion() if answer is None else RawCompletion(payload=(*bytes(answer),))

    def _find(self, command: FeatureCommand) -> Feature:
        return self._features.get(command.feature_id, NOTHING) if self._personality.offers(command.feature_id) else NOTHING
