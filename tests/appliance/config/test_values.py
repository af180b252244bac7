"""Single values: each notation, its limits, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import PlainValidator

from appliance.config.errors import BadValueError
from appliance.config.values import duration, interface_name, mac, mac_of, percent, socket_path, switch, title, whole, word


def read(reader: PlainValidator, value: object) -> object:
    return reader.func(value)  # type: ignore[call-arg]


@given(st.integers(0, 400), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59), st.integers(0, 999))
def test_durations_add_up_their_units(days: int, hours: int, minutes: int, seconds: int, milliseconds: int) -> None:
    parts = [(days, "d", 86400.0), (hours, "h", 3600.0), (minutes, "m", 60.0), (seconds, "s", 1.0), (milliseconds, "ms", 0.001)]
    text = "".join(f"{count}{unit}" for count, unit, _ in parts if count) or "0s"
    assert read(duration("0s", "1000d"), text) == pytest.approx(sum(count * unit for count, _, unit in parts))


@pytest.mark.parametrize("text", ["", "5", "5 s", "s", "5x", "-5s", "1s1h", "5s5s", "1e3s", "\u0665s", "999d", "0s", "infs", "nan"])
def test_what_is_no_duration_within_limits_is_refused(text: str) -> None:
    with pytest.raises(BadValueError):
        read(duration("1s", "30d"), text)


@given(st.integers(-(10**20), 10**20))
def test_numbers_within_limits_are_what_they_say(number: int) -> None:
    if -5 <= number <= 70000:
        assert read(whole(-5, 70000), str(number)) == number
    else:
        with pytest.raises(BadValueError):
            read(whole(-5, 70000), str(number))


@pytest.mark.parametrize(
    ("text", "hint"),
    [("0x10", "write 16"), ("0o10", "write 8"), ("010", "write 8"), ("0b11", "write 3"), ("1_000", "write 1000"), ("12:30", "write a num")],
)
def test_numbers_of_other_notations_are_refused_by_name(text: str, hint: str) -> None:
    with pytest.raises(BadValueError) as caught:
        read(whole(0, 9000), text)
    assert caught.value.hint.startswith(hint)


@pytest.mark.parametrize("text", ["", "+1", "1.0", " 1", "1 ", "\u0663", "08", "0x", "9" * 5000, "1e3", [], {}, None, True])
def test_what_is_no_whole_number_is_refused(text: object) -> None:
    with pytest.raises(BadValueError):
        read(whole(0, 9000), text)


def test_switches_are_the_words_of_yaml_1_2() -> None:
    assert [switch(text) for text in ("on", "off", "true", "false", "True", "OFF", True)] == [True, False, True, False, True, False, True]
    for text, hint in (("yes", "write on"), ("No", "write off"), ("1", "write on or off")):
        with pytest.raises(BadValueError) as caught:
            switch(text)
        assert caught.value.hint == hint


def test_percents_are_shares_of_one() -> None:
    assert [percent("0%"), percent("0.5%"), percent("100%")] == [0, 0.005, 1]
    for text in ("5", "-1%", "101%", "%", "1 %", "1e2%"):
        with pytest.raises(BadValueError):
            percent(text)


@pytest.mark.parametrize("text", ["self", "any", "Web", "1web", "-web", "web_1", "wéb", "w" * 16, "", "a b", "a\n"])
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(BadValueError):
        word(15)(text)


@pytest.mark.parametrize("text", ["", "a" * 61, " a", "a ", "a\nb", "a\x1b[2J"])
def test_what_is_no_rule_name_is_refused(text: str) -> None:
    with pytest.raises(BadValueError):
        title(text)


@pytest.mark.parametrize("text", ["", ".", "..", "a/b", "a b", "a" * 16, "é"])
def test_what_linux_would_not_take_as_an_interface_is_refused(text: str) -> None:
    with pytest.raises(BadValueError):
        interface_name(text)


@pytest.mark.parametrize("text", ["run/s", "/run/", "/" + "a" * 107, "/a\nb"])
def test_what_no_socket_can_be_bound_to_is_refused(text: str) -> None:
    with pytest.raises(BadValueError):
        socket_path("/run/s").func(text)  # type: ignore[call-arg]


@given(st.binary(min_size=6, max_size=6))
def test_only_unicast_mac_addresses_are_taken(octets: bytes) -> None:
    if octets[0] & 1 or octets == bytes(6):
        with pytest.raises(BadValueError):
            mac(octets.hex(":"))
    else:
        assert mac(octets.hex(":").upper()) == mac(octets) == octets


def test_a_nic_without_mac_gets_the_same_local_unicast_one_each_time() -> None:
    assert mac_of("wan") == mac_of("wan") != mac_of("lan")
    assert mac_of("wan")[:2] == b"\x02\x5e"
    assert mac(mac_of("wan")) == mac_of("wan")
