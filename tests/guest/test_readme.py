"""The QEMU command lines of README are those that the guest tests boot with, but for the machine around the card."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

HERE = Path(__file__).parent
README = (HERE.parent.parent / "README.md").read_text()
COMMANDS = re.findall(r"^(?:sudo )?qemu-system-x86_64 ((?:.*\\\n)*.*)$", README, re.MULTILINE)


def options(command: str) -> dict[str, str]:
    """The options that have a value."""
    words = shlex.split(command.replace("\\\n", " "))
    return {word: value for word, value in pairwise(words) if word.startswith("-") and not value.startswith("-")}


def test_readme_shows_how_to_start_a_machine() -> None:
    assert COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_readme_is_what_the_tests_run(command: str, tmp_path: Path) -> None:
    for part in ("kernels/6.12/vmlinuz", "initramfs/6.12"):
        (tmp_path / part).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / part).touch()
    shown = options(command)
    device = json.loads(shown["-device"])
    run = [sys.executable, HERE / "run-guest", "--dry-run", "--cache", tmp_path, "--kernel", "6.12", "--command", "true"]
    run += ["--mem", shown["-m"], device["socket"]["path"]]
    tested = options(subprocess.run(run, capture_output=True, text=True, check=True).stdout)
    assert device == json.loads(tested["-device"])
    for name in ("-machine", "-object", "-m", "-nic"):
        assert shown[name] == tested[name]
