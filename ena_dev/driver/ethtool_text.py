"""The views of `ethtool` as text, shaped as people know it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

RSS_COLUMNS = 8
NOT_OFFERED = "n/a"
COALESCING = (
    ("stats-block-usecs", "sample-interval", "pkt-rate-low", "pkt-rate-high"),
    ("rx-usecs", "rx-frames", "rx-usecs-irq", "rx-frames-irq"),
    ("tx-usecs", "tx-frames", "tx-usecs-irq", "tx-frames-irq"),
)


def driver_info(data: dict[str, Any]) -> str:
    return "\n".join(f"{name}: {_yes(value)}".rstrip() for name, value in data.items() if name != "name")


def rings(data: dict[str, Any]) -> str:
    def block(numbers: dict[str, int]) -> Iterator[str]:
        for label, key in (("RX", "rx"), ("RX Mini", None), ("RX Jumbo", None), ("TX", "tx")):
            yield f"{label + ':':<16}{numbers[key] if key else NOT_OFFERED}"

    head = [f"Ring parameters for {data['name']}:", "Pre-set maximums:"]
    return "\n".join([*head, *block(data["max"]), "Current hardware settings:", *block(data["current"])])


def features(data: dict[str, Any]) -> str:
    lines = [f"Features for {data['name']}:"]
    for name, value in data.items():
        if isinstance(value, dict):
            lines += [f"\t{inner}: {_on(state)}" if inner else f"{name}: {_on(state)}" for inner, state in value.items()]
        elif name != "name":
            lines.append(f"{name}: {_on(value)}")
    return "\n".join(lines)


def channels(data: dict[str, Any]) -> str:
    def block(numbers: dict[str, int]) -> Iterator[str]:
        for label, key in (("RX", "rx"), ("TX", "tx"), ("Other", "other"), ("Combined", "combined")):
            yield f"{label + ':':<16}{numbers[key] or NOT_OFFERED}"

    head = [f"Channel parameters for {data['name']}:", "Pre-set maximums:"]
    return "\n".join([*head, *block(data["max"]), "Current hardware settings:", *block(data["current"])])


def rss(data: dict[str, Any]) -> str:
    table = data["table"]
    lines = [f"RX flow hash indirection table for {data['name']} with {data['rings']} RX ring(s):"]
    for first in range(0, len(table), RSS_COLUMNS):
        lines.append(f"{first:5}: " + "".join(f" {queue:5}" for queue in table[first : first + RSS_COLUMNS]))
    lines += ["RSS hash key:", data["key"] or "Operation not supported", "RSS hash function:"]
    return "\n".join([*lines, *(f"    {name}: {_on(used)}" for name, used in data["function"].items())])


def statistics(data: dict[str, Any]) -> str:
    return "\n".join(["NIC statistics:", *(f"     {name}: {value}" for name, value in data["statistics"].items())])


def coalescing(data: dict[str, Any]) -> str:
    head = f"Coalesce parameters for {data['name']}:"
    if not data["supported"]:
        return f"{head}\nOperation not supported"
    lines = [head, f"Adaptive RX: {_on(data['adaptive-rx'])}  TX: {_on(data['adaptive-tx'])}"]
    for group in COALESCING:
        lines += [f"{name}: {data.get(name, NOT_OFFERED)}" for name in group] + [""]
    return "\n".join(lines).rstrip()


TEXTS: dict[str, Callable[[dict[str, Any]], str]] = {
    "i": driver_info,
    "g": rings,
    "k": features,
    "l": channels,
    "x": rss,
    "S": statistics,
    "c": coalescing,
}


def _on(state: bool) -> str:
    return "on" if state else "off"


def _yes(value: Any) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
