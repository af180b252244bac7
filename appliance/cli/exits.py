"""Exit statuses, and how an error that was to be expected ends a command: by a clear line, without a traceback."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import IntEnum
from typing import Final

from appliance.config.errors import ConfigError
from appliance.control.client import UnreachableError
from appliance.control.messages import ControlError
from ena_dev.errors import SoftenaError

UNWRITTEN: Final = frozenset((errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO))
"""What writing to standard output fails with, whatever that is."""


class OutputError(SoftenaError):
    """What a command prints can't be written."""


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
        with _written():
            yield
    except SoftenaError as error:
        status = status_of(error)
        print(f"{error}\n{count(error)}. Nothing was changed." if status is Exit.MISTAKES else f"softena: {error}", file=sys.stderr)
        raise SystemExit(status) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


@contextmanager
def _written() -> Iterator[None]:
    """What is printed inside is written at the end. OutputError, if it can't be; a reader who has left ends the command without a word."""
    try:
        try:
            yield
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except OSError as error:
        if error.filename is not None or error.errno not in UNWRITTEN:
            raise
        _forget_output()
        if error.errno == errno.EPIPE:
            raise SystemExit(Exit.FAILED) from None
        raise OutputError(f"can't write the output: {(error.strerror or str(error)).lower()}") from None


def _forget_output() -> None:
    """What is left of it goes nowhere: the interpreter would try again at its end, and complain."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def count(error: SoftenaError) -> str:
    """How many mistakes: a line each."""
    mistakes = str(error).count("\n") + 1
    return f"{mistakes} mistake{'s' * (mistakes != 1)}"
