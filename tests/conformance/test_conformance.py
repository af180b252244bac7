"""Of the foreign testers, those that are quick and at hand say the same of the appliance as of the kernel, or what is listed."""

from __future__ import annotations

import re

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment
from scapy.layers.l2 import Ether

from tests.conformance import captures, evasions, fragments, nat_discovery, scans, thc_ipv6
from tests.conformance.__main__ import RESULTS, TESTERS, rows, table
from tests.conformance.differences import DIFFERENCES, Deliberate
from tests.conformance.programs import missing
from tests.conformance.report import Table, markdown
from tests.conformance.verdict import NOT_TOLD, Row, Tester, Verdict, Verdicts
from tests.e2e.host import missing as missing_for_labs

QUICK = (evasions.TESTER, scans.TESTER)


@pytest.mark.parametrize("tester", QUICK, ids=lambda tester: tester.name)
def test_a_foreign_tester_finds_nothing_that_is_not_on_purpose(tester: Tester) -> None:
    if lacking := missing_for_labs() or missing(tester.needs):
        pytest.skip(f"{tester.title}: {lacking}")
    made = table(tester)
    assert not made.left_out
    assert len(made.rows) > 40
    assert not made.unexplained, "\n".join(f"{row.case}: kernel {row.kernel}, ours {row.ours}" for row in made.unexplained)


FIREWALL6 = """Starting firewall6: mode TCP against 2001:db8:3::20 port 80
Run a sniffer behind the firewall to see what passes through

Test  1: plain sending\t\t\tTCP-SYN-ACK received
Test  4: sending IPv5 packet\t\tFAILED - no reply
Test 15: 130x atomic fragment (same id)\tICMPv6 Parameter Problem received
"""
IMPLEMENTATION6 = """Test  3: 2 hop-by-hop headers\t\t\tFAILED - error reply [4:1]
Test  5: destination ignore option\t\tPASSED - we got a reply
Test 54: ping6 with bad checksum\t\t\tFAILED - no reply
"""
NMAP = "Host: 198.51.100.20 ()\tPorts: 80/open/tcp//http///, 81/closed/tcp//hosts2-ns///, 82/filtered/tcp//xfer///\tIgnored State: x\n"
SYSTEM = (
    """<osfingerprint fingerprint="SCAN(V=7.93%TM=6B03F224)&#xa;SEQ(SP=105%TI=Z%II=I%TS=A)&#xa;T2(R=N)&#xa;IE(R=Y%DFI=N%TG=40%CD=S)"/>"""
)
SYSTEM_SIX = (
    """<osfingerprint fingerprint="OS:SCAN(V=7.93%E=6)S1(P=600a{4}%ST=0.02%RT=0&#xa;OS:.02)IE1(P=60%ST=1%RT&#xa;OS:=1)EXTRA(FL=12345)"/>"""
)
ZOMBIE = "Idle scan zombie 203.0.113.1 (203.0.113.1) port 8080 cannot be used because it has not returned any of our probes -- perhaps"
HAIRPIN = "UDP reflexive addr: 203.0.113.1:4000\nReceived a request (maybe a successful hairpinning)\n"
TWO_HOSTS = "UDP reflexive addr: 203.0.113.1:4000\nUDP reflexive addr: 203.0.113.1:1025\n"


def words(verdicts: Verdicts) -> list[str]:
    return [verdict.word for verdict in verdicts.values()]


def test_what_testers_print_is_understood() -> None:
    assert words(thc_ipv6.tests(FIREWALL6, thc_ipv6.answer)) == ["TCP-SYN-ACK", "no answer", "ICMPv6 Parameter Problem"]
    assert words(thc_ipv6.tests(IMPLEMENTATION6, thc_ipv6.ping)) == ["error 4/1", "answered", "no answer"]
    assert scans.states(NMAP).word == "80 open; 81 closed; 82 filtered"
    assert scans.states("QUITTING!").word == NOT_TOLD
    assert words(scans.system(SYSTEM)) == ["TI=Z II=I", "R=N", "R=Y DFI=N TG=40 CD=S"] and words(scans.system_six(SYSTEM_SIX)) == ["S1 IE1"]
    assert scans.useless(ZOMBIE).word == "it has not returned any of our probes"
    assert nat_discovery.behaviour("NAT with Address and Port Dependent Filtering!").word == "Address and Port Dependent Filtering"
    assert nat_discovery.hairpin(HAIRPIN).word == "comes back"
    assert nat_discovery.collision(TWO_HOSTS).word == "told apart"
    assert [nat_discovery.lifetime(text).word for text in ("", HAIRPIN, HAIRPIN + TWO_HOSTS)] == ["not told", "gone", "alive"]
    assert fragments.POLICY.findall("Test #1: Timed out\n") == [("1", "Timed out")]


