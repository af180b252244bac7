"""How each thing is measured on one rig, in so many seconds: every function gives its figures by name.

`core_kpps` is thousands of frames that came out per second of the candidate's CPU time: neighbours' load hardly moves it. `kpps` is by the
clock on the wall, and so is everything about TCP and round trips: good for ratios within one run only.

The generator of frames has the first CPU, and a candidate of one busy thread the last: neither can slow the other down.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from tests.perf.candidates import CLIENT, KINDS, KINDS_FROM, MACS, NEAR, PORT, SERVER, SERVICE
from tests.perf.hosts import RigError, inside
from tests.perf.process import pin, resident
from tests.perf.programs import program
from tests.perf.rig import BULK_PORT, Rig

Figures = dict[str, float]
Measure = Callable[[Rig, float], Figures]

CPUS: Final = sorted(os.sched_getaffinity(0))
WARM_UP: Final = 0.3
SETTLING: Final = 0.3
"""Seconds before a window, and until the last frame and its decision are through."""
PACE: Final = 20_000
"""Frames a second at which flows are made known: no candidate drops at that pace for long."""
NEW_FLOWS: Final = 2_000
"""A second, in batches of 8: few enough for the slow path of a loaded machine, and frames find neither side asleep at every one."""
FIRST_MET: Final = 3.0
"""Seconds in which flows are met, and then known: a dozen frames each, at the limit's speed."""
PASSES: Final = 6
CONNECTIONS: Final = 32
GAP_US: Final = 500
MILLION: Final = 1_000_000
PART: Final = 50_000
"""Flows of one destination port."""
NEW_KINDS: Final = 1_000
ANNOUNCING, IDLE = 2.0, 3.0
"""Seconds in which a start's announcements end, and of idleness at least."""

_ports = iter(range(10, 1000))
_kinds = itertools.cycle(range(KINDS_FROM, KINDS_FROM + KINDS, NEW_KINDS))


