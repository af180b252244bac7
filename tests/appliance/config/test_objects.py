"""Names for addresses and ports: what they mean, against sets of addresses by `ipaddress`; and every mistake with them."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.config.errors import ConfigError
from appliance.config.loader import loads
from appliance.config.models import Config, Forward, Rule
from appliance.config.resolve import Meanings, prefix_of, resolve
from appliance.config.words import ServiceMatch
from appliance.ranges import Extent, holds, network_ranges
from ena_dev.errors import UsageError

BASE = """version: 1
nics:
  wan: {address: 203.0.113.7/24}
  lan: {address: [192.168.10.1/24, "fe80::1/64", "fd00:1::1/64", "2001:db8:10::1/64"]}
  dmz: {uplink: eth2}
zones: {internet: {nics: [wan]}, home: {nics: [lan, dmz]}}
"""


def ranges(config: Config, name: str) -> list[tuple[str, str]]:
    meaning = Meanings(config).of(name)
    return [(str(ip_address(low)), str(ip_address(high))) for version in (4, 6) for low, high in meaning.ranges(version)]


def test_an_object_has_addresses_of_both_families_or_lists_them_and_others() -> None:
    config = loads(BASE + """
objects:
  nas: {v4: 192.168.10.20, v6: "2001:db8::20"}
  two: {v4: [10.0.0.1, 10.0.0.2]}
  office: [10.1.0.0/16, 192.0.2.10 - 192.0.2.20, nas, "2001:db8:7::/48"]
  alone: 10.9.9.9
""")
    assert ranges(config, "nas") == [("192.168.10.20", "192.168.10.20"), ("2001:db8::20", "2001:db8::20")]
    assert ranges(config, "two") == [("10.0.0.1", "10.0.0.2")]
    assert ranges(config, "office") == [
        ("10.1.0.0", "10.1.255.255"), ("192.0.2.10", "192.0.2.20"), ("192.168.10.20", "192.168.10.20"),
        ("2001:db8::20", "2001:db8::20"), ("2001:db8:7::", "2001:db8:7:ffff:ffff:ffff:ffff:ffff"),
    ]  # fmt: skip
    assert ranges(config, "alone") == [("10.9.9.9", "10.9.9.9")]


NAMES = ["a", "b", "c", "d"]
LITERALS = ["10.0.0.0/30", "10.0.0.6", "10.0.0.9-10.0.0.12", "10.0.0.4/31", "2001:db8::/126", "2001:db8::5-2001:db8::9"]


@settings(max_examples=150)
@given(st.lists(st.lists(st.sampled_from(LITERALS + NAMES), min_size=1, max_size=4), min_size=4, max_size=4))
def test_a_group_is_the_union_of_what_it_leads_to(groups: list[list[str]]) -> None:
    """Later names only: what leads back is a mistake of its own."""
    lists = {}
    for name, group in zip(NAMES, groups, strict=True):
        lists[name] = [each for each in group if each not in NAMES or each > name] or ["10.0.0.15"]
    config = Config(nics={}, zones={}, objects={n: {"kind": "group", "name": n, "members": members} for n, members in lists.items()})

    def inside(name: str, number: int, version: int) -> bool:
        for each in lists[name]:
            if each in NAMES:
                found = inside(each, number, version)
            else:
                low, _, high = each.partition("-")
                ends = (ip_address(low), ip_address(high)) if high else (ip_network(low)[0], ip_network(low)[-1])
                found = ends[0].version == version and int(ends[0]) <= number <= int(ends[1])
            if found:
                return True
        return False

    for name in NAMES:
        for version, base in ((4, int(ip_address("10.0.0.0"))), (6, int(ip_address("2001:db8::")))):
            for number in range(base, base + 17):
                assert holds(Meanings(config).of(name).ranges(version), number) == inside(name, number, version)


def test_the_end_of_an_address_is_completed_by_what_a_nic_has() -> None:
    config = loads(BASE + 'objects: {nas: {v6: "::20 via lan"}, half: ["::8000:0:0:0/65 via lan"], later: ["::5 via dmz", 10.0.0.1]}')
    assert ranges(config, "nas") == [("2001:db8:10::20", "2001:db8:10::20")]
    assert ranges(config, "half") == [("2001:db8:10:0:8000::", "2001:db8:10:0:ffff:ffff:ffff:ffff")]
    later = Meanings(config).of("later")
    assert not later.sure and later.six == ()
    dmz = config.nics["dmz"].model_copy(update={"address": (config.nics["lan"].address[2],)})
    moved = config.model_copy(update={"nics": config.nics | {"dmz": dmz}})
    assert ranges(moved, "later") == [("10.0.0.1", "10.0.0.1"), ("fd00:1::5", "fd00:1::5")]
    assert str(prefix_of(config.nics["lan"])) == "2001:db8:10::/64"


def test_rules_and_translations_get_addresses_for_names() -> None:
    config = loads(BASE + """
