"""Broken files of every kind, and the exact lines that their authors get."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.config.errors import ConfigError
from appliance.config.loader import load, loads

BASE = """\
version: 1
nics:
  wan: {address: 203.0.113.7/24}
  lan: {address: 192.168.10.1/24}
zones:
  internet: {nics: [wan]}
  home: {nics: [lan]}
"""

@pytest.mark.parametrize(
    ("addition", "line"),
    [
        ("polcy: []", "x.yaml:8:1: unknown key, found `polcy`, did you mean `policy`?"),
        ("services:", "x.yaml:8:1: services: must be a mapping, found nothing, write `key: value` pairs, or remove it"),
        ("policy: {}", "x.yaml:8:9: policy: must be a list, found an empty mapping, write its items in [ ] or on lines with `- `"),
        ("version: 1", "x.yaml:8:1: duplicate key, found `version`, remove one of the two; the first is on line 1"),
        ("\tpolicy: []", "x.yaml:8:1: tab in the indentation, found `\\t`, indent with spaces"),
        ("policy: [", "x.yaml:8:10: YAML syntax: bracket not closed, or no comma between two items, found the end of the line, "
         "close it, and quote text with brackets or commas"),
        ("policy: [a: {source: ::/0, allow: any}]",
         "x.yaml:8:22: YAML syntax: text in brackets starts or ends with a colon, found `::/0, allow: any}]`, put quotes around the text"),
        ("policy: [fe80::, a]",
         "x.yaml:8:15: YAML syntax: text in brackets starts or ends with a colon, found `:, a]`, put quotes around the text"),
        ("host: 'tun", "x.yaml:8:7: YAML syntax: quote not closed, found `'tun`, close the quote"),
        ("host: a: b",
         "x.yaml:8:8: YAML syntax: unexpected colon, found `: b`, quote text that contains `: `, or indent like the lines above"),
        ("limits: {flows: 200_000}", "x.yaml:8:17: limits: flows: digits are grouped, found `200_000`, write 200000"),
        ("limits: {flows: 0o4000}",
         "x.yaml:8:17: limits: flows: octal number, which YAML 1.1 and 1.2 read differently, found `0o4000`, write 2048"),
        ("limits: {memory: 128}", "x.yaml:8:18: limits: memory: size without one of the units KiB, MiB, GiB, found `128`, write 128MiB"),
        ("limits: {memory: 2gb}", "x.yaml:8:18: limits: memory: size without one of the units KiB, MiB, GiB, found `2gb`, write 2GiB"),
        ("limits: {memory: -1MiB}",
         "x.yaml:8:18: limits: memory: not a size, found `-1MiB`, write a number with one of the units KiB, MiB, GiB, such as 128MiB"),
        ("limits: {memory: 100KiB}", "x.yaml:8:18: limits: memory: out of range, found `100KiB`, write a size from 1MiB to 1403MiB"),
        ("limits: {memory: 2GiB}", "x.yaml:8:18: limits: memory: out of range, found `2GiB`, write a size from 1MiB to 1403MiB"),
        ("limits: {flows: 200000, memory: 64MiB}",
         "x.yaml:8:33: limits: memory: both `flows` and `memory`, found `64MiB`, keep one of them"),
        ("timeouts: {udp: 12:30}", "x.yaml:8:17: timeouts: udp: base-60 number of YAML 1.1, found `12:30`, write 12m30s or 12h30m"),
        ("timeouts: {udp: 30}",
         "x.yaml:8:17: timeouts: udp: duration without unit, found `30`, write 30s, or another of the units d, h, m, s, ms"),
        ("timeouts: {udp: 2d}", "x.yaml:8:17: timeouts: udp: out of range, found `2d`, write a duration from 1s to 1d"),
        ("timeouts: {udp_replied: 2m}", "x.yaml:8:12: timeouts: unknown key, found `udp_replied`, did you mean `udp-replied`?"),
        ("timeouts: {on-expiry: rst}", "x.yaml:8:23: timeouts: on-expiry: unknown word, found `rst`, did you mean `reset`?"),
        ("exceptions: {malformed: pass}", "x.yaml:8:25: exceptions: malformed: unknown word, found `pass`, write `drop`"),
        ("policy: [a: {allow: tcp, mss-clamp: 60}]",
         'x.yaml:8:37: rule "a": mss-clamp: no segment size, found `60`, write on, off, or bytes from 88 to 9176, such as 1360'),
        ("timeouts: {udp: }", "x.yaml:8:12: timeouts: udp: no value, found nothing, write a value such as 30s"),
        ("control: {socket: !file /s.sock}", "x.yaml:8:19: tags have no meaning here, found `!file`, remove the tag"),
        ("host: {tun: softena appliance}",
         "x.yaml:8:13: host: tun: not a Linux interface name, found `softena appliance`, "
         "write 1 to 15 letters, digits, dots, dashes or underscores"),
        ("routes: [{to: 10.0.0.0/8}]", "x.yaml:8:10: routes: missing key `via`, found `to`, add `via: 192.168.10.254`"),
        ("routes: [{to: 10.0.0.5/8, via: 192.168.10.9}]",
         "x.yaml:8:15: routes: to: address has bits set behind its prefix, found `10.0.0.5/8`, write 10.0.0.0/8 or 10.0.0.5"),
        ("policy: [a: {allow: htpp}]", 'x.yaml:8:21: rule "a": allow: unknown service, found `htpp`, did you mean `http`?'),
        ("policy: [a: {allow: [ssh, tcp/0]}]",
         'x.yaml:8:27: rule "a": allow: port out of range, found `tcp/0`, write a port from 1 to 65535'),
        ('policy: ["a\\e[31m\\nb": {allow: any}]',
         'x.yaml:8:10: rule "a\\x1b[31m\\nb": not a rule name, found `a\\x1b[31m\\nb`, '
         "write up to 60 printable characters without spaces at the ends"),
        ("policy: [a: {allow: 443}]", 'x.yaml:8:21: rule "a": allow: port without protocol, found `443`, write tcp/443 or udp/443'),
        ("policy: [a: {from: home}]",
         'x.yaml:8:10: rule "a": missing key `allow`, `deny` or `reject`, found `from`, add `allow: any`, or the services it is about'),
        ("policy: [a: {allow: any, deny: any}]",
         'x.yaml:8:26: rule "a": both `allow` and `deny`, found `deny`, keep one, and make two rules of it'),
        ("policy: [a: {reject: any, allow: any}]",
         'x.yaml:8:27: rule "a": both `reject` and `allow`, found `allow`, keep one, and make two rules of it'),
        ("policy: [a: {rejct: any}]",
         'x.yaml:8:10: rule "a": missing key `allow`, `deny` or `reject`, found `rejct`, add `allow: any`, or the services it is about\n'
         'x.yaml:8:14: rule "a": unknown key, found `rejct`, did you mean `reject`?'),
        ("policy: [a: {allow: any, verdict: deny}]",
         'x.yaml:8:26: rule "a": unknown key, found `verdict`, '
         "use one of `allow`, `audit`, `connections`, `deny`, `destination`, `from`, `liberal`, `mss-clamp`, `pickup`, `rate`, `reject`, "
         "`source`, …"),
        ("policy: [a: {deny: any, liberal: on}]",
         'x.yaml:8:34: rule "a": liberal: only a rule that allows can have it, found `on`, remove it'),
        ("policy: [a: {allow: dns, pickup: on}, b: {allow: udp, pickup: on}]",
         'x.yaml:8:63: rule "b": pickup: about TCP, which the rule does not allow, found `on`, remove it'),
        ("policy: [a: {deny: any, audit: yes}]",
         'x.yaml:8:32: rule "a": audit: `yes` is a switch in YAML 1.1 only, found `yes`, write on'),
        ("policy: [off: {allow: any}]",
         'x.yaml:8:10: rule "off": name that YAML 1.1 does not read as text, found `off`, choose another name, or quote it: "off"'),
        ("policy: [all]",
         "x.yaml:8:10: policy: item must be one name with its mapping, found `all`, "
         "write `- home out: {from: [home], to: [internet], allow: any}`"),
        ("nat: [a: {masquerade: {from: [home]}}]", 'x.yaml:8:7: nat rule "a": missing key `to`, found `from`, add `to: [ZONE]`'),
        ("nat: [a: {forwards: {}}]", 'x.yaml:8:11: nat rule "a": unknown kind of translation, found `forwards`, did you mean `forward`?'),
        ("nat: [a: {forward: {on: internet, port: 443, to: 192.168.10.2}}]",
         'x.yaml:8:41: nat rule "a": port: not a protocol and port, found `443`, write tcp/443 or udp/443'),
        ("services: {web: {listen: 203.0.113.9:443, targets: [{name: a, address: 10.0.0.1:80}]}}",
         'x.yaml:8:26: service "web": listen: protocol is missing, found `203.0.113.9:443`, '
         "add it at the end: `203.0.113.9:443/tcp` or `203.0.113.9:443/udp`"),
        ("services: {web: {listen: 203.0.113.9:443/tcp, targets: [{name: a, address: 10.0.0.1}]}}",
         'x.yaml:8:76: service "web": targets: address: port is missing, found `10.0.0.1`, '
         "write 10.0.0.1:8443, with the port of your server"),
        ("services: {web: {listen: 203.0.113.9:443/tcp, targets: []}}",
         'x.yaml:8:56: service "web": targets: empty, found an empty list, write at least one item'),
        ("--- \nversion: 1", "x.yaml:8:1: second document in the file, found `---`, keep one document a file"),
        ("host: &a {tun: *a}", "x.yaml:8:16: alias inside its own anchor, found `*a`, write the value out"),
        ("? [a]\n: b",
         "x.yaml:8:3: key is not text, found a mapping or a list, write `key: value`, and quote text that starts with a bracket"),
        ("host: {<<: {tun: a}}", "x.yaml:8:8: host: unknown key, found `<<`, merge keys are not read: write the keys out"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_with_its_place_what_was_found_and_what_would_do(addition: str, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loads(f"{BASE}{addition}\n", "x.yaml")
    assert str(caught.value).splitlines() == line.splitlines()


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("address: 203.0.113.7/24", "address: 203.0.113.7",
         'x.yaml:3:18: nic "wan": address: prefix length is missing, found `203.0.113.7`, '
         "write 203.0.113.7/24, with the length of your network"),
        ("203.0.113.7/24", "203.0.113.700/24",
         'x.yaml:3:18: nic "wan": address: not an IPv4 address (700 > 255), found `203.0.113.700/24`, '
         "write an address with prefix length such as 192.168.10.1/24 or 2001:db8::1/64"),
        ("203.0.113.7/24", "203.0.113.0/24",
         'x.yaml:3:18: nic "wan": address: network address of 203.0.113.0/24, found `203.0.113.0/24`, '
         "write an address inside, such as 203.0.113.1/24"),
        ("{address: 203", "{offloads: no, address: 203",
         'x.yaml:3:19: nic "wan": offloads: `no` is a switch in YAML 1.1 only, found `no`, write off'),
        ("{address: 203", "{mtu: 1500B, address: 203",
         'x.yaml:3:14: nic "wan": mtu: not a whole number, found `1500B`, write a number from 576 to 9216'),
        ("{address: 203", "{mac: 03:00:00:00:00:01, address: 203",
         'x.yaml:3:14: nic "wan": mac: not a unicast MAC address, found `03:00:00:00:00:01`, '
         "write one whose first pair is even, such as 02:00:00:00:00:01"),
        ("{address: 203", "{vfio-user: vm.sock, address: 203",
         'x.yaml:3:20: nic "wan": vfio-user: not a socket path, found `vm.sock`, '
         "write an absolute path of at most 107 bytes, such as /run/vms/vm.sock"),
        ("{address: 203", "{vfio-user: /vm.sock, guest-mac: x, address: 203",
         'x.yaml:3:41: nic "wan": guest-mac: not a MAC address, found `x`, write six pairs of hex digits, such as 02:00:00:00:00:01'),
        ("{address: 203", "{name: wan, address: 203",
         'x.yaml:3:9: nic "wan": unknown key, found `name`, '
         "use one of `address`, `faults`, `gateway`, `guest-mac`, `mac`, `mss-clamp`, `mtu`, `offloads`, `queues`, `tap`, `uplink`, "
         "`vfio-user`"),
        ("{address: 203", "{faults: {loss: 0.1}, address: 203",
         'x.yaml:3:24: nic "wan": faults: loss: share without unit, found `0.1`, write 0.1%'),
        ("home: {nics", "Home: {nics",
         'x.yaml:7:3: zone "Home": not a name, found `Home`, '
         "write a letter, then letters, digits and dashes, lower case, at most 31 characters"),
        ("home: {nics", "any: {nics", 'x.yaml:7:3: zone "any": reserved word used as a name, found `any`, choose another name'),
        ("home: {nics: [lan]}", "home: [lan]",
         'x.yaml:7:9: zone "home": must be a mapping, found a list, write `key: value` pairs, or remove it'),
        ("home: {nics: [lan]}", "home: {}", 'x.yaml:7:3: zone "home": missing key `nics`, found nothing, add `nics: [NIC]`'),
        ("version: 1\n", "version: 2\n", "x.yaml:1:10: version: out of range, found `2`, write 1"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_nic_or_zone_is_pointed_at(old: str, new: str, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loads(BASE.replace(old, new), "x.yaml")
    assert str(caught.value).splitlines() == [line]


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file() -> None:
    text = BASE.replace("wan: {", "wan: {mtu: 9, adress: x, ")
    text += "policy:\n  - a: {from: hme, allow: [sssh, dns, tpc/1]}\nlimits: {flow: 1}\n"
    with pytest.raises(ConfigError) as caught:
        loads(text, "x.yaml")
    assert str(caught.value).splitlines() == [
        'x.yaml:3:14: nic "wan": mtu: out of range, found `9`, write a number from 576 to 9216',
        'x.yaml:3:17: nic "wan": unknown key, found `adress`, did you mean `address`?',
        'x.yaml:9:15: rule "a": from: unknown zone, found `hme`, did you mean `home`?',
        'x.yaml:9:28: rule "a": allow: unknown service, found `sssh`, did you mean `ssh`?',
        'x.yaml:9:39: rule "a": allow: unknown service, found `tpc/1`, did you mean `tcp/1`?',
        "x.yaml:10:10: limits: unknown key, found `flow`, did you mean `flows`?",
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "x.yaml:1:1: empty file, found nothing, write at least `nics:` and `zones:`"),
        ("# nothing yet\n", "x.yaml:1:1: empty file, found nothing, write at least `nics:` and `zones:`"),
        ("- nics", "x.yaml:1:1: file must be a mapping, found a list, write `nics:`, `zones:` and the rest as keys"),
        ("nics", "x.yaml:1:1: file must be a mapping, found `nics`, write `nics:`, `zones:` and the rest as keys"),
        ("nics: {a: {address: 10.0.0.1/8}}",
         "x.yaml:1:1: missing key `zones`, found `nics`, add `zones: {internet: {nics: [wan]}}`"),
        ("nics: {}\nzones: {}",
         "x.yaml:1:7: nics: empty, found an empty mapping, write at least one\n"
         "x.yaml:2:8: zones: empty, found an empty mapping, write at least one"),
        ("nics: \x07", "x.yaml:1:7: unprintable character, found U+0007, remove it"),
        ("%YAML 1.1\n---\nnics: {}", "x.yaml:2:1: only YAML 1.2 is read, found `%YAML 1.1`, remove the directive"),
        ("[" * 5000, "x.yaml:1:33: nested too deeply, found 33 levels, stay within 32 levels"),
    ],
)  # fmt: skip
def test_what_is_no_configuration_at_all_is_refused(text: str, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loads(text, "x.yaml")
    assert str(caught.value) == line


def test_an_unreadable_file_is_a_mistake_too(tmp_path: Path) -> None:
    missing = tmp_path / "missing.yaml"
    with pytest.raises(ConfigError) as caught:
        load(missing)
    assert str(caught.value) == f"{missing}:1:1: file can't be read, found no such file or directory, check the path and its permissions"
    with pytest.raises(ConfigError):
        load(tmp_path)
    with pytest.raises(ConfigError):
        load(Path("nul\0byte"))
