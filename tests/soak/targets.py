"""A balancer's targets die in turn, silently or with a RST, and come back: only the flows of the one that is dead may suffer.

Each target is an address of the server; death is the server's packet filter, which nobody else notices.
"""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from dataclasses import dataclass, field

from tests.e2e.host import eventually
from tests.e2e.lab import Lab
from tests.soak.bars import Found
from tests.soak.site import CLIENT, HEAD, PATIENCE, Site, close, echoing

TARGETS = {f"w{number}": f"10.0.2.{number}" for number in (11, 12, 13, 14)}
SERVICE, PORT, EACH = "10.0.1.100", 7000, 8
HEALTH = "{type: tcp, every: 600ms, timeout: 600ms, rise: 1, fall: 2}"
LISTED = ", ".join(f"{{name: {name}, address: {address}:{PORT}}}" for name, address in TARGETS.items())
TEXT = HEAD.replace("nat:\n  - behind: {masquerade: {from: [home], to: [net]}}\n", "") + f"""
policy: [own: {{from: [self], to: any, allow: any}}]
services:
  web: {{listen: {SERVICE}:{PORT}/tcp, from: [home], targets: [{LISTED}], health: {HEALTH}}}
"""
FILTER = """table inet soak {
  set silent { type ipv4_addr; }
  set refusing { type ipv4_addr; }
  chain in { type filter hook input priority 0; ip daddr @silent drop; ip daddr @refusing meta l4proto tcp reject with tcp reset; }
  chain out { type filter hook output priority 0; ip saddr @silent drop; }
}
"""
KINDS = ("silent", "refusing")
STALL = 1.0
"""Seconds that an answer of a living target may take, with the loads that these machines are under."""
LOST_WITHIN = 10.0


@dataclass(slots=True)
class Tally:
    """What happened over all rounds."""

    rounds: int = 0
    hurt: int = 0
    refused: int = 0
    unended: int = 0
    slowest: float = 0.0
    slowest_end: float = 0.0
    flows: dict[str, list[socket.socket]] = field(default_factory=dict)


def targets(seconds: float, size: float = 1.0) -> Found:
    """Deaths for so many seconds; at least one of each kind."""
    found, tally = Found("targets"), Tally(flows={name: [] for name in TARGETS})
    with Lab() as lab:
        site = Site(lab, TEXT)
        for address in TARGETS.values():
            site.server.output("ip", "address", "add", f"{address}/24", "dev", "wan")
        site.server.output("nft", FILTER)
        each, end = max(1, round(EACH * size)), time.monotonic() + seconds
        with echoing(site.server, *((address, PORT) for address in TARGETS.values())):
            wait_for(site, set(TARGETS))
            while tally.rounds < len(KINDS) or time.monotonic() < end:
                fill(site, tally, each)
                one_round(site, tally, list(TARGETS)[tally.rounds % len(TARGETS)], KINDS[tally.rounds % len(KINDS)])
            for connections in tally.flows.values():
                close(connections)
    found.figures |= {"deaths": tally.rounds, "slowest_answer_s": tally.slowest, "slowest_end_s": tally.slowest_end}
    found.at_most("flows of living targets that ended, or waited too long", tally.hurt)
    found.at_most("flows of dead targets that were not ended", tally.unended)
    found.at_most("new connections that failed once the death was known", tally.refused)
    return found


def up(site: Site) -> set[str]:
    """Targets that take flows."""
    [service] = site.fw.status()["services"]
    return {target["name"] for target in service["targets"] if target["up"] and target["phase"] == "active"}


def wait_for(site: Site, wanted: set[str]) -> None:
    eventually(lambda: up(site) == wanted, f"the targets that are up are {', '.join(sorted(wanted))}")


def fill(site: Site, tally: Tally, each: int) -> None:
    """Connections until every target has so many: which one is whose, the appliance tells."""
    for _ in range(200 * each):
        if all(len(connections) >= each for connections in tally.flows.values()):
            return
        one = site.client.call(socket.create_connection, (SERVICE, PORT), PATIENCE)
        one.settimeout(PATIENCE)
        owner = whose(site, one.getsockname()[1])
        if len(tally.flows[owner]) < each:
            tally.flows[owner].append(one)
        else:
            one.close()
    raise AssertionError(f"no target for some: { {name: len(those) for name, those in tally.flows.items()} }")


def whose(site: Site, sport: int) -> str:
    """The target of the client's flow from this port, once it is in the table."""

    def look() -> str:
        ends = {"source": CLIENT, "sport": sport}
        return next((str(flow["target"]) for flow in site.fw.flows() if ends.items() <= flow["original"].items() and flow["target"]), "")

    return eventually(look, "the flow has a target")


def one_round(site: Site, tally: Tally, name: str, kind: str) -> None:
    """One dies, is noticed, its flows end; it comes back."""
    address, dying = TARGETS[name], tally.flows[name]
    others = [one for other, connections in tally.flows.items() if other != name for one in connections]
    site.server.output("nft", f"add element inet soak {kind} {{ {address} }}")
    died, known, left = time.monotonic(), False, set(dying)
    while left and time.monotonic() < died + LOST_WITHIN:
        tally.hurt += sum(not answers(one, tally) for one in others)
        left = {one for one in left if not ended(one)}
        if not known and name not in up(site):
            known = True
        if known:
            tally.refused += not opens(site)
    tally.unended += len(left)
    tally.slowest_end = max(tally.slowest_end, time.monotonic() - died)
    wait_for(site, set(TARGETS) - {name})
    tally.refused += sum(not opens(site) for _ in range(5))
    close(dying)
    tally.flows[name] = []
    site.server.output("nft", f"delete element inet soak {kind} {{ {address} }}")
    wait_for(site, set(TARGETS))
    tally.rounds += 1


def answers(one: socket.socket, tally: Tally) -> bool:
    """Whether a connection of a living target echoes soon."""
    begun = time.monotonic()
    try:
        one.settimeout(PATIENCE)
        one.sendall(b"!")
        heard = one.recv(1) == b"!"
    except OSError:
        heard = False
    took = time.monotonic() - begun
    tally.slowest = max(tally.slowest, took)
    return heard and took < STALL


def ended(one: socket.socket) -> bool:
    """Whether a connection was reset, or closed."""
    one.setblocking(False)
    try:
        return one.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def opens(site: Site) -> bool:
    """Whether a new connection to the service finds somebody."""
    with suppress(OSError), site.client.call(socket.create_connection, (SERVICE, PORT), STALL) as one:
        one.settimeout(STALL)
        one.sendall(b"?")
        return one.recv(1) == b"?"
    return False
