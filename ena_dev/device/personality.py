"""What one card can do, as data: the answers of every register and feature that never change while it runs.

Source: ENA interface, Recommended device profile.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ena_dev.abi.events import Group
from ena_dev.abi.features import Capability, FeatureId, RxOffload, TxOffload
from ena_dev.abi.registers import Caps, ControllerVersion, Version
from ena_dev.errors import UsageError

MAX_QUEUE_PAIRS = 128
SMALLEST_DEPTH_LIMIT = 256  # below it, common drivers refuse the card
LARGE_PACKET = 65550  # bytes of the largest received packet, with its Ethernet header

STANDARD_FEATURES = frozenset(
    {
        FeatureId.HW_HINTS,
        FeatureId.MAX_QUEUES_EXT,
        FeatureId.RSS_HASH_FUNCTION,
        FeatureId.STATELESS_OFFLOAD_CONFIG,
        FeatureId.RSS_INDIRECTION_TABLE_CONFIG,
        FeatureId.MTU,
        FeatureId.RSS_HASH_INPUT,
        FeatureId.INTERRUPT_MODERATION,
        FeatureId.AENQ_CONFIG,
        FeatureId.HOST_ATTR_CONFIG,
    }
)
STRANGERS_FEATURES = STANDARD_FEATURES - {FeatureId.RSS_HASH_INPUT}
"""For drivers that aren't ours: as real cards. Linux complains of a hash input that is there but can't be chosen."""
VERSION = Version.of(minor=10)
CONTROLLER_VERSION = ControllerVersion.of(subminor=1, implementation=1)
CAPS = Caps.of(contiguous_queue_required=1, reset_timeout=31, dma_addr_width=48)  # 3.1 s; admin timeout the driver's
ALL_TX_OFFLOADS = TxOffload(0xFF)
ALL_RX_OFFLOADS = RxOffload(0x0F)


@dataclass(frozen=True, slots=True)
class Hints:
    """Timeouts the card proposes to its driver, in ms; 0 keeps the driver's own. Source: ENA interface, HW_HINTS."""

    mmio_read_timeout: int = 0
    driver_watchdog_timeout: int = 0
    missing_tx_completion_timeout: int = 0
    missed_tx_completion_count_threshold: int = 0  # packets
    admin_completion_timeout: int = 0
    netdev_watchdog_timeout: int = 0


@dataclass(frozen=True, slots=True)
class Personality:
    """A card's identity, sizes and abilities. Raises UsageError when made with values no driver would accept."""

    mac: bytes
    max_queues: int = 8  # pairs
    tx_depth: int = 1024  # largest, entries
    rx_depth: int = 1024
    max_tx_buffers: int = 19  # of a packet, without its meta descriptor
    max_rx_buffers: int = 17
    max_tx_header: int = 128  # bytes
    max_mtu: int = 9216
    default_mtu: int = 1500  # after a reset
    tx_offloads: TxOffload = ALL_TX_OFFLOADS
    rx_offloads: RxOffload = ALL_RX_OFFLOADS
    features: frozenset[FeatureId] = STANDARD_FEATURES
    capabilities: Capability = Capability.EXTENDED_RESET_REASONS | Capability.CDESC_MBZ
    aenq_groups: frozenset[Group] = frozenset({Group.LINK_CHANGE, Group.KEEP_ALIVE})
    hints: Hints = field(default_factory=Hints)
    moderation_resolution: int = 1  # microseconds a delay unit
    rss_table_log: int = 7
    large_receive: bool = False
    version: Version = VERSION
    controller_version: ControllerVersion = CONTROLLER_VERSION
    caps: Caps = CAPS

    def __post_init__(self) -> None:
        def require(holds: bool, what: str) -> None:
            if not holds:
                raise UsageError(f"personality: {what}")

        require(len(self.mac) == 6 and not self.mac[0] & 1 and any(self.mac), "mac must be 6 bytes of a unicast address")
        require(1 <= self.max_queues <= MAX_QUEUE_PAIRS, f"max_queues must be 1..{MAX_QUEUE_PAIRS}")
        for depth in (self.tx_depth, self.rx_depth):
            require(
                SMALLEST_DEPTH_LIMIT <= depth <= 1 << 15 and depth & (depth - 1) == 0,
                f"depths must be powers of two from {SMALLEST_DEPTH_LIMIT} to {1 << 15}",
            )
        require(128 <= self.default_mtu <= self.max_mtu <= 0xFFFF, "mtu must be 128 <= default_mtu <= max_mtu <= 65535")
        require(0 <= self.rss_table_log <= 16, "rss_table_log must be 0..16")
        require(self.caps.reset_timeout > 0, "caps must name a reset timeout")
        require(1 <= self.moderation_resolution <= 0xFFFF, "moderation_resolution must be 1..65535")

    @property
    def supported_features(self) -> int:
        """The bit map of DEVICE_ATTRIBUTES."""
        vendor = FeatureId.LARGE_RECEIVE.mask if self.large_receive else 0
        return sum(feature.mask for feature in self.features) | vendor

    @property
    def supported_groups(self) -> int:
        """The bit map of AENQ_CONFIG."""
        return sum(group.mask for group in self.aenq_groups)

    def offers(self, feature: int) -> bool:
        """Whether GET or SET of a feature has any meaning. Attributes and host attributes are sent before a driver knows the map."""
        always = (FeatureId.DEVICE_ATTRIBUTES, FeatureId.HOST_ATTR_CONFIG)
        return feature in always or (0 <= feature < 32 and bool(self.supported_features >> feature & 1))