def test_a_frame_of_a_capture_is_known_again_behind_a_router_and_its_kind_tells_whether_it_may_begin_something() -> None:
    ask, answer = IP(src="192.0.2.1", dst="192.0.2.2", ttl=64) / UDP(dport=53), IPv6(dst="2001:db8::1", hlim=9) / ICMPv6EchoRequest()
    far = IP(src="192.0.2.1", dst="192.0.2.2", ttl=63) / UDP(dport=53), IPv6(dst="2001:db8::1", hlim=8) / answer.payload
    other, link = IP(src="192.0.2.1", dst="192.0.2.3") / TCP(flags="FA"), Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    came = [bytes(link / packet) for packet in (ask, other, ask, answer)]
    found, strangers = captures.leaving(came, [bytes(Ether() / packet) + bytes(4) for packet in far] + [came[1].replace(b"\xc0", b"\xc1")])
    assert {kind: str(verdict) for kind, verdict in found.items()} == {
        "ICMPv6 echo request": "all leave (1 of 1)", "TCP FIN ACK": "none leaves (0 of 1)", "UDP": "leave: 1 (1 of 2)",
    }  # fmt: skip
    assert strangers == 1
    assert captures.runs([1, 2, 3, 5, 7, 8]) == "1-3 5 7-8"
    hidden = IPv6() / IPv6ExtHdrDestOpt() / IPv6ExtHdrFragment(m=1) / UDP()
    kinds = [captures.kind(Ether(bytes(link / each))) for each in (hidden, IP(proto=6), IP(proto=132), IP() / ICMP(type=3), ICMP())]
    assert kinds == ["fragments", "TCP cut short", "SCTP", "ICMP error", "no IP"]


def test_a_difference_that_nothing_explains_is_shown_and_counted() -> None:
    tester = Tester("nobody", "Nobody's tester", (), lambda site: {})
    kernel, ours = (
        {"a": Verdict("open"), "b": Verdict("open", "1"), "c": Verdict(NOT_TOLD, "why")},
        {"a": Verdict("shut"), "b": Verdict("open", "2")},
    )
    made = Table(tester, rows("nobody", kernel, ours | {"c": Verdict("open")}))
    assert [row.case for row in made.unexplained] == ["a"]
    assert "| a | open | shut | **unexplained** |" in markdown([made], "x")
    assert "| Nobody's tester | 3 | 1 | 0 | 1 | 1 | 0 |" in markdown([made], "x")


def recorded() -> list[tuple[str, Row]]:
    """The rows of RESULTS.md, by tester."""
    titles = {tester.title: tester.name for tester in TESTERS}
    found = []
    for section in RESULTS.read_text().split("\n## ")[1:]:
        title, _, body = section.partition("\n")
        for cells in re.findall(r"^\| (.*) \|$", body, re.MULTILINE)[2:]:
            case, kernel, ours, remark = (cell.strip() for cell in re.split(r"(?<!\\)\|", f"{cells} "))
            found.append((titles[title], Row(case, Verdict(kernel), Verdict(ours), remark)))
    return found


def test_the_recorded_run_has_every_tester_and_nothing_unexplained_but_what_was_measured() -> None:
    found, measuring = recorded(), {tester.name for tester in TESTERS if tester.alone}
    assert {name for name, _ in found} == {tester.name for tester in TESTERS}
    assert not [row for name, row in found if "unexplained" in row.explanation and name not in measuring]


SURE = [known for known in DIFFERENCES if not known.by_chance]


@pytest.mark.parametrize("known", SURE, ids=lambda known: f"{known.tester}: {known.words[:40]}")
def test_an_explanation_on_the_list_was_needed(known: Deliberate) -> None:
    assert any(known.concerns(name) and row.explanation.startswith(known.words) for name, row in recorded())
