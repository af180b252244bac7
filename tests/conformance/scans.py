"""What nmap sees of a server behind, and of the device: one open port, one closed, one filtered, by every way to ask.

A verdict is the state of each port; `open|filtered` is nmap's word for silence where an open port is silent too. Of the detection of
systems it is what nmap measures of each answer, but for what is chance or time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor, wait
from html import unescape
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
PINGS: Final = {"-PE echo": "-PE", "-PP timestamp": "-PP", "-PM address mask": "-PM"}
ZOMBIE: Final = ("-sI", f"{OUTSIDE}:{DOOR}", "-n", "-Pn", "-p", str(OPEN), DMZ)
SYSTEM: Final = ("-O", "--max-os-tries", "1", "-d", "-n", "-Pn", "--disable-arp-ping", "-p", f"{OPEN},{CLOSED}", "-oX", "-")
PASSING: Final = frozenset(("SP", "GCD", "ISR", "TS", "SS", "ST", "RT"))
"""Of a system's fingerprint: how its sequence numbers grow, its clock, how long it took."""
USUAL: Final = ("-n", "--max-retries", "1", "--disable-arp-ping", "-oG", "-")
AT_ONCE: Final = 16
FIRST_PORT: Final = 20000
"""Below all ports that the kernel or nmap takes by itself."""
ONLY_V4: Final = ("--ip-options", "-f tiny", "--mtu", "--badsum", "-D")
"""nmap can't, or does another thing, by IPv6."""


def look(site: Site) -> Verdicts:
    """All scans, some at a time: they wait for what doesn't come."""
    open_ports = [(Caller, address, port, "tcp") for address in (DMZ, DMZ6) for port in (OPEN, BLOCKED)]
    open_udp = [(EchoDatagram, address, port, "udp") for address in (DMZ, DMZ6) for port in (OPEN_UDP, BLOCKED_UDP)]
    with serving(site.dmz, *open_ports, *open_udp), serving(site.lan, (Caller, LAN, OPEN, "tcp")), ThreadPoolExecutor(AT_ONCE) as pool:
        jobs = {f"{case}, v4": (*options, "-Pn", *USUAL, DMZ) for case, options in SCANS.items()}
        jobs |= {f"{case}, v6": ("-6", *options, "-Pn", *USUAL, DMZ6) for case, options in SCANS.items() if not case.startswith(ONLY_V4)}
        jobs |= {f"{case}, the device": (*options, "-Pn", *USUAL, OUTSIDE) for case, options in DEVICE.items()}
        jobs = {case: apart(number, options) for number, (case, options) in enumerate(jobs.items())}
        # Any packet of a protocol tells -sO that it is there: so that is asked when nothing else is. It listens to one host.
        asked = {case: pool.submit(scan, site, options) for case, options in jobs.items() if "-sO" not in options}
        told = others(site, pool)
        wait(asked.values())
        asked |= {case: pool.submit(scan, site, options) for case, options in jobs.items() if "-sO" in options}
        return {case: states(asked[case].result()) for case in jobs} | told


def apart(number: int, options: tuple[str, ...]) -> tuple[str, ...]:
    """A scan from a port of its own, as far as it can choose: what another has opened is open to who comes from there."""
    return options if {"-g", "-sT", "-sO"} & set(options) else ("-g", str(FIRST_PORT + number), *options)


def others(site: Site, pool: Executor) -> dict[str, Verdict]:
    """Pings, the detection of systems, and a scan by way of the device."""
    pings = {case: pool.submit(scan, site, ("-sn", option, *USUAL, DMZ)) for case, option in PINGS.items()}
    four, six = (pool.submit(scan, site, (*SYSTEM, *server)) for server in ((DMZ,), ("-6", DMZ6)))
    zombie = pool.submit(scan, site, ZOMBIE)
    told = {f"{case}, v4": Verdict("up" if "Status: Up" in run.result() else "silent") for case, run in pings.items()}
    return {**told, **system(four.result()), **system_six(six.result()), "-sI, the device as zombie": useless(zombie.result())}


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


def fingerprint(text: str) -> dict[str, dict[str, str]]:
    """What nmap measured of a system, test by test: `T5(R=Y%DF=Y%W=0)`."""
    found = re.search(r'<osfingerprint fingerprint="([^"]*)"', text)
    whole = re.sub(r"\n?OS:", "", unescape(found[1])) if found else ""  # long ones come in lines
    tests = re.findall(r"(\w+)\(([^()]*)\)", whole)
    return {test: dict(field.split("=", 1) for field in fields.split("%") if "=" in field) for test, fields in tests}


def system(text: str) -> Verdicts:
    """Each test of IPv4, and what came back."""
    tests = fingerprint(text)
    tests.pop("SCAN", None)  # the time, and nmap's own version
    told = {f"-O {test}, v4": Verdict(" ".join(f"{name}={value}" for name, value in fields.items() if name not in PASSING))
            for test, fields in tests.items()}  # fmt: skip
    return told or {"-O, v4": Verdict(NOT_TOLD, text[-120:])}


def system_six(text: str) -> Verdicts:
    """The tests of IPv6 that were answered: what came back has nmap's own random ports in it."""
    answered = [test for test, fields in fingerprint(text).items() if "P" in fields and test != "SCAN"]
    return {"-O answered, v6": Verdict(" ".join(answered)) if answered else Verdict(NOT_TOLD, text[-120:])}


def useless(text: str) -> Verdict:
    """Why an idle scan can't go by a host."""
    found = re.search(r"cannot be used because (.*?)(?:\.|--| - |$)", text.replace("\n", " "))
    return Verdict(found[1].strip() if found else "is used", "" if found else text[-120:])


TESTER: Final = Tester("nmap", "nmap's scans", ("nmap",), look)
