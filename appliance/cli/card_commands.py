"""The commands that ask a running card, or make it misbehave. They find it by the path that QEMU connects to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from appliance.cli.reading import AsJson, show_json

Card = Annotated[Path, typer.Argument(metavar="PATH", help="The card's --vfio-user socket.", show_default=False, readable=False)]


def stats(path: Card, as_json: AsJson = False) -> None:
    """Show a running card: its driver, link, resets, queues, counters, drops by reason, faults."""
    result = _ask(path, "stats")
    if as_json:
        show_json(result)
    else:
        show_card(result)


def fault(
    path: Card,
    spec: Annotated[str, typer.Argument(metavar="SPEC", help="As loss=1%,delay=5ms or miss-keep-alives=8; none: packets pass again.")],
    as_json: AsJson = False,
) -> None:
    """Make a running card misbehave.

    Of packets, until changed: loss, duplicate, reorder (0 to 1, or percents), delay, jitter (seconds, or 5ms), seed.
    So many times, until a reset: miss-keep-alives, lose-interrupts, lose-admin-interrupts, ignore-admin, withhold-completions,
    spoil-tx, spoil-rx, malform-tx, malform-rx.
    For a time: link-flap=2s.
    """
    result = _ask(path, "fault", spec=spec)
    if as_json:
        show_json(result)
        return
    settings = result["faults"]["set"]
    typer.echo("packets: " + (_named({name: value for name, value in settings.items() if value and name != "seed"}) or "no faults"))


def allow(
    path: Card,
    spec: Annotated[str, typer.Argument(metavar="SPEC", help="As bw-in=100M,pps=10k; the limits not named are none; '': all pass.")],
) -> None:
    """Limit what a running card lets through.

    bw-in, bw-out (bit/s), pps (packets a second), conntrack (connections), linklocal (packets a second), max-wait (of a packet).
    """
    limits = _ask(path, "allow", spec=spec)["allowances"]["set"]
    typer.echo("limits: " + (_named({name: value for name, value in limits.items() if value and name != "max_wait"}) or "none"))


def hint(
    path: Card,
    spec: Annotated[str, typer.Argument(metavar="SPEC", help="As missing-tx-completion-timeout=2000, in ms; 0: the driver's own.")],
) -> None:
    """Propose timeouts to the driver of a running card, now and when the next one comes up."""
    hints = _ask(path, "hint", spec=spec)["hints"]
    typer.echo("hints: " + (_named({name: value for name, value in hints.items() if value}) or "none"))


def reset(path: Card) -> None:
    """Ask the driver of a running card for a reset."""
    _ask(path, "reset")
    typer.echo("asked the driver for a reset; `softena card stats` shows whether it came")


def link(path: Card, state: Annotated[Literal["up", "down"], typer.Argument(help="The cable, plugged or pulled.")]) -> None:
    """Plug or pull the cable of a running card."""
    typer.echo("link " + ("up" if _ask(path, "link", up=state == "up")["link"] else "down"))


def _ask(path: Path, method: str, **params: object) -> dict[str, Any]:
    from appliance.control.client import ControlClient
    from appliance.runtime.card_control import CARD, control_path

    return ControlClient(control_path(path), program=CARD).call(method, **params)


def show_card(card: Mapping[str, Any]) -> None:
    """Print a card's stats."""
    from appliance.cli.tables import show

    for name, value in _facts(card):
        print(f"{name + ':':12}{value}")
    show("traffic", ("", "packets", "bytes", "copied", "segmented", "summed"), (_traffic(way, card[way]) for way in ("rx", "tx")))
    show("queues", ("queue", "packets", "bytes", "drops"), _queues(card["queues"]))
    show("drops", ("", "reason", "frames"), ((way, name, f"{n:,}") for way in ("rx", "tx") for name, n in card[way]["drops"].items() if n))


def _facts(card: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "card", f"{card['socket']}, {card['mac']}"
    yield "guest", f"connected, the {card['clients']}. so far" if card["connected"] else f"none, after {card['clients']}"
    yield "driver", _driver(card["driver"])
    yield "state", f"{card['state']}, link {'up' if card['link'] else 'down'}, mtu {card['mtu']}"
    yield "resets", _named(card["resets"]) or "none"
    yield "port", _named(card["port"])
    yield "faults", _named({name: value for name, value in card["faults"]["set"].items() if value and name != "seed"}) or "none"
    yield "met", _named({name: value for name, value in card["faults"]["met"].items() if value}) or "none"
    limits = {name: value for name, value in card["allowances"]["set"].items() if value and name != "max_wait"}
    yield "allowances", _named(limits) or "none"
    yield "exceeded", _named({name: value for name, value in card["allowances"]["met"].items() if value}) or "none"
    if card["recording"]:
        yield "recording", _recording(card["recording"])


def _driver(driver: Mapping[str, Any] | None) -> str:
    if driver is None:
        return "none"
    return f"{driver['system']} {driver['version']}{driver['module']}, {driver['distribution']} {driver['kernel']}".rstrip(", ")


def _recording(recording: Mapping[str, Any]) -> str:
    failed = f", ended: {recording['failed']}" if recording["failed"] else ""
    return f"{recording['file']}, {recording['frames']:,} frames, {recording['lost']:,} not recorded{failed}"


def _traffic(way: str, counters: Mapping[str, Any]) -> tuple[str, ...]:
    return way, *(f"{counters[name]:,}" for name in ("packets", "bytes", "copied", "segmented", "summed"))


def _queues(queues: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for way, listed in queues.items():
        for queue in listed:
            drops = _named({name: n for name, n in queue["drops"].items() if n})
            yield f"{way} {queue['index']}", f"{queue['packets']:,}", f"{queue['bytes']:,}", drops


def _named(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
