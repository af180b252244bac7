"""One meaning, two notations: a small firewall as our YAML and as an nft ruleset.

    filter    stateful: what is established or related passes, what is invalid is dropped, rules speak of new flows, the rest is dropped
    nat       masquerade from one zone to another, one port forwarded from outside
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tests.differential.network import LINKS, WAN

ZONES: Final = {"home": "lan", "internet": "wan", "dmz": "dmz"}


@dataclass(frozen=True, slots=True)
class Rule:
    """`protocol`: "", "tcp", "udp", "ping"; empty means anything. Networks are of one version."""

    allow: bool
    sources: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    source: str = ""
    destination: str = ""
    protocol: str = ""
    ports: tuple[int, int] | None = None
    tells: bool = False
    """What it doesn't allow is rejected: by a RST, or an ICMP error."""


@dataclass(frozen=True, slots=True)
class Hide:
    """Masquerade."""

    source_zone: str
    target_zone: str
    version: int
    source: str = ""
    behind: str = ""
    """The address of a pool, not that of the nic."""


@dataclass(frozen=True, slots=True)
class Forward:
    """A port of the wan's address leads inside."""

    version: int
    protocol: str
    port: int
    to: str
    to_port: int


@dataclass(frozen=True, slots=True)
class Static:
    """What is `inside` is called `outside` on the wan, both ways: networks of the same size."""

    version: int
    outside: str
    inside: str


@dataclass(frozen=True, slots=True)
class Model:
    """A firewall."""

    rules: tuple[Rule, ...] = ()
    hides: tuple[Hide, ...] = ()
    forwards: tuple[Forward, ...] = ()
    statics: tuple[Static, ...] = ()


# -- ours ------------------------------------------------------------------------------------------------------------------


def yaml(model: Model) -> str:
    """The appliance's file."""
    lines = ["version: 1", "nics:"]
    for link in LINKS.values():
        addresses = ", ".join(f'"{link.address[v]}/{link.prefix[v]}"' for v in (4, 6))
        gateway = ", ".join(f'"{each}"' for each in link.gateway.values())
        more = f", gateway: [{gateway}]" if gateway else ""
        lines.append(f'  {link.name}: {{address: [{addresses}], mac: "{link.mac.hex(":")}", mtu: {link.mtu}, offloads: off{more}}}')
    lines += ["zones:", *(f"  {zone}: {{nics: [{nic}], antispoof: off}}" for zone, nic in ZONES.items())]
    if model.rules:
        lines += ["policy:", *(f"  - r{number}: {{{_rule(rule)}}}" for number, rule in enumerate(model.rules))]
    if model.hides or model.forwards or model.statics:
        lines.append("nat:")
        lines += [f"  - h{number}: {{{_hide(hide)}}}" for number, hide in enumerate(model.hides)]
        lines += [f"  - f{number}: {{forward: {{{_forward(each)}}}}}" for number, each in enumerate(model.forwards)]
        lines += [f"  - s{number}: {{{_static(each)}}}" for number, each in enumerate(model.statics)]
    return "\n".join(lines) + "\n"


def _rule(rule: Rule) -> str:
    parts = [f"from: {_zones(rule.sources)}", f"to: {_zones(rule.targets)}"]
    parts += [f'{key}: "{value}"' for key, value in (("source", rule.source), ("destination", rule.destination)) if value]
    word = rule.protocol or "any"
    if rule.ports:
        low, high = rule.ports
        word += f"/{low}" if low == high else f"/{low}-{high}"
    return ", ".join([*parts, f"{'allow' if rule.allow else 'reject' if rule.tells else 'deny'}: {word}"])


def _zones(zones: tuple[str, ...]) -> str:
    return f"[{', '.join(zones)}]" if zones else "any"


def _hide(hide: Hide) -> str:
    more = f', source: "{hide.source}"' if hide.source else ""
    if hide.behind:
        return f'snat: {{from: [{hide.source_zone}], to: [{hide.target_zone}], pool: "{hide.behind}"{more}}}'
    return f"masquerade: {{from: [{hide.source_zone}], to: [{hide.target_zone}], family: v{hide.version}{more}}}"


def _forward(forward: Forward) -> str:
    to = f'"[{forward.to}]:{forward.to_port}"' if forward.version == 6 else f'"{forward.to}:{forward.to_port}"'
    return f'on: internet, address: "{WAN.address[forward.version]}", port: {forward.protocol}/{forward.port}, to: {to}, hairpin: off'