def blast(rig: Rig, *options: object, to: str = SERVER, around: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
    """The generator at work, in the hands of the program `around` it if there is one."""
    mac = MACS[SERVER if rig.candidate.wiring == "taps" else NEAR]
    pinned = ("taskset", "-c", str(CPUS[0]), *around, program("pktblast"))
    return rig.spawn(rig.client, *pinned, "-i", "client", "-S", CLIENT, "-D", to, "-m", MACS[CLIENT], "-M", mac, *map(str, options))


@contextmanager
def pinned(rig: Rig) -> Iterator[None]:
    """The candidate on the last CPU."""
    if rig.process:
        pin(rig.pid, CPUS[-1:])
    try:
        yield
    finally:
        if rig.process:
            pin(rig.pid, CPUS)


def window(rig: Rig, seconds: float, meanwhile: Callable[[float], None] = time.sleep) -> Figures:
    """What comes through while a generator is at work, and `meanwhile` so many seconds pass."""
    began, sent, came, cpu = time.monotonic(), rig.frames("client"), rig.frames("server"), rig.cpu()
    meanwhile(seconds)
    took, spent = time.monotonic() - began, rig.cpu() - cpu
    moved = rig.frames("server")["received"] - came["received"]
    offered = rig.frames("client")["offered"] - sent["offered"]
    if not moved:
        raise RigError(f"{rig.candidate.name} forwarded none of {offered} frames")
    figures = {"kpps": moved / took / 1e3, "offered_kpps": offered / took / 1e3, "cpu": spent / took}
    if spent:
        figures |= {"core_kpps": moved / spent / 1e3, "ns_frame": spent / moved * 1e9}
    return figures


# -- small frames ----------------------------------------------------------------------------------------------------------


def one_pass(rig: Rig, flows: int, port: int, pace: int, *options: object) -> tuple[int, float]:
    """One frame of each flow: how many came through, and the CPU seconds of all that followed from them."""
    came, cpu = rig.frames("server")["received"], rig.cpu()
    blast(rig, "-f", flows, "-p", port, "-n", flows, "-r", pace, *options).wait()
    time.sleep(SETTLING)
    return rig.frames("server")["received"] - came, rig.cpu() - cpu


def make_known(rig: Rig, flows: int) -> None:
    """Have the candidate know the flows, slower and slower. Raises RigError if many of them don't get through."""
    for number in range(PASSES):
        came, _ = one_pass(rig, flows, 9, PACE // (number + 1))
        if came >= 0.99 * flows:
            return
    if came < 0.9 * flows:
        raise RigError(f"{rig.candidate.name} still loses frames of {flows} flows after {PASSES} passes: {came} came through")


def known(flows: int) -> Measure:
    """A flood of flows that the candidate knows."""

    def measure(rig: Rig, seconds: float) -> Figures:
        make_known(rig, flows)
        with pinned(rig):
            generator = blast(rig, "-f", flows)
            time.sleep(WARM_UP)
            figures = window(rig, seconds)
            generator.kill()
            generator.wait()
        time.sleep(SETTLING)
        return figures

    return measure


def first_met(flows: int) -> Measure:
    """A flood of flows never seen before, from its first frame on: with all their misses, and what was lost by them.

    However long a turn is: the longer, the more of it would be about known flows.
    """

    def measure(rig: Rig, seconds: float) -> Figures:
        with pinned(rig):
            generator = blast(rig, "-f", flows, "-p", next(_ports))
            figures = window(rig, FIRST_MET)
            generator.kill()
            generator.wait()
        time.sleep(2 * SETTLING)
        return figures

    return measure


def new_flow(rig: Rig, seconds: float) -> Figures:
    """CPU of a flow that is like others decided before it: all differ in their source port alone."""
    return begun(rig, max(200, round(NEW_FLOWS * seconds)), next(_ports))


def new_kind(rig: Rig, seconds: float) -> Figures:
    """CPU of the slow path: each flow is the first that its rule decides. A rig has ten turns of this."""
    return begun(rig, NEW_KINDS, next(_kinds), "-s", 1)


def begun(rig: Rig, flows: int, port: int, *options: object) -> Figures:
    """CPU of flows that begin: one frame each of new flows, less what the same frames take when the flows are known."""
    first, cpu_first = one_pass(rig, flows, port, NEW_FLOWS, "-b", 8, *options)
    again, cpu_again = one_pass(rig, flows, port, NEW_FLOWS, "-b", 8, *options)
    if min(first, again) < 0.5 * flows:
        raise RigError(f"{rig.candidate.name} lost frames of new flows: of {flows} came {first}, then {again}")
    new, old = cpu_first / first * 1e6, cpu_again / again * 1e6
    return {"us_flow": new - old, "us_first_frame": new, "us_known_frame": old, "flows": first}


# -- connections -----------------------------------------------------------------------------------------------------------


def asked(rig: Rig, *argv: object, timeout: float) -> Any:
    """What a program of the client prints, as JSON; nothing, if it printed none."""
    done = subprocess.run(inside(rig.client, *map(str, argv)), capture_output=True, text=True, timeout=timeout)
    try:
        return json.loads(done.stdout)
    except ValueError:
        raise RigError(f"{rig.candidate.name}: {argv[0]}: {done.stdout}{done.stderr}") from None


def bulk(streams: int) -> Measure:
    """TCP streams at full speed. iperf3 counts whole seconds."""

    def measure(rig: Rig, seconds: float) -> Figures:
        cpu, length = rig.cpu(), max(1, math.ceil(seconds))
        end = asked(rig, "iperf3", "-c", SERVER, "-p", BULK_PORT, "-P", streams, "-t", length, "-J", timeout=length + 30)["end"]
        gbit, spent = end["sum_received"]["bits_per_second"] / 1e9, rig.cpu() - cpu
        time.sleep(SETTLING)  # its server takes one test at a time
        return {"gbit": gbit, "retransmits": end["sum_sent"]["retransmits"], "cpu": spent / length}

    return measure


def connections(rig: Rig, seconds: float) -> Figures:
    """New TCP connections to the balanced service."""
    cpu = rig.cpu()
    end = asked(rig, program("crr"), "connect", SERVICE, PORT, seconds, CONNECTIONS, timeout=seconds + 30)
    spent, done = rig.cpu() - cpu, end["done"]
    if end["failed"] >= 0.01 * done:
        raise RigError(f"{rig.candidate.name}: {done} connections worked, {end['failed']} failed")
    return {"per_s": done / end["seconds"], "failed": end["failed"], "p50_us": end["p50_us"], "us_connection": spent / done * 1e6}


def round_trip(rig: Rig, seconds: float) -> Figures:
    """A datagram there and one back, with a rest in between."""
    end = asked(rig, program("crr"), "ask", SERVER, PORT, seconds, GAP_US, timeout=seconds + 30)
    return {name: end[name] for name in ("p50_us", "p99_us", "done", "failed")}


# -- the process as a whole --------------------------------------------------------------------------------------------------


def memory(rig: Rig, seconds: float) -> Figures:
    """A million flows, as fast as they are taken: by parts, the next once one is known."""
    before, began, pace, parts = resident(rig.pid), time.monotonic(), 4 * PACE, MILLION // PART
    port, left = 10, PASSES * parts
    while port < 10 + parts and left:
        came, _ = one_pass(rig, PART, port, pace)
        pace = pace if came > 0.95 * PART else max(PACE // 4, pace // 2)
        port, left = port + (came > 0.99 * PART), left - 1
    flows, took = rig.ask("status")["flows"]["used"], time.monotonic() - began
    if flows < 0.99 * MILLION:
        raise RigError(f"{rig.candidate.name} has {flows} flows after {took:.0f} s")
    return {"mib": resident(rig.pid) / 2**20, "mib_before": before / 2**20, "flows": flows, "seconds": took}


def start(rig: Rig, seconds: float) -> Figures:
    """From the start of the process to the first frame forwarded."""
    return {"seconds": rig.first_frame, "cpu_seconds": rig.cpu()}


def idle(rig: Rig, seconds: float) -> Figures:
    """CPU of doing nothing."""
    time.sleep(ANNOUNCING)
    cpu, began = rig.cpu(), time.monotonic()
    time.sleep(max(IDLE, seconds))
    return {"percent": 100 * (rig.cpu() - cpu) / (time.monotonic() - began)}
