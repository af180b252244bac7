from collections.abc import Sequence
from typing import Final

from appliance.flow.cuts import Packed
from appliance.flow.records import Tuple5
from ena_dev.bus.executor import Executor

MOST_POOLS: Final[int]

def spread_hash(secret: bytes, version: int, protocol: int, tuple5: Tuple5) -> int:
    """The keyed hash, 64 bits, by which a balancer spreads flows: of (source, destination, sport, dport). `secret` has 16 bytes."""

def source_hash(secret: bytes, version: int, source: int) -> int:
    """The keyed hash, 64 bits, by which a pool of addresses is spread over sources. `secret` has 16 bytes."""

class MegaflowTable:
    """One worker's megaflows. `secret`: 16 random bytes. Changes take the executor's barrier; UsageError for what can't be."""

    def __init__(self, executor: Executor, secret: bytes) -> None: ...
    def configure(self, generation: int, cuts: Packed) -> None:
        """Forget all, and remember decisions of this generation from here on. A number is of the class of as many cuts as are at or below
        it."""
    def set_pool(self, number: int, secret: bytes, table: Sequence[int] | None, by_source: bool = False) -> None:
        """Which of its targets pool `number` (below MOST_POOLS) gives a flow: indexes, an array of 16-bit numbers, by `spread_hash`, or
        if told so by `source_hash`, modulo its length. None: Python is asked."""
    def count(self) -> int:
        """How many megaflows there are."""
