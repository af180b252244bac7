"""Containers around the firewall: two networks, a client on one, servers on the other, and only the firewall between them.

    client 10.213.1.100 --[internet]-- eth0 fw eth1 --[servers]-- w1 10.213.2.11, w2 10.213.2.12

All of them run the image under test; clients and servers use just its Python. SOFTENA_IMAGE names one that is built already.
Docker numbers a container's interfaces by the names of their networks, so `internet` is eth0. The networks don't masquerade: with bridge
filtering on, as the engine sets it, the host's rules would also translate what passes between two containers of one network.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from tests.docker.engine import BUILD, Engine

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
PEER = Path(__file__).with_name("peer.py")
CLIENT, W1, W2 = "10.213.1.100", "10.213.2.11", "10.213.2.12"
OUTSIDE, INSIDE = "10.213.1.2", "10.213.2.2"
"""The firewall's addresses, given by Docker and adopted from it."""
NETWORKS = {"internet": "10.213.1.0/24", "servers": "10.213.2.0/24"}
RIGHTS = (
    "--cap-drop", "ALL", "--cap-add", "NET_ADMIN", "--cap-add", "SETUID", "--cap-add", "SETGID", "--device", "/dev/net/tun",
    "--security-opt", "no-new-privileges", "--read-only", "--tmpfs", "/run", "--tmpfs", "/tmp",
)  # fmt: skip
PATIENCE = 40.0


def eventually(look: Callable[[], T], what: str, patience: float = PATIENCE) -> T:
    """The first true result of `look`, asked again and again."""
    end = time.monotonic() + patience
    while not (found := look()):
        assert time.monotonic() < end, f"did not happen in {patience} s: {what}; last seen: {found!r}"
        time.sleep(0.2)
    return found


class Lab:
    """The image, the networks, and the containers that were started. All but the image is removed at the end."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine, self.folder = engine, folder
        self._given = os.environ.get("SOFTENA_IMAGE", "")
        self.image = self._given or f"softena-test:{os.getpid()}"
        self._prefix = f"softena-test-{os.getpid()}-"
        self._containers: list[str] = []

    def __enter__(self) -> Self:
        if not self._given:
            self.docker("build", "--network", "host", "-q", "-t", self.image, str(ROOT), timeout=BUILD)
        for name, subnet in NETWORKS.items():
            no_masquerade = "com.docker.network.bridge.enable_ip_masquerade=false"
            self.docker("network", "create", "--subnet", subnet, "-o", no_masquerade, self._prefix + name)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for name in self._containers:
            self.docker("rm", "-f", name, check=False)
        for name in NETWORKS:
            self.docker("network", "rm", self._prefix + name, check=False)
        if not self._given:
            self.docker("rmi", self.image, check=False)

    def docker(self, *arguments: str, check: bool = True, timeout: float = 60.0) -> str:
        """What a command of Docker's client prints."""
        return self.engine.docker(*arguments, check=check, timeout=timeout)

    def peer(self, name: str, network: str, address: str, gateway: str, *ports: int) -> Container:
        """A client or server; it listens on `ports` once this returns."""
        made = self._create(
            name, "--cap-add", "NET_ADMIN", "--entrypoint", "python", "--network", self._prefix + network, "--ip", address,
            "-v", f"{PEER}:/peer.py:ro", self.image, "/peer.py", "listen", name, gateway, *map(str, ports),
        )  # fmt: skip
        made.start()
        eventually(lambda: "listening" in made.log(), f"{name} listens")
        return made

    def firewall(self, config: str) -> Container:
        """The appliance between both networks, started; it may not be ready yet."""
        file = self.folder / "fw.yaml"
        file.write_text(config)
        file.chmod(0o644)
        made = self._create(
            "fw", *RIGHTS, "--network", self._prefix + "internet", "--ip", OUTSIDE, "--health-interval", "1s",
            "-v", f"{file}:/config/fw.yaml:ro", self.image,
        )  # fmt: skip
        self.docker("network", "connect", "--ip", INSIDE, self._prefix + "servers", made.name)
        made.start()
        return made

    def _create(self, name: str, *arguments: str) -> Container:
        full = self._prefix + name
        self.docker("create", "--name", full, *arguments)
        self._containers.append(full)
        return Container(self, full)


class Container:
    """One container, by its name."""

    def __init__(self, lab: Lab, name: str) -> None:
        self._lab, self.name = lab, name

    def start(self) -> None:
        self._lab.docker("start", self.name)

    def stop(self, patience: int = 15) -> None:
        """SIGTERM; SIGKILL after `patience` seconds."""
        self._lab.docker("stop", "-t", str(patience), self.name)

    def log(self) -> str:
        return self._lab.docker("logs", self.name)

    def inspect(self, field: str) -> str:
        """One field of its state, in the notation of `docker inspect --format`."""
        return self._lab.docker("inspect", "--format", f"{{{{{field}}}}}", self.name)

    def run(self, *command: str) -> str:
        """What a command prints inside."""
        return self._lab.docker("exec", self.name, *command)

    def ask(self, protocol: str, address: str, port: int = 0, count: int = 1) -> list[Any]:
        """Answers of other peers: {"name", "caller"}, or the name of the error."""
        lines = self.run("python", "/peer.py", "ask", protocol, address, str(port), str(count)).splitlines()
        return [json.loads(line) if line.startswith("{") else line for line in lines]
