"""Timeouts of a file and of its parts: what they come to, and who is warned."""

import pytest

from appliance.config.loader import loads
from appliance.config.timeouts import OwnTimeouts, Timeouts

FILE = """
version: 1
nics: {lan: {address: 10.0.0.1/24}, wan: {address: 203.0.113.7/24}}
zones: {home: {nics: [lan]}, internet: {nics: [wan]}}
"""


def warned(text: str) -> list[str]:
    return [warning.what for warning in loads(FILE + text, "x.yaml").warnings]


@pytest.mark.parametrize(("key", "least", "below"), [
    ("tcp-established", "2h4m", "2h3m"),  # RFC 5382, REQ-5
    ("tcp-closing", "4m", "239s"),
    ("udp", "2m", "119s"),  # RFC 4787, REQ-5
    ("udp-replied", "2m", "119s"),
    ("icmp", "60s", "59s"),  # RFC 5508, REQ-2
])  # fmt: skip
def test_who_goes_below_what_the_rfcs_ask_is_warned_everywhere(key: str, least: str, below: str) -> None:
    places = {
        "timeouts: {%s}": "timeouts: ",
        "policy: [out: {allow: any, timeouts: {%s}}]": 'rule "out": timeouts: ',
        "nat: [in: {forward: {on: internet, port: udp/5000, to: 10.0.0.2, timeouts: {%s}}}]": 'nat rule "in": timeouts: ',
        "services: {dns: {listen: 203.0.113.7:5000/udp, targets: [{name: a, address: 10.0.0.2:53}], timeouts: {%s}}}":
            'service "dns": timeouts: ',
    }  # fmt: skip
    for text, where in places.items():
        assert warned(text % f"{key}: {least}") == []
        assert warned(text % f"{key}: {below}") == [f"{where}{key}: shorter than it should be"]


@pytest.mark.parametrize("timeouts", ["tcp-opening: 5s", "dns: 5s", "tcp-established: 350s, on-expiry: reset"])
def test_what_may_be_short_is_no_matter(timeouts: str) -> None:
    """RFC 7857, 2.1: half open. RFC 4787, REQ-5 a: a well-known port. And nobody is left waiting who is told."""
    assert warned(f"timeouts: {{{timeouts}}}") == []


@pytest.mark.parametrize(("services", "warns"), [
    ("udp/53", False), ("[udp/1-1023, tcp/5000]", False), ("ntp", False), ("udp/1024", True), ("udp/500-5000", True), ("udp", True),
    ("any", True),
])  # fmt: skip
def test_datagrams_to_well_known_ports_may_be_forgotten_sooner(services: str, warns: bool) -> None:
    assert bool(warned(f"policy: [out: {{allow: {services}, timeouts: {{udp: 10s, udp-replied: 10s}}}}]")) is warns


def test_defaults_need_no_warning() -> None:
    timers = {key.replace("_", "-"): value for key, value in Timeouts().model_dump().items() if isinstance(value, float)}
    assert warned(f"timeouts: {{{', '.join(f'{key}: {value:g}s' for key, value in timers.items())}}}") == []


def test_short_udp_means_dns_as_well() -> None:
    assert OwnTimeouts().completed() == OwnTimeouts()
    assert OwnTimeouts(udp=10.0).completed() == OwnTimeouts(udp=10.0, dns=10.0)
    assert OwnTimeouts(udp=10.0, udp_replied=20.0).completed().dns == 20.0
    assert OwnTimeouts(udp=10.0, dns=5.0).completed().dns == 5.0
    assert OwnTimeouts(on_expiry="forget").completed() == OwnTimeouts(on_expiry="forget")


def test_there_are_not_more_kinds_of_timeouts_than_the_data_path_has_room_for() -> None:
    def rules(count: int) -> str:
        return "policy:\n" + "".join(f"  - r{i}: {{allow: tcp/{i + 1}, timeouts: {{tcp-opening: {i % 300 + 1}s}}}}\n" for i in range(count))

    assert "too many" not in "".join(warned(rules(254)))
    with pytest.raises(Exception, match="too many different timeouts"):
        loads(FILE + rules(300), "x.yaml")
