"""What entries of `nat` count: each flow that they translate, whoever decided it, and when the last one began."""

from pathlib import Path

import pytest
from scapy.layers.inet import TCP, UDP

from tests.support.office import CLIENT, OFFICE, OTHER, SERVER, WAN, Office, back, ip, office
from tests.support.station import Station

pytestmark = pytest.mark.usefixtures("virtual_time")

NPT = "2001:db8:1:d550::20"
"""fd01:203:405:1::20 by RFC 6296, section 3.6."""
ALL = OFFICE.replace("2001:db8:1::1/64", "fd01:203:405:1::1/64") + """
  - in: {from: [internet, home], to: [home], allow: udp}
nat:
  - games:  {forward: {on: internet, port: udp/7000, to: 192.168.1.20}}
  - mail:   {one-to-one: {on: internet, outside: 203.0.113.25, inside: 192.168.1.25}}
  - site:   {netmap: {on: internet, outside: 203.0.113.64/26, inside: 192.168.1.64/26}}
  - guests: {snat: {from: [home], to: [internet], source: 192.168.1.30, pool: 203.0.113.40}}
  - four:   {masquerade: {from: [home], to: [internet]}}
  - six:    {masquerade: {from: [home], to: [internet], family: v6, source: "fd01:203:405:1::9"}}
  - prefix: {nptv6: {on: internet, outside: "2001:db8:1::/48", inside: "fd01:203:405::/48"}}
"""
ENTRIES = ["games", "mail", "site", "guests", "four", "six", "prefix"]
INSIDE = [*(f"192.168.1.{host}" for host in (20, 25, 30, 70)), "fd01:203:405:1::9", "fd01:203:405:1::20"]


def rows(o: Office) -> dict[str, dict[str, object]]:
    return {row["name"]: row for row in o.bench.appliance.status()["nat"]}


def counted(o: Office) -> dict[str, object]:
    """The flows of the entries that have any."""
    return {name: row["flows"] for name, row in rows(o).items() if row["flows"]}


async def begin(o: Office, station: Station, source: str, destination: str, flows: int = 1, first: int = 5000) -> None:
    """New flows to port 7000, one after the other."""
    for port in range(first, first + flows):
        station.send(ip(6 if ":" in source else 4, source, destination) / UDP(sport=port, dport=7000) / b"hello")
        await o.bench.settle()


# -- what counts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "source", "destination", "alike"),
    [
        ("games", SERVER[4], WAN[4], 2),
        ("mail", "192.168.1.25", SERVER[4], 2),
        ("mail", SERVER[4], "203.0.113.25", 2),
        ("site", "192.168.1.70", SERVER[4], 0),
        ("site", SERVER[4], "203.0.113.70", 0),
        ("guests", "192.168.1.30", SERVER[4], 2),
        ("four", CLIENT[4], SERVER[4], 2),
        ("six", "fd01:203:405:1::9", SERVER[6], 2),
        ("prefix", "fd01:203:405:1::20", SERVER[6], 0),
        ("prefix", SERVER[6], NPT, 0),
    ],
)
async def test_each_entry_counts_its_flows_and_those_that_begin_without_a_question(
    entry: str, source: str, destination: str, alike: int
) -> None:
    async with office(ALL) as o:
        inside = o.bench.station("lan", *INSIDE)
        coming = source in SERVER.values()
        assert counted(o) == {} and list(rows(o)) == ENTRIES
        await begin(o, o.server if coming else inside, source, destination, flows=3)
        seen = (inside if coming else o.server).received(UDP)
        assert len(seen) == 3
        assert all((packet.dst, packet.src)[not coming] != (destination, source)[not coming] for packet in seen)
        assert counted(o) == {entry: 3}
        assert o.bench.counters["alike"] == alike


async def test_answers_and_more_packets_are_no_more_flows() -> None:
    async with office(ALL) as o:
        for _ in range(3):
            await o.open_udp(4)
        assert counted(o) == {"four": 1}


async def test_a_flow_of_which_both_ends_are_translated_counts_for_both_entries() -> None:
    async with office(ALL) as o:
        inside = o.bench.station("lan", *INSIDE)
        await begin(o, inside, "192.168.1.30", WAN[4], flows=3)
        assert {packet.src for packet in inside.received(UDP)} == {"203.0.113.40"}
        assert counted(o) == {"games": 3, "guests": 3}
        await begin(o, inside, "192.168.1.70", "203.0.113.25")
        assert counted(o) == {"games": 3, "guests": 3, "mail": 1, "site": 1}


async def test_a_flow_that_is_hidden_for_its_forward_alone_counts_for_that() -> None:
    async with office(ALL) as o:
        inside = o.bench.station("lan", *INSIDE)
        await begin(o, o.client, CLIENT[4], WAN[4], flows=2)
        assert {packet.src for packet in inside.received(UDP)} == {"192.168.1.1"}
        assert counted(o) == {"games": 2}


