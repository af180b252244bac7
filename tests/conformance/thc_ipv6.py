"""The Hacker's Choice's IPv6 attacks: evasions of firewalls, and what else an implementation may get wrong.

`atk6-firewall6` asks a server behind for a port in some forty ways, and tells what came back: at a blocked port anything is an evasion.
`atk6-implementation6` pings in some fifty odd ways, through the device and at it. Both take any error, and any advertisement, that comes
while they wait for an answer: so each run has hosts of its own, that ask for no neighbour.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from tests.conformance.captures import first
from tests.conformance.policy import BLOCKED, OPEN
from tests.conformance.programs import say
from tests.conformance.site import DMZ6, OUTSIDE6, Site
from tests.conformance.verdict import Tester, Verdict, Verdicts
from tests.e2e.endpoints import Caller, serving

FIREWALL: Final = re.compile(r"^Test +(\d+\w?): (.*?)\t+(.*)$", re.MULTILINE)
LONG: Final = 300.0
ECHO_REPLY: Final = "129"


def firewall(port: int, name: str) -> Callable[[Site], Verdicts]:
    """At one port: each test has a source port of its own."""

    def look(site: Site) -> Verdicts:
        hush(site)
        with serving(site.dmz, (Caller, DMZ6, port, "tcp")):
            text = say(site.wan, "atk6-firewall6", "wan", DMZ6, str(port), patience=LONG)
        return {f"{case}, {name} port": told for case, told in tests(text, answer).items()}

    return look


def implementation(end: str, name: str) -> Callable[[Site], Verdicts]:
    """At the device itself, or through it."""

    def look(site: Site) -> Verdicts:
        hush(site)
        text = say(site.wan, "atk6-implementation6", "wan", end, patience=LONG)
        return {f"{case}, {name} it": told for case, told in tests(text, ping).items()}

    return look


def hush(site: Site) -> None:
    """The host knows the device for good."""
    mac = first(r"lladdr (\S+)", say(site.wan, "ip", "neighbour", "show", OUTSIDE6))
    say(site.wan, "ip", "neighbour", "replace", OUTSIDE6, "lladdr", mac, "dev", "wan", "nud", "permanent", check=True)


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
    *(Tester(f"firewall6-{name}", f"THC's firewall evasions, {name} port", ("atk6-firewall6",), firewall(port, name), waits=True)
      for name, port in (("open", OPEN), ("blocked", BLOCKED))),
    *(Tester(f"implementation6-{name}", f"THC's implementation checks, {name} it", ("atk6-implementation6",), implementation(end, name),
             waits=True) for name, end in (("through", DMZ6), ("at", OUTSIDE6))),
)  # fmt: skip
