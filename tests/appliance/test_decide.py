"""What is decided about flows through one small network, as stories."""

from ipaddress import ip_address

import pytest

from appliance.config.limits import Protect
from appliance.config.loader import loads
from appliance.config.models import Health, Nic, Target
from appliance.decide import compile_ruleset, decide
from appliance.policy.facts import ICMP, ICMPV6, NO_TUPLE, NOWHERE, SELF, UDP, Reason
from tests.appliance.small_network import CONFIG, DMZ, LAN, SYN, WAN, View, ask, flow, number, ping, reply

FIN, RST, ACK = 1, 4, 16


def test_home_reaches_the_internet_under_the_appliances_address():
    decision = ask(flow(LAN, "192.168.10.50", "198.51.100.1"))
    assert decision[:13] == (
        True, "allowed", "home out", 21, WAN, number("203.0.113.1"), reply("198.51.100.1", "203.0.113.7", 443, 40000),
        None, None, number("192.168.10.50"), False, "", "",
    )  # fmt: skip


def test_a_busy_or_privileged_port_is_changed():
    taken = {reply("198.51.100.1", "203.0.113.7", 443, 40000)}
    assert ask(flow(LAN, "192.168.10.50", "198.51.100.1"), View(taken=taken)).reply[3] not in (40000, *range(1024))
    assert ask(flow(LAN, "192.168.10.50", "198.51.100.1", sport=123)).reply[3] >= 1024


def test_a_masqueraded_ping_has_its_identifier_in_both_places():
    assert ask(ping(LAN, "192.168.10.50", "198.51.100.1")).reply == reply("198.51.100.1", "203.0.113.7", 7, 7)
    other = ask(ping(LAN, "192.168.10.50", "198.51.100.1"), View(taken={reply("198.51.100.1", "203.0.113.7", 7, 7)})).reply
    assert other[2] == other[3] != 7


def test_v6_goes_out_with_its_own_address():
    decision = ask(flow(LAN, "2001:db8:10::5", "2001:db8:ffff::1"))
    assert decision.next_hop == number("2001:db8::1")
    assert decision.reply == reply("2001:db8:ffff::1", "2001:db8:10::5", 443, 40000)


def test_v6_masquerade_takes_a_global_address():
    assert ask(flow(LAN, "2001:db8:10:0:1::5", "2001:db8:ffff::1")).reply[1] == number("2001:db8::7")


def test_nobody_gets_in_unasked():
    for destination in ("203.0.113.7", "192.168.10.20"):
        decision = ask(flow(WAN, "198.51.100.9", destination, 22))
        assert (decision.allow, decision.reason, decision.rule, decision.line) == (False, "policy", "default deny", 0)
        assert (decision.reply, decision.next_hop) == (NO_TUPLE, 0)


def test_a_forward_translates_both_ways_and_allows_itself():
    decision = ask(flow(WAN, "198.51.100.9", "203.0.113.8", 80))
    assert (decision.allow, decision.rule, decision.line) == (True, "forward web", 32)
    assert (decision.egress, decision.next_hop) == (LAN, number("192.168.10.20"))
    assert decision.reply == reply("192.168.10.20", "198.51.100.9", 8080, 40000)
    assert decision.reply_hop == number("203.0.113.1")


def test_a_written_rule_comes_before_the_implied_one_and_sees_the_translated_destination():
    assert ask(flow(WAN, "198.51.100.9", "203.0.113.8", 5005, UDP)).rule == "forward games"
    denied = ask(flow(WAN, "198.51.100.66", "203.0.113.8", 5005, UDP))
    assert (denied.allow, denied.rule, denied.line, denied.egress) == (False, "no games", 20, LAN)


def test_a_forward_to_the_appliance_itself_ends_there():
    decision = ask(flow(WAN, "198.51.100.9", "203.0.113.7", 2222))
    assert (decision.rule, decision.egress, decision.next_hop) == ("forward console", SELF, 0)
    assert decision.reply == reply("192.168.10.1", "198.51.100.9", 22, 40000)


def test_a_translated_flow_gives_way_to_one_that_expects_the_same_reply():
    taken = {reply("192.168.10.20", "198.51.100.9", 8080, 40000)}
    decision = ask(flow(WAN, "198.51.100.9", "203.0.113.8", 80), View(taken=taken))
    assert decision.reply[:3] == reply("192.168.10.20", "198.51.100.9", 8080, 0)[:3]
    assert decision.reply[3] != 40000


def test_a_service_spreads_over_its_living_targets():
    flows = [flow(WAN, "198.51.100.9", "203.0.113.10", sport=port) for port in range(40000, 40100)]
    chosen = {(decision.target, decision.reply[0]) for decision in map(ask, flows)}
    assert chosen == {("w1", number("10.0.1.11")), ("w2", number("10.0.1.12"))}
    assert {ask(facts, View(down=["w1"])).target for facts in flows} == {"w2"}
    refused = ask(flows[0], View(down=["w1", "w2"]))
    assert (refused.reason, refused.rule, refused.line, refused.service) == ("no-target", "service web", 40, "web")
    assert ask(flow(WAN, "2001:db8:5::1", "2001:db8::10")).target == "w6"


