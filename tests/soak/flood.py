"""Frames of random tuples beside established connections: calm and flood take turns, so that each flood is held against the calm before it.

    client --TAP--> candidate --TAP--> server        tuples: no two frames of one flow, from a network behind the client
           iperf3, paced connections                         to one behind the server, where they are dropped
           every half second a connection to `self`

The kernel with the same policy has a fifth of the same flood, for comparison: what it loses on this machine is not the appliance's.
"""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from math import ceil
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from tests.perf.candidates import CLIENT, FAR, MACS, MILLION, NEAR, NFTABLES, SERVER, Candidate, softena
from tests.perf.hosts import inside, ip, rows, run
from tests.perf.process import resident
from tests.perf.programs import program
from tests.perf.rig import BULK_PORT, Rig
from tests.soak.bars import Found

MEMORY = 512 << 20
RATE = 50_000
"""Frames a second."""
SPEED, STREAMS = 25, 4
"""Megabits a second of each established connection, which its kernel never exceeds to make up for what was lost."""
TURNS = 10
CALM = 0.25
"""Of a flood's length is the calm before it."""
SELF_PORT, SELF_GAP = 7007, 0.5
MOST_WAITING = 4096
"""Connections that nobody accepts: all that are opened in one turn."""
SPOOFED, AIMED = "100.64.0.0/10", "198.18.0.0/15"
KEPT, OPENS = 0.9, 1.0

TEXT = f"""\
version: 1
nics:
  clients: {{tap: client, address: {NEAR}/24, mac: "{MACS[NEAR]}", queues: 2}}
  servers: {{tap: server, address: {FAR}/24, mac: "{MACS[FAR]}", queues: 2}}
zones: {{clients: {{nics: [clients]}}, servers: {{nics: [servers]}}}}
routes: [{{to: {SPOOFED}, via: {CLIENT}}}, {{to: {AIMED}, via: {SERVER}}}]
policy:
  - no low ports: {{from: [clients], to: [servers], deny: [tcp/1-1023, udp/1-1023]}}
  - out: {{from: [clients], to: [servers], allow: any}}
  - admin: {{from: [clients], to: [self], allow: tcp/{SELF_PORT}}}
nat:
  - behind: {{masquerade: {{from: [clients], to: [servers]}}}}
{MILLION}"""
DROPPED = f"""table netdev flood {{
  chain in {{ type filter hook ingress device "server" priority -1; ip daddr {AIMED} drop; }}
}}
"""
OURS = softena("softena, flooded", TEXT)
KERNEL = Candidate("kernel", "veth", lambda _: [], rules=NFTABLES, needs=("nft",))


class Turn(NamedTuple):
    """A calm and the flood after it: megabits a second in each, and of the flood the seconds that all threads of the candidate ran, and
    waited for a CPU."""

    calm: float
    flooded: float
    ran: float
    waited: float


def flood(seconds: float, size: float = 1.0) -> Found:
    """So many seconds of flood, calm not counted. `size` scales the rate."""
    found, rate = Found("flood"), round(RATE * size)
    with Rig(limited(OURS)) as rig:
        ours, selves = turns(rig, seconds, rate)
        peak, status, in_front = peak_of(rig.pid), rig.ask("status"), full(rig)
        alive = rig.process is not None and rig.process.poll() is None
    with Rig(KERNEL) as rig:
        theirs, others = turns(rig, max(4.0, seconds / 5), rate, 2)
    ran, waited = sum(turn.ran for turn in ours), sum(turn.waited for turn in ours)
    found.figures |= {"offered_kpps": round(rate / 1e3, 1), "calm_mbit": round(median(turn.calm for turn in ours), 1),
                      "flood_mbit": round(median(turn.flooded for turn in ours), 1), "kernel_kept": ratio(theirs),
                      "self_opens": len(selves), "self_p50_s": median(selves), "self_p99_s": p99(selves),
                      "self_within_a_second": sum(each <= OPENS for each in selves), "kernel_self_p50_s": median(others),
                      "kernel_self_p99_s": p99(others), "cpus": ran / seconds, "got_of_the_cpu_it_wanted": ran / (ran + waited),
                      "flows": status["flows"]["used"], "drops": status["drops"], "lost_in_front": in_front}  # fmt: skip
    found.at_most("the process ended", int(not alive))
    found.at_most("most memory", round(peak / 2**20, 1), MEMORY >> 20, " MiB")
    found.at_least("goodput of established connections, of calm", ratio(ours), KEPT)
    found.at_most("slowest new connection to `self`", max(selves), OPENS, " s")
    return found


def ratio(turns: list[Turn]) -> float:
    """Of flood to calm, the median of all turns."""
    return round(median(turn.flooded / turn.calm for turn in turns), 3)


def p99(took: list[float]) -> float:
    """What 99 of 100 stay within."""
    return sorted(took)[ceil(0.99 * len(took)) - 1]


