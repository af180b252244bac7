"""Mistakes between parts of a file: names, wiring, clashes, to the letter."""

from __future__ import annotations

import pytest

from appliance.config.checks import check
from appliance.config.errors import ConfigError
from appliance.config.loader import loads
from appliance.config.models import Config, Nic, Rule, Zone

BASE = """\
nics:
  wan: {address: [203.0.113.7/24, "2001:db8:1::2/64"]}
  lan: {address: 192.168.10.1/24}
zones:
  internet: {nics: [wan]}
  home: {nics: [lan]}
"""


def said(text: str) -> list[str]:
    try:
        loads(text, "x.yaml")
    except ConfigError as error:
        return [str(mistake) for mistake in error.mistakes]
    return []


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("nics: [lan]", "nics: [lna]", 'x.yaml:6:17: zone "home": nics: unknown nic, found `lna`, did you mean `lan`?\n'
         'x.yaml:3:3: nic "lan": in no zone, found `lan`, add it to the `nics` of one: `home`, `internet`'),
        ("nics: [lan]", "nics: [lan, wan]",
         'x.yaml:6:22: zone "home": nics: nic "wan" is in two zones, found `wan`, leave it in `internet` or here'),
        ("{address: 192.168.10.1/24}", "{}",
         'x.yaml:3:3: nic "lan": missing key `address`, found nothing, '
         "add `address: 192.168.10.1/24`, or an `uplink` to adopt one from"),
        ("{address: 192.168.10.1/24}", "{address: 203.0.113.7/32}",
         'x.yaml:3:18: nic "lan": address: address used twice, found `203.0.113.7/32`, choose another; nic "wan" has it'),
        ("{address: 192.168.10.1/24}", "{address: 203.0.113.8/24}",
         'x.yaml:3:18: nic "lan": address: network is behind two nics, found `203.0.113.8/24`, '
         'give each nic its own network; nic "wan" has `203.0.113.0/24` too'),
        ("10.1/24}", "10.1/24, gateway: 192.168.11.1}",
         'x.yaml:3:44: nic "lan": gateway: gateway is in none of the nic\'s networks, found `192.168.11.1`, '
         "write one inside `192.168.10.0/24`"),
        ("10.1/24}", '10.1/24, gateway: "2001:db8::1"}',
         'x.yaml:3:44: nic "lan": gateway: gateway is in none of the nic\'s networks, found `2001:db8::1`, '
         "give the nic an IPv6 address first"),
        ("10.1/24}", "10.1/24, gateway: [192.168.10.2, 192.168.10.3]}",
         'x.yaml:3:59: nic "lan": gateway: second IPv4 gateway, found `192.168.10.3`, keep one a family'),
        ("10.1/24}", "10.1/24, gateway: 192.168.10.1}",
         'x.yaml:3:44: nic "lan": gateway: gateway is the nic\'s own address, found `192.168.10.1`, write the address of the next router'),
        ("::2/64\"]", "::2/64\"], mtu: 1000",
         'x.yaml:2:61: nic "wan": mtu: too small for IPv6, found `1000`, write 1280 or more, or remove the IPv6 address'),
        ("10.1/24}", "10.1/24, tap: wan}",
         'x.yaml:3:40: nic "lan": tap: Linux interface used twice, found `wan`, choose another name; nic "wan" has it'),
        ("10.1/24}", "10.1/24, tap: softena}",
         'x.yaml:3:40: nic "lan": tap: Linux interface used twice, found `softena`, choose another name; the TUN device of `host` has it'),
        ("10.1/24}", "10.1/24, uplink: lan}",
         'x.yaml:3:43: nic "lan": uplink: uplink is the nic\'s own TAP, found `lan`, '
         "name the Linux interface to take over, or another `tap`"),
        ("10.1/24}", "10.1/24, vfio-user: /run/vm.sock, tap: lan}",
         'x.yaml:3:65: nic "lan": tap: far side is a virtual machine already, found `lan`, '
         "keep `vfio-user` or `tap`, and remove the other"),
        ("address: 192.168.10.1/24}", "vfio-user: /run/vm.sock, uplink: eth1}",
         'x.yaml:3:42: nic "lan": uplink: far side is a virtual machine already, found `eth1`, '
         "keep `vfio-user` or `uplink`, and remove the other"),
        ("address: 192.168.10.1/24}", "vfio-user: /run/vm.sock}",
         'x.yaml:3:3: nic "lan": missing key `address`, found `vfio-user`, add `address: 192.168.10.1/24`'),
        ("10.1/24}", "10.1/24, vfio-user: /run/vm.sock, mtu: 1400}",
         'x.yaml:3:65: nic "lan": mtu: too small for drivers of virtual machines, found `1400`, '
         "write 1500 or more, and set less inside the machine"),
        ("10.1/24}", "10.1/24, guest-mac: 02:00:00:00:00:01}",
         'x.yaml:3:46: nic "lan": guest-mac: no virtual machine to have it, found `02:00:00:00:00:01`, '
         "add `vfio-user: /run/vms/vm.sock`, or remove it"),
        ("10.1/24}", "10.1/24, vfio-user: /run/vm.sock, mac: 02:00:00:00:00:01, guest-mac: 02:00:00:00:00:01}",
         'x.yaml:3:95: nic "lan": guest-mac: MAC address used twice, found `02:00:00:00:00:01`, '
         'give one of them another; nic "lan" has it too'),
        ("10.1/24}", "10.1/24, vfio-user: /run/softena//control.sock}",
         'x.yaml:3:46: nic "lan": vfio-user: socket used twice, found `/run/softena//control.sock`, choose another path; `control` has it'),
    ],
)  # fmt: skip
def test_wiring_that_cannot_work_is_pointed_at(old: str, new: str, line: str) -> None:
    assert sorted(said(BASE.replace(old, new))) == sorted(line.splitlines())


