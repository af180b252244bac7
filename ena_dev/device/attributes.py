"""The features whose answers never change: who the card is, its limits and its offloads.

Source: ENA interface, DEVICE_ATTRIBUTES; MAX_QUEUES_EXT; STATELESS_OFFLOAD_CONFIG; INTERRUPT_MODERATION.
"""

from __future__ import annotations

from collections.abc import Mapping

from ena_dev.abi.admin import FeatureCommand
from ena_dev.abi.features import DeviceAttributes, FeatureId, InterruptModeration, MaxQueuesExt, StatelessOffloads
from ena_dev.device.control_buffer import unsupported
from ena_dev.device.feature import Feature
from ena_dev.device.personality import Personality


class Attributes:
    """What a personality says of itself."""

    def __init__(self, personality: Personality) -> None:
        self._personality = personality

    def reset(self) -> None:
        """Nothing here can be set."""

    def features(self) -> Mapping[FeatureId, Feature]:
        return {
            FeatureId.DEVICE_ATTRIBUTES: Feature(get=self._get_attributes),
            FeatureId.MAX_QUEUES_EXT: Feature(get=self._get_max_queues),
            FeatureId.STATELESS_OFFLOAD_CONFIG: Feature(get=self._get_offloads),
            FeatureId.INTERRUPT_MODERATION: Feature(get=self._get_moderation),
        }

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
            flow_steering_max_entries=mine.flow_rules if mine.offers(FeatureId.FLOW_STEERING_CONFIG) else 0,
            max_mtu=mine.max_mtu,
        )

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