def _static(static: Static) -> str:
    outside, single, _ = static.outside.partition("/32")
    kind, inside = ("one-to-one", static.inside.removesuffix("/32")) if single else ("netmap", static.inside)
    return f'{kind}: {{on: internet, outside: "{outside}", inside: "{inside}", hairpin: off}}'


# -- the kernel's ----------------------------------------------------------------------------------------------------------


def nft(model: Model) -> str:
    """The kernel's ruleset."""
    rules = "\n".join(f"    {line}" for rule in model.rules for line in _nft_rules(rule))
    hides = "\n".join(f"    {_nft_hide(hide)}" for hide in model.hides)
    forwards = "\n".join(f"    {_nft_forward(each)}" for each in model.forwards)
    closed = "\n".join(f"    ct original {_family(each)} daddr {each.outside} drop" for each in model.statics)
    into = "\n".join(f"    {_nft_static(each, 'iif', 'daddr', 'dnat', each.outside, each.inside)}" for each in model.statics)
    out = "\n".join(f"    {_nft_static(each, 'oif', 'saddr', 'snat', each.inside, each.outside)}" for each in model.statics)
    return f"""
table inet fw {{
  chain forward {{
    type filter hook forward priority 0; policy drop;
    ct state established,related accept
    ct state invalid drop
{rules}
{closed}
    ct status dnat accept
  }}
  chain input {{
    type filter hook input priority 0; policy drop;
  }}
  chain before {{
    type nat hook prerouting priority -100;
{forwards}
{into}
  }}
  chain after {{
    type nat hook postrouting priority 100;
{hides}
{out}
  }}
}}
"""


def _nft_rules(rule: Rule) -> list[str]:
    """An nft rule; two for a word that speaks of both versions."""
    parts = []
    if rule.sources:
        parts.append(f"iifname {{ {', '.join(ZONES[zone] for zone in rule.sources)} }}")
    if rule.targets:
        parts.append(f"oifname {{ {', '.join(ZONES[zone] for zone in rule.targets)} }}")
    for side, network in (("saddr", rule.source), ("daddr", rule.destination)):
        if network:
            parts.append(f"{'ip6' if ':' in network else 'ip'} {side} {network}")
    if rule.protocol == "ping":
        versions = {"ip6" if ":" in (rule.source or rule.destination) else "ip"} if rule.source or rule.destination else {"ip", "ip6"}
        kinds = {"ip": "icmp type echo-request", "ip6": "icmpv6 type echo-request"}
        return [" ".join([*parts, kinds[version], verdict]) for version in sorted(versions) for verdict in _verdicts(rule)[-1:]]
    if rule.ports:
        low, high = rule.ports
        parts.append(f"{rule.protocol} dport {low}-{high}" if low != high else f"{rule.protocol} dport {low}")
    elif rule.protocol:
        parts.append(f"meta l4proto {rule.protocol}")
    return [" ".join([*parts, verdict]) for verdict in _verdicts(rule)]


def _verdicts(rule: Rule) -> tuple[str, ...]:
    """The last is for all that the others don't speak of."""
    if rule.allow:
        return ("accept",)
    return ("meta l4proto tcp reject with tcp reset", "reject with icmpx type admin-prohibited") if rule.tells else ("drop",)


def _nft_hide(hide: Hide) -> str:
    family = "ip" if hide.version == 4 else "ip6"
    source = f" {family} saddr {hide.source}" if hide.source else ""
    word = f"snat {family} to {hide.behind}" if hide.behind else "masquerade"
    return f'meta nfproto ipv{hide.version} iifname "{ZONES[hide.source_zone]}" oifname "{ZONES[hide.target_zone]}"{source} {word}'


def _nft_forward(forward: Forward) -> str:
    family, to = ("ip", f"{forward.to}:{forward.to_port}") if forward.version == 4 else ("ip6", f"[{forward.to}]:{forward.to_port}")
    return f'iifname "wan" {family} daddr {WAN.address[forward.version]} {forward.protocol} dport {forward.port} dnat {family} to {to}'


def _family(static: Static) -> str:
    return "ip" if static.version == 4 else "ip6"


def _nft_static(static: Static, way: str, side: str, word: str, old: str, new: str) -> str:
    """One half of a static entry: the kernel's own netmap."""
    family = _family(static)
    within = 'iifname != "wan" ' if way == "oif" else ""
    return f'{within}{way}name "wan" {family} {side} {old} {word} {family} prefix to {family} {side} map {{ {old} : {new} }}'
