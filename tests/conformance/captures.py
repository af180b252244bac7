"""Foreign traffic: captures that come with a package, and what scapy makes up; replayed by tcpreplay, and what leaves read by tshark.

    gopacket      Debian's golang-github-google-gopacket-dev: pcap, and pcapng of both endians; rewritten towards the server behind
    scapy         packets whose fields are chance, layer by layer; always the same ones

Everything is allowed and TCP may begin anywhere, so what comes out is what goes in, but for what is no packet. Nothing may leave malformed,
or with a wrong checksum, that did not come so, and the device must go on.
"""

from __future__ import annotations

import random
import re
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Final

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw, fuzz
from scapy.utils import wrpcap

from tests.conformance.programs import CAPTURES, running, say
from tests.conformance.site import DMZ, DMZ6, OUTSIDE, WAN, WAN6, Side, Site
from tests.conformance.verdict import NOT_TOLD, Tester, Verdict, Verdicts
from tests.e2e.host import eventually

EACH: Final = 300
"""Packets of each kind that scapy makes up."""
CHECKS: Final = tuple(word for name in ("ip", "tcp", "udp") for word in ("-o", f"{name}.check_checksum:TRUE"))
CHECKSUMS: Final = tuple(f"{name}.checksum.status" for name in ("ip", "tcp", "udp", "icmp", "icmpv6", "sctp"))
WRONG: Final = "0"
"""A checksum's status, as tshark numbers it."""
MARK: Final = 3
"""Bytes of the ping that comes last: a length that nothing else has."""
FOUR, SIX = IP(src=WAN, dst=DMZ), IPv6(src=WAN6, dst=DMZ6)
CHANCE: Final = Lock()
EXTENSIONS: Final = (IPv6ExtHdrHopByHop, IPv6ExtHdrDestOpt, IPv6ExtHdrRouting)
KINDS: Final[dict[str, Callable[[], Packet]]] = {
    "TCP": lambda: FOUR / fuzz(TCP()) / Raw(random.randbytes(random.randrange(60))),
    "UDP": lambda: FOUR / fuzz(UDP()) / Raw(random.randbytes(random.randrange(60))),
    "ICMP": lambda: FOUR / fuzz(ICMP()) / Raw(random.randbytes(random.randrange(60))),
    "IPv4 headers": lambda: fuzz(IP(src=WAN, dst=DMZ)) / TCP(dport=80) / Raw(random.randbytes(random.randrange(60))),
    "IPv6, TCP": lambda: SIX / fuzz(TCP()) / Raw(random.randbytes(random.randrange(60))),
    "IPv6, ICMPv6": lambda: SIX / fuzz(ICMPv6EchoRequest()),
    "IPv6 extension headers": lambda: (
        SIX / fuzz(random.choice((IPv6ExtHdrHopByHop, IPv6ExtHdrDestOpt, IPv6ExtHdrRouting))()) / UDP(dport=53)
    ),
    "IPv6 fragments": lambda: SIX / fuzz(IPv6ExtHdrFragment()) / UDP(dport=53) / Raw(random.randbytes(random.randrange(60))),
    "any payload": lambda: IP(src=WAN, dst=DMZ, proto=random.randrange(256)) / Raw(random.randbytes(random.randrange(80))),
}


def look(site: Site) -> Verdicts:
    """Each source by itself."""
    told: dict[str, Verdict] = {}
    link = Ether(src=own(site), dst=mac(site, OUTSIDE))
    with tempfile.TemporaryDirectory(prefix="softena-captures-") as name:
        directory = Path(name)
        for source, files in packaged().items():
            turned = towards(link, files, directory)
            told[f"gopacket: {source}"] = replayed(site, turned, directory / "left") if turned else Verdict(NOT_TOLD, "no packets of IP")
        for case, make in KINDS.items():
            told[f"scapy: {case}"] = replayed(site, made_up(link, make, directory / "made.pcap"), directory / "left")
    trouble = site.trouble()
    return told | {"the device itself": Verdict("well" if not trouble else "in trouble", trouble)}