@pytest.mark.parametrize(
    ("addition", "line"),
    [
        ("routes: [{to: 10.0.0.0/8, via: 172.16.0.1}]",
         "x.yaml:7:32: routes: via: gateway is in no connected network, found `172.16.0.1`, "
         "write the address of a router next to one of the nics"),
        ("routes: [{to: 10.0.0.0/8, via: 192.168.10.9, nic: wan}]",
         'x.yaml:7:51: routes: nic: gateway is not behind this nic but nic "lan", found `wan`, correct one of the two'),
        ("routes: [{to: 10.0.0.0/8, via: 192.168.10.9, nic: eth0}]",
         "x.yaml:7:51: routes: nic: unknown nic, found `eth0`, use one of `lan`, `wan`"),
        ('routes: [{to: "2001:db8::/32", via: 192.168.10.9}]',
         "x.yaml:7:37: routes: via: IPv4 gateway for an IPv6 network, found `192.168.10.9`, write both in one family"),
        ('routes: [{to: "2001:db8::/32", via: "fe80::1"}]',
         "x.yaml:7:37: routes: via: link-local gateway without `nic`, found `fe80::1`, add `nic:` with the nic it is behind"),
        ("routes: [{to: 10.0.0.0/8, via: 192.168.10.1}]",
         "x.yaml:7:32: routes: via: gateway is the appliance's own address, found `192.168.10.1`, write the address of the next router"),
        ("routes: [{to: 10.0.0.0/8, via: 192.168.10.2}, {to: 10.0.0.0/8, via: 192.168.10.3}]",
         "x.yaml:7:52: routes: to: second route to a network, found `10.0.0.0/8`, keep one; the first is on line 7"),
        ("policy: [a: {from: [home, internte], allow: any}]",
         'x.yaml:7:27: rule "a": from: unknown zone, found `internte`, did you mean `internet`?'),
        ("policy: [a: {from: wan, allow: any}]",
         'x.yaml:7:20: rule "a": from: a nic where a zone is expected, found `wan`, write its zone: `internet`'),
        ("policy: [a: {from: dmz, allow: any}]",
         'x.yaml:7:20: rule "a": from: unknown zone, found `dmz`, use one of `any`, `home`, `internet`, `self`'),
        ("policy: [a: {allow: ssh}, a: {allow: dns}]",
         'x.yaml:7:27: rule "a": duplicate name, found `a`, choose another name; the first is on line 7'),
        ("nat: [a: {masquerade: {from: [home], to: self}}]",
         'x.yaml:7:42: nat rule "a": to: `self` has no meaning here, found `self`, use one of `home`, `internet`'),
        ("nat: [a: {masquerade: {from: [home], to: internet, source: 2001:db8::/32}}]",
         'x.yaml:7:60: nat rule "a": source: IPv6 source in a rule for IPv4, found `2001:db8::/32`, '
         "write an IPv4 network, or `family: v6`"),
        ("nat: [a: {forward: {on: any, port: tcp/1, to: 10.0.0.1}}]",
         'x.yaml:7:25: nat rule "a": on: `any` has no meaning here, found `any`, use one of `home`, `internet`'),
        ("nat: [a: {forward: {on: home, port: tcp/1-9, to: 10.0.0.1:1}}]",
         'x.yaml:7:50: nat rule "a": to: one port for a range of ports, found `10.0.0.1:1`, '
         "write 10.0.0.1 alone: each port stays what it is"),
        ('nat: [a: {forward: {on: home, port: tcp/1, to: "2001:db8::1"}}]',
         'x.yaml:7:25: nat rule "a": on: zone has no IPv6 address to forward from, found `home`, '
         'name an `address`, or give a nic of zone "home" one'),
        ('nat: [a: {forward: {on: home, port: tcp/1, to: 10.0.0.1, address: "2001:db8::1"}}]',
         'x.yaml:7:67: nat rule "a": address: IPv6 address for an IPv4 target, found `2001:db8::1`, write an IPv4 address, like `to`'),
        ("nat: [a: {forward: {on: home, port: tcp/1-9, to: 10.0.0.1}}, b: {forward: {on: home, port: tcp/9, to: 10.0.0.2}}]",
         'x.yaml:7:92: nat rule "b": port: tcp port on 192.168.10.1 is taken in zone "home", found `tcp/9`, '
         'change one; nat rule "a" on line 7 has it'),
        ('services: {w: {listen: "[2001:db8::9]:1/tcp", targets: [{name: a, address: 10.0.0.1:1}]}}',
         'x.yaml:7:24: service "w": listen: no target speaks IPv6, found `[2001:db8::9]:1/tcp`, '
         "add a target with an IPv6 address, or remove this one\n"
         'x.yaml:7:76: service "w": targets: address: service listens on no IPv4 address, found `10.0.0.1:1`, '
         "listen on an IPv4 address, or remove it"),
        ("services: {w: {listen: 10.0.0.9:1/tcp, targets: [{name: a, address: 10.0.0.1:1}, {name: a, address: 10.0.0.1:1}]}}",
         'x.yaml:7:89: service "w": targets: name: name used twice, found `a`, choose another name\n'
         'x.yaml:7:101: service "w": targets: address: address and port used twice, found `10.0.0.1:1`, change one; target `a` has them'),
        ("services: {w: {listen: 10.0.0.9:1/tcp, targets: [{name: a, address: 10.0.0.9:1}]}}",
         'x.yaml:7:69: service "w": targets: address: target is the service itself, found `10.0.0.9:1`, write the address of a server'),
        ("services: {w: {listen: 10.0.0.9:1/udp, targets: [{name: a, address: 10.0.0.1:1}], client-ip: proxy-v2}}",
         'x.yaml:7:24: service "w": listen: proxy-v2 is for TCP alone, found `10.0.0.9:1/udp`, '
         "make it a service of its own, or write `client-ip: translate`"),
        ("services: {w: {listen: 10.0.0.9:1/tcp, targets: [{name: a, address: 10.0.0.1:1}], client-ip: preserve, masquerade: on}}",
         'x.yaml:7:94: service "w": client-ip: contradicts `masquerade`, found preserve, remove `masquerade`'),
        ("services: {w: {listen: 10.0.0.9:1/tcp, targets: [{name: a, address: 10.0.0.1:1}], health: {every: 1s, timeout: 1m}}}",
         'x.yaml:7:112: service "w": health: timeout: longer than `every`, found 60 s, with a check every 1 s, '
         "make it shorter, or `every` longer"),
        ("services: {w: {listen: 10.0.0.9:1/tcp, targets: [{name: a, address: 10.0.0.1:1}], health: {path: /a}}}",
         'x.yaml:7:98: service "w": health: path: key of `type: http` and `type: https` alone, found type tcp, remove it, '
         "or write `type: http`"),
        ("services: {w: {listen: 10.0.0.9:1/tcp, targets: [{name: a, address: 10.0.0.1:1}], health: {type: http, server-name: a}}}",
         'x.yaml:7:117: service "w": health: server-name: key of `type: https` alone, found type http, remove it, or write `type: https`'),
        ("services: {w: {listen: 10.0.0.9:1/tcp, targets: [{name: a, address: 10.0.0.1:1}], health: {type: udp}}}",
         'x.yaml:7:91: service "w": health: missing key `send`, found a mapping of `type`, '
         "add what a probe shall say, such as `send: ping` or `send: hex:0a1b`"),
        ("services: {w: {listen: 10.0.0.9:1/tcp, targets: [{name: a, address: 10.0.0.1:1}], health: {type: icmp, port: 7}}}",
         'x.yaml:7:110: service "w": health: port: ICMP has no ports, found 7, remove it, or choose another `type`'),
        ("services: {v: {listen: 10.0.0.9:1/tcp, targets: [{name: a, address: 10.0.0.1:1}]}, "
         "w: {from: home, listen: 10.0.0.9:1/tcp, targets: [{name: a, address: 10.0.0.2:1}]}}",
         'x.yaml:7:108: service "w": listen: tcp port on 10.0.0.9 is taken in zone "home", found `10.0.0.9:1/tcp`, '
         'change one; service "v" on line 7 has it'),
        ("services: {v: {listen: 192.168.10.1:1/tcp, targets: [{name: a, address: 10.0.0.1:1}]}}\n"
         "nat: [a: {forward: {on: home, port: tcp/1, to: 10.0.0.1}}]",
         'x.yaml:8:37: nat rule "a": port: tcp port on 192.168.10.1 is taken in zone "home", found `tcp/1`, '
         'change one; service "v" on line 7 has it'),
    ],
)  # fmt: skip
def test_parts_that_contradict_each_other_are_pointed_at(addition: str, line: str) -> None:
    assert said(f"{BASE}{addition}\n") == line.splitlines()


