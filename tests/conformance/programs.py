"""Programs that are run inside the hosts: where they come from, whether they are there, how they call themselves, and what they print."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import shutil
import socket
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.e2e.child import Child
from tests.e2e.host import Host, eventually

PACKAGES: Final = {
    "ping": "iputils-ping", "iperf3": "iperf3", "tracepath": "iputils-tracepath", "traceroute": "traceroute",
    "turnserver": "coturn", "turnutils_natdiscovery": "coturn", "atk6-firewall6": "thc-ipv6",
    "atk6-fragmentation6": "thc-ipv6", "atk6-implementation6": "thc-ipv6", "atk6-thcsyn6": "thc-ipv6",
    "frag6": "ipv6toolkit", "nmap": "nmap", "hping3": "hping3",
    "tcpreplay": "tcpreplay", "tcprewrite": "tcpreplay", "tshark": "tshark", "tcpdump": "tcpdump", "curl": "curl", "ssh": "openssh-client",
    "sshd": "openssh-server", "dnsmasq": "dnsmasq-base", "dig": "bind9-dnsutils", "vsftpd": "vsftpd",
    "editcap": "wireshark-common", "mergecap": "wireshark-common",
}  # fmt: skip
"""Debian's package of each program."""
CAPTURES: Final = "/usr/share/gocode/src/github.com/google/gopacket"
PATHS: Final = {CAPTURES: "golang-github-google-gopacket-dev"}
"""Debian's package of what is no program."""
SEARCH: Final = "/usr/sbin:/usr/bin:/sbin:/bin"


def missing(needs: Iterable[str]) -> str:
    """The commands that would install what isn't there; empty if all is."""
    lacking = [need for need in needs if not is_there(need)]
    debian = sorted({PACKAGES.get(need) or PATHS[need] for need in lacking if not need.startswith("import ")})
    python = sorted({need.removeprefix("import ") for need in lacking if need.startswith("import ")})
    lines = [f"apt-get install -y --no-install-recommends {' '.join(debian)}"] * bool(debian)
    return "; ".join(lines + [f".venv/bin/pip install {' '.join(python)}"] * bool(python))


def is_there(need: str) -> bool:
    """Whether a program, a path or `import MODULE` is at hand."""
    if need.startswith("import "):
        return importlib.util.find_spec(need.removeprefix("import ")) is not None
    return Path(need).exists() if need.startswith("/") else shutil.which(need, path=SEARCH) is not None


def versions(needs: Iterable[str]) -> dict[str, str]:
    """The version of each package that is needed, as Debian's or Python's package manager tells it."""
    found = {}
    for need in needs:
        if need.startswith("import "):
            name = need.removeprefix("import ")
            found[name] = importlib.metadata.version(name)
        else:
            package = PACKAGES.get(need) or PATHS[need]
            told = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True)
            found[package] = told.stdout or "not Debian's"
    return dict(sorted(found.items()))


def say(host: Host, *argv: str, patience: float = 60.0, check: bool = False) -> str:
    """What a program prints inside a host, errors too. One that takes longer than `patience` is ended; what it had printed counts."""
    with started(host, *argv) as child:
        try:
            text, _ = child.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            child.terminate()
            text, _ = child.communicate()
    assert not check or child.returncode == 0, f"{' '.join(argv)}: {text}"
    return text


def started(host: Host, *argv: str) -> subprocess.Popen[str]:
    """A program inside a host; Python modules are found where this process finds them."""
    return subprocess.Popen(
        host.inside(*argv), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        env=Child.environment(),
    )  # fmt: skip


@contextmanager
def running(host: Host, *argv: str, tcp: tuple[str, int] | None = None, says: str = "") -> Iterator[subprocess.Popen[str]]:
    """A server inside a host for the time of a `with` block: ready when it listens at `tcp`, or has printed what matches `says`."""
    with started(host, *argv) as child:
        try:
            if says:
                _wait_for(child, says)
            if tcp:
                eventually(lambda: child.poll() is not None or host.call(listens, *tcp), f"{argv[0]} listens at {tcp}")
                assert child.poll() is None, f"{argv[0]} has ended: {child.stdout and child.stdout.read()}"
            yield child
        finally:
            child.terminate()
            try:
                child.communicate(timeout=5)
            except subprocess.TimeoutExpired:
                child.kill()
                child.communicate()


def _wait_for(child: subprocess.Popen[str], says: str) -> None:
    assert child.stdout
    seen = []
    for line in child.stdout:
        seen.append(line)
        if re.search(says, line):
            return
    raise AssertionError(f"ended without having said {says!r}: {''.join(seen)}")


def listens(address: str, port: int) -> bool:
    """Whether somebody listens there, as seen from inside."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as caller:
        caller.settimeout(1.0)
        return caller.connect_ex((address, port)) == 0
