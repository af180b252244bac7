"""Two suites of odd IPv6 fragments: SI6's frag6 tells how a host puts them together, THC's fragmentation6 sends forty kinds of bad ones.

fragmentation6 tells nothing itself: who listens behind does, by the echo requests that the server's stack got whole.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from tests.conformance.programs import say
from tests.conformance.site import DMZ, DMZ6, Site
from tests.conformance.verdict import Tester, Verdict, Verdicts
from tests.e2e.host import Host

ATTACKS: Final = 36
ATTACK: Final = re.compile(r"^(?:ATTACK )?(?:Firewall|Implementation|DOS|Multifragment) \d+ - (.*)$", re.MULTILINE)
POLICY: Final = re.compile(r"^Test #(\d): (.*)$", re.MULTILINE)
OVERLAPS: Final = {
    "1": "a last one that overlaps", "2": "one between that overlaps its left", "3": "one between, and a last that overlaps it",
    "4": "a last one that covers all but the first", "5": "one between that overlaps nothing but the last",
}  # fmt: skip


def frag6(site: Site) -> Verdicts:
    """Five overlaps, an atomic fragment, and the ping of death."""
    text = say(site.wan, "frag6", "-i", "wan", "--frag-reass-policy", "-d", DMZ6, patience=100)
    told = {f"{number} {OVERLAPS[number]}": Verdict(outcome) for number, outcome in POLICY.findall(text)}
    atomic = say(site.wan, "frag6", "-i", "wan", "--frag-type", "atomic", "-P", "64", "-d", DMZ6)
    told["an atomic fragment"] = Verdict("answered" if "cho Reply" in atomic or "cho reply" in atomic else "no answer")
    before = pings(site.dmz)
    say(site.wan, "frag6", "-i", "wan", "--pod-attack", "-d", DMZ6)
    told["ping of death"] = Verdict(f"{pings(site.dmz) - before} whole at the server")
    alive = "1 received" in say(site.wan, "ping", "-n", "-c1", "-W2", DMZ6)
    return told | {"a ping afterwards": Verdict("answered" if alive else "no answer", site.trouble())}


def fragmentation6(site: Site) -> Verdicts:
    """One attack after the other, and after each what it got through is counted."""
    told: dict[str, Verdict] = {}
    for number in range(1, ATTACKS + 1):
        before = pings(site.dmz)
        text = say(site.wan, "atk6-fragmentation6", "-p", "wan", DMZ6, str(number))
        say(site.wan, "ping", "-n", "-c1", "-W2", DMZ)  # what was sent before has been handled when this is answered
        if found := ATTACK.search(text):
            told[f"{number:02} {found[1]}"] = Verdict(f"{pings(site.dmz) - before} whole at the server")
    alive = "1 received" in say(site.wan, "ping", "-n", "-c1", "-W2", DMZ6)
    return told | {"a ping afterwards": Verdict("answered" if alive else "no answer", site.trouble())}


def pings(host: Host) -> int:
    """Echo requests that the stack of a host has taken, put together if need be."""
    text: str = host.call(Path("/proc/thread-self/net/snmp6").read_text)
    return int(next(line.split()[1] for line in text.splitlines() if line.startswith("Icmp6InEchos ")))


TESTERS: Final = (
    Tester("frag6", "SI6's fragment checks", ("frag6",), frag6, waits=True),
    Tester("fragmentation6", "THC's fragments", ("atk6-fragmentation6",), fragmentation6, waits=True),
)
