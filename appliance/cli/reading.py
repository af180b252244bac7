"""The commands that ask the running appliance, and how they find it: --socket, or the file's `control: socket`, or the usual place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer

from appliance.control.client import ControlClient
from appliance.control.interface import ETHTOOL_KINDS

USUAL_SOCKET: Final = Path("/run/softena/control.sock")
Format = Literal["auto", "console", "json"]
Level = Literal["debug", "info", "warning", "error"]

Socket = Annotated[Path | None, typer.Option(envvar="SOFTENA_SOCKET", help="Its control socket.", show_default=str(USUAL_SOCKET))]
ConfigFile = Annotated[Path | None, typer.Option(envvar="SOFTENA_CONFIG", help="Its configuration, which names the socket.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, as on the control socket.")]


def client(socket: Path | None, config: Path | None, timeout: float = 10.0) -> ControlClient:
    """A caller of the appliance that the options name. Raises ConfigError if its file has mistakes."""
    if socket is None and config is not None:
        from appliance.config.loader import load

        socket = Path(load(config).control.socket)
    return ControlClient(socket or USUAL_SOCKET, timeout)


def show_json(result: Mapping[str, Any]) -> None:
    """Print a result with its schema's version."""
    typer.echo(json.dumps({"v": 1, "result": result}))


def status(socket: Socket = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Show the running appliance at a glance: nics, services, flows, rules, drops, neighbours."""
    result = client(socket, config).call("status")
    if as_json:
        show_json(result)
        return
    from appliance.cli.tables import show_status

    show_status(result)


def rules(
    socket: Socket = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
    unused: Annotated[bool, typer.Option("--unused", help="Only those without a flow since the start.")] = False,
) -> None:
    """Show the rules in the order in which they are asked, and then the entries of `nat`: where they stand, what they have decided, or
    which flows they have translated, and when they last did."""
    result = client(socket, config).call("status")
    found, nat = ([row for row in result[kind] if not (unused and row["flows"])] for kind in ("rules", "nat"))
    if as_json:
        show_json({"file": result["config"], "rules": found, "nat": nat})
        return
    from appliance.cli.tables import show_rules

    show_rules(found, nat, result["config"])


def reasons(as_json: AsJson = False) -> None:
    """List every reason for which a frame is dropped, as `status` and `flows` name it. Asks nobody."""
    from appliance.flow.reasons import MEANINGS

    if as_json:
        show_json({"reasons": MEANINGS})
        return
    from appliance.cli.tables import show

    show("reasons", ("reason", "meaning"), MEANINGS.items())


def names(socket: Socket = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Show what domain names stand for, as DNS has answered on the way."""
    result = client(socket, config).call("names")
    if as_json:
        show_json(result)
        return
    from appliance.cli.tables import show

    rows = [(each["name"], a["address"], a["of"], f"{a['left']:.0f} s") for each in result["objects"] for a in each["addresses"]]
    show("names", ("object", "address", "of", "left"), rows)
    typer.echo(f"{len(rows)} addresses of {len(result['objects'])} objects")


def sets(socket: Socket = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Show the sets that are read from files: how many entries, and whether the file is still good."""
    result = client(socket, config).call("status")["sets"]
    if as_json:
        show_json({"sets": result})
        return
    from appliance.cli.tables import show_sets

    show_sets(result)


def words(as_json: AsJson = False) -> None:
    """List every word that `allow`, `deny` and `reject` know, and what it stands for. Asks nobody."""
    from appliance.config.words import WORDS, described

    meanings = {word: [described(match) for match in matches] for word, matches in sorted(WORDS.items())}
    if as_json:
        show_json({"words": meanings})
        return
    from appliance.cli.tables import show

    show("words", ("word", "stands for"), ((word, " ".join(matches)) for word, matches in meanings.items()))


def flows(
    socket: Socket = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
    limit: Annotated[int, typer.Option(min=1, help="Show at most so many.")] = 100,
) -> None:
    """Show flows: who talks to whom, how it is translated, and which rule let it through."""
    found, more = _collect(client(socket, config), limit)
    if as_json:
        show_json({"flows": found, "more": more})
        return
    from appliance.cli.tables import show_flows

    show_flows(found, more)


def _collect(appliance: ControlClient, limit: int) -> tuple[list[dict[str, Any]], bool]:
    """The first `limit` flows, by as many calls as it takes, and whether there are more."""
    found: list[dict[str, Any]] = []
    cursor = 0
    while len(found) < limit:
        page = appliance.call("flows", limit=min(1000, limit - len(found)), cursor=cursor)
        found += page["flows"]
        cursor = page["next"]
        if cursor == 0:
            return found, False
    return found, True


def _view(letter: str, what: str) -> Any:
    return typer.Option(f"-{letter}", help=what)


def ethtool(
    nic: Annotated[str, typer.Argument(metavar="NIC", help="The nic's name, or its TAP's.")],
    driver: Annotated[bool, _view("i", "Driver.")] = False,
    rings: Annotated[bool, _view("g", "Ring sizes.")] = False,
    offloads: Annotated[bool, _view("k", "Offloads.")] = False,
    channels: Annotated[bool, _view("l", "Queues.")] = False,
    steering: Annotated[bool, _view("x", "RSS table and key.")] = False,
    statistics: Annotated[bool, _view("S", "Statistics.")] = False,
    moderation: Annotated[bool, _view("c", "Interrupt moderation.")] = False,
    socket: Socket = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Show one view of a card, as ethtool does."""
    given = (driver, rings, offloads, channels, steering, statistics, moderation)
    kinds = [kind for kind, wanted in zip(ETHTOOL_KINDS, given, strict=True) if wanted]
    if len(kinds) != 1:
        raise typer.BadParameter(f"give one of {' '.join(f'-{kind}' for kind in ETHTOOL_KINDS)}")
    result = client(socket, config).call("ethtool", nic=nic, kind=kinds[0])
    if as_json:
        show_json(result["data"])
    else:
        typer.echo(result["text"].rstrip("\n"))
