"""What nmap sees of a server behind, and of the device: one open port, one closed, one filtered, by every way to ask.

A verdict is the state of each port; `open|filtered` is nmap's word for silence where an open port is silent too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from tests.conformance.policy import BLOCKED, BLOCKED_UDP, CLOSED, CLOSED_UDP, DOOR, OPEN, OPEN_UDP
from tests.conformance.programs import say
from tests.conformance.site import DMZ, DMZ6, LAN, OUTSIDE, WAN_TOO, Site
from tests.conformance.verdict import NOT_TOLD, Tester, Verdict, Verdicts
from tests.e2e.endpoints import Caller, EchoDatagram, serving

TCP: Final = f"{OPEN},{CLOSED},{BLOCKED}"
UDP: Final = f"{OPEN_UDP},{CLOSED_UDP},{BLOCKED_UDP}"
PROTOCOLS: Final = "1,2,6,17,41,47,50,51,58,132"
SCANS: Final = {
    "-sS SYN": ("-sS", "-p", TCP), "-sT connect": ("-sT", "-p", TCP), "-sA ACK": ("-sA", "-p", TCP), "-sW window": ("-sW", "-p", TCP),
    "-sF FIN": ("-sF", "-p", TCP), "-sN no flags": ("-sN", "-p", TCP), "-sX FIN, PSH, URG": ("-sX", "-p", TCP),
    "-sM FIN and ACK": ("-sM", "-p", TCP), "all flags": ("-sS", "--scanflags", "URGACKPSHRSTSYNFIN", "-p", TCP),
    "SYN and FIN": ("-sS", "--scanflags", "SYNFIN", "-p", TCP), "-f tiny fragments": ("-sS", "-f", "-p", TCP),
    "--mtu 8": ("-sS", "--mtu", "8", "-p", TCP), "--mtu 24": ("-sS", "--mtu", "24", "-p", TCP),
    "-g 53 source port": ("-sS", "-g", "53", "-p", TCP),
    "--badsum": ("-sS", "--badsum", "-p", TCP), "--data-length 500": ("-sS", "--data-length", "500", "-p", TCP),
    "--ip-options R": ("-sS", "--ip-options", "R", "-p", TCP), "--ip-options L": ("-sS", "--ip-options", f"L {LAN}", "-p", TCP),
    "--ttl 1": ("-sS", "--ttl", "1", "-p", TCP), "-D decoy": ("-sS", "-D", f"{WAN_TOO},ME", "-p", TCP), "-sU UDP": ("-sU", "-p", UDP),
    "-sU -g 53": ("-sU", "-g", "53", "-p", UDP), "-sY SCTP": ("-sY", "-p", TCP), "-sO protocols": ("-sO", "-p", PROTOCOLS),
}  # fmt: skip
DEVICE: Final = {
    "-sS SYN": ("-sS", "-p", f"22,{OPEN},{DOOR}"), "-sA ACK": ("-sA", "-p", f"22,{OPEN},{DOOR}"), "-sU UDP": ("-sU", "-p", "53,161"),
    "-sO protocols": ("-sO", "-p", PROTOCOLS),
}  # fmt: skip
USUAL: Final = ("-n", "-Pn", "--max-retries", "1", "--disable-arp-ping", "-oG", "-")
ONLY_V4: Final = ("--ip-options", "-f tiny", "--mtu", "--badsum", "-D")
"""nmap can't, or does another thing, by IPv6."""


def look(site: Site) -> Verdicts:
    """All scans, some at a time: they wait for what doesn't come."""
    open_ports = [(Caller, address, port, "tcp") for address in (DMZ, DMZ6) for port in (OPEN, BLOCKED)]
    open_udp = [(EchoDatagram, address, port, "udp") for address in (DMZ, DMZ6) for port in (OPEN_UDP, BLOCKED_UDP)]
    with serving(site.dmz, *open_ports, *open_udp), serving(site.lan, (Caller, LAN, OPEN, "tcp")), ThreadPoolExecutor(8) as pool:
        jobs = {f"{case}, v4": (*options, *USUAL, DMZ) for case, options in SCANS.items()}
        jobs |= {f"{case}, v6": ("-6", *options, *USUAL, DMZ6) for case, options in SCANS.items() if not case.startswith(ONLY_V4)}
        jobs |= {f"{case}, the device": (*options, *USUAL, OUTSIDE) for case, options in DEVICE.items()}
        # Any packet of a protocol tells -sO that it is there: so that is asked when nothing else is.
        asked = {case: pool.submit(scan, site, options) for case, options in jobs.items() if "-sO" not in options}
        seen = {case: run.result() for case, run in asked.items()}
        return {case: states(seen[case] if case in seen else scan(site, options)) for case, options in jobs.items()}


def scan(site: Site, options: Sequence[str]) -> str:
    """What nmap prints."""
    return say(site.wan, "nmap", *options, patience=120)


def states(text: str) -> Verdict:
    """The states in nmap's greppable report: `Ports: 80/open/tcp//http///, ...`, or `Protocols:`."""
    found = re.search(r"(?:Ports|Protocols): (.*?)(?:\t|$)", text, re.MULTILINE)
    if found is None:
        return Verdict(NOT_TOLD, " ".join(line for line in text.splitlines() if not line.startswith("#"))[-120:])
    ports = sorted((each.strip().split("/") for each in found[1].split(",")), key=lambda fields: int(fields[0]))
    by_state: dict[str, list[str]] = {}
    for fields in ports:
        by_state.setdefault(fields[1], []).append(fields[0])
    return Verdict("; ".join(f"{' '.join(numbers)} {state}" for state, numbers in by_state.items()))


TESTER: Final = Tester("nmap", "nmap's scans", ("nmap",), look)