@pytest.mark.parametrize(
    "addition",
    [
        "nat: [a: {forward: {on: home, port: tcp/1, to: 10.0.0.1}}, b: {forward: {on: home, port: udp/1, to: 10.0.0.2}}]",
        "nat: [a: {forward: {on: home, port: tcp/1, to: 10.0.0.1}}, b: {forward: {on: internet, port: tcp/1, to: 10.0.0.2}}]",
        "nat: [a: {forward: {on: home, port: tcp/1-8, to: 10.0.0.1}}, b: {forward: {on: home, port: tcp/9, to: 10.0.0.2}}]",
        'routes: [{to: "2001:db8::/32", via: "fe80::1", nic: lan}]',
        "policy: [a: {from: [any, self], to: [self, any], allow: any}]",
    ],
)
def test_neighbours_that_do_not_touch_are_left_alone(addition: str) -> None:
    assert said(f"{BASE}{addition}\n") == []


@pytest.mark.parametrize(
    ("old", "new", "warning"),
    [
        ("home: {nics: [lan]}\n", "home: {nics: [lan]}\npolicy:\n  - a: {from: [home], allow: any}\n  - b: {from: [home], allow: ssh}\n",
         'x.yaml:9:5: rule "b": can never match, found `b`, move it above `a` on line 8, which already takes all of it, or remove it'),
        ("192.168.10.1/24", "203.0.113.130/26",
         'x.yaml:3:18: nic "lan": address: network lies inside one of nic "wan", found `203.0.113.130/26`, '
         "expect packets for `203.0.113.128/26` to leave by this nic, the rest by the other"),
        ("home: {nics: [lan]}\n",
         "home: {nics: [lan]}\nservices: {w: {listen: 10.0.0.9:1/tcp, targets: [{name: a, address: 10.0.0.1:1, weight: 0}]}}\n",
         'x.yaml:7:49: service "w": targets: every target is drained, found weight 0 everywhere, '
         "give one a weight above 0 to serve new clients"),
        ("home: {nics: [lan]}\n",
         "home: {nics: [lan]}\nservices: {w: {listen: 10.0.0.9:1/tcp, targets: [{name: a, address: 10.0.0.1:1}], passive: {}}}\n",
         'x.yaml:7:92: service "w": passive: max-ejected: no target can ever be ejected: it would be more than this of 1, found `50%`, '
         "have more targets, or write a larger share"),
        ("home: {nics: [lan]}\n",
         'home: {nics: [lan]}\npolicy: [a: {source: 10.0.0.0/8, destination: "2001:db8::/32", deny: any}]\n',
         'x.yaml:7:10: rule "a": can never match: source is IPv4, destination IPv6, found `a`, write all in one family'),
        ("home: {nics: [lan]}\n",
         'home: {nics: [lan]}\nobjects: {nas: {v6: "::1 via wan"}}\npolicy: [a: {destination: nas, allow: icmp/echo-request}]\n',
         'x.yaml:8:10: rule "a": can never match: addresses are IPv6, services IPv4, found `a`, write all in one family'),
        ("home: {nics: [lan]}\n",
         "home: {nics: [lan]}\npolicy: [a: {from: [home], allow: icmpv6/packet-too-big}]\n",
         'x.yaml:7:35: rule "a": allow: can never match: of ICMP only echo requests begin flows, found `icmpv6/packet-too-big`, '
         "leave it out; errors about live flows and echo replies pass without a rule"),
        ("home: {nics: [lan]}\n",
         "home: {nics: [lan]}\nports: {icmps: [icmp/13, icmpv6/144]}\npolicy: [a: {deny: [icmps, icmp/8, icmp/3]}]\n",
         'x.yaml:8:20: rule "a": deny: some can never match: of ICMP only echo requests begin flows, '
         "found `icmp/timestamp-request`, `icmpv6/144`, `icmp/destination-unreachable`, "
         "leave it out; errors about live flows and echo replies pass without a rule"),
        ("home: {nics: [lan]}\n",
         "home: {nics: [lan]}\nroutes: [{to: 192.168.10.0/24, via: 203.0.113.1}]\n",
         'x.yaml:7:15: routes: to: never taken: nic "lan" is in this network itself, found `192.168.10.0/24`, '
         "remove the route, or write a smaller network"),
        ("}\n  lan: {address: 192.168.10.1/24}\n",
         ", gateway: 203.0.113.1}\n  lan: {address: 192.168.10.1/24}\nroutes: [{to: 0.0.0.0/0, via: 192.168.10.9}]\n",
         'x.yaml:2:65: nic "wan": gateway: never taken: the route to 0.0.0.0/0 on line 4 goes by 192.168.10.9, found `203.0.113.1`, '
         "remove one of the two"),
        ("}\n  lan: {address: 192.168.10.1/24}\n", ', gateway: 203.0.113.1}\n  lan: {address: 192.168.10.1/24, gateway: 192.168.10.9}\n',
         'x.yaml:3:44: nic "lan": gateway: no way for new flows: the IPv4 gateway of nic "wan" on line 2 is, found `192.168.10.9`, '
         "expect only answers to who came in by this nic to leave by it, or remove one of the two"),
    ],
)  # fmt: skip
def test_what_is_odd_but_works_is_a_warning(old: str, new: str, warning: str) -> None:
    assert [str(each) for each in loads(BASE.replace(old, new), "x.yaml").warnings] == [warning]