def limited(candidate: Candidate) -> Candidate:
    """With no more private memory than promised: beyond it the kernel refuses. Source: setrlimit(2), RLIMIT_DATA."""
    return replace(candidate, command=lambda directory: ["prlimit", f"--data={MEMORY}", *candidate.command(directory)])


def full(rig: Rig) -> int:
    """Frames for which the client's device had no room, while the candidate did not get the CPU: a SYN among them comes a second later."""
    with rig.client.call(open, "/proc/thread-self/net/dev") as file:
        return rows(file)["client"][11]


def peak_of(pid: int) -> int:
    """The most that a process ever had in memory, in bytes."""
    with open(f"/proc/{pid}/status") as file:
        fields = dict(line.split(":", 1) for line in file)
    return max(resident(pid), int(fields["VmHWM"].split()[0]) * 1024)


# -- turns -----------------------------------------------------------------------------------------------------------------

def turns(rig: Rig, seconds: float, rate: int, most: int = TURNS) -> tuple[list[Turn], list[float]]:
    """All turns, and how long each connection to `self` took under flood."""
    run(rig.server, "nft", DROPPED)
    if rig.candidate.wiring == "veth":
        ip(rig.middle, f"route add {SPOOFED} via {CLIENT}", f"route add {AIMED} via {SERVER}")
    count = max(1, min(most, round(seconds / 4)))
    length = seconds / count
    made, selves = list[Turn](), list[float]()
    with established(rig, seconds + count * (length * CALM + 4)) as received:
        time.sleep(1.0)
        for number in range(count):
            calm = paced(received, max(1.0, length * CALM))
            with flooding(rig, rate, number), asking(rig, selves):
                before = scheduled(rig)
                flooded = paced(received, length)
                ran, waited = (now - then for now, then in zip(scheduled(rig), before, strict=True))
                made.append(Turn(calm, flooded, ran, waited))
            time.sleep(0.5)
    return made, selves


def scheduled(rig: Rig) -> tuple[float, float]:
    """Seconds that the candidate's threads ran so far, and seconds that they waited for a CPU; none of the kernel, which is no process.
    Source: Linux, Documentation/scheduler/sched-stats.rst."""
    if rig.process is None:
        return 0.0, 0.0
    spent = [(task / "schedstat").read_text().split() for task in Path(f"/proc/{rig.pid}/task").iterdir()]
    return sum(int(ran) for ran, _, _ in spent) / 1e9, sum(int(waited) for _, waited, _ in spent) / 1e9


def paced(received: Any, seconds: float) -> float:
    """Megabits a second that arrive in the next seconds."""
    before, begun = received(), time.monotonic()
    time.sleep(seconds)
    return float((received() - before) * 8 / 1e6 / (time.monotonic() - begun))


@contextmanager
def flooding(rig: Rig, rate: int, seed: int) -> Iterator[None]:
    """The flood, for as long as the block lasts."""
    argv = program("tuples"), "-i", "client", "-m", MACS[CLIENT], "-M", MACS[NEAR], "-S", SPOOFED, "-D", AIMED, "-r", str(rate)
    sender = rig.spawn(rig.client, *argv, "-x", str(seed))
    try:
        yield
    finally:
        sender.kill()
        sender.wait()


@contextmanager
def established(rig: Rig, seconds: float) -> Iterator[Any]:
    """Paced connections; how many bytes have come through so far is what the receiver's kernel acknowledged to the sender's."""
    argv = "iperf3", "-c", SERVER, "-p", str(BULK_PORT), "-P", str(STREAMS), "--fq-rate", f"{SPEED}M", "-t", str(round(seconds) + 60)
    sender = rig.spawn(rig.client, *argv)
    try:
        rig.wait(lambda: received(rig) > 1 << 20, "carried established connections", 30.0)
        yield partial(received, rig)
    finally:
        sender.kill()
        sender.wait()


def received(rig: Rig) -> int:
    """Bytes acknowledged on all connections to the bulk port."""
    argv = inside(rig.client, "ss", "-tniOH", "dport", "=", f":{BULK_PORT}")
    words = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()
    return sum(int(word.partition(":")[2]) for word in words if word.startswith("bytes_acked:"))


@contextmanager
def asking(rig: Rig, took: list[float]) -> Iterator[None]:
    """Connect to the candidate's own stack again and again; seconds until each was open."""
    end = threading.Event()
    listener = rig.middle.call(partial(socket.create_server, (NEAR, SELF_PORT), backlog=MOST_WAITING))

    def ask() -> None:
        while not end.wait(SELF_GAP):
            begun = time.monotonic()
            try:
                rig.client.call(socket.create_connection, (NEAR, SELF_PORT), 30.0).close()
            except OSError:
                took.append(float("inf"))
            else:
                took.append(time.monotonic() - begun)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()
        listener.close()
