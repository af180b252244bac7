"""Where the two sides are told apart on purpose: by which tester, in which cases, why, and by which document."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.conformance.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Deliberate:
    """A difference on purpose. `holds` gets the case and what the tester said of the kernel and of us."""

    tester: str
    holds: Callable[[str, Verdict, Verdict], bool]
    words: str
    source: str


def explain(tester: str, case: str, kernel: Verdict, ours: Verdict) -> str:
    """What explains a difference; empty if nothing does."""
    found = next((each for each in DIFFERENCES if each.tester == tester and each.holds(case, kernel, ours)), None)
    return f"{found.words} ({found.source})" if found else ""


def silent(case: str, kernel: Verdict, ours: Verdict) -> bool:
    """The kernel answers, or lets an answer through, where we are silent."""
    return ours.word in ("no answer", "stays out") and kernel.word != ours.word


def among(*parts: str) -> Callable[[str], bool]:
    """Cases whose name has one of these parts."""
    return lambda case: any(part in case for part in parts)


DIFFERENCES: Final = (
    Deliberate(
        "coturn-independent",
        lambda case, kernel, ours: case == "filtering" and ours.word.startswith("Endpoint Independent"),
        "what the file says; netfilter has one way of filtering",
        "RFC 4787, 5",
    ),
    Deliberate(
        "coturn-independent",
        lambda case, kernel, ours: case == "hairpin" and ours.word == "comes back",
        "a mapping for everybody is one for neighbours, too",
        "RFC 4787, REQ-9",
    ),
    Deliberate(
        "coturn-dependent",
        lambda case, kernel, ours: case == "filtering" and ours.word.startswith("Address Dependent"),
        "what the file says; netfilter has one way of filtering",
        "RFC 4787, 5",
    ),
    Deliberate(
        "nmap",
        lambda case, kernel, ours: among("tiny fragments", "--mtu 8")(case) and ours.word == "80 81 82 filtered",
        "a first fragment that ends within the TCP header is dropped; netfilter puts fragments together before it looks",
        "RFC 1858, 3; RFC 3128",
    ),
    Deliberate(
        "nmap",
        lambda case, kernel, ours: "--ip-options" in case and ours.word == "80 81 82 filtered",
        "packets with IPv4 options are dropped",
        "RFC 7126, 3.2",
    ),
    Deliberate(
        "evasions",
        lambda case, kernel, ours: case.startswith("fragments of 24") and "SYN, open port, v6" in case and silent(case, kernel, ours),
        "a first fragment that ends within the TCP header is dropped; netfilter puts fragments together before it looks",
        "RFC 7112, 5",
    ),
    Deliberate(
        "firewall6",
        lambda case, kernel, ours: among("x atomic fragment")(case) and silent(case, kernel, ours),
        "a packet has one fragment header at most; more are dropped, whoever would complain",
        "RFC 8200, 4.1; RFC 7045, 2.1",
    ),
    Deliberate(
        "firewall6",
        lambda case, kernel, ours: among("130x dst hdr")(case) and silent(case, kernel, ours),
        "headers before the transport have to be few and short enough to be looked at",
        "RFC 7112, 5; RFC 8504, 5.3",
    ),
    Deliberate(
        "firewall6",
        lambda case, kernel, ours: "Bad TLV handling" in case and kernel.word == "ICMPv6 Parameter Problem" and silent(case, kernel, ours),
        "the tester takes a late error about an earlier packet for one about this: alone, both are silent",
        "none",
    ),
    Deliberate(
        "firewall6",
        lambda case, kernel, ours: among("frag type first #3", "frag type first #4")(case) and ours.word in ("TCP-SYN-ACK", "no answer"),
        "an atomic fragment is a packet by itself, whatever fragments have its identification; netfilter puts them together",
        "RFC 6946, 4",
    ),
    Deliberate(
        "frag6",
        lambda case, kernel, ours: "Timed out" in kernel.word and "Time Exceeded" in ours.word,
        "fragments go on one by one, what overlaps is dropped: so the server waits for the rest, and says so; netfilter waits itself",
        "RFC 5722, 4; RFC 8200, 4.5",
    ),
    Deliberate(
        "fragmentation6",
        lambda case, kernel, ours: "double one shot" in case and ours.word.startswith("0 "),
        "a packet has one fragment header at most",
        "RFC 8200, 4.1; RFC 7045, 2.1",
    ),
    Deliberate(
        "implementation6",
        lambda case, kernel, ours: among("hop-by-hop headers", "fragmentation hop-by-hop")(case) and silent(case, kernel, ours),
        "hop-by-hop options come first, and once: anything else is malformed, dropped and counted; nobody is told",
        "RFC 8200, 4.1; RFC 1812, 4.3.2.7: filtering may be silent",
    ),
    Deliberate(
        "implementation6",
        lambda case, kernel, ours: "destination headers" in case and silent(case, kernel, ours),
        "eight extension headers pass, not more: what can't be looked at can't be judged",
        "RFC 7112, 5; RFC 8504, 5.3",
    ),
    Deliberate(
        "implementation6",
        lambda case, kernel, ours: among("source-rout", "source-route", "srcroute")(case) and silent(case, kernel, ours),
        "a routing header with segments left is dropped, and nobody is told",
        "RFC 5095, 4; RFC 1812, 4.3.2.7: filtering may be silent",
    ),
    Deliberate(
        "implementation6",
        lambda case, kernel, ours: "AH extension header" in case and silent(case, kernel, ours),
        "no rule allows AH: what policy drops is not answered",
        "RFC 7045, 2.2; RFC 1812, 4.3.2.7: filtering may be silent",
    ),
    Deliberate(
        "implementation6",
        lambda case, kernel, ours: "jumbo option" in case and silent(case, kernel, ours),
        "a packet without a length is malformed: jumbograms are for links that this card has not",
        "RFC 2675, 3",
    ),
    Deliberate(
        "implementation6",
        lambda case, kernel, ours: "solicitation ttl<255" in case and silent(case, kernel, ours),
        "neighbour discovery from beyond the link is not answered",
        "RFC 4861, 7.1.1",
    ),
    Deliberate(
        "implementation6",
        lambda case, kernel, ours: case == "25 destination fragmentation source-route, at it" and ours.word == "answered",
        "its own stack, a Linux without netfilter, takes such a packet; behind netfilter's reassembly the same stack doesn't",
        "RFC 8200, 4.1: order of headers is a recommendation",
    ),
    Deliberate(
        "implementation6",
        lambda case, kernel, ours: among("node information", "solicitation", "inverse")(case) and silent(case, kernel, ours),
        "of ICMPv6 queries echo alone passes, and what policy drops is not answered",
        "RFC 4890, 4.3 and 4.4",
    ),
    Deliberate(
        "applications",
        lambda case, kernel, ours: "record of the route" in case and ours.word == "0 of 3",
        "packets with IPv4 options are dropped",
        "RFC 7126, 3.2",
    ),
)
