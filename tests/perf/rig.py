"""A device under test between two hosts, each in a network namespace of its own, as is the device.

    sperf-PID-Nclient                      sperf-PID-Nmiddle                    sperf-PID-Nserver
      `client` 10.98.1.2  <-- TAP or veth --> the candidate <-- TAP or veth -->  `server` 10.98.2.2
      the generators                                                             crr, iperf3; a hook that drops the generators' frames

TAPs are made by the candidate, and moved out when it brings them up: by then it has all their queues open. No host asks for anybody's
MAC address, so the first frame waits for nothing but the candidate. Many rigs stand side by side: who isn't measured costs nothing.
"""

from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from appliance.control.client import ControlClient
from appliance.host.links import IFF_UP
from appliance.host.namespaces import Namespace
from tests.perf.candidates import CLIENT, FAR, MACS, NEAR, PORT, SERVER, SERVICE, TARGETS, Candidate
from tests.perf.hosts import RigError, devices, inside, ip, knock, rows, run
from tests.perf.process import be_nice, cpu_seconds
from tests.perf.programs import program

PREFIX: Final = "sperf"
STARTING: Final = 180.0
STOPPING: Final = 10.0
LOOK: Final = 0.002
"""Seconds: a candidate's start and end at most, and between looks."""
BULK_PORT: Final = 5201

SINK: Final = f"""table netdev sink {{
  chain in {{
    type filter hook ingress device "server" priority 0;
    udp dport != {PORT} drop
  }}
}}
"""
"""A write to a TAP runs the receiver's stack: what is only counted is dropped as early as can be."""

SETTINGS: Final = {"ipv6/conf/all/disable_ipv6": "1", "ipv6/conf/default/disable_ipv6": "1", "ipv4/ip_local_port_range": "1024 65000"}
"""Of every namespace: silence where nobody measures, and ports enough for many connections."""

_numbers = itertools.count()


