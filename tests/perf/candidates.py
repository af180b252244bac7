"""Who is measured: the appliance in several configurations, and what people would use instead.

    softena*    `softena run FILE`: policy, state tracking, masquerade, a balanced service, card rings; nothing else is switched on or off
    tapfwd      the limit of any program between two TAPs: it copies frames (-v: with virtio-net headers, 64 KiB at a time; -q: four queues)
    kernel      the kernel routes, filters statefully, masquerades, and balances, by nftables between two veth pairs; it works on the
                CPU, and on the account, of whoever sends, so it has no CPU time of its own
    haproxy     HAProxy balances TCP, between the same veth pairs

All have the same job between the same two hosts: `client` 10.98.1.2 and `server` 10.98.2.2, each behind the gateway .1 of its network
(tapfwd: wired together), and 10.98.1.100:7000 is a service of four targets, 10.98.2.11 to .14, all of them the server.
"""

from __future__ import annotations

import compileall
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from tests.perf.programs import program

CLIENT, SERVER, SERVICE = "10.98.1.2", "10.98.2.2", "10.98.1.100"
NEAR, FAR = "10.98.1.1", "10.98.2.1"
"""The device under test, as client and server see it."""
TARGETS: Final = tuple(f"10.98.2.{number}" for number in (11, 12, 13, 14))
PORT: Final = 7000
MACS: Final = {CLIENT: "02:00:00:00:00:0a", SERVER: "02:00:00:00:00:0b", NEAR: "02:00:00:00:01:0a", FAR: "02:00:00:00:01:0b"}

Wiring = Literal["taps", "routed taps", "own taps", "veth"]
"""Between two TAPs of a bridge, of a router, four that nobody uses, or two veth pairs that are there before the program."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A device under test. `command` gets a directory for its files, and gives the command line: empty, then the kernel does the work."""

    name: str
    wiring: Wiring
    command: Callable[[Path], list[str]]
    rules: str = ""
    needs: tuple[str, ...] = ()

    @property
    def is_ours(self) -> bool:
        """Whether it is the appliance."""
        return self.name.startswith("softena")


# -- the appliance ---------------------------------------------------------------------------------------------------------


def policy(rules: int) -> str:
    """So many rules, of which only the last one matches what is measured."""
    ends = "from: [clients], to: [servers]"
    others = (f"  - rule {n}: {{{ends}, destination: 172.16.{n // 250}.{n % 250 + 1}, allow: tcp/{1000 + n}}}\n" for n in range(rules - 1))
    return "policy:\n" + "".join(others) + f"  - out: {{{ends}, allow: any}}\n"


def kinds(rules: int) -> str:
    """So many rules, each of which names another destination port of what is measured; and one for the first frame of all."""
    ports = (1024, *range(KINDS_FROM, KINDS_FROM + rules))
    return "policy:\n" + "".join(f"  - port {port}: {{from: [clients], to: [servers], allow: udp/{port}}}\n" for port in ports)


def firewall(queues: int = 1, rules: str = "", health: str = "", limits: str = "") -> str:
    """The appliance's file."""
    targets = ", ".join(f"{{name: t{n}, address: {each}:{PORT}}}" for n, each in enumerate(TARGETS))
    return f"""\
version: 1
nics:
  clients: {{tap: client, address: {NEAR}/24, mac: "{MACS[NEAR]}", queues: {queues}}}
  servers: {{tap: server, address: {FAR}/24, mac: "{MACS[FAR]}", queues: {queues}}}
zones:
  clients: {{nics: [clients]}}
  servers: {{nics: [servers]}}
nat:
  - behind: {{masquerade: {{from: [clients], to: [servers]}}}}
services:
  web: {{listen: {SERVICE}:{PORT}/tcp, targets: [{targets}]{health}}}
{limits}{rules or policy(10)}"""


def many_nics() -> str:
    """Four nics of four queue pairs each, for doing nothing."""
    nics = "".join(f"  nic{n}: {{address: 10.98.{n}.1/24, queues: 4}}\n" for n in range(4))
    zones = "zones: {all: {nics: [nic0, nic1, nic2, nic3]}}"
    return f"version: 1\nnics:\n{nics}{zones}\npolicy: [out: {{from: any, to: any, allow: any}}]\n"


def softena(name: str, text: str, wiring: Wiring = "routed taps") -> Candidate:
    def command(directory: Path) -> list[str]:
        for package in ("appliance", "ena_dev"):  # as an installer does, whether or not this interpreter keeps bytecode by itself
            compileall.compile_dir(Path(__file__).parents[2] / package, quiet=2)
        file = directory / "softena.yaml"
        file.write_text(f"{text}control: {{socket: {directory / 'control.sock'}}}\n")
        return [sys.executable, "-m", "appliance.cli", "run", "--log-format", "json", str(file)]

    return Candidate(name, wiring, command)


# -- the others ------------------------------------------------------------------------------------------------------------

NFTABLES: Final = f"""
table inet firewall {{
  chain forward {{
    type filter hook forward priority 0; policy drop;
    ct state established,related accept
    ct state invalid drop
    iifname "near" ip protocol {{ tcp, udp, icmp }} ct state new accept
  }}
}}
table ip nat {{
  chain before {{
    type nat hook prerouting priority -100;
    ip daddr {SERVICE} tcp dport {PORT} dnat to numgen inc mod 4 map {{ {", ".join(f"{n} : {each}" for n, each in enumerate(TARGETS))} }}
  }}
  chain after {{
    type nat hook postrouting priority 100;
    oifname "far" masquerade
  }}
}}
"""

HAPROXY: Final = f"""
global
  maxconn 2000
defaults
  mode tcp
  timeout connect 5s
  timeout client 30s
  timeout server 30s
listen web
  bind {SERVICE}:{PORT}
  balance roundrobin
{"".join(f"  server t{n} {each}:{PORT}{chr(10)}" for n, each in enumerate(TARGETS))}"""


def haproxy(directory: Path) -> list[str]:
    file = directory / "haproxy.cfg"
    file.write_text(HAPROXY)
    return ["haproxy", "-db", "-f", str(file)]


MILLION: Final = "limits: {flows: 1020000}\ntimeouts: {udp: 1h, dns: 1h}\n"
"""One in 64 is reserved for the appliance's own flows."""
KINDS_FROM, KINDS = 20_000, 10_000
CHECKED: Final = ", health: {type: tcp, every: 200ms, timeout: 200ms, rise: 1, fall: 1}"
"""One late answer, and a target is down."""

CANDIDATES: Final = {
    each.name: each
    for each in (
        softena("softena", firewall()),
        softena("softena, 4 queues", firewall(queues=4)),
        softena("softena, 10,000 rules", firewall(rules=policy(10_000))),
        softena("softena, 10,000 kinds", firewall(rules=kinds(KINDS))),
        softena("softena, 4 queues, checked", firewall(queues=4, health=CHECKED)),
        softena("softena, 1,000,000 flows", firewall(limits=MILLION)),
        softena("softena, 4 nics", many_nics(), "own taps"),
        Candidate("tapfwd", "taps", lambda _: [program("tapfwd"), "client", "server"]),
        Candidate("tapfwd -v", "taps", lambda _: [program("tapfwd"), "-v", "client", "server"]),
        Candidate("tapfwd -q", "taps", lambda _: [program("tapfwd"), "-q", "client", "server"]),
        Candidate("kernel", "veth", lambda _: [], rules=NFTABLES, needs=("nft",)),
        Candidate("haproxy", "veth", haproxy, needs=("haproxy",)),
    )
}