async def test_who_is_let_in_counts_for_the_entry_that_bound_the_port_and_once_if_it_hides_both_ends() -> None:
    how = "mapping: endpoint-independent, filtering: endpoint-independent"
    async with office(OFFICE + f"\nnat: [four: {{masquerade: {{from: [home], to: [internet], {how}}}}}]") as o:
        other, stranger = o.bench.station("lan", *OTHER.values()), o.bench.station("wan", "203.0.113.10")
        await o.open_udp(4, 5000)
        assert counted(o) == {"four": 1}
        stranger.send(ip(4, "203.0.113.10", WAN[4]) / UDP(sport=7, dport=5000))
        await o.bench.settle()
        assert len(o.client.received(UDP)) == 1 and counted(o) == {"four": 2}
        other.send(ip(4, OTHER[4], WAN[4]) / UDP(sport=6000, dport=5000))
        await o.bench.settle()
        assert o.client.only(UDP).src == WAN[4] and counted(o) == {"four": 3}


# -- what doesn't ----------------------------------------------------------------------------------------------------------


async def test_flows_that_are_refused_or_go_untranslated_are_not_counted() -> None:
    text = ALL.replace("to: 192.168.1.20}", "to: 192.168.1.20, protect: {connections: 2}}").replace("allow: udp}", "allow: udp/7000}")
    async with office(text) as o:
        inside = o.bench.station("lan", *INSIDE)
        await begin(o, o.server, SERVER[4], WAN[4], flows=5)
        assert len(inside.received(UDP)) == 2 and o.bench.drops == {"over-limit": 3}
        assert counted(o) == {"games": 2}
        for port in (5000, 5001):
            o.server.send(ip(4, SERVER[4], "203.0.113.25") / UDP(sport=port, dport=9))
        await o.bench.settle()
        assert o.bench.drops == {"over-limit": 3, "policy": 2}
        await begin(o, o.server, SERVER[4], "192.168.1.20", first=6000)
        assert len(inside.received(UDP)) == 1
        assert counted(o) == {"games": 2}


async def test_a_connection_by_a_cookie_counts_once_it_is_one() -> None:
    forward = '{on: internet, port: tcp/80, to: "192.168.1.20:8080", protect: {syn-cookies: always}}'
    async with office(OFFICE + f"\nnat: [web: {{forward: {forward}}}]") as o:
        inside = o.bench.station("lan", "192.168.1.20")
        inside.react = lambda packet: back(packet, flags="SA", seq=7, ack=packet[TCP].seq + 1) if packet[TCP].flags == "S" else None
        for port in range(5000, 5010):
            o.server.send(ip(4, SERVER[4], WAN[4]) / TCP(sport=port, dport=80, flags="S", seq=100))
        await o.bench.settle()
        cookies = o.server.received(TCP)
        assert [str(cookie[TCP].flags) for cookie in cookies] == ["SA"] * 10 and counted(o) == {}
        for number, cookie in enumerate(cookies[:2], 1):
            o.server.send(back(cookie, flags="A", seq=101, ack=cookie[TCP].seq + 1))
            await o.bench.settle()
            assert counted(o) == {"web": number}


# -- when, and how long ----------------------------------------------------------------------------------------------------


async def test_an_entry_tells_how_long_ago_its_last_flow_began() -> None:
    async with office(ALL) as o:
        assert rows(o)["four"]["idle"] is None
        await o.open_udp(4)
        await o.bench.elapse(60)
        await o.open_udp(4)  # the same flow goes on
        idle = {name: row["idle"] for name, row in rows(o).items()}
        assert 60 <= idle.pop("four") < 61 and set(idle.values()) == {None}  # type: ignore[operator]
        await begin(o, o.client, CLIENT[4], SERVER[4], first=9000)
        assert rows(o)["four"]["idle"] < 1  # type: ignore[operator]


async def test_counts_last_over_a_reload_for_entries_that_keep_their_name(tmp_path: Path) -> None:
    file = tmp_path / "office.yaml"
    file.write_text(ALL)
    async with office(ALL, path=file) as o:
        o.bench.station("lan", *INSIDE)
        await begin(o, o.client, CLIENT[4], SERVER[4], flows=3)
        await begin(o, o.server, SERVER[4], WAN[4], flows=2)
        line = rows(o)["four"]["line"]
        more = "nat:\n  - new: {forward: {on: internet, port: tcp/9, to: 192.168.1.9}}\n"
        file.write_text(ALL.replace("games:", "toys: ").replace("nat:\n", more))
        assert (await o.bench.appliance.reload())["generation"] == 2
        assert list(rows(o)) == ["new", "toys", *ENTRIES[1:]] and rows(o)["four"]["line"] == line + 1  # type: ignore[operator]
        assert counted(o) == {"four": 3}, "flows that go on were counted before"
        await begin(o, o.client, CLIENT[4], SERVER[4], flows=2, first=9000)
        await begin(o, o.server, SERVER[4], WAN[4], first=9000)
        assert counted(o) == {"four": 5, "toys": 1}
        file.write_text(ALL)
        await o.bench.appliance.reload()
        assert counted(o) == {"four": 5, "games": 2}, "as rules do, an entry that comes back goes on"