objects: {nas: {v4: 192.168.10.20, v6: "::20 via lan"}, four: 10.0.0.9}
policy:
  - a: {source: [nas, 10.0.0.0/8], destination: four, allow: any}
  - b: {source: "::9 via lan", allow: any}
  - c: {source: 10.0.0.0/8, allow: any}
nat:
  - both: {forward: {on: internet, port: tcp/443, to: nas:8443, address: [203.0.113.7, "2001:db8::7"]}}
  - one: {forward: {on: internet, port: tcp/80, to: four}}
  - out: {masquerade: {from: [home], to: [internet], source: nas}}
""")
    plain = resolve(config)
    a, b, c = plain.policy
    assert network_ranges(a.source, 4) == ((int(ip_address("10.0.0.0")), int(ip_address("10.255.255.255"))),
                                           (int(ip_address("192.168.10.20")),) * 2)
    assert [each[0] for each in network_ranges(b.source, 6)] == [int(ip_address("2001:db8:10::9"))]
    assert c is config.policy[2]
    forwards = [(entry.name, str(entry.to_address), entry.to_port) for entry in plain.nat if isinstance(entry, Forward)]
    assert forwards == [("both", "192.168.10.20", 8443), ("both", "2001:db8:10::20", 8443), ("one", "10.0.0.9", None)]
    assert isinstance(plain.nat[3].source[0], Extent)  # type: ignore[union-attr]


def test_a_name_that_nobody_resolved_is_no_address() -> None:
    with pytest.raises(UsageError):
        network_ranges(Rule(name="a", verdict="allow", source=["nas"]).source, 4)


def test_ports_have_names_too() -> None:
    config = loads(BASE + """
