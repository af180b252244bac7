"""The fuzz targets by name. Each takes any bytes, and raises (or the process dies) when something is wrong; it leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.fuzz.control import admin, registers
from tests.fuzz.dns import dns
from tests.fuzz.hostile_card import driver
from tests.fuzz.packets import packets
from tests.fuzz.program import program
from tests.fuzz.punts import punts
from tests.fuzz.readers import control, file, lists
from tests.fuzz.rings import addresses, rings
from tests.fuzz.stream import stream

CORPUS = Path(__file__).parent / "corpus"

TARGETS: dict[str, Callable[[bytes], None]] = {
    "registers": registers,
    "admin": admin,
    "rings": rings,
    "addresses": addresses,
    "stream": stream,
    "driver": driver,
    "program": program,
    "packets": packets,
    "punts": punts,
    "dns": dns,
    "file": file,
    "lists": lists,
    "control": control,
}
