"""Low-latency queues (LLQ): Tx queues whose lines the driver writes into the card's memory, as it chooses them and as they are placed.

    GET: what the personality offers --> SET: one of each --> place: a share of device memory for each queue, until it is released

Shares are alike, as large as the deepest queue: placing never moves anything, and a queue that asks for more is refused for want of
memory, which makes drivers try a smaller one. Accelerators that were not offered may be set: drivers set all that they understand.
Source: ENA interface, LLQ; LLQ (device placement).
"""

from __future__ import annotations

from collections.abc import Mapping

from ena_dev.abi.admin import FeatureCommand, Status
from ena_dev.abi.features import FeatureId, Llq, LlqAccelerator, LlqEntry, LlqHeader, LlqStride
from ena_dev.device.control_buffer import Refused, illegal
from ena_dev.device.feature import Feature, payload
from ena_dev.device.interfaces import LineLayout
from ena_dev.device.personality import Personality

ENTRIES = {128: LlqEntry.BYTES_128, 256: LlqEntry.BYTES_256}
DESCRIPTORS_BEFORE_HEADER = 0b1111  # 1, 2, 4 or 8
DESCRIPTOR = 16  # bytes
OF_VERSION_0 = 24  # bytes of the record that the first version has


class LlqSetting:
    """The driver's choice since the reset, and the shares that are taken. What answers a command raises Refused."""

    def __init__(self, personality: Personality) -> None:
        self._limits, self._queues = personality.llq, personality.llqs
        self._chosen: Llq | None = None
        self._taken: set[int] = set()

    def reset(self) -> None:
        self._chosen = None
        self._taken.clear()

    def features(self) -> Mapping[FeatureId, Feature]:
        return {FeatureId.LLQ: Feature(get=self._get, set=self._set)}

    def place(self, depth: int) -> LineLayout:
        """A share for one more queue of `depth` lines."""
        chosen = self._chosen
        if chosen is None:
            raise illegal("a queue in device memory before LLQ was set")
        entry = next(size for size, code in ENTRIES.items() if code == chosen.entries_enabled)
        share = next((index for index in range(self._queues) if index not in self._taken), None)
        if share is None or depth * entry > self._limits.share:
            raise Refused(Status.RESOURCE_ALLOCATION_FAILURE, f"no device memory for {depth} lines of {entry} bytes")
        self._taken.add(share)
        accelerators = int(chosen.accelerators) & self._accelerators
        return LineLayout(
            offset=share * self._limits.share,
            entry=entry,
            before_header=chosen.descriptors_enabled,
            following=1 if chosen.strides_enabled == LlqStride.SINGLE else entry // DESCRIPTOR,
            cached_meta=not accelerators & LlqAccelerator.DISABLE_META_CACHING,
            max_burst=self._limits.max_tx_burst // entry if accelerators & LlqAccelerator.LIMIT_TX_BURST else 0,
        )

    def release(self, layout: LineLayout) -> None:
        """The queue of a share is gone."""
        self._taken.discard(layout.offset // self._limits.share)

    @property
    def _accelerators(self) -> int:
        """What the card asks of its driver."""
        caching = LlqAccelerator.DISABLE_META_CACHING if self._limits.disable_meta_caching else 0
        return int(caching) | (LlqAccelerator.LIMIT_TX_BURST if self._limits.max_tx_burst else 0)

    def _get(self, command: FeatureCommand) -> Llq:
        limits = self._limits
        offer = Llq(
            max_queues=self._queues,
            max_depth=limits.depth,
            headers_supported=LlqHeader.INLINE,
            entries_supported=sum(ENTRIES[size] for size in limits.entries),
            descriptors_supported=DESCRIPTORS_BEFORE_HEADER,
            strides_supported=LlqStride.SINGLE | LlqStride.MULTIPLE,
            version=Llq.VERSION,
            entry_recommended=ENTRIES[limits.recommended],
            max_wide_depth=limits.wide_depth,
            accelerators=self._accelerators,
            max_tx_burst=limits.max_tx_burst,
        )
        if command.feature_version < Llq.VERSION:
            return Llq.parse(bytes(offer)[:OF_VERSION_0].ljust(Llq.size(), b"\0"))
        return offer

    def _set(self, command: FeatureCommand) -> None:
        wanted = payload(command, Llq)
        choices = (
            ("header location", wanted.headers_enabled, LlqHeader.INLINE),
            ("entry size", wanted.entries_enabled, sum(ENTRIES[size] for size in self._limits.entries)),
            ("descriptors before the header", wanted.descriptors_enabled, DESCRIPTORS_BEFORE_HEADER),
            ("stride", wanted.strides_enabled, LlqStride.SINGLE | LlqStride.MULTIPLE),
        )
        for name, value, offered in choices:
            if value & (value - 1) or not value & offered:
                raise illegal(f"LLQ {name} {value:#x}")
        self._chosen = wanted
