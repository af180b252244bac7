"""The commands that run, check and change something. Those that only read are `reading.py`."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Annotated

import typer

from appliance.cli import card, reading, targets
from appliance.cli.exits import Exit, count
from appliance.cli.reading import AsJson, ConfigFile, Socket
from appliance.collector import resumed

app = typer.Typer(
    no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="A firewall and load balancer on a software ENA network card. One YAML file says what it does.",
)  # fmt: skip
app.command()(reading.status)
app.command()(reading.rules)
app.command()(reading.flows)
app.command()(reading.reasons)
app.command()(reading.words)
app.command()(reading.sets)
app.command()(reading.names)
app.command()(reading.ethtool)
app.command()(targets.drain)
app.command()(targets.restore)
app.add_typer(card.app, name="card")

File = Annotated[Path, typer.Argument(metavar="FILE", envvar="SOFTENA_CONFIG", help="The configuration.", show_default=False)]
LogFormat = Annotated[reading.Format, typer.Option(envvar="SOFTENA_LOG_FORMAT", help="auto: coloured on a terminal.")]
LogLevel = Annotated[reading.Level, typer.Option(envvar="SOFTENA_LOG_LEVEL", help="The least that is logged.")]


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            typer.echo(f"softena {version('softena')}")
        except PackageNotFoundError:
            typer.echo("softena (not installed)")
        raise typer.Exit


@app.callback()
def softena(
    _: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")] = False,
) -> None:
    """What comes before the command."""


@app.command()
def run(
    file: File,
    log_format: LogFormat = "auto",
    log_level: LogLevel = "info",
    user_drop: Annotated[bool, typer.Option(help="Give up root once everything is open.")] = True,
) -> None:
    """Run the appliance of FILE until SIGTERM. SIGHUP reloads the file."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until somebody listens the file has not been read

    import uvloop

    from appliance.cli.logs import configure
    from appliance.runtime.serve import serve

    configure(log_format, log_level)
    raise typer.Exit(uvloop.run(serve(file, user_drop)))


@app.command()
def check(file: File, as_json: AsJson = False) -> None:
    """Say every mistake in FILE and in the lists that it names, or that there is none. Changes nothing."""
    from appliance.config.errors import ConfigError, Mistake
    from appliance.config.loader import load
    from appliance.objects.sets import examine

    mistakes: list[Mistake] = []
    warnings: list[Mistake] = []
    summary = ""
    try:
        config = load(file, time.time())
        mistakes, doubtful = examine(config, str(file))
        warnings = [*config.warnings, *doubtful]
        if mistakes:
            raise ConfigError(mistakes)
        sizes = {"nics": config.nics, "rules": config.policy, "translations": config.nat, "services": config.services}
        summary = f"{file}: ok, " + ", ".join(f"{len(part)} {name}" for name, part in sizes.items())
    except ConfigError as error:
        mistakes, summary = error.mistakes, f"{count(error)}. Nothing was changed."
    if as_json:
        listed = {"mistakes": [_fields(each) for each in mistakes], "warnings": [_fields(each) for each in warnings]}
        typer.echo(json.dumps({"v": 1, "result": {"file": str(file), "ok": not mistakes, **listed}}))
    else:
        for each in mistakes:
            typer.echo(str(each), err=True)
        for each in warnings:
            typer.echo(f"{each} (warning)", err=True)
        typer.echo(summary, err=bool(mistakes))
    raise typer.Exit(Exit.MISTAKES if mistakes else Exit.FINE)


def _fields(mistake: object) -> dict[str, object]:
    return {name: getattr(mistake, name) for name in ("file", "line", "column", "what", "found", "hint")}


@app.command()
def reload(socket: Socket = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Have the running appliance read its file again. Flows stay, unless the new policy forbids them."""
    result = reading.client(socket, config, timeout=120.0).call("reload")
    if as_json:
        reading.show_json(result)
        return
    typer.echo(
        f"generation {result['generation']}: {result['judged']} flows judged, {result['ended']} ended, in {result['seconds']:.2f} s"
    )


@app.command()
def demo(
    log: Annotated[Path | None, typer.Option(help="Where to keep the appliance's log.", show_default="its end is shown on failure")] = None,
) -> None:
    """Run the appliance between two network namespaces, and compare what real traffic does with what it should. Takes root."""
    from appliance.demo.director import play

    resumed()
    raise typer.Exit(play(log))
