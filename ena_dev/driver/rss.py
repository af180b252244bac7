"""Receive side scaling: the hash key and the table that spreads hashes over queues.

Source: ENA interface, RSS. The card uses the key's last byte first, so the control buffer holds it reversed; the table names the
card's own Rx SQ indices, not queue numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ena_dev.abi.features import (
    NO_INLINE_ENTRY,
    RSS_KEY_SIZE,
    FeatureId,
    HashFunction,
    RssHashFunction,
    RssIndirection,
    RssIndirectionEntry,
    RssKey,
)
from ena_dev.driver.commands import Commands
from ena_dev.driver.negotiation import Capabilities
from ena_dev.errors import UsageError


@dataclass(frozen=True, slots=True)
class RssSettings:
    """`key`: 40 bytes as a standard Toeplitz hash uses them. `table`: a queue number for each hash & (len - 1)."""

    key: bytes
    table: tuple[int, ...]
    initial: int = 0

    @classmethod
    def even(cls, key: bytes, entries: int, queues: int) -> RssSettings:
        """All queues alike."""
        return cls(key, tuple(entry % queues for entry in range(entries)))

    def check(self, capabilities: Capabilities) -> None:
        """Raises UsageError for what this card can't take."""
        if len(self.key) != RSS_KEY_SIZE:
            raise UsageError(f"an RSS key has {RSS_KEY_SIZE} bytes, not {len(self.key)}")
        if len(self.table) != capabilities.table_size:
            raise UsageError(f"the RSS table has {capabilities.table_size} entries, not {len(self.table)}")
        wrong = next((queue for queue in self.table if not 0 <= queue < capabilities.queues), None)
        if wrong is not None:
            raise UsageError(f"the RSS table names queue {wrong}, but there are {capabilities.queues}")


async def configure(commands: Commands, settings: RssSettings, capabilities: Capabilities, rx_sqs: Sequence[int]) -> None:
    """Tell the card, as far as it has a table and a key. `rx_sqs`: its Rx SQ index of each queue. Raises AdminError."""
    if settings.table:
        table = b"".join(bytes(RssIndirectionEntry(queue=rx_sqs[queue])) for queue in settings.table)
        size_log = len(settings.table).bit_length() - 1
        await commands.set(FeatureId.RSS_INDIRECTION_TABLE_CONFIG, RssIndirection(size_log=size_log, inline_index=NO_INLINE_ENTRY), table)
    if capabilities.hash_configurable:
        key = RssKey(parts=RssKey.PARTS, key=(*settings.key[::-1],))
        function = RssHashFunction(selected=HashFunction.TOEPLITZ, initial_value=settings.initial)
        await commands.set(FeatureId.RSS_HASH_FUNCTION, function, bytes(key))