ports: {backup: [tcp/10080-10082, udp/10080, more], more: ssh, all: any}
policy: [a: {allow: [backup, dns]}, b: {deny: more}, c: {reject: all}]
""")
    a, b, c = (rule.services for rule in config.policy)
    tcp, udp = 6, 17
    assert a == (ServiceMatch(tcp, (10080, 10082)), ServiceMatch(udp, (10080, 10080)), ServiceMatch(tcp, (22, 22)),
                 ServiceMatch(tcp, (53, 53)), ServiceMatch(udp, (53, 53)))
    assert (b, c) == ((ServiceMatch(tcp, (22, 22)),), (ServiceMatch(),))


def test_objects_may_hide_rules_as_what_they_mean_would() -> None:
    policy = "policy:\n  - wide: {source: %s, deny: any}\n  - narrow: {source: nas, allow: any}\n"
    objects = 'objects: {nas: 10.0.0.9, net: 10.0.0.0/24, six: {v6: "::9 via dmz"}, both: [net, six]}\n'
    assert ["can never match" in mistake.what for mistake in loads(BASE + objects + policy % "net").warnings] == [True]
    for other in ("six", "both", "10.0.1.0/24"):  # what isn't known yet takes nothing for certain
        assert loads(BASE + objects + policy % other).warnings == ()


@pytest.mark.parametrize(
    ("addition", "line"),
    [
        ("objects: {nas: {v4: 2001::1}}", '7:21: object "nas": v4: not an IPv4 address, found `2001::1`, write it as `v6`'),
        ("objects: {nas: {}}", '7:16: object "nas": no address, found neither `v4` nor `v6`, write `v4`, `v6` or both'),
        ("objects: {nas: {v5: 1}}", '7:17: object "nas": unknown key, found `v5`, use one of `v4`, `v6`'),
        ("objects: {nas: []}", '7:16: object "nas": empty list, found an empty list, write at least one item, or remove the key'),
        ("objects: {nas: ~}", '7:11: object "nas": must be a mapping, found nothing, write `key: value` pairs, or remove it'),
        ("objects: {any: 10.0.0.1}", '7:11: object "any": reserved word used as a name, found `any`, choose another name'),
        ("objects: {nas: 10.0.0.5/24}",
         '7:16: object "nas": address has bits set behind its prefix, found `10.0.0.5/24`, write 10.0.0.0/24 or 10.0.0.5'),
        ("objects: {nas: 10.0.0.9-10.0.0.1}",
         '7:16: object "nas": address range is upside down, found `10.0.0.9-10.0.0.1`, write 10.0.0.1-10.0.0.9'),
        ("objects: {a: [10.0.0.1, b], b: a}",
         '7:25: object "a": group that holds itself, in the end, found `b`, remove it here, or there\n'
         '7:32: object "b": group that holds itself, in the end, found `a`, remove it here, or there'),
        ("objects:\n" + "".join(f"  a{i}: [a{i + 1}]\n" for i in range(2000)) + "  a2000: 10.0.0.1",
         '1976:10: object "a1968": groups nested too deeply, found `a1968`, stay within 32 levels'),
        ("objects:\n" + "".join(f"  a{i}: [a{i + 1}]\n" for i in range(5)) + "  a5: a5",
         '13:7: object "a5": group that holds itself, in the end, found `a5`, remove it'),
        ("objects: {a: [a]}", '7:15: object "a": group that holds itself, in the end, found `a`, remove it'),
        ('objects: {a: ["::1 via lna"]}', '7:15: object "a": unknown nic, found `::1 via lna`, did you mean `lan`?'),
        ('objects: {a: ["::1 via wan"]}',
         '7:15: object "a": nic "wan" has no global IPv6 network, found `::1/128 via wan`, give it one, or write the whole address'),
        ('objects: {a: ["1::1 via lan"]}',
         '7:15: object "a": more than the end of an address, found `1::1/128`, '
         "write what is behind the 64 bits of 2001:db8:10::/64 alone, such as ::20"),
        ('objects: {a: ["10.0.0.1 via lan"]}',
         '7:15: object "a": `via` completes IPv6 addresses alone, found `10.0.0.1 via lan`, '
         "write 10.0.0.1, or the end of an IPv6 address such as ::20"),
        ("policy: [a: {source: nas, allow: any}]",
         '7:22: rule "a": source: unknown object, found `nas`, write an address, or define it under `objects`'),
        ("objects: {nas: 10.0.0.1}\npolicy: [a: {source: [10.0.0.1, nsa], allow: any}]",
         '8:33: rule "a": source: unknown object, found `nsa`, did you mean `nas`?'),
        ("policy: [a: {destination: self, allow: any}]",
         '7:27: rule "a": destination: reserved word where an address is expected, found `self`, '
         "remove the key for every address; zones go to `from` and `to`"),
        ("objects: {all: 10.0.0.0/8}\nnat: [a: {forward: {on: internet, port: tcp/1, to: all}}]",
         '8:52: nat rule "a": to: object with more than one address, found `all`, '
         "forward to an object with one address, or one of each family"),
        ("objects: {nas: 10.0.0.1}\nnat: [a: {forward: {on: internet, port: tcp/1, to: nsa:80}}]",
         '8:52: nat rule "a": to: unknown object, found `nsa:80`, did you mean `nas`?'),
        ("ports: {ssh: tcp/1}",
         '7:9: ports "ssh": name that stands for ports already, found `ssh`, '
         "choose another name; `softena words` lists those that are taken"),
        ("ports: {a: b, b: [tcp/1, a]}",
         '7:12: ports "a": name that stands for itself, in the end, or leads too deep, found `b`, write ports where the circle begins\n'
         '7:26: ports "b": name that stands for itself, in the end, or leads too deep, found `a`, write ports where the circle begins'),
        ("ports: {backup: [tcp/70000, htp]}\npolicy: [a: {allow: bakcup}, b: {allow: backup}]",
         '7:18: ports "backup": port out of range, found `tcp/70000`, write a port from 1 to 65535\n'
         '7:29: ports "backup": unknown service, found `htp`, did you mean `http`?\n'
         '8:21: rule "a": allow: unknown service, found `bakcup`, did you mean `backup`?'),
    ],
)  # fmt: skip
def test_a_mistake_with_a_name_is_pointed_at(addition: str, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loads(f"{BASE}{addition}\n", "x.yaml")
    assert str(caught.value).splitlines() == [f"x.yaml:{each}" for each in line.splitlines()]
