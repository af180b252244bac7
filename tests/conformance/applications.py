"""Programs that people use, through the masquerade and from the internet through a port forward: HTTP, SSH, DNS, FTP, QUIC, ping, paths."""

from __future__ import annotations

import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.conformance.policy import DOOR, NARROW, OPEN
from tests.conformance.programs import running, say
from tests.conformance.site import DMZ, DMZ6, LAN, LAN6, OUTSIDE, WAN, WAN6, Side, Site
from tests.conformance.verdict import Tester, Verdict, Verdicts
from tests.e2e.host import Host

SIZE, SOME = 100 << 20, 10 << 20
HTTP, SSH, DNS, FTP, QUIC = 8000, 2222, 53, 21, 4433
NAME, ADDRESS = "www.example.com", "192.0.2.80"
PEER: Final = (sys.executable, "-m", "tests.conformance.quic_peer")
NEEDS: Final = ("curl", "ssh", "sshd", "dnsmasq", "dig", "vsftpd", "ping", "traceroute", "tracepath", "import aioquic")

VSFTPD: Final = """listen=YES
listen_address={address}
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
    """One after the other, each with servers of its own."""
    told: dict[str, Verdict] = {}
    with tempfile.TemporaryDirectory(prefix="softena-conformance-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        public = directory / "pub"
        public.mkdir(mode=0o755)
        data = os.urandom(SIZE)
        for file, size in (("file", SIZE), ("some", SOME), ("small", 100)):
            (public / file).write_bytes(data[:size])
        for part in PARTS:
            told |= part(site, directory, data)
    return told


def same(data: bytes, file: Path) -> Verdict:
    """Whether what came is what was sent."""
    got = file.read_bytes() if file.exists() else b""
    file.unlink(missing_ok=True)
    return Verdict("whole") if digest(got) == digest(data) else Verdict("damaged", f"{len(got)} bytes")


def digest(data: bytes) -> str:
    """SHA-256, as sha256sum prints it."""
    return hashlib.sha256(data).hexdigest()


def http(site: Site, directory: Path, data: bytes) -> Verdicts:
    """curl: down and up, IPv4 and IPv6, and in by the port forward."""
    serve = (sys.executable, "-m", "http.server", "-d", str(directory / "pub"))
    copy = directory / "copy"
    told = {}
    with (
        running(site.wan, *serve, "-b", WAN, str(HTTP), tcp=(WAN, HTTP)),
        running(site.wan, *serve, "-b", WAN6, str(HTTP), tcp=(WAN6, HTTP)),
        running(site.lan, *serve, "-b", LAN, str(OPEN), tcp=(LAN, OPEN)),
    ):
        out = {"v4": (site.lan, f"{WAN}:{HTTP}"), "v6": (site.lan, f"[{WAN6}]:{HTTP}")}
        for case, (host, at) in (out | {"in by the forward": (site.wan, f"{OUTSIDE}:{DOOR}")}).items():
            say(host, "curl", "-sS", "-g", "--http1.1", "-m", "60", "-o", str(copy), f"http://{at}/file", patience=70)
            told[f"HTTP by curl, 100 MiB, {case}"] = same(data, copy)
        many = say(site.lan, "curl", "-sS", "-g", "-w", "%{http_code} ", *[f"http://{WAN}:{HTTP}/small?{number}" for number in range(100)])
        told["HTTP by curl, 100 connections"] = Verdict(f"{many.count('200 ')} answered")
    return told


def ssh(site: Site, directory: Path, data: bytes) -> Verdicts:
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
        for case, at in (("v4", WAN), ("v6", WAN6)):
            words = say(site.lan, "ssh", *options, f"root@{at}", f"sha256sum < {directory}/pub/some; echo $SSH_CLIENT", patience=30)
            seen = words.split()[-3] if len(words.split()) > 3 else words[-80:]
            told[f"SSH, a command, {case}"] = Verdict("runs" if digest(data[:SOME]) in words else "fails", f"seen as {seen}")
        text = say(site.lan, "sh", "-c", f"ssh {' '.join(options)} root@{WAN} cat {directory}/pub/some | sha256sum", patience=60)
        told["SSH, 10 MiB"] = Verdict("whole") if digest(data[:SOME]) in text else Verdict("damaged", text[-80:])
    return told


def dns(site: Site, directory: Path, data: bytes) -> Verdicts:
    """dig asks dnsmasq: UDP, TCP, an answer larger than the MTU, and many in a row."""
    long = ",".join(("--txt-record=long.example.com", *(f"{n:03}{'y' * 240}" for n in range(12))))
    serve = ("dnsmasq", "-k", "-C", "/dev/null", "--pid-file", "-R", "-h", "--bind-interfaces", f"--listen-address={WAN},{WAN6}",
             f"--address=/{NAME}/{ADDRESS}", "--edns-packet-max=4096", "--user=root", long)  # fmt: skip
    told = {}
    with running(site.wan, *serve, tcp=(WAN, DNS)):
        for case, at in (("v4", WAN), ("v6", WAN6)):
            for way in ("+notcp", "+tcp"):
                text = say(site.lan, "dig", "+short", "+tries=1", "+time=3", way, f"@{at}", NAME)
                told[f"DNS by dig {way}, {case}"] = Verdict("answered" if ADDRESS in text else "no answer")
            text = say(site.lan, "dig", "+tries=1", "+time=3", "+notcp", "+ignore", "+bufsize=4096", f"@{at}", "TXT", "long.example.com")
            size = re.search(r"MSG SIZE +rcvd: (\d+)", text)
            told[f"DNS, an answer in fragments, {case}"] = Verdict(f"{size[1]} bytes" if size else "no answer")
        many = directory / "many"
        many.write_text(f"{NAME}\n" * 200)
        text = say(site.lan, "dig", "+short", "+tries=1", "+time=3", f"@{WAN}", "-f", str(many))
        told["DNS, 200 questions"] = Verdict(f"{text.count(ADDRESS)} answered")
    return told


def ftp(site: Site, directory: Path, data: bytes) -> Verdicts:
    """Passive, from home: the data connection goes out, too."""
    config, empty, copy = directory / "vsftpd.conf", directory / "empty", directory / "copy"
    empty.mkdir(exist_ok=True)
    config.write_text(VSFTPD.format(address=WAN, root=directory / "pub", empty=empty))
    told = {}
    with running(site.wan, "vsftpd", str(config), tcp=(WAN, FTP)):
        for case, option in (("PASV", "--disable-epsv"), ("EPSV", "--ftp-pasv")):
            say(site.lan, "curl", "-sS", "-m", "60", option, "-o", str(copy), f"ftp://{WAN}/some", patience=70)
            told[f"FTP, {case}, 10 MiB"] = same(data[:SOME], copy)
    return told


def quic(site: Site, directory: Path, data: bytes) -> Verdicts:
    """aioquic: ten streams of 256 KiB each in one connection; and the client's address changes meanwhile."""
    told = {}
    for case, at in (("v4", WAN), ("v6", WAN6)):
        with running(site.wan, *PEER, "serve", at, str(QUIC), str(directory), says="ready"):
            for way, what in (("fetch", "10 streams"), ("move", "10 streams, of them 9 from another port")):
                text = say(site.lan, *PEER, way, at, str(QUIC), str(directory))
                told[f"QUIC by aioquic, {what}, {case}"] = Verdict((text.strip().splitlines() or ["silence"])[-1])
    return told


