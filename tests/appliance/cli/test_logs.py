"""One stream of log lines, whoever logs: structlog or the standard library."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from appliance.cli.logs import configure


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


def test_both_kinds_of_loggers_write_the_same_json(capsys: pytest.CaptureFixture[str]) -> None:
    configure("json")
    structlog.get_logger("appliance").info("ready", nics=["wan"])
    logging.getLogger("driver").warning("reset of %s", "wan")
    ours, theirs = map(json.loads, capsys.readouterr().err.splitlines())
    assert (ours["event"], ours["nics"], ours["logger"], ours["level"]) == ("ready", ["wan"], "appliance", "info")
    assert (theirs["event"], theirs["logger"], theirs["level"]) == ("reset of wan", "driver", "warning")
    assert ours.keys() - {"nics"} == theirs.keys()


def test_lines_without_a_terminal_are_plain(capsys: pytest.CaptureFixture[str]) -> None:
    configure("auto")
    structlog.get_logger("appliance").info("ready", nics=["wan"])
    line = capsys.readouterr().err
    assert "ready" in line
    assert "\x1b" not in line


def test_an_exception_is_logged_in_one_json_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure("json")
    try:
        raise KeyError("gone")
    except KeyError:
        structlog.get_logger("control").exception("failed")
    [line] = capsys.readouterr().err.splitlines()
    assert "KeyError" in json.dumps(json.loads(line)["exception"])


def test_what_is_below_the_level_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    configure("json", "warning")
    structlog.get_logger("appliance").info("ready")
    logging.getLogger("driver").info("up")
    assert capsys.readouterr().err == ""
