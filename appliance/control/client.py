"""A blocking caller of the control socket: connect, one request, one answer."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

from appliance.control.interface import APPLIANCE, Program
from appliance.control.messages import MAX_RESPONSE, read_response, request
from ena_dev.errors import SoftenaError


class UnreachableError(SoftenaError):
    """Nobody answers. `why` is what was met, `remedy` what to do."""

    def __init__(self, path: Path, why: str, remedy: str, name: str = APPLIANCE.name) -> None:
        super().__init__(f"no {name} answers at {path}: {why}; {remedy}")
        self.path, self.why, self.remedy = path, why, remedy


class ControlClient:
    """Asks the program that answers at `path`. `timeout` bounds each wait in seconds."""

    def __init__(self, path: Path, timeout: float = 10.0, program: Program = APPLIANCE) -> None:
        self._path, self._timeout, self._program = path, timeout, program

    def call(self, method: str, **params: object) -> dict[str, Any]:
        """The result of one request. ControlError: it was refused. UnreachableError: nobody is there, or it does not answer."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(self._timeout)
            try:
                connection.connect(os.fspath(self._path))
                connection.sendall(request(method, params))
                line = self._line(connection)
            except OSError as error:
                raise self._unreachable(error) from error
        return read_response(line)

    def _line(self, connection: socket.socket) -> bytes:
        received = bytearray()
        while not received.endswith(b"\n"):
            piece = connection.recv(65536)
            if not piece or len(received) > MAX_RESPONSE:
                raise self._nobody("it hung up in the middle of an answer", "see its log, and try again")
            received += piece
        return bytes(received)

    def _unreachable(self, error: OSError) -> UnreachableError:
        match error:
            case FileNotFoundError():
                why, remedy = "there is no such socket", self._program.find
            case ConnectionRefusedError():
                why, remedy = f"the {self._program.name} that made this socket has ended", self._program.start
            case PermissionError():
                why, remedy = "this user may not use the socket", "run the command as root"
            case TimeoutError():
                why, remedy = f"no answer in {self._timeout:g} s", "see its log"
            case _:
                why, remedy = error.strerror or str(error), "see its log"
        return self._nobody(why, remedy)

    def _nobody(self, why: str, remedy: str) -> UnreachableError:
        return UnreachableError(self._path, why, remedy, self._program.name)
