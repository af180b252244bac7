"""fragroute's evasions, by tcprewrite: one datagram and one SYN, each to a port that is allowed and one that is not, taken apart every way.

At the allowed port it is told whether the packet still gets through whole; at the other nothing may arrive, in whatever pieces it comes.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw
from scapy.utils import RawPcapReader, wrpcap

from tests.conformance.captures import mac, own
from tests.conformance.policy import BLOCKED, BLOCKED_UDP, OPEN, OPEN_UDP
from tests.conformance.programs import say
from tests.conformance.site import DMZ, DMZ6, OUTSIDE, WAN, WAN6, Site
from tests.conformance.verdict import NOT_TOLD, Tester, Verdict, Verdicts
from tests.e2e.endpoints import Caller, DigestDatagram, serving
from tests.e2e.host import Host

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


def look(site: Site) -> Verdicts:
    """Every way of every packet."""
    told: dict[str, Verdict] = {}
    streams = [(Caller, at, port, "tcp") for at in (DMZ, DMZ6) for port in (OPEN, BLOCKED)]
    datagrams = [(DigestDatagram, at, port, "udp") for at in (DMZ, DMZ6) for port in (OPEN_UDP, BLOCKED_UDP)]
    with serving(site.dmz, *streams, *datagrams), tempfile.TemporaryDirectory(prefix="softena-evasions-") as name:
        link = Ether(src=own(site), dst=mac(site, OUTSIDE))
        for number, (case, rules) in enumerate(WAYS.items()):
            for version, network in ((4, IP(src=WAN, dst=DMZ)), (6, IPv6(src=WAN6, dst=DMZ6))):
                if version == 6 and case.startswith(ONLY_V4):
                    continue
                for what, packet in kinds(link / network, 20000 + 10 * number).items():
                    if "UDP" in what and case.startswith("TCP"):
                        continue
                    told[f"{case}: {what}, v{version}"] = sent(site, Path(name), [packet], rules)
        twins = [link / IP(src=WAN, dst=DMZ, id=7) / UDP(sport=30000, dport=OPEN_UDP) / Raw(DATA)] * 2
        told["fragments of 400, and once more with the same identification"] = sent(site, Path(name), twins, "ip_frag 400")
    trouble = site.trouble()
    return told | {"the device itself": Verdict("well" if not trouble else "in trouble", trouble)}


def kinds(network: Packet, port: int) -> dict[str, Packet]:
    """A datagram and a SYN, to an open and a blocked port. The SYN is long enough to be cut."""
    usual = [("MSS", 1300), ("NOP", None), ("WScale", 7), ("SAckOK", b""), ("Timestamp", (1, 0))]
    syn = TCP(sport=port, flags="S", seq=1000, options=usual)
    found = {
        "UDP, open port": network / UDP(sport=port, dport=OPEN_UDP) / Raw(DATA),
        "UDP, blocked port": network / UDP(sport=port, dport=BLOCKED_UDP) / Raw(DATA),
        "SYN, open port": network / aimed(syn, OPEN),
        "SYN, blocked port": network / aimed(syn, BLOCKED),
    }
    for number, packet in enumerate(found.values()):
        if IP in packet:
            packet[IP].id = port + number  # a packet's own: fragments of others don't get into it
    return found


def aimed(segment: Packet, port: int) -> Packet:
    """The same segment to a port."""
    copy = segment.copy()
    copy.dport = port
    return copy


def sent(site: Site, directory: Path, packets: Sequence[Packet], rules: str) -> Verdict:
    """Packets one way: what the server's stack took."""
    plain, cut, turned, file = (directory / name for name in ("plain.pcap", "cut.pcap", "turned.pcap", "rules"))
    cut.unlink(missing_ok=True)
    wrpcap(str(plain), packets)
    file.write_text(rules + "\n")
    command = ["tcprewrite", f"--infile={plain}", f"--outfile={cut}", f"--fragroute={file}"]
    told = subprocess.run(command, capture_output=True, text=True)
    if told.returncode or not cut.exists():
        return Verdict(NOT_TOLD, f"tcprewrite: {(told.stderr.strip().splitlines() or ['nothing'])[-1][-80:]}")
    link = bytes(packets[0])[:12]  # which the engine makes up for IPv6
    wrpcap(str(turned), [link + data[12:] for data, _ in RawPcapReader(str(cut))], linktype=1)  # type: ignore[misc]
    before = taken(site.dmz)
    say(site.wan, "tcpreplay", "-q", "-i", "wan", "-p", "1000", str(turned))
    say(site.wan, "ping", "-n", "-c1", "-W2", DMZ)  # whatever was sent before has been handled when this is answered
    got = {name: now - before[name] for name, now in taken(site.dmz).items() if now != before[name]}
    return Verdict(", ".join(f"{name} {number}" for name, number in got.items()) or "stays out")


def taken(host: Host) -> dict[str, int]:
    """What a stack has handed to UDP and TCP, of both families, and what it found damaged."""
    net = Path("/proc/thread-self/net")
    lines = host.call(net.joinpath("snmp").read_text).splitlines()
    groups = {names.split(":")[0]: dict(zip(names.split()[1:], map(int, values.split()[1:]), strict=True))
              for names, values in zip(lines[::2], lines[1::2], strict=True)}  # fmt: skip
    six = {words[0]: int(words[1]) for words in map(str.split, host.call(net.joinpath("snmp6").read_text).splitlines())}
    return {"datagrams": groups["Udp"]["InDatagrams"] + six["Udp6InDatagrams"], "segments": groups["Tcp"]["InSegs"],
            "damaged": groups["Udp"]["InErrors"] + groups["Tcp"]["InErrs"] + six["Udp6InErrors"]}  # fmt: skip


TESTER: Final = Tester("evasions", "fragroute's evasions", ("tcpreplay", "tcprewrite", "import scapy"), look)
