"""Programs that people use: HTTP, SSH, DNS, FTP, QUIC, ping, paths.

By IPv4 they go through the masquerade, or in by a port forward; by IPv6 as they are, through a masquerade, or with another prefix.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.conformance.policy import DOOR, OPEN
from tests.conformance.programs import running, say
from tests.conformance.site import DMZ, DMZ6, LAN, LAN6, OUTSIDE, WAN, WAN6, Side, Site
from tests.conformance.verdict import Tester, Verdict, Verdicts
from tests.e2e.host import Host

SIZE, SOME = 100 << 20, 10 << 20
HTTP, SSH, DNS, FTP, QUIC = 8000, 2222, 53, 21, 4433
NAME, ADDRESS = "www.example.com", "192.0.2.80"
FAR: Final = {"v4": WAN, "v6": WAN6}
"""A server on the internet."""
PEER: Final = (sys.executable, "-m", "tests.conformance.quic_peer")
NEEDS: Final = ("curl", "ssh", "sshd", "dnsmasq", "dig", "vsftpd", "ping", "traceroute", "tracepath", "import aioquic")

Part = Callable[[Site, Mapping[str, str], Path, bytes], Verdicts]
"""Told of: the hosts, the servers by family, a directory for files, and the bytes of the largest."""

VSFTPD: Final = """{listen}
background=NO
anonymous_enable=YES
no_anon_password=YES
anon_root={root}
pasv_enable=YES
port_enable=NO
seccomp_sandbox=NO
secure_chroot_dir={empty}
ftp_username=daemon
"""
SSHD: Final = """Port {port}
HostKey {key}
AuthorizedKeysFile {key}.pub
StrictModes no
UsePAM no
PidFile none
PermitRootLogin yes
"""


def look(site: Site) -> Verdicts:
    """Both families, and what is there once."""
    return looked(site, FAR, (http, door, ssh, dns, ftp, quic, paths, odd))


def look_six(site: Site) -> Verdicts:
    """IPv6, whose addresses are translated."""
    return looked(site, {"v6": WAN6}, (http, ssh, dns, ftp, quic, paths))


def looked(site: Site, far: Mapping[str, str], parts: Sequence[Part]) -> Verdicts:
    """One part after the other, each with servers of its own."""
    told: dict[str, Verdict] = {}
    with tempfile.TemporaryDirectory(prefix="softena-conformance-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        public = directory / "pub"
        public.mkdir(mode=0o755)
        data = os.urandom(SIZE)
        for file, size in (("file", SIZE), ("some", SOME), ("small", 100)):
            (public / file).write_bytes(data[:size])
        for part in parts:
            told |= part(site, far, directory, data)
    return told


def same(data: bytes, file: Path) -> Verdict:
    """Whether what came is what was sent."""
    if not file.exists():
        return Verdict("nothing comes")
    got = file.read_bytes()
    file.unlink()
    return Verdict("whole") if digest(got) == digest(data) else Verdict("damaged", f"{len(got)} bytes")


def digest(data: bytes) -> str:
    """SHA-256, as sha256sum prints it."""
    return hashlib.sha256(data).hexdigest()


def bracketed(address: str) -> str:
    """An address as it stands in a URL."""
    return f"[{address}]" if ":" in address else address


def http(site: Site, far: Mapping[str, str], directory: Path, data: bytes) -> Verdicts:
    """curl: a large file, and many connections."""
    copy = directory / "copy"
    told = {}
    for case, at in far.items():
        url = f"http://{bracketed(at)}:{HTTP}"
        with running(site.wan, *serve(directory), "-b", at, str(HTTP), tcp=(at, HTTP)):
            fetch(site.lan, f"{url}/file", copy)
            told[f"HTTP by curl, 100 MiB, {case}"] = same(data, copy)
            many = say(site.lan, "curl", "-sS", "-g", "-w", "%{http_code} ", *[f"{url}/small?{number}" for number in range(100)])
            told[f"HTTP by curl, 100 connections, {case}"] = Verdict(f"{many.count('200 ')} answered")
    return told


def door(site: Site, far: Mapping[str, str], directory: Path, data: bytes) -> Verdicts:
    """curl, in by the port forward: from the internet, and from a neighbour of who is behind it, by the outer address."""
    copy = directory / "copy"
    told = {}
    with running(site.lan, *serve(directory), "-b", LAN, str(OPEN), tcp=(LAN, OPEN)):
        for case, host in {"in by the forward": site.wan, "by the forward from home": site.lan}.items():
            fetch(host, f"http://{OUTSIDE}:{DOOR}/file", copy)
            told[f"HTTP by curl, 100 MiB, {case}"] = same(data, copy)
    return told


def serve(directory: Path) -> tuple[str, ...]:
    """A web server."""
    return (sys.executable, "-m", "http.server", "-d", str(directory / "pub"))


def fetch(host: Host, url: str, copy: Path, *options: str) -> None:
    """curl, to a file."""
    say(host, "curl", "-sS", "-g", "--http1.1", "--connect-timeout", "3", "-m", "60", *options, "-o", str(copy), url, patience=70)


def ssh(site: Site, far: Mapping[str, str], directory: Path, data: bytes) -> Verdicts:
    """A command, and a file through its standard output."""
    key = directory / "key"
    say(site.wan, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key), check=True)
    config = directory / "sshd_config"
    config.write_text(SSHD.format(port=SSH, key=key))
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    lax = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR")
    options = ("-i", str(key), "-p", str(SSH), *(word for each in lax for word in ("-o", each)))
    told = {}
    with running(site.wan, "/usr/sbin/sshd", "-D", "-e", "-f", str(config), tcp=(WAN, SSH)):
        for case, at in far.items():
            words = say(site.lan, "ssh", *options, f"root@{at}", f"sha256sum < {directory}/pub/some; echo $SSH_CLIENT", patience=30)
            seen = words.split()[-3] if len(words.split()) > 3 else words[-80:]
            told[f"SSH, a command, {case}"] = Verdict(f"runs, seen as {seen}" if digest(data[:SOME]) in words else "fails")
            text = say(site.lan, "sh", "-c", f"ssh {' '.join(options)} root@{at} cat {directory}/pub/some | sha256sum", patience=60)
            told[f"SSH, 10 MiB, {case}"] = Verdict("whole") if digest(data[:SOME]) in text else Verdict("damaged", text[-80:])
    return told


def dns(site: Site, far: Mapping[str, str], directory: Path, data: bytes) -> Verdicts:
    """dig asks dnsmasq: UDP, TCP, an answer larger than the MTU, and many in a row."""
    long = ",".join(("--txt-record=long.example.com", *(f"{n:03}{'y' * 240}" for n in range(12))))
    serve = ("dnsmasq", "-k", "-C", "/dev/null", "--pid-file", "-R", "-h", "--bind-interfaces", f"--listen-address={WAN},{WAN6}",
             f"--address=/{NAME}/{ADDRESS}", "--edns-packet-max=4096", "--user=root", long)  # fmt: skip
    told = {}
    with running(site.wan, *serve, tcp=(WAN, DNS)):
        for case, at in far.items():
            for way in ("+notcp", "+tcp"):
                text = say(site.lan, "dig", "+short", "+tries=1", "+time=3", way, f"@{at}", NAME)
                told[f"DNS by dig {way}, {case}"] = Verdict("answered" if ADDRESS in text else "no answer")
            text = say(site.lan, "dig", "+tries=1", "+time=3", "+notcp", "+ignore", "+bufsize=4096", f"@{at}", "TXT", "long.example.com")
            size = re.search(r"MSG SIZE +rcvd: (\d+)", text)
            told[f"DNS, an answer in fragments, {case}"] = Verdict(f"{size[1]} bytes" if size else "no answer")
            many = directory / "many"
            many.write_text(f"{NAME}\n" * 200)
            text = say(site.lan, "dig", "+short", "+tries=1", "+time=3", f"@{at}", "-f", str(many))
            told[f"DNS, 200 questions, {case}"] = Verdict(f"{text.count(ADDRESS)} answered")
    return told


def ftp(site: Site, far: Mapping[str, str], directory: Path, data: bytes) -> Verdicts:
    """Passive, from home: the data connection goes out, too. PASV knows IPv4 only."""
    config, empty, copy = directory / "vsftpd.conf", directory / "empty", directory / "copy"
    empty.mkdir(exist_ok=True)
    told = {}
    for case, at in far.items():
        listen = f"listen_ipv6=YES\nlisten_address6={at}" if ":" in at else f"listen=YES\nlisten_address={at}"
        config.write_text(VSFTPD.format(listen=listen, root=directory / "pub", empty=empty))
        with running(site.wan, "vsftpd", str(config), tcp=(at, FTP)):
            for way, option in (("PASV", "--disable-epsv"), ("EPSV", "--ftp-pasv"))[":" in at :]:
                fetch(site.lan, f"ftp://{bracketed(at)}/some", copy, option)
                told[f"FTP, {way}, 10 MiB, {case}"] = same(data[:SOME], copy)
    return told


def quic(site: Site, far: Mapping[str, str], directory: Path, data: bytes) -> Verdicts:
    """aioquic: ten streams of 256 KiB each in one connection; and the client's address changes meanwhile."""
    told = {}
    for case, at in far.items():
        with running(site.wan, *PEER, "serve", at, str(QUIC), str(directory), says="ready"):
            for way, what in (("fetch", "10 streams"), ("move", "10 streams, of them 9 from another port")):
                text = say(site.lan, *PEER, way, at, str(QUIC), str(directory))
                told[f"QUIC by aioquic, {what}, {case}"] = Verdict((text.strip().splitlines() or ["silence"])[-1])
    return told


