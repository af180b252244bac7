"""`softena card`: a card for a driver that runs in a virtual machine.

    softena card serve --vfio-user /run/card.sock --tap tap0 --queues 4
    softena card serve --vfio-user /run/card.sock --pcap frames.pcap --faults loss=0.01,seed=7
    softena card stats /run/card.sock

`serve` says `ready PATH` on standard output when QEMU can be started, and serves guest after guest until SIGTERM. The other commands,
in `card_commands`, ask a card that is served.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from appliance.cli import card_commands
from appliance.cli.reading import Format, Level
from ena_dev.errors import UsageError

app = typer.Typer(no_args_is_help=True, help="A card for a driver in a virtual machine.")
for command in (card_commands.stats, card_commands.fault, card_commands.link):
    app.command()(command)

DEFAULT_MAC = "02:5e:00:00:00:01"


@app.callback()
def card() -> None:
    """What comes before the command."""


@app.command()
def serve(
    vfio_user: Annotated[Path, typer.Option(metavar="PATH", help="The unix socket that QEMU connects to.")],
    tap: Annotated[str, typer.Option(metavar="NAME", help="The far side: a TAP device, made if it isn't there.")] = "",
    pcap: Annotated[Path | None, typer.Option(metavar="FILE", help="The far side: a capture, replayed to each guest.")] = None,
    queues: Annotated[int, typer.Option(min=1, max=64, help="Queue pairs that the card offers.")] = 8,
    mac: Annotated[str, typer.Option(help="The card's address.")] = DEFAULT_MAC,
    mtu: Annotated[int, typer.Option(min=128, max=9216, help="The largest MTU that the card offers.")] = 9216,
    faults: Annotated[str, typer.Option(metavar="SPEC", help="Faults of packets, as loss=1%,delay=5ms: see card fault.")] = "",
    log_format: Annotated[Format, typer.Option(envvar="SOFTENA_LOG_FORMAT", help="auto: coloured on a terminal.")] = "auto",
    log_level: Annotated[Level, typer.Option(envvar="SOFTENA_LOG_LEVEL", help="The least that is logged.")] = "info",
) -> None:
    """Serve one card to QEMU over vfio-user until SIGTERM."""
    import uvloop

    from appliance.cli.logs import configure
    from appliance.runtime.card_faults import read_packets
    from appliance.runtime.guest_card import GuestCard, run
    from ena_dev.device.personality import STRANGERS_FEATURES, Personality

    if bool(tap) == (pcap is not None):
        raise UsageError("a card has one far side: --tap NAME or --pcap FILE")
    configure(log_format, log_level)
    personality = Personality(mac=_address(mac), max_queues=queues, max_mtu=mtu, default_mtu=min(1500, mtu), features=STRANGERS_FEATURES)
    uvloop.run(run([GuestCard(vfio_user, personality, read_packets(faults), tap, pcap)], lambda path: print(f"ready {path}", flush=True)))


def _address(text: str) -> bytes:
    try:
        mac = bytes.fromhex(text.replace(":", ""))
    except ValueError:
        mac = b""
    if len(mac) != 6:
        raise UsageError(f"{text!r} is no MAC address")
    return mac

