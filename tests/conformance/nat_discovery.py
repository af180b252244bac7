"""coturn's view of the translation: mapping, filtering, hairpin, collision, lifetime. Source: RFC 5780; RFC 4787 has the words."""

from __future__ import annotations

import re
import tempfile
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from tests.conformance.programs import running, say
from tests.conformance.site import LAN, LAN_TOO, WAN, WAN_TOO, Side, Site
from tests.conformance.verdict import Tester, Verdict, Verdicts

ASK: Final = "turnutils_natdiscovery"
LIFETIMES: Final = 10, 60, 125
"""Seconds of silence; a binding that nobody uses has to outlast two minutes (RFC 4787, REQ-5)."""
ALIKE: Final = re.compile(r"NAT with (.*?)(?: *!)", re.IGNORECASE)


def look(site: Site) -> Verdicts:
    """Each question of the client's, from a host behind the masquerade to a server with two addresses."""
    with tempfile.TemporaryDirectory() as directory:
        files = ("-l", "stdout", "--simple-log", "--pidfile", f"{directory}/pid", "--userdb", f"{directory}/db")
        serve = ("turnserver", "-n", "--no-auth", "-L", WAN, "-L", WAN_TOO, "--no-tls", "--no-dtls", "--no-cli", *files)
        with running(site.wan, *serve, tcp=(WAN, 3478)), ThreadPoolExecutor(len(LIFETIMES)) as pool:
            silent = {seconds: pool.submit(ask, site, "-t", "-T", str(seconds)) for seconds in LIFETIMES}
            told = {
                "mapping": behaviour(ask(site, "-m")),
                "mapping, by datagrams in fragments": behaviour(ask(site, "-m", "-P")),
                "filtering": behaviour(ask(site, "-f")),
                "hairpin": hairpin(ask(site, "-H")),
                "two hosts, one port": collision(ask(site, "-c", "-A", LAN_TOO, "-l", "40000")),
            }
            return told | {f"binding after {seconds} s of silence": lifetime(run.result()) for seconds, run in silent.items()}


def ask(site: Site, *question: str) -> str:
    """What the client prints."""
    return say(site.lan, ASK, *question, "-L", LAN, WAN, patience=LIFETIMES[-1] + 60.0)


def behaviour(text: str) -> Verdict:
    """Endpoint Independent, Address Dependent, or Address and Port Dependent."""
    found = ALIKE.findall(text)
    return Verdict(found[-1].strip() if found else "not told", "" if found else text[-200:])


def reflexive(text: str) -> list[str]:
    """How the server saw the client, each time."""
    return re.findall(r"UDP reflexive addr: (\S+)", text)


def hairpin(text: str) -> Verdict:
    """Whether what a host sends to its own mapped address comes back to it."""
    return Verdict("comes back" if "successful hairpinning" in text else "no answer" if "timeout" in text else "not told")


def collision(text: str) -> Verdict:
    """Two hosts that use the same port must not share one outside."""
    seen = reflexive(text)
    return Verdict("not told", text[-200:]) if len(seen) < 2 else Verdict("told apart" if len(set(seen)) > 1 else "confused", "")


def lifetime(text: str) -> Verdict:
    """Whether the binding was still there."""
    seen = reflexive(text)
    return Verdict("not told", text[-200:]) if not seen else Verdict("alive" if len(seen) > 1 else "gone")


NEEDS: Final = ("turnserver", ASK)
TESTERS: Final = (
    Tester("coturn", "coturn's NAT discovery", NEEDS, look, waits=True),
    Tester("coturn-independent", "coturn's NAT discovery, filtering: endpoint-independent", NEEDS, look, Side.INDEPENDENT, waits=True),
    Tester("coturn-dependent", "coturn's NAT discovery, filtering: address-dependent", NEEDS, look, Side.DEPENDENT, waits=True),
)
