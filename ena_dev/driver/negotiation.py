"""What the operator wishes, what the card offers, and the capabilities that both agree on.

    Wishes (a file's words)  --+
                               +-- negotiate() --> Capabilities, immutable until the next bring-up
    Offers (GET_FEATURE)     --+

Source: ENA interface, Features; queue arithmetic: MAX_QUEUES_EXT.
"""

from __future__ import annotations

from dataclasses import dataclass

from ena_dev.abi.events import Group
from ena_dev.abi.features import (
    AenqConfig,
    Capability,
    DeviceAttributes,
    FeatureId,
    HwHints,
    InterruptModeration,
    LargeReceiveFlag,
    LargeReceiveOffer,
    MaxQueuesExt,
    RssHashFunction,
    RssIndirection,
    RxOffload,
    StatelessOffloads,
    TxOffload,
)
from ena_dev.driver.commands import Commands
from ena_dev.errors import DeviceError, UsageError
from ena_dev.packet.toeplitz import SYMMETRIC_KEY

MAX_PAIRS = 128
MAX_BUFFERS = 17  # of one packet, either way: what every driver accepts
SMALLEST_MTU = 128
TABLE_SIZE = 128  # indirection entries, where the card leaves the choice
GROUPS = (
    Group.LINK_CHANGE,
    Group.FATAL_ERROR,
    Group.WARNING,
    Group.NOTIFICATION,
    Group.KEEP_ALIVE,
    Group.CONF_NOTIFICATIONS,
    Group.DEVICE_REQUEST_RESET,
)
CHECKSUM_TX = TxOffload.IPV4_CHECKSUM | TxOffload.L4_IPV4_PARTIAL | TxOffload.L4_IPV6_PARTIAL
SEGMENTATION_TX = TxOffload.TSO_IPV4 | TxOffload.TSO_IPV6 | TxOffload.TSO_ECN
CHECKSUM_RX = RxOffload.IPV4_CHECKSUM | RxOffload.L4_IPV4 | RxOffload.L4_IPV6


@dataclass(frozen=True, slots=True)
class Wishes:
    """How a NIC should be. Numbers above what the card offers are lowered to it, except the MTU, which is refused."""

    queues: int = 1
    rx_depth: int = 256  # entries, powers of two; so few that large packets' buffers come round while a core's cache still has them
    tx_depth: int = 1024
    mtu: int = 1500  # bytes without the Ethernet header
    checksum: bool = True
    segmentation: bool = True
    large_receive: bool = True
    rss_key: bytes = SYMMETRIC_KEY  # in the order in which a standard Toeplitz hash uses it
    rx_usecs: int = 0  # interrupt delays, us
    tx_usecs: int = 64


@dataclass(frozen=True, slots=True)
class Offers:
    """What GET_FEATURE answered; None where the card lacks the feature."""

    attributes: DeviceAttributes
    queues: MaxQueuesExt
    groups: int
    offloads: StatelessOffloads
    hints: HwHints | None = None
    moderation: InterruptModeration | None = None
    indirection: RssIndirection | None = None
    hash_function: RssHashFunction | None = None
    large_receive: LargeReceiveOffer | None = None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What this driver and this card do together. Depths in entries, MTU in bytes, resolution in us."""

    mac: bytes
    features: int  # bit map by FeatureId
    extended_reasons: bool
    max_mtu: int
    mtu: int
    queues: int
    max_queues: int
    rx_depth: int
    max_rx_depth: int
    tx_depth: int
    max_tx_depth: int
    rx_buffers: int  # of one packet
    tx_buffers: int
    tx_offloads: TxOffload
    rx_offloads: RxOffload
    large_receive: bool
    groups: int  # AENQ groups to enable
    table_size: int  # entries of the RSS table; 0: no table
    hash_configurable: bool
    moderation_resolution: int  # 0: no moderation
    moderation: tuple[int, int]  # (Rx, Tx) delay in units of the resolution

    @property
    def shape(self) -> tuple[object, ...]:
        """What must not change across a reset: identity, and what the rings were made for."""
        return self.mac, self.queues, self.rx_depth, self.tx_depth, self.large_receive, self.table_size

    def watches(self, group: Group) -> bool:
        return bool(self.groups >> group & 1)


async def ask(commands: Commands) -> Offers:
    """Ask for everything this driver can use. Raises AdminError for what it can't do without, DeviceError for nonsense."""
    attributes = await commands.get(FeatureId.DEVICE_ATTRIBUTES, DeviceAttributes)
    offered = attributes.supported_features
    queues = await commands.get(FeatureId.MAX_QUEUES_EXT, MaxQueuesExt, version=1)
    if queues.version != MaxQueuesExt.VERSION:
        raise DeviceError(f"queue limits of version {queues.version}, not {MaxQueuesExt.VERSION}")
    return Offers(
        attributes=attributes,
        queues=queues,
        groups=(await commands.get(FeatureId.AENQ_CONFIG, AenqConfig)).supported_groups,
        offloads=await commands.get(FeatureId.STATELESS_OFFLOAD_CONFIG, StatelessOffloads),
        hints=await commands.get_if_offered(FeatureId.HW_HINTS, HwHints, offered),
        moderation=await commands.get_if_offered(FeatureId.INTERRUPT_MODERATION, InterruptModeration, offered),
        indirection=await commands.get_if_offered(FeatureId.RSS_INDIRECTION_TABLE_CONFIG, RssIndirection, offered, version=1),
        hash_function=await commands.get_if_offered(FeatureId.RSS_HASH_FUNCTION, RssHashFunction, offered),
        large_receive=await commands.get_if_offered(FeatureId.LARGE_RECEIVE, LargeReceiveOffer, offered),
    )


