"""The Hacker's Choice's IPv6 attacks: evasions of firewalls, and what else an implementation may get wrong.

`atk6-firewall6` asks a server behind for a port in some forty ways, and tells what came back: at a blocked port anything is an evasion.
`atk6-implementation6` pings in some fifty odd ways, through the device and at it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from tests.conformance.policy import BLOCKED, OPEN
from tests.conformance.programs import say
from tests.conformance.site import DMZ6, OUTSIDE6, Site
from tests.conformance.verdict import Tester, Verdict, Verdicts
from tests.e2e.endpoints import Caller, serving

FIREWALL: Final = re.compile(r"^Test +(\d+\w?): (.*?)\t+(.*)$", re.MULTILINE)
LONG: Final = 300.0
ECHO_REPLY: Final = "129"


def firewall(site: Site) -> Verdicts:
    """Both ports at once: each test has a source port of its own."""
    ports = {"open": OPEN, "blocked": BLOCKED}
    with serving(site.dmz, *((Caller, DMZ6, port, "tcp") for port in ports.values())), ThreadPoolExecutor(2) as pool:
        runs = {name: pool.submit(say, site.wan, "atk6-firewall6", "wan", DMZ6, str(port), patience=LONG) for name, port in ports.items()}
        return {f"{case}, {name} port": told for name, run in runs.items() for case, told in tests(run.result(), answer).items()}


def implementation(site: Site) -> Verdicts:
    """At the device itself, and through it."""
    ends = {"through": DMZ6, "at it": OUTSIDE6}
    with ThreadPoolExecutor(2) as pool:
        runs = {name: pool.submit(say, site.wan, "atk6-implementation6", "wan", end, patience=LONG) for name, end in ends.items()}
        return {f"{case}, {name}": told for name, run in runs.items() for case, told in tests(run.result(), ping).items()}


def tests(text: str, judge: Callable[[str], Verdict]) -> Verdicts:
    """The numbered lines of a report."""
    found = {f"{number} {case.strip()}": judge(outcome.strip()) for number, case, outcome in FIREWALL.findall(text)}
    return found or {"all": Verdict("not told", text[-300:])}


def answer(outcome: str) -> Verdict:
    """What came back for one of firewall6's packets."""
    if "FAILED" in outcome or not outcome:
        return Verdict("no answer")
    return Verdict(outcome.removesuffix(" received"))


def ping(outcome: str) -> Verdict:
    """What came back for one of implementation6's."""
    if outcome.startswith("PASSED"):
        return Verdict("answered")
    error = re.search(r"error reply \[(\d+):(\d+)\]", outcome)
    if error is None or error[1] == ECHO_REPLY:  # an echo reply that isn't this one's is a late one of another's
        return Verdict("no answer")
    return Verdict(f"error {error[1]}/{error[2]}")


TESTERS: Final = (
    Tester("firewall6", "THC's firewall evasions", ("atk6-firewall6",), firewall),
    Tester("implementation6", "THC's implementation checks", ("atk6-implementation6",), implementation),
)