def test_a_rule_of_which_not_all_is_known_or_that_names_both_families_is_left_alone() -> None:
    both = 'objects: {both: [10.0.0.1, "2001:db8::1"], names: {fqdn: example.org}}'
    rules = ["source: 10.0.0.0/8, destination: both", 'source: names, destination: "2001:db8::/32"', "destination: 10.1.0.1"]
    text = BASE + both + "\npolicy:\n" + "".join(f"  - r{index}: {{{rule}, allow: ping}}\n" for index, rule in enumerate(rules))
    assert not loads(text, "x.yaml").warnings


@pytest.mark.parametrize("word", ["any", "icmp", "[icmpv6, tcp]", "ping", "icmp/echo-request", "icmpv6/128", "[tcp/22, ospf]"])
def test_a_rule_about_what_may_begin_a_flow_is_left_alone(word: str) -> None:
    assert not loads(f"{BASE}policy: [a: {{allow: {word}}}]\n").warnings


def test_gateways_of_different_families_or_behind_a_default_route_by_one_of_them_are_no_rivals() -> None:
    six = BASE.replace("::2/64\"]", '::2/64"], gateway: "2001:db8:1::1"').replace("10.1/24}", "10.1/24, gateway: 192.168.10.9}")
    assert not loads(six, "x.yaml").warnings
    routed = six.replace('"2001:db8:1::1"', "203.0.113.1") + "routes: [{to: 0.0.0.0/0, via: 192.168.10.9}]\n"
    [warning] = loads(routed, "x.yaml").warnings
    assert warning.what.startswith('nic "wan": gateway: never taken: the route to')


