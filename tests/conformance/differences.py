"""Where the two sides are told apart on purpose: by which tester, in which cases, why, and by which document.

A document is an RFC, or README where it says what the appliance does by choice. Words say what either side does, if both aren't plain.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.conformance.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Deliberate:
    """A difference on purpose. `tester` is a name, or what several begin with, before a dash. `holds` gets the case and what the tester
    said of the kernel and of us. `by_chance`: it hangs on who is faster, and not every run has it."""

    tester: str
    holds: Callable[[str, Verdict, Verdict], bool]
    words: str
    source: str
    by_chance: bool = False

    def concerns(self, tester: str) -> bool:
        """Whether it is about a tester."""
        return tester == self.tester or tester.startswith(f"{self.tester}-")


def explain(tester: str, case: str, kernel: Verdict, ours: Verdict) -> str:
    """What explains a difference; empty if nothing does."""
    found = next((each for each in DIFFERENCES if each.concerns(tester) and each.holds(case, kernel, ours)), None)
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
        "a mapping for everybody is one for neighbours, too; netfilter's masquerade is none for them",
        "RFC 4787, REQ-9",
    ),
    Deliberate(
        "coturn-dependent",
        lambda case, kernel, ours: case == "filtering" and ours.word.startswith("Address Dependent"),
        "what the file says; netfilter has one way of filtering",
        "RFC 4787, 5",
    ),
    Deliberate(
        "coturn",
        lambda case, kernel, ours: "of silence" in case and (kernel.word, ours.word) == ("gone", "alive"),
        "a binding outlasts two minutes; netfilter forgets one of a single question after thirty seconds",
        "RFC 4787, REQ-5",
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
        "README, What is not there; RFC 7126, 4.5",
    ),
    Deliberate(
        "nmap",
        lambda case, kernel, ours: case == "-O answered, v6" and kernel.word.replace(" IE2", "") == ours.word,
        "the second ping has hop-by-hop options twice, which is malformed and dropped; netfilter passes it on, and the server complains",
        "RFC 8200, 4.1; README, exceptions",
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
        "a packet has one fragment header at most: behind a second one anything may come; netfilter looks on, and the server complains",
        "RFC 8200, 4.1: once at most",
    ),
    Deliberate(
        "firewall6",
        lambda case, kernel, ours: among("130x dst hdr")(case) and silent(case, kernel, ours),
        "eight extension headers pass, not more: what can't be looked at can't be judged",
        "README, IPv6; RFC 8883: limits of those on the path",
    ),
    Deliberate(
        "firewall6",
        lambda case, kernel, ours: "frag type first #3" in case and kernel.word == "ICMPv6 Parameter Problem",
        "a fragment before the last that is no multiple of eight bytes is dropped; netfilter passes it on, and the server's complaint is "
        "heard before the answer to the whole packet behind it",
        "RFC 8200, 4.5",
        by_chance=True,
    ),
    Deliberate(
        "firewall6",
        lambda case, kernel, ours: "frag type first #4" in case and ours.word == "TCP-SYN-ACK",
        "an atomic fragment is a packet by itself, whatever fragments have its identification; netfilter puts them together",
        "RFC 6946, 4",
    ),
    Deliberate(
        "frag6",
        lambda case, kernel, ours: "Timed out" in kernel.word and "Time Exceeded" in ours.word,
        "what overlaps is dropped, and all that comes after it; the first had gone on, so the server waits and says that it did; netfilter "
        "keeps fragments until it has all",
        "RFC 5722, 4; RFC 8200, 4.5",
    ),
    Deliberate(
        "fragmentation6",
        lambda case, kernel, ours: "double one shot" in case and ours.word.startswith("0 "),
        "a packet has one fragment header at most: behind a second one anything may come",
        "RFC 8200, 4.1: once at most",
    ),
    Deliberate(
        "implementation6",
        lambda case, kernel, ours: among("hop-by-hop headers", "fragmentation hop-by-hop")(case) and silent(case, kernel, ours),
        "hop-by-hop options come first, and once: anything else is malformed, which is dropped in silence",
        "RFC 8200, 4.1; README, exceptions",
    ),
    Deliberate(
        "implementation6",
        lambda case, kernel, ours: "destination headers" in case and silent(case, kernel, ours),
        "eight extension headers pass, not more: what can't be looked at can't be judged",
        "README, IPv6; RFC 8883: limits of those on the path",
    ),
    Deliberate(
        "implementation6",
        lambda case, kernel, ours: among("source-rout", "source-route", "srcroute")(case) and silent(case, kernel, ours),
        "a routing header with segments left is dropped in silence, of whatever type: nobody could judge where it ends",
        "README, IPv6; RFC 5095, 3, for type 0",
    ),
    Deliberate(
        "implementation6",
        lambda case, kernel, ours: "AH extension header" in case and silent(case, kernel, ours),
        "no rule allows AH, which is a protocol to rules: denied, in silence; netfilter looks behind it",
        "RFC 7045, 2.1: by a policy that can be changed",
    ),
    Deliberate(
        "implementation6",
        lambda case, kernel, ours: "jumbo option" in case and silent(case, kernel, ours),
        "a packet without a length is malformed: jumbograms are for links that this card has not",
        "RFC 2675, 3",
    ),
    Deliberate(
        "implementation6",
        lambda case, kernel, ours: case.startswith("25 destination fragmentation") and case.endswith("at it") and ours.word == "answered",
        "behind a header that stands before the fragment header netfilter's reassembly has Linux read the wrong one; without netfilter "
        "Linux answers, and so does ours",
        "RFC 8200, 4.1: any order is to be taken",
    ),
    Deliberate(
        "applications",
        lambda case, kernel, ours: "record of the route" in case and ours.word == "0 of 3",
        "packets with IPv4 options are dropped",
        "README, What is not there; RFC 7126, 4.5",
    ),
    Deliberate(
        "applications",
        lambda case, kernel, ours: "by the forward from home" in case and (kernel.word, ours.word) == ("nothing comes", "whole"),
        "hairpin comes with every forward; netfilter has to be told about neighbours by more rules",
        "README, nat; RFC 5382, REQ-8",
    ),
    Deliberate(
        "applications-prefix",
        lambda case, kernel, ours: case.startswith("SSH, a command") and ours.word.startswith("runs, seen as 2001:db8:9:"),
        "the address changes so that no checksum does; netfilter changes the prefix alone",
        "RFC 6296, 3.1",
    ),
    Deliberate(
        "hping3",
        lambda case, kernel, ours: case.endswith(": the connection") and (kernel.word, ours.word) == ("goes on", "halts, then goes on"),
        "a flooder with a CPU to itself offers more than the machine forwards, and frames are lost in front of the appliance, those of the "
        "connection too, until that is over; netfilter works on the account of the flooder, whom it slows down",
        "none: `tests/soak` has the bounds",
        by_chance=True,
    ),
    Deliberate(
        "captures",
        lambda case, kernel, ours: case.endswith(": ICMP otherwise") and ours.word == "none leaves",
        "of ICMP only echo requests begin a flow; netfilter takes those for a timestamp and for a mask, too",
        "README, policy",
    ),
    Deliberate(
        "captures",
        lambda case, kernel, ours: case.endswith(": ICMPv6 otherwise") and ours.word == "none leaves",
        "of ICMPv6 that belongs to no flow echo requests pass alone; netfilter takes neighbour, listener and multicast router discovery, "
        "and questions about a node, for packets to forward",
        "README, IPv6; RFC 4890, 4.3",
    ),
    Deliberate(
        "captures",
        lambda case, kernel, ours: case.endswith((": SCTP", ": UDP-Lite")) and (kernel.word, ours.word) == ("none leaves", "all leave"),
        "protocols like any other, of which addresses are looked at: their receiver checks headers and sums, which are wrong here; "
        "netfilter does",
        "RFC 9260, 6.8; RFC 3828, 3.1",
    ),
    Deliberate(
        "captures",
        lambda case, kernel, ours: "test_ethernet" in case and case.endswith(": TCP ACK") and ours.word == "leave: 3-4 7",
        "the first packet decides about a flow: the replies, which the capture has come the same way, begin with a SYN ACK, which may not "
        "begin any, and what follows within the second is refused with it; netfilter looks at each segment of what it does not know",
        "README, policy",
    ),
    Deliberate(
        "captures",
        lambda case, kernel, ours: "test_ethernet" in case and case.endswith(": TCP FIN ACK") and ours.word == "leave: 9",
        "`liberal` lets the half that is seen go on to its end; to netfilter a FIN before any answer is invalid",
        "README, policy",
    ),
)