def negotiate(wishes: Wishes, offers: Offers, *, vectors: int) -> Capabilities:
    """Wishes and offers, intersected. `vectors`: interrupt vectors at hand, the management one included.

    Raises UsageError for an MTU the card can't have, DeviceError if it offers no usable queue.
    """
    attributes, limits, large = offers.attributes, offers.queues, offers.large_receive
    max_queues = min(limits.max_rx_sq, limits.max_rx_cq, limits.max_tx_sq, limits.max_tx_cq, MAX_PAIRS, vectors - 1)
    max_rx, max_tx = (
        _power_of_two(min(limits.max_rx_sq_depth, limits.max_rx_cq_depth)),
        _power_of_two(min(limits.max_tx_sq_depth, limits.max_tx_cq_depth)),
    )
    if max_queues < 1 or max_rx < 2 or max_tx < 2:
        raise DeviceError(f"the card offers no usable queue pair: {max_queues} pairs of {max_rx} and {max_tx} entries")
    if not SMALLEST_MTU <= wishes.mtu <= attributes.max_mtu:
        raise UsageError(f"MTU {wishes.mtu} is outside {SMALLEST_MTU} to {attributes.max_mtu}")
    resolution = max(offers.moderation.resolution, 1) if offers.moderation else 0
    return Capabilities(
        mac=bytes(attributes.mac),
        features=attributes.supported_features,
        extended_reasons=bool(attributes.capabilities & Capability.EXTENDED_RESET_REASONS),
        max_mtu=attributes.max_mtu,
        mtu=wishes.mtu,
        queues=min(wishes.queues, max_queues),
        max_queues=max_queues,
        rx_depth=min(_power_of_two(wishes.rx_depth), max_rx),
        max_rx_depth=max_rx,
        tx_depth=min(_power_of_two(wishes.tx_depth), max_tx),
        max_tx_depth=max_tx,
        rx_buffers=min(MAX_BUFFERS, limits.max_per_packet_rx_descriptors),
        tx_buffers=min(MAX_BUFFERS, limits.max_per_packet_tx_descriptors),
        tx_offloads=_tx_offloads(wishes, offers.offloads),
        rx_offloads=RxOffload(offers.offloads.rx_supported) & (RxOffload.HASH | (CHECKSUM_RX if wishes.checksum else RxOffload(0))),
        large_receive=bool(wishes.large_receive and large and large.supported_flags & LargeReceiveFlag.SEGMENT_SIZE),
        groups=offers.groups & sum(1 << group for group in GROUPS),
        table_size=_table_size(offers.indirection),
        hash_configurable=offers.hash_function is not None,
        moderation_resolution=resolution,
        moderation=_delays(wishes, resolution),
    )


def _power_of_two(number: int) -> int:
    """The largest power of two that is not above `number`; 0 for 0."""
    return 1 << number.bit_length() - 1 if number else 0


def _tx_offloads(wishes: Wishes, offered: StatelessOffloads) -> TxOffload:
    wanted = CHECKSUM_TX if wishes.checksum or wishes.segmentation else TxOffload(0)
    if wishes.segmentation:
        wanted |= SEGMENTATION_TX
    return TxOffload(offered.tx) & wanted


def _table_size(offered: RssIndirection | None) -> int:
    """128 entries if the card allows, else its largest table."""
    if offered is None or offered.max_size_log > 16:
        return 0
    return TABLE_SIZE if offered.min_size_log <= 7 <= offered.max_size_log else 1 << offered.max_size_log


def _delays(wishes: Wishes, resolution: int) -> tuple[int, int]:
    """Delays of the unmask register: 15 bits each."""
    if not resolution:
        return 0, 0
    return min(wishes.rx_usecs // resolution, 0x7FFF), min(wishes.tx_usecs // resolution, 0x7FFF)
