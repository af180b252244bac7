"""A Docker engine for the tests: the machine's own where one answers, else a private one that ends with the tests.

    private engine     dockerd on a socket of its own, images and debian:bookworm-slim kept in CACHE
    base image         made by debootstrap from this machine's own package source, with its CA certificates: no image registry is asked

The classic builder is used, as Debian's package brings no other.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

CACHE = Path(os.environ.get("SOFTENA_DOCKER_CACHE", "/var/cache/docker-lab"))
BASE = "debian:bookworm-slim"
PROGRAMS = {"docker": "docker.io", "dockerd": "docker.io", "iptables-save": "iptables", "debootstrap": "debootstrap"}
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
INSIDE = "/etc/host-ca.crt"
BUILD = 900.0
"""Seconds that a build, or the base image, may take."""


def missing() -> str:
    """What these tests need and this machine doesn't have; empty if they can run."""
    if _answers(dict(os.environ)):
        return ""
    if os.geteuid() != 0:
        return "no Docker engine answers, and starting one needs root"
    packages = sorted({package for program, package in PROGRAMS.items() if shutil.which(program) is None})
    return f"no Docker engine: apt-get install --no-install-recommends {' '.join(packages)}" if packages else ""


def _answers(environment: dict[str, str]) -> bool:
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "version"], env=environment, capture_output=True, timeout=30, check=False).returncode == 0


class Engine:
    """An engine that answers while its context lasts. `docker` runs a command of its client."""

    def __init__(self) -> None:
        self._environment = os.environ | {"DOCKER_BUILDKIT": "0"}
        self._private: PrivateEngine | None = None

    def __enter__(self) -> Self:
        if not _answers(self._environment):
            self._private = PrivateEngine()
            self._environment["DOCKER_HOST"] = self._private.host
            self._private.start(self._environment)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._private is not None:
            self._private.stop()

    def docker(self, *arguments: str, check: bool = True, timeout: float = 60.0) -> str:
        """What `docker ARGUMENTS` prints. A failure fails the test with its words, unless told otherwise."""
        done = subprocess.run(
            ["docker", *arguments], env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, timeout=timeout, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"docker {' '.join(arguments)}: {done.stdout[-4000:]}"
        return done.stdout.strip()


class PrivateEngine:
    """A dockerd with its socket and state in a folder of its own. The packet filter is put back when it stops."""

    def __init__(self) -> None:
        self._state = Path(tempfile.mkdtemp(prefix="softena-docker."))
        self.host = f"unix://{self._state}/docker.sock"
        self._filters: dict[str, str] = {}
        self._forwarding = Path("/proc/sys/net/ipv4/ip_forward").read_text()

    def start(self, environment: dict[str, str]) -> None:
        """Start it and see that it has the base image."""
        CACHE.mkdir(parents=True, exist_ok=True)
        self._filters = {name: _output(f"{name}-save") for name in ("iptables", "ip6tables")}
        command = ["dockerd", "--data-root", str(CACHE / "engine"), "--exec-root", str(self._state / "exec"), "-H", self.host]
        with (self._state / "log").open("wb") as log:
            self._daemon = subprocess.Popen(
                [*command, "--pidfile", str(self._state / "pid")], stdout=log, stderr=log, start_new_session=True
            )
        try:
            self._wait(environment)
            if not _output("docker", "images", "-q", BASE, environment=environment):
                certificates = f"ENV PIP_CERT={INSIDE} SSL_CERT_FILE={INSIDE}"
                _output("docker", "import", "--change", certificates, str(base_image()), BASE, environment=environment)
        except BaseException:
            self.stop()
            raise

    def _wait(self, environment: dict[str, str]) -> None:
        end = time.monotonic() + 60.0
        while not _answers(environment):
            assert self._daemon.poll() is None and time.monotonic() < end, (self._state / "log").read_text()[-4000:]
            time.sleep(0.2)

    def stop(self) -> None:
        """End it, and leave the machine's packet filter and forwarding as they were."""
        self._daemon.terminate()
        try:
            self._daemon.wait(30.0)
        except subprocess.TimeoutExpired:
            self._daemon.kill()
            self._daemon.wait()
        for name, rules in self._filters.items():
            subprocess.run([f"{name}-restore"], input=rules, text=True, capture_output=True, check=False)
        Path("/proc/sys/net/ipv4/ip_forward").write_text(self._forwarding)
        subprocess.run(["ip", "link", "delete", "docker0"], capture_output=True, check=False)
        for mount in (self._state / "exec" / "netns").glob("*"):
            subprocess.run(["umount", "-l", str(mount)], capture_output=True, check=False)
        shutil.rmtree(self._state, ignore_errors=True)


def base_image() -> Path:
    """The archive of the base image's root; made once, which takes a minute."""
    archive = CACHE / "base.tar"
    if archive.exists():
        return archive
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        root = Path(folder, "root")
        _output("debootstrap", "--variant=minbase", "bookworm", str(root), *_package_source(), timeout=BUILD)
        if CERTIFICATES.exists():
            shutil.copy(CERTIFICATES, root / INSIDE.lstrip("/"))
        for package in (root / "var/cache/apt/archives").glob("*.deb"):
            package.unlink()
        _output("tar", "-C", str(root), "-cf", f"{folder}/base.tar", ".", timeout=BUILD)
        Path(folder, "base.tar").rename(archive)
    return archive


def _package_source() -> list[str]:
    """Where this machine takes its packages from; nothing: debootstrap knows."""
    for path in sorted(Path("/etc/apt/sources.list.d").glob("*.sources")):
        for line in path.read_text().splitlines():
            if line.startswith("URIs:") and "security" not in line:
                return line.split()[1:2]
    return []


def _output(*command: str, environment: dict[str, str] | None = None, timeout: float = 120.0) -> str:
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout[-4000:]}"
    return done.stdout
