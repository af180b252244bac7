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
GOODPUT = f"goodput of {STREAMS} established connections of {SPEED} Mbit/s each, of calm"
LOST, OFFERED = "frames lost in front of the appliance, of those offered to it", "frames that the flood offered, of its rate"
MOST_LOST, LEAST_OFFERED = 0.05, 0.95
"""A flood that is not made, or that waits outside until it is gone, proves nothing about who is flooded."""

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


class Passed(NamedTuple):
    """What came by in so many seconds: megabits a second of the established connections, frames a second that the client's device was given
    for the candidate, and those of them that were lost in front of it: see `lost_in_front`."""

    mbit: float
    offered: float
    lost: float


class Turn(NamedTuple):
    """A calm and the flood after it, and of the flood the seconds that all threads of the candidate ran, and waited for a CPU."""

    calm: Passed
    flooded: Passed
    ran: float
    waited: float


def flood(seconds: float, size: float = 1.0) -> Found:
    """So many seconds of flood, calm not counted. `size` scales the rate."""
    found, rate = Found("flood"), round(RATE * size)
    with Rig(limited(OURS)) as rig:
        ours, selves = turns(rig, seconds, rate)
        peak, status = peak_of(rig.pid), rig.ask("status")
        alive = rig.process is not None and rig.process.poll() is None
    with Rig(KERNEL) as rig:
        theirs, others = turns(rig, max(4.0, seconds / 5), rate, 2)
    found.figures |= told(ours, seconds) | openings(selves) | {f"kernel_{name}": value for name, value in openings(others).items()}
    found.figures |= {"kernel_kept": ratio(theirs), "flows": status["flows"]["used"], "drops": status["drops"]}
    found.at_most("the process ended", int(not alive))
    found.at_most("most memory", round(peak / 2**20, 1), MEMORY >> 20, " MiB")
    found.at_least(GOODPUT, ratio(ours), KEPT)
    found.at_most("slowest new connection to `self`", max(selves), OPENS, " s")
    found.at_least(OFFERED, offered(ours) / rate, LEAST_OFFERED)
    found.at_most(LOST, sum(turn.flooded.lost for turn in ours) / sum(turn.flooded.offered for turn in ours), MOST_LOST)
    return found


def told(turns: list[Turn], seconds: float) -> dict[str, float]:
    """Figures of all turns."""
    ran, waited = sum(turn.ran for turn in turns), sum(turn.waited for turn in turns)
    calm, flooded = (round(median(passed.mbit for passed in each), 1) for each in zip(*(turn[:2] for turn in turns), strict=True))
    return {"offered_kpps": round(offered(turns) / 1e3, 1), "lost_kpps": sum(turn.flooded.lost for turn in turns) / len(turns) / 1e3,
            "calm_mbit": calm, "flood_mbit": flooded, "cpus": ran / seconds, "got_of_the_cpu_it_wanted": ran / (ran + waited)}  # fmt: skip


def openings(took: list[float]) -> dict[str, float]:
    """Figures of connections to `self`."""
    return {"self_opens": len(took), "self_p50_s": median(took), "self_p99_s": p99(took),
            "self_within_a_second": sum(each <= OPENS for each in took)}  # fmt: skip


def offered(turns: list[Turn]) -> float:
    """Frames a second of the flood alone, in the mean of all turns: what the established connections send, they send in the calm, too."""
    return sum(turn.flooded.offered - turn.calm.offered for turn in turns) / len(turns)


def ratio(turns: list[Turn]) -> float:
    """Of flood to calm, the median of all turns."""
    return round(median(turn.flooded.mbit / turn.calm.mbit for turn in turns), 3)


def p99(took: list[float]) -> float:
    """What 99 of 100 stay within."""
    return sorted(took)[ceil(0.99 * len(took)) - 1]


def limited(candidate: Candidate) -> Candidate:
    """With no more private memory than promised: beyond it the kernel refuses. Source: setrlimit(2), RLIMIT_DATA."""
    return replace(candidate, command=lambda directory: ["prlimit", f"--data={MEMORY}", *candidate.command(directory)])


def lost_in_front(rig: Rig) -> int:
    """Frames so far that came faster than they were fetched: the client's device had no room for them, or the candidate's card no buffer. A
    SYN among them comes a second later."""
    with rig.client.call(open, "/proc/thread-self/net/dev") as file:
        full = rows(file)["client"][11]
    return full + (rig.ask("status")["drops"].get("card-overrun", 0) if rig.process else 0)


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
            calm = paced(rig, received, max(1.0, length * CALM))
            with flooding(rig, rate, number), asking(rig, selves):
                before = scheduled(rig)
                flooded = paced(rig, received, length)
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


def counted(rig: Rig, received: Any) -> tuple[float, ...]:
    """So far: frames lost in front, frames offered, bytes acknowledged, and the time."""
    return lost_in_front(rig), rig.frames("client")["offered"], received(), time.monotonic()


def paced(rig: Rig, received: Any, seconds: float) -> Passed:
    """What comes by in the next seconds."""
    before = counted(rig, received)
    time.sleep(seconds)
    lost, frames, acknowledged, took = (now - then for now, then in zip(counted(rig, received), before, strict=True))
    return Passed(acknowledged * 8 / 1e6 / took, frames / took, lost / took)


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
