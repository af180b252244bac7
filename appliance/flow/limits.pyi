from collections.abc import Mapping
from typing import Final

from ena_dev.bus.executor import Executor

Rate = tuple[int, float]
"""So many flows in so many seconds."""

SERVICES: Final[int]

class LimitTable:
    """One worker's limits. `secret`: 16 random bytes; `flows`: how many there can be. Changes take the executor's barrier."""

    def __init__(self, executor: Executor, secret: bytes, flows: int) -> None: ...
    def configure(self, limits: Mapping[int, tuple[Rate | None, Rate | None, int | None, int | None]]) -> None:
        """Hold to these from now on: by number of the rule, or SERVICES and that of the service, (rate, rate of each source, flows at once,
        those of each source), None where there is no such limit. What is counted of a limit that stays goes on. UsageError for what can't
        be."""
    def counts(self) -> dict[int, tuple[int, int]]:
        """(flows refused, flows counted) of the limits that hold."""
    def room(self) -> int:
        """How many sources can be known at once."""
