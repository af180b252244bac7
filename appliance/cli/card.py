"""`softena card`: cards for drivers that run in virtual machines, and for DPDK's on this one.

    softena card serve --vfio-user /run/card.sock --tap tap0 --queues 4
    softena card serve --vfio-user /run/a.sock --tap tap0 --record a.pcapng --vfio-user /run/b.sock --pcap frames.pcap --faults loss=1%
    softena card serve --polled /run/card --tap tap0
    softena card stats /run/a.sock

`serve` says `ready PATH` on standard output for each card that a driver can come to, and serves one after the other until SIGTERM. The
other commands, in `card_commands`, ask a card that is served.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from appliance.cli import card_commands
from appliance.cli.each_card import EachCard
from appliance.cli.reading import Format, Level
from appliance.collector import resumed
from ena_dev.errors import UsageError

if TYPE_CHECKING:
    from ena_dev.device.personality import Personality

app = typer.Typer(no_args_is_help=True, help="Cards for drivers in virtual machines, and for DPDK.")
for command in (card_commands.stats, card_commands.fault, card_commands.allow, card_commands.hint, card_commands.link, card_commands.reset):
    app.command()(command)


@app.callback()
def card() -> None:
    """What comes before the command."""


class Serve(EachCard):
    """Reads all cards, then serves them."""

    def invoke(self, ctx: Any) -> None:
        import uvloop

        from appliance.cli.logs import configure
        from appliance.runtime.guest_card import cables, run

        try:
            cards = self.each(ctx)
            cables(cards)
        except UsageError as error:
            raise typer.BadParameter(str(error)) from None
        configure(ctx.params["log_format"], ctx.params["log_level"])
        resumed()
        uvloop.run(run(cards, lambda path: print(f"ready {path}", flush=True)))


@app.command(cls=Serve)
def serve(
    vfio_user: Annotated[Path | None, typer.Option(metavar="PATH", readable=False, help="The unix socket for QEMU. Begins a card.")] = None,
    polled: Annotated[Path | None, typer.Option(metavar="DIR", readable=False, help="BARs as files, for DPDK here. Begins a card.")] = None,
    tap: Annotated[str, typer.Option(metavar="NAME", help="The far side: a TAP device, made if it isn't there.")] = "",
    pcap: Annotated[Path | None, typer.Option(metavar="FILE", help="The far side: a capture, replayed to each guest.")] = None,
    cable: Annotated[Path | None, typer.Option(metavar="PATH", readable=False, help="The far side: another card of this command.")] = None,
    queues: Annotated[int, typer.Option(min=1, max=32, help="Queue pairs that the card offers.")] = 8,
    mac: Annotated[str, typer.Option(help="The card's address.", show_default="made from PATH")] = "",
    mtu: Annotated[int, typer.Option(min=128, max=9216, help="The largest MTU that the card offers.")] = 9216,
    llq: Annotated[Literal["0", "128", "256"] | None, typer.Option(help="Bytes of a Tx queue's line in the card; 0: none there.")] = None,
    faults: Annotated[str, typer.Option(metavar="SPEC", help="Faults of packets, as loss=1%,delay=5ms: see `card fault`.")] = "",
    allowances: Annotated[str, typer.Option(metavar="SPEC", help="Limits, as bw-in=100M,pps=10k: see `card allow`.")] = "",
    record: Annotated[Path | None, typer.Option(metavar="FILE", readable=False, help="What passes the card's port, as pcapng.")] = None,
    log_format: Annotated[Format, typer.Option(envvar="SOFTENA_LOG_FORMAT", help="auto: coloured on a terminal.")] = "auto",
    log_level: Annotated[Level, typer.Option(envvar="SOFTENA_LOG_LEVEL", help="The least that is logged.")] = "info",
) -> object:
    """Serve cards until SIGTERM: to QEMU over vfio-user, or to a DPDK driver of this machine by files.

    Each --vfio-user and each --polled begins a card, and the options behind it are that card's; those before the first are every card's.
    A card has one far side. A cable joins two cards; it is enough that one of them names the other.
    """
    from appliance.runtime.card_faults import read_packets
    from appliance.runtime.guest_card import GuestCard
    from ena_dev.device.allowances import Allowances

    path = vfio_user or polled
    if path is None:
        raise typer.BadParameter("a card is for QEMU or for a driver here: write --vfio-user PATH or --polled DIR")
    personality = _personality(path, mac, queues, mtu, None if llq is None else int(llq))
    is_polled = vfio_user is None
    return GuestCard(path, personality, read_packets(faults), Allowances.parse(allowances), tap, pcap, cable, record, is_polled)


def _personality(path: Path, mac: str, queues: int, mtu: int, llq: int | None) -> Personality:
    from appliance.config.values import mac_of
    from ena_dev.abi.features import FeatureId
    from ena_dev.device.personality import STRANGERS_FEATURES, LlqLimits, Personality

    features, limits = STRANGERS_FEATURES, LlqLimits()
    if llq is not None:
        features -= {FeatureId.LLQ}
        if llq:
            features, limits = features | {FeatureId.LLQ}, LlqLimits(recommended=llq)
    address = _address(mac) if mac else mac_of(str(path.absolute()))
    # Some drivers never tell their MTU, or do so too late: nothing is too long then.
    return Personality(mac=address, max_queues=queues, max_mtu=mtu, default_mtu=mtu, features=features, llq=limits)


def _address(text: str) -> bytes:
    try:
        mac = bytes.fromhex(text.replace(":", ""))
    except ValueError:
        mac = b""
    if len(mac) != 6:
        raise UsageError(f"{text!r} is no MAC address")
    return mac
