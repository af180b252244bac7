"""One job, told twice: the appliance's file and the kernel's ruleset.

    home      192.168.1.0/24   2001:db8:1::/64   begins whatever it likes, masqueraded by IPv4 towards the internet
    servers   198.51.100.0/24  2001:db8:3::/64   may be asked by the internet for some ports; begins what it likes
    internet  203.0.113.0/24   2001:db8:2::/64   anything else from there meets silence

Ports of a server: OPEN and OPEN_UDP are allowed, and somebody listens; CLOSED and CLOSED_UDP are allowed, and nobody does; all others are
filtered, though somebody listens at BLOCKED. DOOR is a port of the appliance that leads to a host at home.
"""

from __future__ import annotations

from typing import Final

OPEN, CLOSED, BLOCKED = 80, 81, 82
OPEN_UDP, CLOSED_UDP, BLOCKED_UDP = 53, 54, 55
DOOR: Final = 8080

NICS: Final = """version: 1
nics:
  lan: {address: [192.168.1.1/24, "2001:db8:1::1/64"]}
  dmz: {address: [198.51.100.1/24, "2001:db8:3::1/64"]}
  wan: {address: [203.0.113.1/24, "2001:db8:2::1/64"], gateway: [203.0.113.9, "2001:db8:2::9"]}
zones:
  home: {nics: [lan]}
  servers: {nics: [dmz]}
  internet: {nics: [wan]}
"""

FIREWALL_YAML: Final = f"""{NICS}
policy:
  - home:     {{from: [home], to: any, allow: any}}
  - out:      {{from: [servers], to: [internet], allow: any}}
  - asked:    {{from: [internet], to: [servers], allow: [tcp/{OPEN}-{CLOSED}, udp/{OPEN_UDP}-{CLOSED_UDP}, ping]}}
  - me:       {{from: any, to: [self], allow: ping}}
nat:
  - behind:   {{masquerade: {{from: [home], to: [internet]}}}}
  - door:     {{forward: {{on: internet, port: tcp/{DOOR}, to: "192.168.1.9:{OPEN}"}}}}
"""

INDEPENDENT_YAML, DEPENDENT_YAML = (
    FIREWALL_YAML.replace("to: [internet]}}", f"to: [internet], mapping: endpoint-independent, filtering: {filtering}}}}}")
    for filtering in ("endpoint-independent", "address-dependent")
)
"""The masquerade as RFC 4787 has it for games and calls: one port outside for all, and who may send there."""

HIDDEN_YAML: Final = f"{FIREWALL_YAML}  - behind6:  {{masquerade: {{from: [home], to: [internet], family: v6}}}}\n"
"""IPv6 masqueraded, too."""
HOME6, PREFIX6 = "2001:db8:1::/64", "2001:db8:9::/64"
PREFIX_YAML: Final = f'{FIREWALL_YAML}  - prefix:   {{nptv6: {{on: internet, outside: "{PREFIX6}", inside: "{HOME6}"}}}}\n'
"""Home's IPv6 addresses are of another prefix outside."""

NARROW: Final = 1400
"""MTU of the servers' network in NARROW_YAML."""
NARROW_YAML: Final = FIREWALL_YAML.replace('"2001:db8:3::1/64"]', f'"2001:db8:3::1/64"], mtu: {NARROW}')

OPEN_YAML: Final = f"""{NICS}
policy:
  - everything: {{from: any, to: any, allow: any, liberal: on, pickup: on}}
  - me:         {{from: any, to: [self], allow: ping}}
"""

INPUT: Final = """
  chain input {
    type filter hook input priority 0; policy drop;
    iif lo accept
    ct state established,related accept
    icmp type echo-request accept
    icmpv6 type { echo-request, nd-neighbor-solicit, nd-neighbor-advert } accept
  }
"""
SPOOFED: Final = "fib saddr . iif oif missing drop"

FIREWALL_NFT: Final = f"""table inet fw {{
  chain forward {{
    type filter hook forward priority 0; policy drop;
    {SPOOFED}
    ct state established,related accept
    ct state invalid drop
    ct status dnat accept
    iifname lan accept
    iifname dmz oifname wan accept
    iifname wan oifname dmz tcp dport {{ {OPEN}, {CLOSED} }} accept
    iifname wan oifname dmz udp dport {{ {OPEN_UDP}, {CLOSED_UDP} }} accept
    iifname wan oifname dmz icmp type echo-request accept
    iifname wan oifname dmz icmpv6 type echo-request accept
  }}
{INPUT}
  chain before {{
    type nat hook prerouting priority -100;
    iifname wan ip daddr 203.0.113.1 tcp dport {DOOR} dnat ip to 192.168.1.9:{OPEN}
  }}
  chain behind {{
    type nat hook postrouting priority 100;
    oifname wan ip saddr 192.168.1.0/24 masquerade
  }}
}}
"""

HIDDEN_NFT, PREFIX_NFT = (
    FIREWALL_NFT.replace("saddr 192.168.1.0/24 masquerade", f"saddr 192.168.1.0/24 masquerade\n    oifname wan ip6 saddr {HOME6} {what}")
    for what in ("masquerade", f"snat ip6 prefix to ip6 saddr map {{ {HOME6} : {PREFIX6} }}")
)

OPEN_NFT: Final = f"""table inet fw {{
  chain forward {{
    type filter hook forward priority 0; policy drop;
    {SPOOFED}
    ct state invalid drop
    accept
  }}
{INPUT}
}}
"""