def paths(site: Site, far: Mapping[str, str], directory: Path, data: bytes) -> Verdicts:
    """ping of many sizes, traceroute by three protocols, and tracepath towards the link with the smaller MTU."""
    told = {}
    for case, at in far.items():
        family = f"-{case[1:]}"
        for size in (0, 1000, 8000, 60000):
            text = say(site.lan, "ping", family, "-n", "-c3", "-i0.1", "-W2", "-s", str(size), at)
            told[f"ping of {size} bytes, {case}"] = Verdict(f"{received(text)} of 3")
        ways: dict[str, tuple[str, ...]] = {"UDP": (), "ICMP": ("-I",), "TCP": ("-T", "-p", str(OPEN))}
        for way, options in ways.items():
            text = say(site.lan, "traceroute", family, "-n", "-q1", "-w2", "-m4", *options, at)
            told[f"traceroute by {way}, {case}"] = Verdict(hops(text))
        narrow = DMZ6 if ":" in at else DMZ
        told[f"tracepath to the servers, {case}"] = path(say(site.lan, "tracepath", family, "-n", "-m4", narrow))
    return told


def odd(site: Site, far: Mapping[str, str], directory: Path, data: bytes) -> Verdicts:
    """Pings that are there once."""
    pings: dict[str, tuple[Host, tuple[str, ...]]] = {
        "ping with a record of the route": (site.lan, ("-R", WAN)), "ping of the other side of the device": (site.lan, (OUTSIDE,)),
        "ping to home from the internet": (site.wan, (LAN6,)),
    }  # fmt: skip
    return {
        case: Verdict(f"{received(say(host, 'ping', '-n', '-c3', '-i0.1', '-W1', *words))} of 3") for case, (host, words) in pings.items()
    }


def received(text: str) -> int:
    """How many pings came back."""
    found = re.search(r"(\d+) received", text)
    return int(found[1]) if found else 0


def hops(text: str) -> str:
    """Who answered at each hop."""
    return " - ".join(re.findall(r"^ *\d+ +(\S+)", text, re.MULTILINE)) or "nobody"


def path(text: str) -> Verdict:
    """The MTU that tracepath found, and whether it got there."""
    found = re.search(r"Resume: pmtu (\d+)(?: hops (\d+))?", text)
    return Verdict(f"pmtu {found[1]}, {found[2] or 'no'} hops" if found else "not told", "" if found else text[-100:])


TESTERS: Final = (
    Tester("applications", "Programs that people use", NEEDS, look, Side.NARROW),
    Tester("applications-hidden", "Programs that people use, IPv6 masqueraded", NEEDS, look_six, Side.HIDDEN),
    Tester("applications-prefix", "Programs that people use, IPv6 with another prefix", NEEDS, look_six, Side.PREFIX),
)
