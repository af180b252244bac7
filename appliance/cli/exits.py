"""Exit statuses, and how an error that was to be expected ends a command: by a clear line, without a traceback."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

from appliance.config.errors import ConfigError
from appliance.control.client import UnreachableError
from appliance.control.messages import ControlError
from ena_dev.errors import SoftenaError


class Exit(IntEnum):
    """What a command's end means to a script."""

    FINE = 0
    FAILED = 1
    MISTAKES = 2  # in the file; also in the command line
    UNREACHABLE = 5  # no running appliance


def status_of(error: SoftenaError) -> Exit:
    """The exit status that an error ends a command with."""
    match error:
        case ConfigError() | ControlError(code="config"):
            return Exit.MISTAKES
        case UnreachableError():
            return Exit.UNREACHABLE
    return Exit.FAILED


@contextmanager
def told() -> Iterator[None]:
    """Say what went wrong, and exit with its status. Mistakes of a file stand as they are, other errors behind the program's name."""
    try:
        yield
    except SoftenaError as error:
        status = status_of(error)
        print(f"{error}\n{count(error)}. Nothing was changed." if status is Exit.MISTAKES else f"softena: {error}", file=sys.stderr)
        raise SystemExit(status) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def count(error: SoftenaError) -> str:
    """How many mistakes: a line each."""
    mistakes = str(error).count("\n") + 1
    return f"{mistakes} mistake{'s' * (mistakes != 1)}"
