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
LARGEST_DEPTH_LIMIT = 1 << 15
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
ON_STRANGERS_REQUEST = frozenset({FeatureId.LLQ, FeatureId.PHC_CONFIG, FeatureId.FLOW_STEERING_CONFIG, FeatureId.HW_TIMESTAMP})
STRANGERS_FEATURES = STANDARD_FEATURES - {FeatureId.RSS_HASH_INPUT} | ON_STRANGERS_REQUEST
"""For drivers that aren't ours: as real cards. Linux complains of a hash input that is there but can't be chosen."""
EVENT_GROUPS = frozenset({Group.LINK_CHANGE, Group.NOTIFICATION, Group.KEEP_ALIVE, Group.CONF_NOTIFICATIONS, Group.DEVICE_REQUEST_RESET})
VERSION = Version.of(minor=10)
CONTROLLER_VERSION = ControllerVersion.of(subminor=1, implementation=1)
CAPS = Caps.of(contiguous_queue_required=1, reset_timeout=31, dma_addr_width=48)  # 3.1 s; admin timeout the driver's
CAPABILITIES = Capability.ENI_STATS | Capability.CUSTOMER_METRICS | Capability.EXTENDED_RESET_REASONS | Capability.CDESC_MBZ
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


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise UsageError(f"personality: {what}")


def _is_depth(depth: int) -> bool:
    return SMALLEST_DEPTH_LIMIT <= depth <= LARGEST_DEPTH_LIMIT and depth & (depth - 1) == 0


@dataclass(frozen=True, slots=True)
class LlqLimits:
    """Tx queues that the driver writes into the card's memory, a line for the start of each packet; offered with the feature LLQ.

    Raises UsageError as `Personality` does. Source: ENA interface, LLQ.
    """

    queues: int = MAX_QUEUE_PAIRS  # at most; never more than the card has
    depth: int = 1024  # lines of 128 bytes a queue
    wide_depth: int = 0  # lines of 256 bytes; 0: half as many
    entries: frozenset[int] = frozenset({128, 256})  # bytes of a line
    recommended: int = 128  # of them
    disable_meta_caching: bool = False  # wanted: each packet brings its meta descriptor
    max_tx_burst: int = 0  # bytes of lines between two doorbells; 0: any

    def __post_init__(self) -> None:
        _require(1 <= self.queues <= MAX_QUEUE_PAIRS, f"LLQs must be 1..{MAX_QUEUE_PAIRS}")
        _require(bool(self.entries) and self.entries <= {128, 256}, "LLQ entries must be of 128 or 256 bytes")
        _require(self.recommended in self.entries, "the recommended LLQ entry must be offered")
        depths = [self.depth, *[self.wide] * (256 in self.entries)]
        _require(all(map(_is_depth, depths)), f"LLQ depths must be powers of two from {SMALLEST_DEPTH_LIMIT}, also of wide entries")
        _require(self.max_tx_burst == 0 or 0x2000 <= self.max_tx_burst <= 0xFFFF, "an LLQ burst must have room for the lines of a packet")

    @property
    def wide(self) -> int:
        """Lines of 256 bytes a queue."""
        return self.wide_depth or self.depth // 2

    @property
    def share(self) -> int:
        """Bytes of device memory for one queue."""
        return max([self.depth * 128, *[self.wide * 256] * (256 in self.entries)])


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
    capabilities: Capability = CAPABILITIES
    aenq_groups: frozenset[Group] = EVENT_GROUPS
    hints: Hints = field(default_factory=Hints)
    moderation_resolution: int = 1  # microseconds a delay unit
    rss_table_log: int = 7
    flow_rules: int = 128  # counts with the feature
    llq: LlqLimits = field(default_factory=LlqLimits)  # counts with the feature
    large_receive: bool = False
    version: Version = VERSION
    controller_version: ControllerVersion = CONTROLLER_VERSION
    caps: Caps = CAPS

    def __post_init__(self) -> None:
        _require(len(self.mac) == 6 and not self.mac[0] & 1 and any(self.mac), "mac must be 6 bytes of a unicast address")
        _require(1 <= self.max_queues <= MAX_QUEUE_PAIRS, f"max_queues must be 1..{MAX_QUEUE_PAIRS}")
        for depth in (self.tx_depth, self.rx_depth):
            _require(_is_depth(depth), f"depths must be powers of two from {SMALLEST_DEPTH_LIMIT} to {LARGEST_DEPTH_LIMIT}")
        _require(128 <= self.default_mtu <= self.max_mtu <= 0xFFFF, "mtu must be 128 <= default_mtu <= max_mtu <= 65535")
        _require(0 <= self.rss_table_log <= 16, "rss_table_log must be 0..16")
        _require(0 < self.flow_rules <= 128, "flow_rules must be 1..128")
        _require(self.caps.reset_timeout > 0, "caps must name a reset timeout")
        _require(1 <= self.moderation_resolution <= 0xFFFF, "moderation_resolution must be 1..65535")

    @property
    def supported_features(self) -> int:
        """The bit map of DEVICE_ATTRIBUTES."""
        vendor = FeatureId.LARGE_RECEIVE.mask if self.large_receive else 0
        return sum(feature.mask for feature in self.features) | vendor

    @property
    def llqs(self) -> int:
        """Tx queues in device memory that may exist."""
        return min(self.llq.queues, self.max_queues) if self.offers(FeatureId.LLQ) else 0

    @property
    def device_memory(self) -> int:
        """Bytes that the driver may write LLQs into: none, or a power of two."""
        return 1 << (self.llqs * self.llq.share - 1).bit_length() if self.llqs else 0

    @property
    def supported_groups(self) -> int:
        """The bit map of AENQ_CONFIG."""
        return sum(group.mask for group in self.aenq_groups)

    def offers(self, feature: int) -> bool:
        """Whether GET or SET of a feature has any meaning. Attributes and host attributes are sent before a driver knows the map."""
        always = (FeatureId.DEVICE_ATTRIBUTES, FeatureId.HOST_ATTR_CONFIG)
        return feature in always or (0 <= feature < 32 and bool(self.supported_features >> feature & 1))
