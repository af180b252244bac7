"""How the driver waits for the card where no interrupt tells: in growing pauses, as the contract's drivers do.

Source: ENA interface, Reset handshake and Timeouts.
"""

from __future__ import annotations

from collections.abc import Iterator

SHORTEST = 100e-6
LONGEST = 5e-3


def pauses(timeout: float) -> Iterator[float]:
    """Pauses to sleep between two looks, doubling from 100 us to 5 ms, `timeout` together.

    The last one is 0: look once more, then give up.
    """
    pause = SHORTEST
    while timeout > 1e-9:
        pause = min(pause, timeout)
        yield pause
        timeout -= pause
        pause = min(2 * pause, LONGEST)
    yield 0.0
