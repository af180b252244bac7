"""The stock Linux driver on the card: a virtual machine with Debian's kernel, nothing of it changed, its counters as the witness.

The far side is a TAP in a namespace, where this machine's kernel answers. QEMU emulates the processor, so nothing here says how fast.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CACHE = Path(os.environ.get("SOFTENA_GUEST_CACHE", "/var/cache/softena-guest"))
KERNELS = os.environ.get("SOFTENA_GUEST_KERNELS", "6.12").split()
LAB = f"sg-{os.getpid()}"
PATIENCE = 400  # seconds; an emulated guest on a busy machine


def need(kernel: str) -> None:
    if os.geteuid():
        pytest.skip("not root: no namespace and no TAP")
    if not (CACHE / "initramfs" / kernel).exists():
        pytest.skip(f"no guest in {CACHE}: run tests/guest/make-guest {CACHE} {kernel}")


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def card(tmp_path: Path) -> Iterator[Path]:
    """The socket of a card whose TAP stands in a namespace of its own, with an iperf3 server there."""
    if os.geteuid():
        pytest.skip("not root: no namespace and no TAP")
    path = tmp_path / "card.sock"
    inside = ["ip", "netns", "exec", LAB]
    ip("netns", "add", LAB)
    serve = [sys.executable, "-m", "appliance.cli", "card", "serve", "--vfio-user", str(path), "--tap", "far", "--queues", "4"]
    server = subprocess.Popen([*inside, *serve], stdout=subprocess.PIPE, text=True, cwd=HERE.parent.parent)
    iperf = None
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == f"ready {path}\n"
        for words in ("addr add 169.254.9.1/24 dev far", "addr add fd09::1/64 dev far nodad", "link set far up", "link set lo up"):
            ip("-n", LAB, *words.split())
        iperf = subprocess.Popen([*inside, "iperf3", "-s"], stdout=subprocess.DEVNULL)
        yield path
        server.send_signal(signal.SIGTERM)
        assert server.wait(20) == 0
    finally:
        for process in (server, iperf):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
        ip("netns", "delete", LAB)


@pytest.mark.guest
@pytest.mark.parametrize("kernel", KERNELS)
def test_an_unmodified_driver_does_a_days_work(card: Path, kernel: str) -> None:
    need(kernel)
    run = [sys.executable, str(HERE / "run-guest"), "--cache", str(CACHE), "--kernel", kernel, "--smp", "2", "--timeout", str(PATIENCE)]
    done = subprocess.run([*run, "--script", str(HERE / "scripts" / "ena-tour.sh"), str(card)], capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    print(said)
    assert "FAIL" not in done.stdout, said
    assert done.returncode == 0, said
    assert done.stdout.count("\nok ") >= 30, said
