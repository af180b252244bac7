"""GET_FEATURE and SET_FEATURE: one handler per feature and direction.

A feature that the card's personality does not offer, or has no such direction, is refused as unsupported: the one status that every
driver tolerates.
Source: ENA interface, Features.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TypeVar

from ena_dev.abi.admin import FeatureCommand, RawCompletion
from ena_dev.abi.features import (
    AenqConfig,
    DeviceAttributes,
    FeatureId,
    HostAttributes,
    HostInfo,
    HwHints,
    InterruptModeration,
    LargeReceiveChoice,
    LargeReceiveFlag,
    LargeReceiveOffer,
    MaxQueuesExt,
    Mtu,
    RssHashFunction,
    RssIndirection,
    StatelessOffloads,
)
from ena_dev.abi.record import WireRecord
from ena_dev.device.aenq import Aenq
from ena_dev.device.control_buffer import illegal, unsupported
from ena_dev.device.interfaces import Engine, Memory
from ena_dev.device.personality import LARGE_PACKET, Personality
from ena_dev.device.queues import Queues
from ena_dev.device.rss import Rss
from ena_dev.errors import BusError

SMALLEST_MTU = 128

Payload = TypeVar("Payload", bound=WireRecord)
Getter = Callable[[FeatureCommand], WireRecord]
Setter = Callable[[FeatureCommand], None]


class Features:
    """The features of one card. `get` and `set` raise Refused."""

    def __init__(self, personality: Personality, memory: Memory, engine: Engine, queues: Queues, rss: Rss, aenq: Aenq) -> None:
        self._personality, self._memory, self._engine = personality, memory, engine
        self._queues, self._rss, self._aenq = queues, rss, aenq
        self.mtu = personality.default_mtu
        self.host_info: HostInfo | None = None
        self._getters: dict[int, Getter] = {
            FeatureId.DEVICE_ATTRIBUTES: self._get_attributes,
            FeatureId.HW_HINTS: self._get_hints,
            FeatureId.MAX_QUEUES_EXT: self._get_max_queues,
            FeatureId.RSS_HASH_FUNCTION: lambda command: self._rss.get_function(command.buffer),
            FeatureId.STATELESS_OFFLOAD_CONFIG: self._get_offloads,
            FeatureId.RSS_INDIRECTION_TABLE_CONFIG: lambda command: self._rss.get_table(command.buffer),
            FeatureId.RSS_HASH_INPUT: lambda command: self._rss.get_input(command.buffer),
            FeatureId.INTERRUPT_MODERATION: self._get_moderation,
            FeatureId.LARGE_RECEIVE: self._get_large_receive,
            FeatureId.AENQ_CONFIG: self._get_aenq,
        }
        self._setters: dict[int, Setter] = {
            FeatureId.RSS_HASH_FUNCTION: lambda command: self._rss.set_function(_payload(command, RssHashFunction), command.buffer),
            FeatureId.RSS_INDIRECTION_TABLE_CONFIG: lambda command: self._rss.set_table(_payload(command, RssIndirection), command.buffer),
            FeatureId.MTU: self._set_mtu,
            FeatureId.RSS_HASH_INPUT: lambda command: self._rss.set_input(command.buffer),
            FeatureId.LARGE_RECEIVE: self._set_large_receive,
            FeatureId.AENQ_CONFIG: self._set_aenq,
            FeatureId.HOST_ATTR_CONFIG: self._set_host_attributes,
        }

    def reset(self) -> None:
        self.host_info = None
        self._use_mtu(self._personality.default_mtu)

    def get(self, command: FeatureCommand) -> RawCompletion:
        getter = self._getters.get(command.feature_id)
        if getter is None or not self._personality.offers(command.feature_id):
            raise unsupported(f"get of feature {command.feature_id}")
        return RawCompletion(payload=(*bytes(getter(command)),))

    def set(self, command: FeatureCommand) -> RawCompletion:
        setter = self._setters.get(command.feature_id)
        if setter is None or not self._personality.offers(command.feature_id):
            raise unsupported(f"set of feature {command.feature_id}")
        setter(command)
        return RawCompletion()

    def _get_attributes(self, command: FeatureCommand) -> DeviceAttributes:
        mine = self._personality
        width = mine.caps.dma_addr_width
        return DeviceAttributes(
            impl_id=mine.controller_version.implementation,
            device_version=mine.version,
            supported_features=mine.supported_features,
            capabilities=mine.capabilities,
            phys_addr_width=width,
            virt_addr_width=width,
            mac=(*mine.mac,),
            max_mtu=mine.max_mtu,
        )

    def _get_hints(self, command: FeatureCommand) -> HwHints:
        return HwHints(**asdict(self._personality.hints))

    def _get_max_queues(self, command: FeatureCommand) -> MaxQueuesExt:
        if command.feature_version < MaxQueuesExt.VERSION:
            raise unsupported(f"queue limits in version {command.feature_version}")
        mine = self._personality
        return MaxQueuesExt(
            version=MaxQueuesExt.VERSION,
            max_tx_sq=mine.max_queues,
            max_tx_cq=mine.max_queues,
            max_rx_sq=mine.max_queues,
            max_rx_cq=mine.max_queues,
            max_tx_sq_depth=mine.tx_depth,
            max_tx_cq_depth=mine.tx_depth,
            max_rx_sq_depth=mine.rx_depth,
            max_rx_cq_depth=mine.rx_depth,
            max_tx_header_size=mine.max_tx_header,
            max_per_packet_tx_descriptors=mine.max_tx_buffers,
            max_per_packet_rx_descriptors=mine.max_rx_buffers,
        )

    def _get_offloads(self, command: FeatureCommand) -> StatelessOffloads:
        return StatelessOffloads(tx=self._personality.tx_offloads, rx_supported=self._personality.rx_offloads)

    def _get_moderation(self, command: FeatureCommand) -> InterruptModeration:
        return InterruptModeration(resolution=self._personality.moderation_resolution)

    def _get_large_receive(self, command: FeatureCommand) -> LargeReceiveOffer:
        return LargeReceiveOffer(supported_flags=LargeReceiveFlag.SEGMENT_SIZE, max_packet=LARGE_PACKET)

    def _set_large_receive(self, command: FeatureCommand) -> None:
        flags = int(_payload(command, LargeReceiveChoice).enabled_flags)
        if flags & ~int(LargeReceiveFlag.SEGMENT_SIZE):  # the complement of a flag knows only defined bits
            raise illegal(f"large receive flags {flags:#x}")
        self._queues.set_large_receive(bool(flags))

    def _get_aenq(self, command: FeatureCommand) -> AenqConfig:
        return AenqConfig(supported_groups=self._personality.supported_groups, enabled_groups=self._aenq.enabled_groups)

    def _set_aenq(self, command: FeatureCommand) -> None:
        groups = int(_payload(command, AenqConfig).enabled_groups)
        if groups & ~self._personality.supported_groups:
            raise illegal(f"event groups {groups:#x}")
        self._aenq.enable(groups)

    def _set_mtu(self, command: FeatureCommand) -> None:
        mtu = int(_payload(command, Mtu).mtu)
        if not SMALLEST_MTU <= mtu <= self._personality.max_mtu:
            raise illegal(f"an MTU of {mtu}")
        self._use_mtu(mtu)

    def _use_mtu(self, mtu: int) -> None:
        self.mtu = mtu
        self._engine.set_mtu(mtu)

    def _set_host_attributes(self, command: FeatureCommand) -> None:
        """The host info page is copied now; the debug area is left to the driver."""
        address = _payload(command, HostAttributes).host_info.value
        try:
            self.host_info = HostInfo.parse(self._memory.read(address, HostInfo.size())) if address else None
        except BusError as error:
            raise illegal(str(error)) from error


def _payload(command: FeatureCommand, record: type[Payload]) -> Payload:
    """The start of a SET payload, read as a record."""
    return record.parse(bytes(command.payload))