def test_a_service_is_closed_to_zones_it_does_not_name():
    decision = ask(flow(LAN, "192.168.10.50", "203.0.113.10"))
    assert (decision.allow, decision.egress, decision.service) == (False, SELF, None)


def test_a_masquerading_service_hides_the_client_from_its_target():
    decision = ask(flow(WAN, "198.51.100.9", "203.0.113.10", 53, UDP))
    assert decision.reply == reply("10.0.1.53", "10.0.1.1", 53, 40000)
    assert (decision.egress, decision.service, decision.target) == (DMZ, "dns", "d")


def test_a_masquerading_service_whose_target_is_the_appliance_hides_nobody():
    own = CONFIG.services["dns"].model_copy(update={"targets": (Target(name="d", address=ip_address("192.168.10.1"), port=5353),)})
    ruleset = compile_ruleset(CONFIG.model_copy(update={"services": {"dns": own}}), 2, b"", 31)
    decision = decide(flow(WAN, "198.51.100.9", "203.0.113.10", 53, UDP), ruleset, View())
    assert (decision.rule, decision.egress) == ("service dns", SELF)
    assert decision.reply == reply("192.168.10.1", "198.51.100.9", 5353, 40000)


def test_health_checks_pass_without_a_rule_and_nothing_else_does():
    decision = ask(flow(SELF, "10.0.1.1", "10.0.1.11", 9000))
    assert (decision.allow, decision.rule, decision.line, decision.reply_hop) == (True, "health web", 40, 0)
    assert not ask(flow(SELF, "10.0.1.1", "10.0.1.11", 8443)).allow
    assert not ask(flow(SELF, "10.0.1.1", "10.0.1.11", 9000, UDP)).allow
    assert not ask(flow(LAN, "192.168.10.50", "10.0.1.11", 9000)).allow


@pytest.mark.parametrize(("health", "probe"), [
    (Health(type="udp", send="?"), flow(SELF, "10.0.1.1", "10.0.1.53", 53, UDP)),
    (Health(type="udp", send="?", port=9), flow(SELF, "10.0.1.1", "10.0.1.53", 9, UDP)),
    (Health(type="http"), flow(SELF, "10.0.1.1", "10.0.1.53", 53)),
    (Health(type="icmp"), ping(SELF, "10.0.1.1", "10.0.1.53")),
])  # fmt: skip
def test_a_health_check_lets_its_own_kind_of_probe_pass(health, probe):
    service = CONFIG.services["dns"].model_copy(update={"health": health})
    ruleset = compile_ruleset(CONFIG.model_copy(update={"services": {"dns": service}, "policy": ()}), 2, b"", 31)
    assert decide(probe, ruleset, View()).rule == "health dns"
    others = [
        probe._replace(protocol=6 if probe.protocol == UDP else UDP, icmp_type=-1, flags=2, dport=53),
        probe._replace(destination=probe.destination + 1),
        probe._replace(dport=probe.dport + 1) if probe.icmp_type < 0 else probe._replace(icmp_type=0),
    ]
    assert not any(decide(other, ruleset, View()).allow for other in others)


def test_the_appliances_own_flow_gives_way_to_a_masqueraded_one():
    taken = {reply("198.51.100.1", "203.0.113.7", 443, 40000)}
    decision = ask(flow(SELF, "203.0.113.7", "198.51.100.1"), View(taken=taken))
    assert (decision.rule, decision.reply[1]) == ("self out", number("203.0.113.7"))
    assert decision.reply[3] != 40000


def test_a_hairpin_is_a_matter_of_policy():
    decision = ask(flow(LAN, "192.168.10.50", "10.9.9.9"))
    assert (decision.rule, decision.egress, decision.next_hop) == ("hairpin", LAN, number("192.168.10.254"))
    assert not ask(flow(DMZ, "10.0.1.11", "10.0.1.12")).allow


@pytest.mark.parametrize("flags", [0, ACK, SYN | ACK, SYN | RST, SYN | FIN, FIN, RST, 0x3F])
def test_only_a_plain_syn_starts_a_tcp_flow(flags):
    decision = ask(flow(LAN, "192.168.10.50", "198.51.100.1", flags=flags))
    assert (decision.allow, decision.reason, decision.rule) == (False, "not-a-start", "")


def test_a_syn_that_asks_for_congestion_notification_starts_a_flow():
    assert ask(flow(LAN, "192.168.10.50", "198.51.100.1", flags=SYN | 0xC0)).allow


@pytest.mark.parametrize("icmp_type", [t for t in range(256) if t != 8])
def test_only_an_echo_request_starts_an_icmp_flow(icmp_type):
    assert ask(flow(LAN, "192.168.10.50", "198.51.100.1", 0, ICMP, 0, icmp_type=icmp_type)).reason == Reason.NOT_A_START


