"""What a feature is: a way to ask for it, a way to set it, or both. Groups of them stand in modules of their own.

Source: ENA interface, GET_FEATURE / SET_FEATURE.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from ena_dev.abi.admin import FeatureCommand
from ena_dev.abi.features import FeatureId
from ena_dev.abi.record import WireRecord

Payload = TypeVar("Payload", bound=WireRecord)


@dataclass(frozen=True, slots=True)
class Feature:
    """A direction that is None is refused as unsupported. Both raise Refused; what they return is the payload of the completion."""

    get: Callable[[FeatureCommand], WireRecord] | None = None
    set: Callable[[FeatureCommand], WireRecord | None] | None = None


class FeatureGroup(Protocol):
    """Features that share state."""

    def features(self) -> Mapping[FeatureId, Feature]: ...

    def reset(self) -> None:
        """Forget what a driver has set."""


def payload(command: FeatureCommand, record: type[Payload]) -> Payload:
    """The start of a SET payload, read as a record."""
    return record.parse(bytes(command.payload))