def packaged() -> dict[str, list[Path]]:
    """The captures of a directory are one source; those beside the library itself are one each."""
    found: dict[str, list[Path]] = {}
    for file in sorted(path for path in Path(CAPTURES).rglob("*.pcap*") if path.suffix in (".pcap", ".pcapng")):
        found.setdefault(file.name if file.parent.name == "pcap" else f"{file.parent.name} pcapng", []).append(file)
    return {f"{name}, {len(files)} files" if len(files) > 1 else name: files for name, files in found.items()}


def towards(link: Packet, files: list[Path], directory: Path) -> Path | None:
    """Captures as if a host on the internet sent them to the server behind, checksums and lengths set right; None if nothing is left."""
    whole, turned = directory / "whole.pcap", directory / "turned.pcap"
    plain = [directory / f"{number}.pcap" for number in range(len(files))]
    for file, copy in zip(files, plain, strict=True):
        subprocess.run(["editcap", "-F", "pcap", "-T", "ether", str(file), str(copy)], capture_output=True)
    there = [str(copy) for copy in plain if copy.exists()]
    subprocess.run(["mergecap", "-F", "pcap", "-w", str(whole), *there], capture_output=True)
    turn = ["tcprewrite", f"--infile={whole}", f"--outfile={turned}", f"--enet-dmac={link.dst}", f"--enet-smac={link.src}",
            f"--dstipmap=0.0.0.0/0:{DMZ}/32,[::/0]:[{DMZ6}/128]", f"--srcipmap=0.0.0.0/0:{WAN}/32,[::/0]:[{WAN6}/128]",
            "--fixcsum", "--mtu=1400", "--mtu-trunc"]  # fmt: skip
    subprocess.run(turn, capture_output=True)
    return turned if turned.exists() and frames(turned) else None


def made_up(link: Packet, make: Callable[[], Packet], target: Path) -> Path:
    """Packets of a kind: the same every time."""
    with CHANCE:
        random.seed(4)
        packets = [bytes(link / make()) for _ in range(EACH)]
    wrpcap(str(target), packets, linktype=1)  # type: ignore[arg-type]
    return target


def replayed(site: Site, file: Path, left: Path) -> Verdict:
    """In by wan, out to dmz: whether what leaves is sound."""
    left.unlink(missing_ok=True)
    watch = ("tcpdump", "-i", "dmz", "-Q", "in", "--immediate-mode", "-U", "-Z", "root", "-w", str(left), "ip or ip6")
    with running(site.dmz, *watch, says="listening on"):
        say(site.wan, "tcpreplay", "-q", "-i", "wan", "-p", "2000", str(file), patience=120)
        eventually(lambda: "1 received" in say(site.wan, "ping", "-n", "-c1", "-W1", "-s", str(MARK), DMZ), "ping gets through")
    came, went = frames(file), [frame for frame in frames(left) if frame[0] != MARK + 42]
    before, after = sum(bad for _, bad in came), sum(bad for _, bad in went)
    counts = f"{len(came)} in, {len(went)} out" + (f"; {before} malformed in, {after} out" if before else "")
    return Verdict("sound" if after <= before else "malformed frames leave", counts)


def frames(file: Path) -> list[tuple[int, bool]]:
    """What tshark says of the frames of a capture: length in bytes, and whether it is malformed or has a wrong checksum."""
    fields = [word for name in ("frame.len", "_ws.malformed", *CHECKSUMS) for word in ("-e", name)]
    told = subprocess.run(["tshark", "-n", "-r", str(file), *CHECKS, "-T", "fields", *fields], capture_output=True, text=True)
    rows = [line.split("\t") for line in told.stdout.splitlines()]
    return [(int(row[0]), bool(row[1]) or any(WRONG in each.split(",") for each in row[2:])) for row in rows]


def mac(site: Site, address: str) -> str:
    """Whom the wan host takes for the device."""
    return first(r"lladdr (\S+)", say(site.wan, "ip", "neighbour", "show", address))


def own(site: Site) -> str:
    """The wan host's MAC address."""
    return first(r"link/ether (\S+)", say(site.wan, "ip", "link", "show", "wan"))


def first(pattern: str, text: str) -> str:
    """What the first group of a pattern finds."""
    return next(re.finditer(pattern, text))[1]


NEEDS: Final = ("tcpreplay", "tcprewrite", "tshark", "tcpdump", "editcap", "mergecap", "import scapy", CAPTURES)
TESTER: Final = Tester("captures", "Foreign captures", NEEDS, look, Side.OPEN)
