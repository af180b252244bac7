"""Foreign traffic: captures that come with packages, rewritten towards the server behind, replayed, and what leaves read by tshark.

    gopacket      Debian's golang-github-google-gopacket-dev: pcap, and pcapng of both endians
    pcapng        PyPI's sdist of python-pcapng, if SDISTS has it: pip download --no-deps --no-binary :all: -d SDISTS python-pcapng

Everything is allowed and TCP may begin anywhere: so what comes out is what goes in, but for what is no packet. Nothing malformed may leave
that didn't come malformed, no checksum may be broken on the way, and the device must go on.
"""

from __future__ import annotations

import re
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.conformance.programs import CAPTURES, running, say
from tests.conformance.site import DMZ, DMZ6, OUTSIDE, WAN, WAN6, Side, Site
from tests.conformance.verdict import NOT_TOLD, Tester, Verdict, Verdicts

SDISTS: Final = Path("/var/cache/softena-captures")
MOST: Final = 4 << 20
"""Bytes of a capture that is replayed whole; longer ones are left out."""
CHECKS: Final = tuple(word for name in ("ip", "tcp", "udp") for word in ("-o", f"{name}.check_checksum:TRUE"))
BAD: Final = " || ".join(("_ws.malformed", *(f"{name}.checksum.status == Bad" for name in ("ip", "tcp", "udp", "icmp", "icmpv6", "sctp"))))


def look(site: Site) -> Verdicts:
    """Each capture by itself."""
    told: dict[str, Verdict] = {}
    with tempfile.TemporaryDirectory(prefix="softena-captures-") as name:
        directory = Path(name)
        for label, file in captures(directory):
            told[label] = replayed(site, directory, file)
    trouble = site.trouble()
    told["the device itself"] = Verdict("well" if not trouble else "in trouble", trouble)
    return told


def captures(directory: Path) -> Iterator[tuple[str, Path]]:
    """Their names, and where they are."""
    sources = {"gopacket": Path(CAPTURES)}
    for sdist in sorted(SDISTS.glob("python*pcapng-*.tar.gz"))[-1:]:
        with tarfile.open(sdist) as archive:
            archive.extractall(directory / "sdist", filter="data")
        sources["pcapng"] = directory / "sdist"
    for source, root in sources.items():
        for file in sorted(path for path in root.rglob("*.pcap*") if path.suffix in (".pcap", ".pcapng") and path.stat().st_size < MOST):
            yield f"{source}: {file.relative_to(root).as_posix().removeprefix('pcapgo/')}", file


def replayed(site: Site, directory: Path, file: Path) -> Verdict:
    """One capture through the device: in by wan, out to dmz."""
    plain, turned, left = (directory / name for name in ("plain.pcap", "turned.pcap", "left.pcap"))
    for each in (plain, turned, left):
        each.unlink(missing_ok=True)
    editing = subprocess.run(["editcap", "-F", "pcap", "-T", "ether", str(file), str(plain)], capture_output=True, text=True)
    if not plain.exists():
        return Verdict(NOT_TOLD, f"editcap: {editing.stderr.strip()[-80:]}")
    rewriting = subprocess.run(rewrite(site, plain, turned), capture_output=True, text=True)
    if not turned.exists() or not turned.stat().st_size:
        return Verdict(NOT_TOLD, f"tcprewrite: {(rewriting.stderr.strip().splitlines() or ['nothing'])[-1][-80:]}")
    with running(site.dmz, "tcpdump", "-i", "dmz", "-Q", "in", "-U", "-w", str(left), "not arp", says="listening on"):
        say(site.wan, "tcpreplay", "-q", "-i", "wan", "-p", "2000", str(turned), patience=120)
        say(site.wan, "ping", "-n", "-c1", "-W2", DMZ)
    return judged(turned, left)


def rewrite(site: Site, source: Path, target: Path) -> list[str]:
    """To the server behind, from a host on the internet; checksums and lengths set right."""
    return ["tcprewrite", f"--infile={source}", f"--outfile={target}", f"--enet-dmac={mac(site, OUTSIDE)}", f"--enet-smac={own(site)}",
            f"--dstipmap=0.0.0.0/0:{DMZ}/32,[::/0]:[{DMZ6}/128]", f"--srcipmap=0.0.0.0/0:{WAN}/32,[::/0]:[{WAN6}/128]",
            "--fixcsum", "--mtu=1400", "--mtu-trunc"]  # fmt: skip


def mac(site: Site, address: str) -> str:
    """Whom the wan host takes for the device."""
    found = re.search(r"lladdr (\S+)", say(site.wan, "ip", "neighbour", "show", address))
    assert found, f"nobody knows {address}"
    return found[1]


def own(site: Site) -> str:
    """The wan host's MAC address."""
    found = re.search(r"link/ether (\S+)", say(site.wan, "ip", "link", "show", "wan"))
    assert found
    return found[1]


def judged(sent: Path, left: Path) -> Verdict:
    """Whether what left is sound."""
    before, after = malformed(sent), malformed(left)
    counts = f"{count(sent)} in, {max(0, count(left) - 1)} out"
    if after > before:
        return Verdict("malformed frames leave", f"{counts}; {before} malformed before, {after} after")
    return Verdict("sound", counts + (f"; {after} malformed as they came" if after else ""))


def malformed(file: Path) -> int:
    """Frames that tshark finds wrong, checksums included."""
    return len(tshark(file, "-Y", BAD))


def count(file: Path) -> int:
    """Frames."""
    return len(tshark(file))


def tshark(file: Path, *options: str) -> list[str]:
    """A line for each frame."""
    told = subprocess.run(["tshark", "-n", "-r", str(file), *CHECKS, *options], capture_output=True, text=True)
    return told.stdout.splitlines()


NEEDS: Final = ("tcpreplay", "tcprewrite", "tshark", "tcpdump", "editcap", CAPTURES)
TESTER: Final = Tester("captures", "Foreign captures", NEEDS, look, Side.OPEN)