@pytest.mark.parametrize(("word", "protocol", "source", "destination"), [
    ("icmp", ICMP, "192.168.10.50", "198.51.100.1"), ("icmpv6", ICMPV6, "2001:db8:10::5", "2001:db8:ffff::1"),
])  # fmt: skip
def test_just_the_types_of_icmp_that_start_nothing_are_warned_of_in_rules(word, protocol, source, destination):
    refused = {t for t in range(256) if ask(flow(LAN, source, destination, 0, protocol, 0, icmp_type=t)).reason == Reason.NOT_A_START}
    base = "nics: {lan: {address: 10.0.0.1/24}}\nzones: {home: {nics: lan}}\npolicy:\n"
    text = base + "".join(f"  - r{t}: {{allow: {word}/{t}}}\n" for t in range(256))
    assert {mistake.line - base.count("\n") - 1 for mistake in loads(text).warnings} == refused
    assert len(refused) == 255


@pytest.mark.parametrize(
    ("nic", "source", "destination"),
    [
        (WAN, "127.0.0.1", "203.0.113.7"),
        (LAN, "192.168.10.50", "127.0.0.1"),
        (LAN, "0.0.0.0", "255.255.255.255"),
        (LAN, "224.0.0.1", "198.51.100.1"),
        (LAN, "192.168.10.50", "224.0.0.251"),
        (LAN, "240.0.0.1", "198.51.100.1"),
        (LAN, "192.168.10.50", "192.168.10.255"),
        (LAN, "192.168.10.255", "198.51.100.1"),
        (LAN, "192.168.10.50", "10.0.1.255"),
        (WAN, "192.168.10.1", "198.51.100.1"),
        (WAN, "203.0.113.10", "203.0.113.7"),
        (LAN, "198.51.100.1", "198.51.100.1"),
        (SELF, "198.51.100.1", "198.51.100.2"),
        (LAN, "::", "2001:db8:ffff::1"),
        (LAN, "::1", "2001:db8:ffff::1"),
        (LAN, "::ffff:10.0.0.1", "2001:db8:ffff::1"),
        (LAN, "2001:db8:10::5", "ff02::1"),
        (LAN, "2001:db8:10::5", "fe80::5"),
        (LAN, "fe80::5", "2001:db8:ffff::1"),
    ],
)
def test_addresses_that_no_router_forwards_are_refused(nic, source, destination):
    decision = ask(flow(nic, source, destination))
    assert (decision.allow, decision.reason, decision.egress) == (False, "bad-address", NOWHERE)


def test_a_link_local_neighbour_reaches_the_appliance_and_is_answered_directly():
    decision = ask(ping(LAN, "fe80::5", "2001:db8:10::1"))
    assert (decision.rule, decision.egress, decision.reply_hop) == ("admin", SELF, number("fe80::5"))


def test_without_a_route_there_is_no_flow():
    bare = compile_ruleset(CONFIG.model_copy(update={"nics": CONFIG.nics | {"wan": Nic(name="wan", address="203.0.113.7/24")}}), 2, b"", 31)
    decision = decide(flow(LAN, "192.168.10.50", "198.51.100.1"), bare, View())
    assert (decision.allow, decision.reason, decision.egress, decision.rule) == (False, "no-route", NOWHERE, "")


def test_masquerade_without_an_address_of_the_family_is_refused():
    wan = Nic(name="wan", address="203.0.113.7/24", gateway="fe80::1")
    bare = compile_ruleset(CONFIG.model_copy(update={"nics": CONFIG.nics | {"wan": wan}}), 2, b"", 31)
    decision = decide(flow(LAN, "2001:db8:10:0:1::5", "2001:db8:ffff::1"), bare, View())
    assert (decision.reason, decision.rule, decision.egress) == ("nat-exhausted", "home out", WAN)


@pytest.mark.parametrize(("keys", "guard", "proxy", "hidden"), [
    ({}, 1, False, False),
    ({"protect": Protect(syn_cookies="off"), "client_ip": "translate"}, 0, False, True),
    ({"protect": Protect(syn_cookies="always"), "client_ip": "proxy-v2"}, 2, True, True),
])  # fmt: skip
def test_a_service_says_how_handshakes_go_and_what_its_targets_are_told(keys, guard, proxy, hidden):
    service = CONFIG.services["web"].model_copy(update=keys)
    ruleset = compile_ruleset(CONFIG.model_copy(update={"services": {**CONFIG.services, "web": service}}), 1, b"seed", 2039)
    decision = decide(flow(WAN, "198.51.100.1", "203.0.113.10"), ruleset, View())
    assert (decision.guard, decision.proxy, decision.reply[1] == number("10.0.1.1")) == (guard, proxy, hidden)
    assert decide(flow(LAN, "192.168.10.50", "198.51.100.1"), ruleset, View()).guard == 0
    assert decide(flow(WAN, "198.51.100.9", "203.0.113.8", 80), ruleset, View()).guard == 1, "a forward has its own"