UNTIL = BASE + "policy:\n  - guests: {from: [home], allow: any, until: 2026-03-31}\n"


@pytest.mark.parametrize(("instant", "over"), [(None, False), (1774915199.9, False), (1775001599.9, False), (1775001600.0, True)])
def test_a_rule_whose_end_has_passed_is_told_at_the_time(instant: float | None, over: bool) -> None:
    told = [str(each) for each in loads(UNTIL, "x.yaml", instant).warnings]
    assert told == over * [
        'x.yaml:8:47: rule "guests": until: has passed: the rule never matches again, found `2026-03-31`, '
        "write a later one, or remove the rule"
    ]


def test_two_virtual_machines_need_two_sockets_and_no_names_of_linux() -> None:
    text = BASE.replace("10.1/24}", "10.1/24, vfio-user: /a.sock}").replace("::2/64\"]", "::2/64\"], vfio-user: /a.sock, mtu: 9000")
    assert said(text) == ['x.yaml:3:46: nic "lan": vfio-user: socket used twice, found `/a.sock`, choose another path; nic "wan" has it']
    assert said(text.replace("a.sock", "b.sock", 1) + "host: {tun: lan}\n") == []


def test_a_broken_nic_does_not_make_others_look_wrong() -> None:
    text = BASE.replace("address: 192.168.10.1/24", "adress: 192.168.10.1/24") + "routes: [{to: 10.0.0.0/8, via: 192.168.10.9}]\n"
    assert said(text) == ['x.yaml:3:9: nic "lan": unknown key, found `adress`, did you mean `address`?']


def test_an_uplink_brings_addresses_that_the_file_does_not_know() -> None:
    text = BASE.replace("address: 192.168.10.1/24", "uplink: eth1") + "routes: [{to: 10.0.0.0/8, via: 192.168.10.9}]\n"
    assert said(text) == []


def test_a_configuration_built_from_python_can_be_checked_too() -> None:
    wan = Nic.model_validate({"name": "wan", "address": "203.0.113.7/24"}, by_name=True)
    rule = Rule(name="a", from_zones=("nowhere",), verdict="allow")
    config = Config(nics={"wan": wan}, zones={"internet": Zone(name="internet", nics=("wan",))}, policy=(rule,))
    assert [(finding.path, finding.what) for finding in check(config)] == [(("policy", 0, "from", 0), "unknown zone")]
