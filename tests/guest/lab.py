"""The lab of guests: a far side in a namespace, a card, a virtual machine with a stock driver, and what it said.

    with Far("tour") as far, card_process(far, tmp_path / "card.sock", "--tap", "far", "--queues", "4") as socket:
        far.use("far")                                            # 169.254.9.1 and fd09::1, an iperf3 server
        said = boot("6.12", "ena-tour.sh", [socket])
        assert said.well, said

A guest's script runs after `scripts/lib.sh` and prints a line a check, `ok NAME`, `FAIL NAME: why` or `n/a NAME: why`. What has to
happen outside while it runs it asks for by `host COMMAND WORDS...`: the function of that name in `boot`'s `host` does it and answers.
QEMU emulates the processor, so nothing here says how fast anything is.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_interface
from pathlib import Path
from typing import IO

import pytest

from tests.e2e.host import Host

HERE = Path(__file__).parent
SCRIPTS = HERE / "scripts"
CACHE = Path(os.environ.get("SOFTENA_GUEST_CACHE", "/var/cache/softena-guest"))
KERNELS = os.environ.get("SOFTENA_GUEST_KERNELS", "6.12").split()
PATIENCE = 400  # seconds; an emulated guest on a busy machine
ADDRESSES = ("169.254.9.1/24", "fd09::1/64")  # of the far side; a guest takes .2

VERDICT = re.compile(r"(ok|FAIL|n/a) ([A-Za-z0-9-]+)(?:: *(.*))?$")
ASKED = re.compile(r"@@HOST (.+)$")
Answer = Callable[[list[str]], str | None]
"""Does what a guest asked for. It returns words for the guest, and raises AssertionError when something is wrong."""


def need(kernel: str) -> None:
    """Skip, saying why, where no such guest can run."""
    if os.geteuid():
        pytest.skip("not root: no namespace and no TAP")
    if not (CACHE / "initramfs" / kernel).exists():
        pytest.skip(f"no guest in {CACHE}: run tests/guest/make-guest {CACHE} {kernel}")


class Far(Host):
    """The network behind a card: a namespace with the kernel's own stack."""

    def use(self, link: str, addresses: Sequence[str] = ADDRESSES, mtu: int = 1500) -> None:
        """Bring a TAP up with addresses, and serve iperf3 there."""
        self.set_up(link, [ip_interface(each) for each in addresses], mtu=mtu)
        self.spawn("iperf3", "-s")

    def spawn(self, *argv: str) -> subprocess.Popen[str]:
        """Start a program inside, which ends with the namespace."""
        return subprocess.Popen(self.inside(*argv), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)


@contextmanager
def card_process(far: Far, socket: Path, *options: str) -> Iterator[Path]:
    """`softena card serve --vfio-user SOCKET OPTIONS...` in the far side's namespace, ready; it has to end well when told to."""
    serve = [sys.executable, "-m", "appliance.cli", "card", "serve", "--vfio-user", str(socket), *options]
    server = subprocess.Popen(far.inside(*serve), stdout=subprocess.PIPE, text=True, cwd=HERE.parent.parent)
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == f"ready {socket}\n"
        yield socket
        server.send_signal(signal.SIGTERM)
        assert server.wait(20) == 0
    finally:
        if server.poll() is None:
            server.kill()
            server.wait()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one check came to. `word`: ok, FAIL or n/a."""

    word: str
    why: str = ""


@dataclass(slots=True)
class Said:
    """What a guest said. `status` is its script's, or 124 and 125 as run-guest has them."""

    lines: list[str] = field(default_factory=list)
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    status: int = -1

    @property
    def failed(self) -> list[str]:
        return [name for name, verdict in self.verdicts.items() if verdict.word == "FAIL"]

    @property
    def well(self) -> bool:
        return self.status == 0 and not self.failed and bool(self.verdicts)

    def hear(self, line: str) -> None:
        self.lines.append(line)
        if (match := VERDICT.match(line)) and self.verdicts.get(match[2], Verdict("ok")).word == "ok":
            self.verdicts[match[2]] = Verdict(match[1], match[3] or "")

    def __str__(self) -> str:
        return "\n".join([*self.lines, f"status {self.status}"])


def boot(
    kernel: str,
    script: str,
    sockets: Sequence[Path],
    *,
    host: Mapping[str, Answer] | None = None,
    env: Mapping[str, str] | None = None,
    smp: int = 2,
    mem: int = 512,
    options: Sequence[str] = (),
) -> Said:
    """Run one of `scripts` (after lib.sh, with the variables of `env`) in a guest that has the cards at `sockets`.

    `options` are further ones of run-guest. Skips where there is no such guest.
    """
    need(kernel)
    with tempfile.NamedTemporaryFile("w", prefix="softena-guest-", suffix=".sh") as whole:
        settings = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in (env or {}).items())
        whole.write("#!/bin/sh\n" + settings + (SCRIPTS / "lib.sh").read_text() + (SCRIPTS / script).read_text())
        whole.flush()
        command = [str(HERE / "run-guest"), "--answers", "--cache", str(CACHE), "--kernel", kernel, "--script", whole.name]
        command += ["--smp", str(smp), "--mem", str(mem), "--timeout", str(PATIENCE), *options, *map(str, sockets)]
        guest = subprocess.Popen(
            [sys.executable, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        )
        try:
            return _listen(guest, host or {})
        finally:
            guest.terminate()  # run-guest takes QEMU with it
            guest.wait()


def _listen(guest: subprocess.Popen[str], host: Mapping[str, Answer]) -> Said:
    """Hear a guest out, and do what it asks for."""
    assert guest.stdin is not None
    assert guest.stdout is not None
    said = Said()
    for line in guest.stdout:
        text = line.rstrip()
        said.hear(text)
        print(text, flush=True)
        if match := ASKED.search(text):
            answer = _answer(host, shlex.split(match[1]))
            said.lines.append(f"  host: {answer}")
            _tell(guest.stdin, answer)
    said.status = guest.wait()
    return said


def _answer(host: Mapping[str, Answer], words: list[str]) -> str:
    """One line for the guest: `ok WORDS`, or `FAIL why`."""
    if words[0] not in host:
        return f"FAIL nobody here does {words[0]!r}"
    try:
        answer = host[words[0]](words[1:]) or ""
    except Exception as error:
        answer = f"{type(error).__name__}: {error}" if not isinstance(error, AssertionError) else str(error)
        return "FAIL " + answer.partition("\n")[0]
    return f"ok {answer}"


def _tell(console: IO[str], answer: str) -> None:
    try:
        console.write(answer[:400] + "\n")
        console.flush()
    except BrokenPipeError:
        pass  # the guest has ended
