"""The fuzz targets by name. Each takes any bytes, and raises (or the process dies) when something is wrong; it leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
CARD = ("ena_dev",)
APPLIANCE = ("appliance",)


@dataclass(frozen=True, slots=True)
class Target:
    """Where a target is. `guided`: top-level packages whose Python guides a fuzzer; compiled code always does. Imported is only
    what one needs: to prepare all Python for a fuzzer takes ten seconds."""

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
    "packets": Target("packets", APPLIANCE),
    "punts": Target("punts", (*APPLIANCE, *CARD)),
    "dns": Target("dns", APPLIANCE),
    "file": Target("readers", APPLIANCE),
    "lists": Target("readers", APPLIANCE),
    "control": Target("readers", APPLIANCE),
}

PATH = ("packets", "program", "punts", "dns", "file", "lists", "control")
GROUPS = {"path": PATH, "card": tuple(name for name in TARGETS if name not in PATH)}
"""`path`: whatever lies between a wire and the appliance's decisions. `card`: the card, its bus, and its driver."""


def function(name: str) -> Callable[[bytes], None]:
    """What takes the bytes."""
    found: Callable[[bytes], None] = getattr(import_module(f"tests.fuzz.{TARGETS[name].module}"), name)
    return found
