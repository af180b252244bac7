"""Reloads under load: a stream, a pulse of datagrams and a crowd of idle connections must not notice any of them.

Two files take turns whose policies differ, but not in what they say of this traffic.
"""

from __future__ import annotations

import time

from tests.e2e.endpoints import Bulk, serving
from tests.e2e.lab import Lab
from tests.soak.bars import Found
from tests.soak.site import ECHO, HEAD, SERVER, Pour, Pulse, Site, close, crowd, echoing, silent

RELOADS, IDLE = 1_000, 10_000
SETTLED = 0.1
"""Of all reloads, how many come before memory counts: the first ones touch what was never touched."""
GROWTH = 0.05
POLICY = """
policy:
  - %s: {from: [home], to: [net], deny: tcp/%d}
  - out: {from: [home], to: [net], allow: any}
"""
TEXTS = HEAD + POLICY % ("no mail", 25), HEAD + POLICY % ("no telnet", 23)
EXPECTED = {"other-host", "multicast", "ethertype"}
"""Drops of what kernels say of themselves when their links come up."""


def reload(seconds: float, size: float = 1.0) -> Found:
    """So many reloads, at most for so many seconds."""
    found = Found("reload")
    with Lab() as lab:
        site = Site(lab, TEXTS[0])
        lab.keep(serving(site.server, (Bulk, SERVER, 7000, "tcp")))
        with echoing(site.server, (SERVER, ECHO)):
            idle = crowd(site.client, SERVER, ECHO, max(1, round(IDLE * size)))
            with Pulse(site) as pulse, Pour(site) as pour:
                run(found, site, seconds, max(2, round(RELOADS * size)))
                pulse.stop()
                found.at_most("streams that broke or came otherwise than they were sent", int(not pour.whole()))
                found.figures |= {"streamed_mib": pour.sent >> 20, "datagrams": pulse.sent}
            judge(found, site, pulse)
            found.at_most("idle connections that were reset, or are silent", silent(idle))
            found.figures["idle"] = len(idle)
            close(idle)
    return found


def run(found: Found, site: Site, seconds: float, most: int) -> None:
    """The reloads, one after the other."""
    took, memory, ended, begun = [], [], 0.0, time.monotonic()
    found.figures["drops_before"] = site.drops()
    found.figures["lost_before"] = site.lost_before()
    for number in range(most):
        if time.monotonic() - begun > seconds and number >= 2:
            break
        site.fw.write(TEXTS[(number + 1) % 2])
        result = site.reload()
        ended += result["ended"]
        took.append(result["seconds"])
        memory.append(site.resident())
    settled = memory[int(len(memory) * SETTLED) :]
    found.figures |= {"reloads": len(took), "judging_s": sum(took) / len(took), "slowest_s": max(took), "mib": settled[0] / 2**20}
    found.figures["seconds"] = round(time.monotonic() - begun, 1)
    found.at_most("flows that reloads ended", ended)
    found.at_most("growth of memory", (max(settled) - settled[0]) / settled[0], GROWTH)


def judge(found: Found, site: Site, pulse: Pulse) -> None:
    """Who lost what."""
    before, after = found.figures.pop("drops_before"), site.drops()
    drops = {reason: count - before.get(reason, 0) for reason, count in after.items() if count > before.get(reason, 0)}
    overflow = site.lost_before() - found.figures.pop("lost_before")
    found.figures |= {"drops": drops, "lost_before_the_appliance": overflow, "datagrams_lost": pulse.lost}
    found.at_most("frames that the appliance dropped", sum(count for reason, count in drops.items() if reason not in EXPECTED))
    found.at_most("datagrams lost that no queue in front was full for", max(0, pulse.lost - overflow))
