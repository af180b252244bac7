"""Mistakes in translations: each with its place, and what would do."""

import pytest

from appliance.config.errors import ConfigError
from appliance.config.loader import loads

HEAD = """version: 1
nics: {wan: {address: [203.0.113.7/24, "2001:db8::7/64"], gateway: 203.0.113.1}, lan: {address: [192.168.10.1/24, "fd00:1::1/64"]}}
zones: {internet: {nics: [wan]}, home: {nics: [lan]}}
nat:
"""


def said(entry: str) -> str:
    """Mistakes and warnings about one entry on line 5, without the file's name."""
    text = f"{HEAD}  - out: {{{entry}}}\n"
    try:
        config = loads(text)
    except ConfigError as error:
        return "\n".join(str(mistake).partition(":")[2] for mistake in error.mistakes)
    return "\n".join(str(warning).partition(":")[2] for warning in config.warnings)


def static(kind: str, outside: str, inside: str) -> str:
    return f'{kind}: {{on: internet, outside: "{outside}", inside: "{inside}"}}'


ONE = static("one-to-one", "203.0.113.9", "192.168.10.9")


def snat(pool: str, more: str = "") -> str:
    return f"snat: {{from: [home], to: [internet]{more}, pool: {pool}}}"


@pytest.mark.parametrize("pool", ["203.0.113.7", "203.0.113.32-203.0.113.39", '[203.0.113.32/29, "2001:db8::40-2001:db8::4f"]'])
def test_sound_pools_are_taken_without_a_word(pool: str) -> None:
    assert said(snat(pool)) == ""


@pytest.mark.parametrize(
    "entry",
    [
        static("one-to-one", "203.0.113.9", "192.168.10.9"),
        static("one-to-one", "2001:db8::9", "fd00:1::9"),
        static("netmap", "10.99.0.0/16", "10.98.0.0/16"),
        static("nptv6", "2001:db8:1::/48", "fd00:1::/48"),
        static("nptv6", "2001:db8:1:1::/64", "fd00:1:1:1::/64"),
        static("one-to-one", "203.0.113.200", "192.168.10.9") + "}\n  - b: {" + static("netmap", "203.0.113.128/25", "192.168.11.128/25"),
    ],
)
def test_sound_static_entries_are_taken_without_a_word(entry: str) -> None:
    assert said(entry) == ""


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (snat("203.0.113.0-203.0.113.9"), ["203.0.113.0 is the network address of 203.0.113.0/24", "leave it out"]),
        (snat("203.0.113.250-203.0.113.255"), ["203.0.113.255 is the broadcast address"]),
        (snat("203.0.113.1-203.0.113.3"), ["203.0.113.1 is another's address", 'the gateway of nic "wan"']),
        (snat("203.0.113.4-203.0.113.9"), ['own address of nic "wan" in the pool', "leave 203.0.113.7 out"]),
        (snat("203.0.113.9-203.0.113.8"), ["upside down", "write 203.0.113.8-203.0.113.9"]),
        (snat('"203.0.113.9-2001:db8::9"'), ["range from IPv4 to IPv6"]),
        (snat("[203.0.113.9, 203.0.113.8/30]"), ["address twice in the pool", "203.0.113.9"]),
        (snat("10.0.0.0/15"), ["more than 65,536 addresses", "131,072"]),
        (snat("224.0.0.1"), ["not an address that a host can have"]),
        (snat('"fe80::1"'), ["not an address that a host can have"]),
        (snat("203.0.113.40", ', source: "fd00:1::/64"'), ["no IPv6 address in the pool", "fd00:1::/64"]),
        (snat("203.0.113.40").replace("home", "hoem"), ["unknown zone", "did you mean `home`?"]),
        (snat("203.0.113.40").replace("pool", "pol"), ["missing key `pool`", "did you mean `pool`?"]),
        (static("one-to-one", "203.0.113.7", "192.168.10.9"), ['own address of nic "wan"', "write `forward`"]),
        (static("one-to-one", "203.0.113.1", "192.168.10.9"), ["203.0.113.1 is another's address"]),
        (static("one-to-one", "203.0.113.9", "fd00:1::9"), ["IPv4 outside, IPv6 inside"]),
        (static("one-to-one", "203.0.113.9", "192.168.10.0/24"), ["must be an address without prefix length"]),
        (static("netmap", "10.99.0.0/16", "192.168.10.0/24"), ["prefixes of different lengths", "write /24, or a prefix of /16 inside"]),
        (static("netmap", "10.99.0.0/16", "10.99.0.0/16"), ["outside and inside overlap"]),
        (static("netmap", "203.0.113.0/25", "192.168.10.0/25"), ["nobody inside reaches 203.0.113.1", "`hairpin: off`"]),
        (static("nptv6", "2001:db8:1::/72", "fd00:1::/72"), ["longer than /64", "write `netmap`"]),
        (static("nptv6", "10.99.0.0/16", "10.98.0.0/16"), ["IPv4 prefix", "write `netmap`"]),
        (static("nptv6", "2001:db8:1::/48", "fd00:1::/48").replace("inside", "insid"), ["missing key `inside`", "inside: fd00:1::/48"]),
        (static("one-to-one", "203.0.113.9", "192.168.10.9").replace("internet", "wan"), ["a nic where a zone is expected"]),
        (ONE + "}\n  - b: {" + static("one-to-one", "203.0.113.9", "192.168.10.8"),
         ["addresses outside are taken", 'nat rule "out" on line 5']),
        (ONE + "}\n  - b: {" + snat("203.0.113.8/30"), ["outside address of another entry"]),
        (snat("203.0.113.40", ", filtering: address-dependent"), ["without a mapping", "add `mapping: endpoint-independent`"]),
        (snat("203.0.113.40", ", mapping: symmetric"), ["unknown word", "endpoint-independent"]),
        ("snat: {pool: 203.0.113.40}, masquerade: {}", ["both `snat` and `masquerade`"]),
        ("snta: {pool: 203.0.113.40}", ["unknown kind of translation", "did you mean `snat`?"]),
    ],
)
def test_mistakes_are_named_with_what_would_do(entry: str, words: list[str]) -> None:
    found = said(entry)
    assert found.startswith(("5:", "6:")), found
    for each in words:
        assert each in found
