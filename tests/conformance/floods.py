"""hping3's floods from the internet, and THC's by IPv6, while a connection from home goes on: what is left of its goodput, who still gets
in, what stays. Each finds the table as the one before has left it.

The flooder has as much of the machine as it gets. The kernel works on the flooder's account, who is slowed down by that; the appliance
works on its own, and where the flooder has a CPU to itself half of all frames are lost in front of the appliance, those of the connection
as well, which may come to a halt until its retransmissions pass. So goodput during a flood is told, not compared (`tests/soak` has the
bounds for it, with a flood that the machine can carry); compared is whether the connection goes on, comes to a halt, or is cut.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tests.conformance.policy import OPEN, OPEN_UDP
from tests.conformance.programs import running, say
from tests.conformance.site import DMZ, DMZ6, OUTSIDE, WAN, Site
from tests.conformance.verdict import NOT_TOLD, Tester, Verdict, Verdicts
from tests.e2e.endpoints import Caller, EchoDatagram, serving, who
from tests.e2e.host import Host, eventually

CALM, FLOODED, AFTER = 2, 4, 8
"""Seconds of an iperf3 run before, during and after: who heard nothing in all of the flood has said it again at the latest after twice as
long."""
HALT: Final = 0.01
"""Of the calm goodput, below which a connection has come to a halt."""
PORT: Final = 5201
OFTEN: Final = 0.2
"""Seconds between newcomers."""
MOST_MEMORY: Final = 512 << 20
HPING: Final = ("hping3", "--flood", "-q")
FLOODS: Final[dict[str, tuple[str, ...]]] = {
    "SYN, random sources": (*HPING, "-S", "-p", str(OPEN), "--rand-source", DMZ),
    "SYN, one source, all ports": (*HPING, "-S", "-p", "++1", DMZ),
    "UDP, random sources": (*HPING, "-2", "-p", str(OPEN_UDP), "-d", "64", "--rand-source", DMZ),
    "ICMP echo, random sources": (*HPING, "-1", "--rand-source", DMZ),
    "ACK without a connection": (*HPING, "-A", "-p", str(OPEN), "--rand-source", DMZ),
    "ICMP echo to the device": (*HPING, "-1", OUTSIDE),
    "fragments": (*HPING, "-1", "-d", "1200", "-f", "--rand-source", DMZ),
    "SYN, random sources, v6": ("atk6-thcsyn6", "-R", "wan", DMZ6, str(OPEN)),
    "neighbours that aren't there, v6": ("atk6-ndpexhaust26", "-p", "-r", "wan", DMZ6),
}
LAND: Final = {
    "land: from the server to itself": ("-S", "-p", str(OPEN), "-s", str(OPEN), "-k", "-a", DMZ, DMZ),
    "from an address at home": ("-S", "-p", str(OPEN), "-a", "192.168.1.9", DMZ),
    "from loopback": ("-S", "-p", str(OPEN), "-a", "127.0.0.1", DMZ),
    "from multicast": ("-S", "-p", str(OPEN), "-a", "224.0.0.1", DMZ),
    "from broadcast": ("-S", "-p", str(OPEN), "-a", "255.255.255.255", DMZ),
    "from 0.0.0.0": ("-S", "-p", str(OPEN), "-a", "0.0.0.0", DMZ),
    "from the device itself": ("-S", "-p", str(OPEN), "-a", OUTSIDE, DMZ),
}


def look(site: Site) -> Verdicts:
    """Forged single packets first, then the floods, one after the other."""
    told: dict[str, Verdict] = {}
    with serving(site.dmz, (Caller, DMZ, OPEN, "tcp"), (Caller, DMZ6, OPEN, "tcp"), (EchoDatagram, DMZ, OPEN_UDP, "udp")):
        for case, options in LAND.items():
            told[case] = forged(site, options)
        with running(site.wan, "iperf3", "-s", "-p", str(PORT), tcp=(WAN, PORT)):
            for case, command in FLOODS.items():
                newcomers_ask = DMZ6 if case.endswith("v6") else DMZ
                told |= {f"{case}: {what}": verdict for what, verdict in flood(site, command, newcomers_ask).items()}
    trouble = site.trouble()
    told["the device itself"] = Verdict("well" if not trouble else "in trouble", trouble)
    return told


def forged(site: Site, options: Sequence[str]) -> Verdict:
    """Whether any of five packets gets to the server."""
    before = packets(site.dmz)
    say(site.wan, "hping3", "-c", "5", "-i", "u1000", *options, patience=10)
    got = packets(site.dmz) - before
    return Verdict("arrives" if got else "stays out", f"{got} of 5" if got else "")


def packets(host: Host) -> int:
    """IPv4 packets that came to a host, whatever its stack thinks of them."""
    text: str = host.call(Path("/proc/thread-self/net/snmp").read_text)
    names, values = (line.split() for line in text.splitlines()[:2])
    return int(values[names.index("InReceives")])


def flood(site: Site, command: Sequence[str], server: str) -> Verdicts:
    """One flood in the middle of one iperf3 run."""
    seconds = CALM + FLOODED + AFTER
    bulk = ("iperf3", "-c", WAN, "-p", str(PORT), "-t", str(seconds), "-i", "1", "-J")
    sent = site.wan.link("wan")["tx_packets"]
    with subprocess.Popen(site.lan.inside(*bulk), stdout=subprocess.PIPE, text=True) as client:
        time.sleep(CALM)
        with running(site.wan, *command):
            time.sleep(1)
            newcomers = connecting(site, server, FLOODED - 1)
            peak = site.flows()
        sent = site.wan.link("wan")["tx_packets"] - sent
        text = client.communicate(timeout=60)[0]
    rates = [each["sum"]["bits_per_second"] / 1e9 for each in intervals(text)]
    return {
        "the connection": survived(rates, seconds, sent),
        "newcomers": newcomers,
        "flows": Verdict("bounded" if peak <= 300_000 else "unbounded", f"{peak}"),
        "memory": memory(site),
    }


def intervals(text: str) -> list[dict[str, Any]]:
    """The seconds of an iperf3 run."""
    told: dict[str, Any] = json.loads(text or "{}")
    return list(told.get("intervals", []))


def survived(rates: list[float], seconds: int, packets: int) -> Verdict:
    """Whether it went on all the time, or afterwards, and how fast."""
    calm, during = (sum(part) / max(1, len(part)) for part in (rates[:CALM], rates[CALM + 1 : CALM + FLOODED - 1]))
    after = rates[-1] if rates else 0.0  # the last second's
    told = f"{calm:.2f} Gbit/s, {during:.2f} during, {after:.2f} after; {packets / FLOODED / 1000:.0f} kpps"
    if len(rates) < seconds or after <= 0:
        return Verdict("is cut", told)
    return Verdict("goes on" if during > HALT * calm else "halts, then goes on", told)


def connecting(site: Site, server: str, seconds: float) -> Verdict:
    """How long others need for a connection from home to the server, one after the other."""
    took: list[float] = []
    end = time.monotonic() + seconds
    while (begun := time.monotonic()) < end:
        try:
            eventually(lambda: who(site.lan, server, OPEN), "a connection", 10.0)
        except (OSError, AssertionError) as error:
            return Verdict("not within 10 s", str(error)[:80])
        took.append(time.monotonic() - begun)
        time.sleep(OFTEN)
    return Verdict("within a second" if max(took) < 1.0 else "late", f"slowest of {len(took)}: {1000 * max(took):.0f} ms")


def memory(site: Site) -> Verdict:
    """What the device has in RAM."""
    used = site.memory()
    if used is None:
        return Verdict(NOT_TOLD, "it is the machine's")
    return Verdict("bounded" if used <= MOST_MEMORY else "too much", f"{used >> 20} MiB")


TESTER: Final = Tester("hping3", "hping3's floods and forgeries", ("hping3", "iperf3", "atk6-thcsyn6"), look, alone=True)