def paths(site: Site, directory: Path, data: bytes) -> Verdicts:
    """ping of many sizes, traceroute by three protocols, and tracepath towards the link with the smaller MTU."""
    told = {}
    ends = {"v4": (WAN, DMZ, "-4"), "v6": (WAN6, DMZ6, "-6")}
    for case, (far, narrow, family) in ends.items():
        for size in (0, 1000, 8000, 60000):
            text = say(site.lan, "ping", family, "-n", "-c3", "-i0.1", "-W2", "-s", str(size), far)
            told[f"ping of {size} bytes, {case}"] = Verdict(f"{received(text)} of 3")
        ways: dict[str, tuple[str, ...]] = {"UDP": (), "ICMP": ("-I",), "TCP": ("-T", "-p", str(OPEN))}
        for way, options in ways.items():
            text = say(site.lan, "traceroute", family, "-n", "-q1", "-w2", "-m4", *options, far)
            told[f"traceroute by {way}, {case}"] = Verdict(hops(text))
        told[f"tracepath, MTU {NARROW}, {case}"] = path(say(site.lan, "tracepath", family, "-n", "-m4", narrow))
    odd: dict[str, tuple[Host, tuple[str, ...]]] = {
        "ping with a record of the route": (site.lan, ("-R", WAN)), "ping of the other side of the device": (site.lan, (OUTSIDE,)),
        "ping to home from the internet": (site.wan, (LAN6,)),
    }  # fmt: skip
    for case, (host, words) in odd.items():
        told[case] = Verdict(f"{received(say(host, 'ping', '-n', '-c3', '-i0.1', '-W1', *words))} of 3")
    return told


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


PARTS: Final[tuple[Callable[[Site, Path, bytes], Verdicts], ...]] = (http, ssh, dns, ftp, quic, paths)
TESTER: Final = Tester("applications", "Programs that people use", NEEDS, look, Side.NARROW)
