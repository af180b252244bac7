"""fragroute's evasions, by tcprewrite: one datagram and one SYN, each to a port that is allowed and one that is not, taken apart every way.

At the allowed port it is told whether the packet still gets through whole; at the other nothing may arrive, in whatever pieces it comes.
"""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Final

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw
from scapy.utils import EDecimal, RawPcapReader, wrpcap

from tests.conformance.captures import mac, own
from tests.conformance.policy import BLOCKED, BLOCKED_UDP, OPEN, OPEN_UDP
from tests.conformance.site import DMZ, DMZ6, OUTSIDE, WAN, WAN6, Site
from tests.conformance.verdict import Tester, Verdict, Verdicts
from tests.e2e.endpoints import Caller, DigestDatagram, datagrams, serving
from tests.e2e.host import Host, eventually

WAYS: Final = {
    "as it is": "print",
    "fragments of 8": "ip_frag 8",
    "fragments of 24": "ip_frag 24",
    "fragments of 400": "ip_frag 400",
    "fragments of 24, older data overlaps": "ip_frag 24 old",
    "fragments of 24, newer data overlaps": "ip_frag 24 new",
    "fragments of 400, backwards": "ip_frag 400\norder reverse",
    "fragments of 400, in any order": "ip_frag 400\norder random",
    "fragments of 400, the first twice": "ip_frag 400\ndup first 100",
    "fragments of 400, the last twice": "ip_frag 400\ndup last 100",
    "fragments of 400, the first lost": "ip_frag 400\ndrop first 100",
    "fragments of 400, the last lost": "ip_frag 400\ndrop last 100",
    "another beside each, of other data": "ip_chaff dup",
    "another beside each, with bad options": "ip_chaff opt",
    "another beside each, of one hop": "ip_chaff 1",
    "one hop": "ip_ttl 1",
    "loose source route": f"ip_opt lsrr 8 {WAN}",
    "strict source route": f"ip_opt ssrr 8 {WAN}",
    "TCP: another with a bad checksum": "tcp_chaff cksum",
    "TCP: another without flags": "tcp_chaff null",
    "TCP: another, out of the window": "tcp_chaff seq",
    "TCP: another SYN": "tcp_chaff syn",
    "twice": "dup first 100",
}  # fmt: skip
ONLY_V4: Final = ("another beside each", "one hop", "loose", "strict")
DATA: Final = bytes(range(256)) * 4
MADE_UP: Final = "02:00:00:00:00:01"
PACE: Final = 0.001
"""Seconds between frames."""
CUTTING: Final = Lock()


def look(site: Site) -> Verdicts:
    """Every way of every packet."""
    told: dict[str, Verdict] = {}
    streams = [(Caller, at, port, "tcp") for at in (DMZ, DMZ6) for port in (OPEN, BLOCKED)]
    servers = [(DigestDatagram, at, port, "udp") for at in (DMZ, DMZ6) for port in (OPEN_UDP, BLOCKED_UDP)]
    link = bytes(Ether(src=own(site), dst=mac(site, OUTSIDE)))[:12]
    with serving(site.dmz, *streams, *servers), site.wan.call(raw, "wan") as wire, datagrams(site.wan, DMZ, OPEN_UDP) as probe:
        for number, (case, rules) in enumerate(WAYS.items()):
            for version in (4,) if case.startswith(ONLY_V4) else (4, 6):
                for what, pieces in ways(case, rules, version, 20000 + 10 * number).items():
                    told[f"{case}: {what}"] = sent(site, wire, probe, link, pieces)
        told["fragments of 400, and once more with the same identification"] = sent(site, wire, probe, link, twins())
    trouble = site.trouble()
    return told | {"the device itself": Verdict("well" if not trouble else "in trouble", trouble)}


def raw(interface: str) -> socket.socket:
    """Sends whole frames."""
    found = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    found.bind((interface, 0))
    return found


def ways(case: str, rules: str, version: int, port: int) -> dict[str, Sequence[bytes]]:
    """What each packet becomes, one way. Chance is the same for both sides."""
    made = {what: packet for what, packet in kinds(version, port).items() if not ("UDP" in what and case.startswith("TCP"))}
    return dict(zip(made, taken_apart(tuple(map(bytes, made.values())), rules), strict=True))


