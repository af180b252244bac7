"""A new policy forbids half of very many flows: those and no others end, the active ones first, and the reload tells how long it took."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter

from tests.e2e.lab import Lab
from tests.soak.bars import Found
from tests.soak.site import HEAD, SERVER, Site, close, crowd, echoing, silent

FLOWS, ACTIVE = 100_000, 20
IDLE_FOR = 11.0
"""Seconds after which a flow does not count as active any more, and a bit."""
GAP = 0.01
"""Seconds between two looks at the active ones: each has ended so much later, at most, than it was last seen."""
FIRST = 0.5
"""Of the reload's time: the file is read and compiled in it, too. Active ones in no order would end all through the rest of it, the last of
20 close to its end."""
ALLOWED, FORBIDDEN = 9, 10
ALLOWED_TCP, FORBIDDEN_TCP = 7001, 7002
PACE = 10_000
PASSES = 12
LIMITS = "\nlimits: {flows: 200000}\ntimeouts: {udp: 1h}\n"
OLD = HEAD + "policy:\n  - out: {from: [home], to: [net], allow: any}" + LIMITS
NEW = HEAD + f"policy:\n  - out: {{from: [home], to: [net], allow: [udp/{ALLOWED}, tcp/{ALLOWED_TCP}]}}" + LIMITS
QUIET = "table inet soak { chain in { type filter hook input priority 0; udp dport { 9, 10 } drop; }; }"


def cut(seconds: float, size: float = 1.0) -> Found:
    """One cut of so many flows; `seconds` does not matter."""
    found, flows = Found("cut"), max(100, round(FLOWS * size) // 2 * 2)
    with Lab() as lab:
        site = Site(lab, OLD)
        site.server.output("nft", QUIET)
        fill(site, flows)
        time.sleep(IDLE_FOR)
        with echoing(site.server, (SERVER, ALLOWED_TCP), (SERVER, FORBIDDEN_TCP)):
            kept, ended = (crowd(site.client, SERVER, port, ACTIVE) for port in (ALLOWED_TCP, FORBIDDEN_TCP))
            with Watch(ended) as watch:
                before = ports(site)
                site.fw.write(NEW)
                watch.begin()
                result = site.reload()
                watch.join()
            judge(found, site, result, before)
            found.at_most("allowed connections that suffered", silent(kept))
            found.at_least("forbidden connections with traffic that ended", len(watch.ended), ACTIVE)
            took = max(watch.ended, default=0.0) + GAP
            found.figures |= {"active_cut_s": took, "all_s": watch.took, "flows": flows + 2 * ACTIVE}
            if size >= 1.0:  # of fewer flows, what comes before the first is judged takes most of the time
                found.at_most("of the time that all took, until the active ones had ended", took / watch.took, FIRST)
            close([*kept, *ended])
    return found


def fill(site: Site, flows: int) -> None:
    """Begin the flows, by halves to two ports, until all are there. AssertionError: they never are."""
    half = flows // 2
    for number in range(PASSES):
        for port in (ALLOWED, FORBIDDEN):
            site.blast("-f", half, "-s", half, "-p", port, "-n", half, "-r", PACE // (1 + number // 4)).wait()
        time.sleep(0.5)
        if site.fw.status()["flows"]["used"] >= flows:
            return
    raise AssertionError(f"{site.fw.status()['flows']} after {PASSES} passes")


def ports(site: Site) -> Counter[tuple[str, int]]:
    """How many flows there are to each port."""
    return Counter((flow["protocol"], flow["original"]["dport"]) for flow in site.fw.flows() if flow["state"] not in ("denied", "pending"))


def judge(found: Found, site: Site, result: dict[str, float], before: Counter[tuple[str, int]]) -> None:
    """Those and only those."""
    after, forbidden = ports(site), {("udp", FORBIDDEN), ("tcp", FORBIDDEN_TCP)}
    found.figures |= {"judged": result["judged"], "ended": result["ended"], "seconds": result["seconds"]}
    found.at_most("forbidden flows that are left", sum(after[key] for key in forbidden))
    found.at_most("allowed flows that are gone", sum(count - after[key] for key, count in before.items() if key not in forbidden))
    found.at_least("flows that the reload says it judged", result["judged"], before.total())
    found.at_most("flows that it says it ended, beside those forbidden", abs(result["ended"] - sum(before[key] for key in forbidden)))


class Watch:
    """Connections that talk all the time, and when each of them had its last answer, in seconds since `begin`."""

    def __init__(self, connections: list[socket.socket]) -> None:
        self._connections, self._begun, self.took = connections, 0.0, 0.0
        self.ended: list[float] = []
        self._last = dict.fromkeys(range(len(connections)), 0.0)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Watch:
        for one in self._connections:
            one.setblocking(False)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def begin(self) -> None:
        self._begun = time.monotonic()

    def join(self) -> None:
        """The reload is over: whoever has answered since a moment has not ended."""
        self.took = time.monotonic() - self._begun
        time.sleep(1.0)
        self._stop.set()
        self._thread.join()
        self.ended = [max(0.0, last - self._begun) for last in self._last.values() if last < self._begun + self.took + 0.5]

    def _watch(self) -> None:
        while not self._stop.is_set():
            for number, one in enumerate(self._connections):
                try:
                    one.send(b"?")
                    if one.recv(4096):
                        self._last[number] = time.monotonic()
                except OSError:  # nothing yet, or nothing any more
                    continue
            time.sleep(GAP)
