"""The garbage collector, kept out of the way of what builds a lot at once.

A configuration of ten thousand rules is a million objects without a cycle. Each of its collections would look at all of them again,
under the interpreter's lock: time that reading takes twice, and that a running appliance stands still.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused() -> Iterator[None]:
    """No collections inside; reference counts go on freeing what has no cycles. Other threads have none either."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def off() -> None:
    """No more collections: for a process that ends soon, or while one starts."""
    gc.disable()


def resumed() -> None:
    """Collect again, after `off`. What is there by now stays, and is never looked at."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
