"""The commands that take a balancer's target out and bring it back."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from appliance.cli.reading import AsJson, ConfigFile, Socket, client, show_json

Target = Annotated[str, typer.Argument(metavar="SERVICE/TARGET", help="As in the file: web/w1.", show_default=False)]


def drain(
    target: Target,
    timeout: Annotated[str | None, typer.Option(help="When the flows that are left end, such as 5m; 0s: at once.",
                                                show_default="`drain` of the service; without it they may last")] = None,
    socket: Socket = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Have a target take no new flows. Those that it has go on until the timeout."""
    limit = {} if timeout is None else {"seconds": _seconds(timeout)}
    _show(target, client(socket, config).call("drain", **_named(target), **limit), as_json)


def restore(target: Target, socket: Socket = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Have a target take new flows again."""
    _show(target, client(socket, config).call("restore", **_named(target)), as_json)


def _named(text: str) -> dict[str, str]:
    service, slash, target = text.partition("/")
    if not (service and slash and target):
        raise typer.BadParameter(f"{text} is no SERVICE/TARGET, such as web/w1")
    return {"service": service, "target": target}


def _seconds(text: str) -> int:
    from appliance.config.errors import BadValueError
    from appliance.config.values import seconds

    try:
        return round(seconds(text))
    except BadValueError as error:
        raise typer.BadParameter(f"{text}: {error.what}, {error.hint}") from None


def _show(name: str, target: dict[str, Any], as_json: bool) -> None:
    if as_json:
        show_json(target)
        return
    from appliance.cli.tables import phase

    typer.echo(f"{name} is {phase(target)}, {target['flows']:,} flows")
