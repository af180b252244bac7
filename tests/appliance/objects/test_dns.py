"""Messages of DNS as scapy builds them, and as nobody should."""

from __future__ import annotations

from ipaddress import ip_address
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.dns import DNS, DNSQR, DNSRR, dns_compress

from appliance.objects.dns import AAAA, A, Address, Question, read_answer, read_query

NAMES = ["example.org", "a.example.org", "cdn.example.net", "x" * 60 + ".example.com"]


def query(name: str = "example.org", kind: str = "A", number: int = 7) -> bytes:
    return bytes(DNS(id=number, rd=1, qd=[DNSQR(qname=name, qtype=kind)]))


def response(records: list[DNSRR], name: str = "example.org", kind: str = "A", compressed: bool = True, **fields: object) -> bytes:
    message = DNS(id=7, qr=1, qd=[DNSQR(qname=name, qtype=kind)], an=records, **fields)
    return bytes(dns_compress(message) if compressed else message)


def record(name: str, kind: str, data: str, ttl: int = 60) -> DNSRR:
    return DNSRR(rrname=name, type=kind, rdata=data, ttl=ttl)


def address(text: str, ttl: int = 60) -> Address:
    return Address(ip_address(text).version, int(ip_address(text)), ttl)


@settings(max_examples=100)
@given(name=st.sampled_from(NAMES), kind=st.sampled_from(["A", "AAAA"]), number=st.integers(0, 65535), upper=st.booleans())
def test_a_query_is_read(name: str, kind: str, number: int, upper: bool) -> None:
    expected = Question(number, name, {"A": A, "AAAA": AAAA}[kind])
    assert read_query(query(name.upper() if upper else name, kind, number)) == expected
    assert read_answer(query(name, kind, number)) is None


@settings(max_examples=100)
@given(
    own=st.lists(st.tuples(st.integers(1, 0xDFFFFFFF), st.integers(0, 90000)), max_size=8, unique_by=lambda pair: pair[0]),
    aliases=st.lists(st.sampled_from(NAMES[1:]), max_size=3, unique=True), compressed=st.booleans(), seed=st.integers(0, 1 << 30),
)  # fmt: skip
def test_the_addresses_of_a_name_are_those_at_the_end_of_its_aliases(
    own: list[tuple[int, int]], aliases: list[str], compressed: bool, seed: int
) -> None:
    chain = ["example.org", *aliases]
    records = [record(name, "CNAME", target) for name, target in pairwise(chain)]
    records += [record(chain[-1], "A", str(ip_address(number)), ttl) for number, ttl in own]
    records.append(record("other.example", "A", "192.0.2.99"))
    Random(seed).shuffle(records)
    answer = read_answer(response(records, compressed=compressed))
    assert answer is not None
    assert set(answer.addresses) == {Address(4, number, ttl) for number, ttl in own}


def test_addresses_of_the_other_family_and_ends_of_chains_are_read() -> None:
    answer = read_answer(response([record("example.org", "AAAA", "2001:db8::9", 5)], kind="AAAA"))
    assert answer is not None and answer.addresses == (address("2001:db8::9", 5),)
    circle = [record("example.org", "CNAME", "a.example.org"), record("a.example.org", "CNAME", "example.org")]
    answer = read_answer(response(circle))
    assert answer is not None and answer.addresses == ()


@pytest.mark.parametrize("fields", [{"rcode": 3}, {"opcode": 5}])
def test_an_answer_that_is_an_error_says_nothing(fields: dict[str, object]) -> None:
    assert read_answer(response([record("example.org", "A", "192.0.2.1")], **fields)) is None


QUESTION = b"\x07example\x03org\0\0\x01\0\x01"
HEAD = b"\0\x07\x81\x80\0\x01\0\x01\0\0\0\0"
RECORD = b"\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x01"


def test_compression_leads_backwards_only() -> None:
    good = read_answer(HEAD + QUESTION + b"\xc0\x0c" + RECORD)
    assert good is not None and good.addresses == (address("192.0.2.1"),)
    for pointer in (b"\xc0\x1d", b"\xc0\x1e", b"\xc0\xff", b"\xff\xff", b"\xc0", b"\xc0\x00", b"\x01a\xc0\x1d", b"\x40a", b"\x80"):
        assert read_answer(HEAD + QUESTION + pointer + RECORD) is None


def test_a_dot_inside_a_label_is_no_dot_between_two() -> None:
    asked = read_query(b"\0\x07\1\0\0\x01\0\0\0\0\0\0" + b"\x0bexample.org\0\0\x01\0\x01")
    assert asked is not None and asked.name != "example.org"


@settings(max_examples=200)
@given(st.data())
def test_no_message_does_more_than_be_refused(data: st.DataObject) -> None:
    message = bytearray(response([record("example.org", "CNAME", "a.example.org"), record("a.example.org", "A", "192.0.2.1")]))
    for _ in range(data.draw(st.integers(1, 6))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    for text in (bytes(message), bytes(message[: data.draw(st.integers(0, len(message)))]), data.draw(st.binary(max_size=80))):
        read_query(text)
        answer = read_answer(text)
        assert answer is None or len(answer.addresses) <= 256
