"""Foreign traffic: captures that come with a package, and what scapy makes up; replayed by tcpreplay, and what leaves read by tshark.

    gopacket      Debian's golang-github-google-gopacket-dev: pcap, and pcapng of both endians; rewritten towards the server behind
    scapy         packets whose fields are chance, layer by layer; always the same ones

Everything is allowed and TCP may begin anywhere, so what comes out is what goes in, but for what is no packet. Nothing may leave malformed,
or with a wrong checksum, that did not come so, nor what was not sent, and the device must go on. Which frames of a capture leave, by their
numbers in it, is told of each kind of frame. A frame is known again by all that forwarding leaves as it is.
"""

from __future__ import annotations

import random
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from socket import IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_UDPLITE
from threading import Lock
from typing import Final

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw, fuzz
from scapy.utils import rdpcap, wrpcap

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
PACE: Final = "500"
"""Frames a second: each is decided about long before what waits has no room."""
PING: Final = b"softena's ping"
"""What our own pings carry."""
FORWARDED: Final = "ip or (ip6 and ip6[7] < 255 and not ip6 multicast)"
"""Not what the device says to its neighbours: discovery has 255 hops, and reports of listeners go to a group."""
ROOM: Final = ("-s", "2048", "-B", "8192")
"""Bytes of a frame, and KiB for all: tcpdump's own has room for eight frames when it has to wait for a CPU."""
PATIENCE: Final = 30.0
"""Seconds until all is decided, on a busy machine."""
FOUR, SIX = IP(src=WAN, dst=DMZ), IPv6(src=WAN6, dst=DMZ6)
CHANCE: Final = Lock()
EXTENSIONS: Final = (IPv6ExtHdrHopByHop, IPv6ExtHdrDestOpt, IPv6ExtHdrRouting, IPv6ExtHdrFragment)
PROTOCOLS: Final = {IPPROTO_TCP: "TCP cut short", IPPROTO_UDP: "UDP", IPPROTO_SCTP: "SCTP", IPPROTO_UDPLITE: "UDP-Lite"}
FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10
SEGMENTS: Final = {SYN: "SYN", SYN | ACK: "SYN ACK", ACK: "ACK", FIN | ACK: "FIN ACK"}
MESSAGES: Final = {IPPROTO_ICMP: ("ICMP", 8, (3, 4, 5, 11, 12)), IPPROTO_ICMPV6: ("ICMPv6", 128, range(128))}
"""Their names, the type of an echo request, and those of errors. Source: RFC 792, RFC 4443."""
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
    with tempfile.TemporaryDirectory(prefix="softena-captures-") as temporary:
        directory = Path(temporary)
        for source, files in packaged().items():
            turned = towards(link, files, directory)
            case = f"gopacket: {source}"
            told |= replayed(site, case, turned, directory / "left") if turned else {case: Verdict(NOT_TOLD, "no packets of IP")}
        for name, make in KINDS.items():
            told |= replayed(site, f"scapy: {name}", made_up(link, make, directory / "made.pcap"), directory / "left")
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
    return turned if turned.exists() and packets(turned) else None


def made_up(link: Packet, make: Callable[[], Packet], target: Path) -> Path:
    """Packets of a kind: the same every time."""
    with CHANCE:
        random.seed(4)
        packets = [bytes(link / make()) for _ in range(EACH)]
    wrpcap(str(target), packets, linktype=1)  # type: ignore[arg-type]
    return target


def replayed(site: Site, case: str, file: Path, left: Path) -> Verdicts:
    """In by wan, out to dmz: whether what leaves is sound, and what it is."""
    left.unlink(missing_ok=True)
    watch = ("tcpdump", "-i", "dmz", "-Q", "in", *ROOM, "--immediate-mode", "-U", "-Z", "root", "-w", str(left), FORWARDED)
    reach(site)
    with running(site.dmz, *watch, says="listening on"):
        say(site.wan, "tcpreplay", "-q", "-i", "wan", "-p", PACE, str(file), patience=120)
        reach(site)  # behind all that was sent
        eventually(site.idle, "all is decided", PATIENCE)
        reach(site)  # behind all that waited for that
    came, went = packets(file), [frame for frame in packets(left) if PING not in frame]
    before, after = malformed(file), malformed(left)
    kinds, strangers = leaving(came, went)
    counts = f"{len(came)} in, {len(went)} out" + (f"; {before} malformed in, {after} out" if before else "")
    wrong = ["malformed frames leave"] * (after > before) + ["frames leave that nobody sent"] * (strangers > 0)
    whole = Verdict("; ".join(wrong) or "sound", counts)
    return {case: whole} | {f"{case}: {name}": verdict for name, verdict in kinds.items()}