class Rig:
    """One candidate at work for the time of a `with` block. `started` is when its process was (monotonic), `first_frame` how long
    after that the first frame came through, in seconds."""

    def __init__(self, candidate: Candidate) -> None:
        self.candidate = candidate
        self.process: subprocess.Popen[bytes] | None = None
        self.started = self.first_frame = 0.0
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            number = next(_numbers)
            self.client, self.middle, self.server = (self._namespace(f"{number}{label}") for label in ("client", "middle", "server"))
            self.directory = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="softena-perf-")))
            self.directory.chmod(0o755)
            self._prepare_wires()
            self._start()
            if self.candidate.wiring != "own taps":
                self._wire()
                self._wait_for_first_frame()
                self._serve()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()

    def _namespace(self, label: str) -> Namespace:
        made = self._stack.enter_context(Namespace(label, PREFIX))
        for name, value in SETTINGS.items():
            made.call(Path("/proc/sys/net", name).write_text, value)
        return made

    # -- the candidate -----------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        command = self.candidate.command(self.directory)
        self.started = time.monotonic()
        if command:
            self.log = self._stack.enter_context((self.directory / "log").open("w+b"))
            self.process = subprocess.Popen(
                inside(self.middle, *command),
                stdin=subprocess.DEVNULL,
                stdout=self.log,
                stderr=self.log,
                env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
                # Ctrl-C is for us, who end it. And a busy CPU is shared between sessions: this one's load must not take from its share.
                start_new_session=True,
            )
            self._stack.callback(self._stop)
            be_nice(self.process.pid)
        with self.middle.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM) as asker:
            match self.candidate.wiring:
                case "taps" | "routed taps":
                    self.wait(lambda: all(devices(asker).get(name, 0) & IFF_UP for name in ("client", "server")), "brought its devices up")
                case "own taps":
                    self.wait(lambda: '"ready"' in self.log_text(), "was ready")

    def _stop(self) -> None:
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOPPING)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def wait(self, look: Callable[[], bool], what: str, patience: float = STARTING) -> None:
        """Until `look` is true. Raises RigError if the candidate ends, or takes too long."""
        end = time.monotonic() + patience
        while not look():
            if self.process and self.process.poll() is not None:
                raise RigError(f"{self.candidate.name} ended before it {what}: {self.log_text()[-2000:]}")
            if time.monotonic() > end:
                raise RigError(f"{self.candidate.name} has not {what} within {patience:g} s: {self.log_text()[-2000:]}")
            time.sleep(LOOK)

    def log_text(self) -> str:
        """The log so far."""
        return Path(self.log.name).read_text(errors="replace") if self.process else ""

    @property
    def pid(self) -> int:
        """The candidate's process. Raises RigError for the kernel, which has none."""
        if self.process is None:
            raise RigError(f"{self.candidate.name} is no process")
        return self.process.pid

    def cpu(self) -> float:
        """CPU seconds of the candidate so far; 0 for the kernel, whose work is on others' accounts."""
        return cpu_seconds(self.process.pid) if self.process else 0.0

    def ask(self, method: str) -> dict[str, Any]:
        """A question to the appliance's control socket."""
        return ControlClient(self.directory / "control.sock", 30.0).call(method)

    # -- wires and hosts ---------------------------------------------------------------------------------------------------

    def _prepare_wires(self) -> None:
        """What is there before a candidate that makes no TAPs: two veth pairs into a router."""
        if self.candidate.wiring != "veth":
            return
        for host, link, near, address in ((self.client, "client", "near", NEAR), (self.server, "server", "far", FAR)):
            ip(self.middle, f"link add {near} type veth peer name {link} netns {host.name}")
            ip(self.middle, f"link set {near} address {MACS[address]}", f"address add {address}/24 dev {near}", f"link set {near} up")
        ip(self.middle, f"address add {SERVICE}/32 dev near")
        self.middle.call(Path("/proc/sys/net/ipv4/ip_forward").write_text, "1")
        if self.candidate.rules:
            run(self.middle, "nft", self.candidate.rules)

    def _wire(self) -> None:
        moved = "taps" in self.candidate.wiring
        for host, link in ((self.client, "client"), (self.server, "server")):
            if moved:
                ip(self.middle, f"link set {link} netns {host.name}")
        self._address(self.client, "client", CLIENT, NEAR, (SERVICE, SERVER, *TARGETS))
        self._address(self.server, "server", SERVER, FAR, (CLIENT,))
        ip(self.server, *(f"address add {each}/24 dev server" for each in TARGETS))

    def _address(self, host: Namespace, link: str, address: str, gateway: str, others: tuple[str, ...]) -> None:
        """An address, and the other side: behind the gateway, or on the same wire."""
        bridged = self.candidate.wiring == "taps"
        beyond = MACS[SERVER if host is self.client else CLIENT] if bridged else MACS[gateway]
        ip(host, f"link set {link} address {MACS[address]}", f"address add {address}/24 dev {link}", f"link set {link} up")
        ip(host, f"route add default dev {link}" if bridged else f"route add default via {gateway}")
        ip(host, *(f"neighbour replace {each} lladdr {beyond} dev {link} nud permanent" for each in (gateway, *others)))

    def _wait_for_first_frame(self) -> None:
        """Knock at a closed port of the server until its kernel says so: that frame came through, and its answer too."""
        knocker = self.client.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)
        with knocker:
            knocker.connect((SERVER, 1024))
            knocker.setblocking(False)
            self.wait(lambda: knock(knocker), "forwarded a frame")
        self.first_frame = time.monotonic() - self.started

    def _serve(self) -> None:
        run(self.server, "nft", SINK)
        self.spawn(self.server, program("crr"), "serve", str(PORT))
        if self.candidate.wiring == "veth":
            self.wait(self._service_answers, "answered for its service")
        self.spawn(self.server, "iperf3", "-s", "-p", str(BULK_PORT))
        self._counters = {
            name: self._stack.enter_context(host.call(open, "/proc/thread-self/net/dev"))
            for name, host in (("client", self.client), ("server", self.server))
        }

    def _service_answers(self) -> bool:
        caller = self.client.call(socket.socket)
        with caller:
            caller.settimeout(1.0)
            return caller.connect_ex((SERVICE, PORT)) == 0

    # -- measuring ---------------------------------------------------------------------------------------------------------

    def spawn(self, host: Namespace, *argv: str) -> subprocess.Popen[bytes]:
        """Start a program on a host; it ends with the rig at the latest, as everything in its namespaces does."""
        child = subprocess.Popen(inside(host, *argv), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._stack.callback(child.wait)
        self._stack.callback(child.kill)
        return child

    def frames(self, link: str) -> dict[str, int]:
        """What the kernel counted on the device of `client` or `server`: frames received, and offered to it."""
        numbers = rows(self._counters[link])[link]
        return {"received": numbers[1], "offered": numbers[9] + numbers[11]}
