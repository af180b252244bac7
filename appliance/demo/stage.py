"""What the demo needs around the appliance: three namespaces, its process, the peers. Entered, all of it runs; left, nothing remains.

    softena-PID-clients           softena-PID-appliance           softena-PID-servers
      peer "client"                 softena run demo.yaml            peers "site", "w1", "w2", "w3"
      demo-clients <----TAPs of the appliance, moved out after the start----> demo-servers
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from asyncio.subprocess import Process
from contextlib import AsyncExitStack
from importlib.resources import files
from ipaddress import ip_address, ip_interface
from pathlib import Path
from typing import Any, Final, Self

from appliance.control.client import ControlClient, UnreachableError
from appliance.demo.remote import Peer, environment
from appliance.host.links import move
from appliance.host.namespaces import Namespace, sweep
from ena_dev.errors import HostError

TUN_DEVICE: Final = Path("/dev/net/tun")
FILES: Final = Path("/run")
"""Where everybody may go: the appliance reads its file again after it gave up root, and TMPDIR may be root's alone."""
STARTING: Final = 10.0
STOPPING: Final = 5.0
"""Seconds that the appliance's process gets."""

CLIENT: Final = ("10.1.0.10", "10.1.0.20", "2001:db8:1::10")
SITE: Final = ("192.0.2.10", "2001:db8:2::10")
TARGETS: Final = {f"w{number}": (f"192.0.2.1{number}", f"2001:db8:2::1{number}") for number in (1, 2, 3)}


def preflight() -> None:
    """Raises HostError if this machine, or this user, can't play the demo."""
    if os.geteuid() != 0:
        raise HostError("the demo takes root", "it makes network namespaces and TAP devices", "run it as root: sudo softena demo")
    try:
        os.close(os.open(TUN_DEVICE, os.O_RDWR))
    except OSError as error:
        hint = "load the module: modprobe tun; in a container, add --device /dev/net/tun"
        raise HostError(f"can't open {TUN_DEVICE}", error.strerror or str(error), hint) from error
    if shutil.which("nsenter") is None:
        raise HostError("the program nsenter is missing", "processes are started in namespaces by it", "apt install util-linux")


class Stage:
    """The running lab. Raises SoftenaError where it can't be built, with nothing left behind."""

    def __init__(self, log: Path | None = None) -> None:
        self._stack = AsyncExitStack()
        self._wanted_log = log
        self.targets: dict[str, Peer] = {}

    async def __aenter__(self) -> Self:
        preflight()
        sweep()
        try:
            await self._build()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _build(self) -> None:
        self._lay_out_files()
        self.clients, self.servers, self._inside = (self._namespace(label) for label in ("clients", "servers", "appliance"))
        await self._start_appliance()
        self._wire("demo-clients", self.clients, CLIENT, ("10.1.0.1", "2001:db8:1::1"), mtu=1500)
        self._wire("demo-servers", self.servers, sum(TARGETS.values(), SITE), ("192.0.2.1", "2001:db8:2::1"), mtu=1400)
        await self._start_peers()

    def _lay_out_files(self) -> None:
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix=f"softena-demo-{os.getpid()}-", dir=FILES)))
        folder.chmod(0o755)
        self.file, self.socket = folder / "demo.yaml", folder / "control.sock"
        self.log = self._wanted_log or folder / "appliance.log"
        self.text = files("appliance.demo").joinpath("demo.yaml").read_text() + f"\ncontrol: {{socket: {self.socket}}}\n"
        self.file.write_text(self.text)

    def _namespace(self, label: str) -> Namespace:
        return self._stack.enter_context(Namespace(label))

    def _wire(self, tap: str, namespace: Namespace, addresses: tuple[str, ...], gateways: tuple[str, ...], mtu: int) -> None:
        """Move a TAP of the appliance to the hosts at its far end."""
        self._inside.call(move, tap, namespace.name)
        interfaces = [ip_interface(f"{each}/{64 if ':' in each else 24}") for each in addresses]
        namespace.set_up(tap, interfaces, [ip_address(each) for each in gateways], mtu=mtu)

    # -- the appliance -------------------------------------------------------------------------------------------------

    async def _start_appliance(self) -> None:
        command = (sys.executable, "-m", "appliance.cli", "run", str(self.file), "--log-format", "console")
        with self.log.open("wb") as log:
            self.appliance: Process = await self._inside.run(*command, stdout=log, stderr=log, env=environment(), start_new_session=True)
        self._stack.push_async_callback(self.stop_appliance)
        deadline = asyncio.get_running_loop().time() + STARTING
        while not await self._answers():
            if self.appliance.returncode is not None:
                raise HostError("the appliance ended at its start", f"exit status {self.appliance.returncode}", self.log_tail())
            if asyncio.get_running_loop().time() > deadline:
                raise HostError("the appliance does not answer", f"after {STARTING:g} s", self.log_tail())
            await asyncio.sleep(0.05)

    async def _answers(self) -> bool:
        try:
            await self.status()
        except UnreachableError:
            return False
        return True

    async def stop_appliance(self) -> int:
        """Ask it to end (SIGTERM), insist after a while; its exit status. Idempotent."""
        if self.appliance.returncode is None:
            self.appliance.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(STOPPING):
                    await self.appliance.wait()
            except TimeoutError:
                self.appliance.kill()
        return await self.appliance.wait()

    async def status(self) -> dict[str, Any]:
        """The appliance's status. Raises UnreachableError."""
        return await asyncio.to_thread(ControlClient(self.socket).call, "status")

    async def reload(self, text: str) -> dict[str, Any]:
        """Write another file and have the appliance read it. Raises ControlError if it refuses."""
        await asyncio.to_thread(self.file.write_text, text)
        return await asyncio.to_thread(ControlClient(self.socket, 20.0).call, "reload")

    def log_tail(self, lines: int = 15) -> str:
        """The end of the appliance's log."""
        return "its log ends:\n" + "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    # -- the peers -----------------------------------------------------------------------------------------------------

    async def _start_peers(self) -> None:
        started = (self._peer("client", self.clients), self._peer("site", self.servers), *map(self.start_target, TARGETS))
        self.client, self.site, *_ = await asyncio.gather(*started)
        for address in SITE:
            for port in (22, 23, 80, 5000, 5001):
                await self.site.call("serve", protocol="tcp", address=address, port=port)
            for port in (53, 69):
                await self.site.call("serve", protocol="udp", address=address, port=port)
            await self.site.call("serve_bulk", address=address, port=5201)
        await self.client.call("serve", protocol="tcp", address=CLIENT[0], port=80)

    async def _peer(self, name: str, namespace: Namespace) -> Peer:
        peer = await Peer.start(name, namespace)
        self._stack.push_async_callback(peer.kill)
        return peer

    async def start_target(self, name: str) -> Peer:
        """Start a target of the balanced service."""
        peer = self.targets[name] = await self._peer(name, self.servers)
        for address in TARGETS[name]:
            await peer.call("serve", protocol="tcp", address=address, port=80)
        await peer.call("serve", protocol="udp", address=TARGETS[name][0], port=80)
        return peer

    async def wait_for_targets(self, states: dict[str, str], within: float = 20.0) -> bool:
        """Whether the health checks come to see these targets ("w1": "up") so, over IPv4 and IPv6."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within
        while loop.time() < deadline:
            [service] = (await self.status())["services"]
            seen = {target["name"]: target["state"] for target in service["targets"]}
            if all(seen[name] == seen[f"{name}-v6"] == state for name, state in states.items()):
                return True
            await asyncio.sleep(0.05)
        return False
