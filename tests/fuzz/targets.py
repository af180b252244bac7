"""The fuzz targets by name. Each takes any bytes, and raises (or the process dies) when something is wrong; it leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
CARD = ("ena_dev",)
DECIDING = ("appliance.decide", "appliance.nat", "appliance.balancer", "appliance.neighbour", "appliance.runtime")


@dataclass(frozen=True, slots=True)
class Target:
    """Where a target is. `guided`: packages whose Python guides a fuzzer; compiled code always does. Imported is only what one needs:
    to prepare all that Python for a fuzzer takes longer than some targets run."""

    module: str
    guided: tuple[str, ...] = ()


TARGETS = {
    "registers": Target("control", CARD),
    "admin": Target("control", CARD),
    "rings": Target("rings", CARD),
    "addresses": Target("rings", CARD),
    "stream": Target("stream", CARD),
    "driver": Target("hostile_card", CARD),
    "program": Target("program"),
    "packets": Target("packets", DECIDING),
    "punts": Target("punts", ("appliance.runtime", "appliance.neighbour", "ena_dev.packet")),
    "dns": Target("dns", ("appliance.objects",)),
    "file": Target("readers", ("appliance",)),
    "lists": Target("readers", ("appliance.objects",)),
    "control": Target("readers", ("appliance.control",)),
}


def function(name: str) -> Callable[[bytes], None]:
    """What takes the bytes."""
    found: Callable[[bytes], None] = getattr(import_module(f"tests.fuzz.{TARGETS[name].module}"), name)
    return found