def twins() -> Sequence[bytes]:
    """The fragments of two datagrams that are the same."""
    packet = bytes(IP(src=WAN, dst=DMZ, id=7) / UDP(sport=30000, dport=OPEN_UDP) / Raw(DATA))
    return [piece for pieces in taken_apart((packet, packet), "ip_frag 400") for piece in pieces]


def kinds(version: int, port: int) -> dict[str, Packet]:
    """A datagram and a SYN, to an open and a blocked port. The SYN is long enough to be cut."""
    usual = [("MSS", 1300), ("NOP", None), ("WScale", 7), ("SAckOK", b""), ("Timestamp", (1, 0))]
    found: dict[str, Packet] = {}
    for what, (open_port, blocked) in {"UDP": (OPEN_UDP, BLOCKED_UDP), "SYN": (OPEN, BLOCKED)}.items():
        for state, there in (("open", open_port), ("blocked", blocked)):
            # An identification of its own, that no fragments of others get into it.
            network = IP(src=WAN, dst=DMZ, id=port + len(found)) if version == 4 else IPv6(src=WAN6, dst=DMZ6)
            datagram = UDP(sport=port, dport=there) / Raw(DATA)
            segment = TCP(sport=port, dport=there, flags="S", seq=1000, options=usual)
            found[f"{what}, {state} port, v{version}"] = network / (datagram if what == "UDP" else segment)
    return found


def taken_apart(packets: tuple[bytes, ...], rules: str) -> list[tuple[bytes, ...]]:
    """What fragroute's engine makes of each packet; both sides get the same."""
    with CUTTING:
        return _taken_apart(packets, rules)


@cache
def _taken_apart(packets: tuple[bytes, ...], rules: str) -> list[tuple[bytes, ...]]:
    with tempfile.TemporaryDirectory(prefix="softena-evasions-") as name:
        plain, cut, file = (Path(name, each) for each in ("plain.pcap", "cut.pcap", "rules"))
        file.write_text(rules + "\n")
        frames = [Ether(src=MADE_UP, dst=MADE_UP, type=0x86DD if data[0] >> 4 == 6 else 0x0800) / Raw(data) for data in packets]
        for number, frame in enumerate(frames):
            frame.time = EDecimal(number)  # its pieces have it, too
        wrpcap(str(plain), frames)
        command = ["tcprewrite", f"--infile={plain}", f"--outfile={cut}", f"--fragroute={file}"]
        told = subprocess.run(command, capture_output=True, text=True)
        assert not told.returncode and cut.exists(), f"tcprewrite: {told.stderr}"
        pieces = [(meta.sec, data[12:]) for data, meta in RawPcapReader(str(cut))]
    return [tuple(data for second, data in pieces if second == number) for number in range(len(packets))]


def sent(site: Site, wire: socket.socket, probe: socket.socket, link: bytes, pieces: Sequence[bytes]) -> Verdict:
    """The pieces of a packet: what the server's stack took."""
    before = taken(site.dmz)
    for piece in pieces:
        wire.send(link + piece)
        time.sleep(PACE)
    asked(probe)  # what was sent before has come in when this is answered,
    eventually(site.idle)
    asked(probe)  # and what was let through has gone
    after = taken(site.dmz)
    after["datagrams"] -= 2
    got = {name: now - before[name] for name, now in after.items() if now != before[name]}
    return Verdict(", ".join(f"{name} {number}" for name, number in got.items()) or "stays out")


def asked(probe: socket.socket) -> None:
    """A question to the server, and its answer."""
    probe.send(b"")
    probe.recv(100)


def taken(host: Host) -> dict[str, int]:
    """What a stack has handed to UDP and TCP, of both families, and what it found damaged."""
    net = Path("/proc/thread-self/net")
    lines = host.call(net.joinpath("snmp").read_text).splitlines()
    groups = {names.split(":")[0]: dict(zip(names.split()[1:], map(int, values.split()[1:]), strict=True))
              for names, values in zip(lines[::2], lines[1::2], strict=True)}  # fmt: skip
    six = {words[0]: int(words[1]) for words in map(str.split, host.call(net.joinpath("snmp6").read_text).splitlines())}
    return {"datagrams": groups["Udp"]["InDatagrams"] + six["Udp6InDatagrams"], "segments": groups["Tcp"]["InSegs"],
            "damaged": groups["Udp"]["InErrors"] + groups["Tcp"]["InErrs"] + six["Udp6InErrors"]}  # fmt: skip


TESTER: Final = Tester("evasions", "fragroute's evasions", ("tcprewrite", "import scapy"), look)
