"""The lines on the control socket: one JSON object each, newline at the end.

    {"v": 1, "method": "flows", "params": {"limit": 100, "cursor": 0}}
    {"v": 1, "result": {...}}     or     {"v": 1, "error": {"code": "unknown-method", "message": "..."}}

Codes: too-long, bad-request, unknown-version, unknown-method, bad-params (the caller's mistakes); config (the file has mistakes, the
message lists them); refused (the program can't); busy (too many callers); internal (its fault; the log says more).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from ena_dev.errors import SoftenaError

VERSION: Final = 1
MAX_REQUEST: Final = 64 * 1024
MAX_RESPONSE: Final = 64 * 1024 * 1024


class ControlError(SoftenaError):
    """A request that gets no result. `code` is for programs, `message` for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def request(method: str, params: Mapping[str, object]) -> bytes:
    """The line that asks."""
    return _line({"v": VERSION, "method": method, "params": dict(params)})


def response(result: Mapping[str, object]) -> bytes:
    """The line that answers. TypeError or ValueError: the result is no JSON."""
    return _line({"v": VERSION, "result": result})


def failure(error: ControlError) -> bytes:
    """The line that refuses."""
    return _line({"v": VERSION, "error": {"code": error.code, "message": error.message}})


def read_request(line: bytes) -> tuple[str, Mapping[str, object]]:
    """Method and parameters of a line. Raises ControlError for anything that is no request of this version."""
    message = _object(line)
    version = message.get("v")
    if type(version) is not int or version != VERSION:
        raise ControlError("unknown-version", f"this program speaks version {VERSION}: write \"v\": {VERSION}")
    method, params = message.get("method"), message.get("params", {})
    if not isinstance(method, str) or not isinstance(params, dict):
        raise ControlError("bad-request", "a request has a method, which is text, and params, which is an object")
    return method, params


def read_response(line: bytes) -> dict[str, Any]:
    """The result in a line. Raises ControlError if it is an error, or no response at all."""
    message = _object(line)
    error = message.get("error")
    if isinstance(error, dict):
        raise ControlError(str(error.get("code", "internal")), str(error.get("message", "")))
    result = message.get("result")
    if not isinstance(result, dict):
        raise ControlError("bad-request", "the answer has neither a result nor an error")
    return result


class Params:
    """Parameters of one request, each taken once by name; `finish` refuses what nobody took."""

    def __init__(self, given: Mapping[str, object]) -> None:
        self._given = dict(given)

    def whole(self, name: str, low: int, high: int, default: int) -> int:
        """A whole number from `low` to `high`."""
        value = self._given.pop(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ControlError("bad-params", f"{name} must be a whole number from {low} to {high}")
        return value

    def text(self, name: str) -> str:
        """A text that must be given."""
        value = self._given.pop(name, None)
        if not isinstance(value, str):
            raise ControlError("bad-params", f"{name} is missing, or no text")
        return value

    def switch(self, name: str) -> bool:
        """True or false, which must be given."""
        value = self._given.pop(name, None)
        if not isinstance(value, bool):
            raise ControlError("bad-params", f"{name} must be true or false")
        return value

    def word(self, name: str, allowed: str) -> str:
        """One letter of `allowed`."""
        value = self.text(name)
        if len(value) != 1 or value not in allowed:
            raise ControlError("bad-params", f"{name} must be one of {', '.join(allowed)}")
        return value

    def finish(self) -> None:
        """Raises ControlError if something is left over."""
        if self._given:
            raise ControlError("bad-params", f"unknown parameter {next(iter(self._given))[:40]!r}")


def _line(message: Mapping[str, object]) -> bytes:
    return json.dumps(message, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def _object(line: bytes) -> dict[str, Any]:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):  # bad JSON, bad UTF-8, endless digits; nested beyond reason
        raise ControlError("bad-request", "not a line of JSON") from None
    if not isinstance(message, dict):
        raise ControlError("bad-request", "not a JSON object")
    return message
