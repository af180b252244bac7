"""What is learned from answers of DNS: from whom, for which names, for how long. On a clock of the test's own."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.dns import DNSRR

from appliance.config.errors import ConfigError
from appliance.config.loader import loads
from appliance.config.objects import Domains
from appliance.objects.names import MOST_ASKED, NameTable
from appliance.ranges import Extent
from tests.appliance.objects.test_dns import query, record, response

RESOLVER = 4, int(ip_address("192.0.2.53"))
FLOW = 4294967297


class Bench:
    def __init__(self, *fqdn: str, resolvers: Extent | None = None, **keys: object) -> None:
        self.now = 1000.0
        self.table = NameTable(lambda: self.now)
        self.configure(*fqdn, resolvers=resolvers, **keys)

    def configure(self, *fqdn: str, resolvers: Extent | None = None, **keys: object) -> None:
        domains = Domains(name="o", fqdn=fqdn, **keys)  # type: ignore[arg-type]
        self.table.configure({"o": domains}, {} if resolvers is None else {"o": resolvers})

    def answer(self, *records: DNSRR, name: str = "example.org", flow: int = FLOW, number: int = 7, asked: bool = True) -> None:
        if asked:
            self.table.query(FLOW, query(name, number=number))
        self.table.answer(flow, RESOLVER, response(list(records), name))

    def holds(self, text: str) -> bool:
        return self.table.holds(("o",), ip_address(text).version, int(ip_address(text)))


def one(text: str = "198.51.100.1", ttl: int = 60, name: str = "example.org") -> DNSRR:
    return record(name, "A", text, ttl)


def test_each_address_holds_for_its_own_time_and_the_grace() -> None:
    bench = Bench("example.org", grace=10.0)
    bench.answer(one(), one("198.51.100.2", 300))
    assert bench.holds("198.51.100.1") and bench.holds("198.51.100.2") and not bench.holds("198.51.100.3")
    bench.now += 69.9
    assert bench.holds("198.51.100.1")
    bench.now += 0.2
    assert not bench.holds("198.51.100.1") and bench.holds("198.51.100.2")
    assert bench.table.held(("o",), 4, int(ip_address("198.51.100.1")))  # for flows that are there


def test_answers_add_up() -> None:
    bench = Bench("example.org", grace=0.0)
    for number in range(8):
        bench.answer(one(f"198.51.100.{number}", 60))
    assert all(bench.holds(f"198.51.100.{number}") for number in range(8))
    bench.answer(one("198.51.100.0", 5))  # an answer that holds shorter takes nothing away
    bench.now += 50
    assert bench.holds("198.51.100.0")


@pytest.mark.parametrize(
    ("domain", "name", "within"),
    [
        ("example.org", "example.org", True), ("example.org", "EXAMPLE.org", True), ("example.org", "www.example.org", False),
        (".example.org", "example.org", True), (".example.org", "a.b.example.org", True), (".example.org", "badexample.org", False),
        (".example.org", "org", False),
    ],
)  # fmt: skip
def test_a_name_is_in_an_object_by_its_labels(domain: str, name: str, within: bool) -> None:
    bench = Bench(domain)
    bench.answer(one(name=name), name=name)
    assert bench.holds("198.51.100.1") == within


def test_an_alias_counts_for_the_name_that_was_asked_for_alone() -> None:
    bench = Bench("example.org")
    bench.answer(record("example.org", "CNAME", "cdn.example.net"), one(name="cdn.example.net"), one("203.0.113.66", name="evil.example"))
    assert bench.holds("198.51.100.1") and not bench.holds("203.0.113.66")


def test_nobody_answers_but_who_was_asked() -> None:
    bench = Bench("example.org")
    bench.answer(one(), asked=False)
    bench.answer(one(), flow=FLOW + 1)
    bench.now += 11
    bench.answer(one(), number=8)
    bench.table.query(FLOW, query("example.org", "AAAA"))
    bench.answer(one(), asked=False)
    bench.table.query(FLOW, query())
    bench.now += 11
    bench.answer(one(), asked=False)
    assert not bench.holds("198.51.100.1")
    bench.answer(one())
    bench.answer(one("198.51.100.2"), asked=False)  # the question is answered already
    assert bench.holds("198.51.100.1") and not bench.holds("198.51.100.2")


def test_a_resolver_may_be_the_wrong_one() -> None:
    address = RESOLVER[1]
    bench = Bench("example.org", resolvers=Extent(((address + 1, address + 1),), ()))
    bench.answer(one())
    assert not bench.holds("198.51.100.1")
    bench.configure("example.org", resolvers=Extent(((address, address),), ()))
    bench.answer(one())
    assert bench.holds("198.51.100.1")


def test_an_object_that_is_full_takes_no_more_until_something_is_over() -> None:
    bench = Bench("example.org", most=2, grace=0.0)
    bench.answer(one("198.51.100.1", 60), one("198.51.100.2", 10), one("198.51.100.3", 60))
    assert [bench.holds(f"198.51.100.{number}") for number in (1, 2, 3)] == [True, True, False]
    bench.now += 20
    bench.answer(one("198.51.100.3"))
    assert [bench.holds(f"198.51.100.{number}") for number in (1, 2, 3)] == [True, False, True]
    assert bench.table.status(lambda version, number: str(number))[0]["refused"] == 1


def test_who_is_renewed_stays_in_an_object_that_holds_fewer_by_now() -> None:
    bench = Bench("example.org", most=3, grace=0.0)
    bench.answer(*(one(f"198.51.100.{number}") for number in (1, 2, 3)))
    bench.configure("example.org", most=2, grace=0.0)
    bench.answer(one("198.51.100.1"))
    assert [bench.holds(f"198.51.100.{number}") for number in (1, 2, 3)] == [True, True, True]


@settings(max_examples=100)
@given(steps=st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9), st.integers(0, 4)), max_size=60))
def test_a_full_object_takes_another_just_when_the_time_of_one_is_over(steps: list[tuple[int, int, int]]) -> None:
    """Against a table that looks at all it has, each time."""
    bench, known = Bench("example.org", most=3, grace=0.0), dict[int, float]()
    for number, ttl, pause in steps:
        bench.now += pause
        bench.answer(one(f"198.51.100.{number}", ttl))
        before = known.pop(number, None)
        over = next((other for other, until in known.items() if until <= bench.now), None)
        if before is None and len(known) == 3 and over is not None:
            del known[over]
        if before is not None or len(known) < 3:
            known[number] = max(bench.now + ttl, before or 0.0)
        assert [bench.holds(f"198.51.100.{n}") for n in range(10)] == [known.get(n, 0.0) > bench.now for n in range(10)]


def test_questions_are_remembered_within_bounds() -> None:
    bench = Bench("example.org")
    for flow in range(MOST_ASKED + 50):
        bench.table.query(flow, query())
    assert len(bench.table._asked) == MOST_ASKED


def test_what_was_learned_outlives_a_reload_of_the_same_domains() -> None:
    bench = Bench("example.org")
    bench.answer(one())
    bench.configure("example.org", grace=1.0)
    assert bench.holds("198.51.100.1")
    bench.configure("example.net")
    assert not bench.holds("198.51.100.1")
    bench.table.configure({}, {})
    assert not bench.table


@pytest.mark.parametrize(
    ("addition", "line"),
    [
        ("objects: {a: {fqdn: exa mple}}",
         '4:21: object "a": fqdn: not a domain name, found `exa mple`, '
         "write one such as updates.example.org, or .example.org for it and all below it"),
        ("objects: {a: {fqdn: 10.0.0.1}}",
         '4:21: object "a": fqdn: not a domain name, found `10.0.0.1`, '
         "write one such as updates.example.org, or .example.org for it and all below it"),
        ("objects: {a: {fqdn: bücher.example}}",
         '4:21: object "a": fqdn: not an ASCII domain name, found `bücher.example`, write it as it stands in DNS, with xn--'),
        ("objects: {a: {fqdn: a.example}}\nnat: [m: {masquerade: {from: [internet], to: [internet], source: a}}]",
         '5:66: nat rule "m": source: object with domain names, found `a`, name networks: domain names are for rules of the policy'),
        ("objects: {a: {fqdn: a.example}}\nnat: [m: {forward: {on: internet, port: tcp/1, to: a}}]",
         '5:52: nat rule "m": to: object with more than one address, found `a`, '
         "forward to an object with one address, or one of each family"),
    ],
)  # fmt: skip
def test_a_mistake_with_domain_names_is_pointed_at(addition: str, line: str) -> None:
    base = "version: 1\nnics: {wan: {address: 203.0.113.7/24}}\nzones: {internet: {nics: [wan]}}\n"
    with pytest.raises(ConfigError) as caught:
        loads(f"{base}{addition}\n", "x.yaml")
    assert str(caught.value) == f"x.yaml:{line}"