def reach(site: Site) -> None:
    """Pings get through, by IPv4 and IPv6."""
    for ping in (("ping", "-n", "-c1", "-W1", "-p", PING.hex(), address) for address in (DMZ, DMZ6)):
        eventually(partial(answered, site, ping), "ping gets through", PATIENCE)


def answered(site: Site, ping: Sequence[str]) -> bool:
    """Whether somebody did."""
    return "1 received" in say(site.wan, *ping)


def leaving(came: Sequence[bytes], went: Sequence[bytes]) -> tuple[Verdicts, int]:
    """Which frames of a capture left, of each kind; and how many left that are none of it."""
    left = Counter(map(unchanging, went))
    numbers: dict[str, dict[int, bool]] = {}
    for number, frame in enumerate(came, 1):
        same = unchanging(frame)
        numbers.setdefault(kind(Ether(frame)), {})[number] = left[same] > 0
        left[same] -= left[same] > 0
    return {name: which(found) for name, found in sorted(numbers.items())}, left.total()


def which(found: dict[int, bool]) -> Verdict:
    """Of the numbers of frames, those that left."""
    out = [number for number, left in found.items() if left]
    every, count = len(out) == len(found), f"{len(out)} of {len(found)}"
    return Verdict("all leave" if every else f"leave: {runs(out)}" if out else "none leaves", count)


def runs(numbers: Sequence[int]) -> str:
    """Rising numbers, those that follow each other together."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return " ".join(f"{one}-{last}" if last > one else str(one) for one, last in found)


def unchanging(frame: bytes) -> bytes:
    """A frame without its link header and padding, and without what each router changes: the number of hops, and IPv4's checksum of it."""
    packet = bytearray(frame[14:])
    if packet[:1] and packet[0] >> 4 == 4 and len(packet) >= 20:
        del packet[max(20, int.from_bytes(packet[2:4], "big")) :]
        packet[8], packet[10:12] = 0, bytes(2)
    elif packet[:1] and packet[0] >> 4 == 6 and len(packet) >= 40:
        del packet[40 + int.from_bytes(packet[4:6], "big") :]
        packet[7] = 0
    return bytes(packet)


def kind(frame: Packet) -> str:
    """What a frame is to those who judge it: its protocol, and of TCP and ICMP whether it may begin something."""
    layer = frame.payload
    if not isinstance(layer, IP | IPv6):
        return "no IP"
    while isinstance(layer.payload, EXTENSIONS):
        layer = layer.payload
    if isinstance(layer, IPv6ExtHdrFragment) or (isinstance(layer, IP) and (layer.frag or layer.flags.MF)):
        return "fragments"
    protocol, data = layer.proto if isinstance(layer, IP) else layer.nh, bytes(layer.payload)
    detail = bytes(data[13:14]) if protocol == IPPROTO_TCP else data[:1]
    if protocol == IPPROTO_TCP and detail:
        return f"TCP {SEGMENTS.get(detail[0] & (FIN | SYN | RST | ACK), 'otherwise')}"
    if protocol in MESSAGES and detail:
        name, ask, errors = MESSAGES[protocol]
        return f"{name} {'echo request' if detail[0] == ask else 'error' if detail[0] in errors else 'otherwise'}"
    return PROTOCOLS.get(protocol, "other protocols")


def malformed(file: Path) -> int:
    """Of how many frames of a capture tshark says that they are, or that a checksum of theirs is wrong."""
    fields = [word for name in ("frame.number", "_ws.malformed", *CHECKSUMS) for word in ("-e", name)]
    told = subprocess.run(["tshark", "-n", "-r", str(file), *CHECKS, "-T", "fields", *fields], capture_output=True, text=True)
    rows = [line.split("\t") for line in told.stdout.splitlines()]
    return sum(bool(row[1]) or any(WRONG in each.split(",") for each in row[2:]) for row in rows)


def packets(file: Path) -> list[bytes]:
    """The frames of a capture."""
    return [bytes(packet) for packet in rdpcap(str(file))]


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
