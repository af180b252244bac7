"""Models of what rules call by a name: addresses (`objects`) and ports (`ports`).

    nas:     {v4: 192.168.10.20, v6: "::20 via lan"}             host: an address or more of each family
    offices: [10.1.0.0/16, 192.0.2.10-192.0.2.20, nas]           group: networks, ranges, other objects; one alone without brackets
    bad:     {file: /etc/softena/drop.txt, max: 200k}            set: what is in a file
    updates: {fqdn: [updates.example.org, .example.net]}         names: what DNS answers for them
    backup:  [tcp/10080-10082, udp/10080, ssh]                   ports

`place` reads what may stand where an address may stand in a rule. Names are looked up while the file is read (`Names`); what they mean
is found when rules are compiled, since it may change meanwhile: `resolve.py`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, ClassVar, Final, Literal, NamedTuple

from pydantic import Field, PlainValidator, TypeAdapter, ValidationInfo

from appliance.config.addresses import address_range, network
from appliance.config.errors import BadValueError, instead_of
from appliance.config.section import Section
from appliance.config.values import RESERVED, Name, OneOrMore, Some, amount, duration, file_path, one_or_more, only, scalar, word
from appliance.config.words import NO_NAMES, WORDS, Matches, ServiceMatch, service_matches
from appliance.ranges import Extent, Span

NAME: Final = re.compile(r"[a-z][a-z0-9-]*")
DEEPEST: Final = 32
"""Names for ports inside each other."""
DOMAIN: Final = re.compile(r"\.?([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
PLAIN: Final = re.compile(r"[0-9./]+")
"""What most are: IPv4 networks."""


class ObjectName(str):
    """An object by its name, where an address may stand."""

    __slots__ = ()


class Relative(NamedTuple):
    """Addresses by their end alone: the beginning is that of a nic's first global IPv6 network, whatever this is at the time."""

    suffix: IPv6Network
    nic: str

    @property
    def version(self) -> int:
        """Always 6."""
        return self.suffix.version


Place = IPv4Network | IPv6Network | Span | Relative | ObjectName | Extent
"""What may stand where an address may stand. Extents come later, in place of names."""
Literally = IPv4Network | IPv6Network | Span | Relative


@dataclass(frozen=True, slots=True)
class Names:
    """What the names in a file may be, told to the readers of single values."""

    objects: Collection[str] = ()
    nics: Collection[str] = ()
    ports: Mapping[str, Matches | None] = field(default_factory=dict)
    schedules: Collection[str] = ()


def place(value: object, info: ValidationInfo) -> Place:
    """A network, one address, a range of them, the end of one with its nic, or the name of an object."""
    if type(value) is str and PLAIN.fullmatch(value):
        return network(value)
    if isinstance(value, IPv4Network | IPv6Network | Span | Relative | ObjectName | Extent):
        return value
    text = scalar(value, "10.0.0.0/8")
    if NAME.fullmatch(text):
        return object_name(text, info)
    return literally(text, info)


def object_name(text: str, info: ValidationInfo) -> ObjectName:
    """The name of an object that the file defines."""
    names: Names | None = info.context
    if text in RESERVED:
        raise BadValueError("reserved word where an address is expected", "remove the key for every address; zones go to `from` and `to`")
    if names is not None and text not in names.objects:
        hint = instead_of(text, names.objects) if names.objects else "write an address, or define it under `objects`"
        raise BadValueError("unknown object", hint)
    return ObjectName(text)


def literally(value: object, info: ValidationInfo) -> Literally:
    """A place that is no name."""
    if isinstance(value, IPv4Network | IPv6Network | Span | Relative):
        return value
    text = scalar(value, "10.0.0.0/8")
    if "-" in text:
        first, last = address_range(text)
        return Span(first.version, int(first), int(last))
    if " " in text:
        return _relative(text, info.context)
    return network(text)


def _relative(text: str, names: Names | None) -> Relative:
    end, _, nic = text.partition(" via ")
    if not nic:
        raise BadValueError("not a network", 'write one such as 10.0.0.0/8, or the end of an IPv6 address such as "::20 via lan"')
    suffix = network(end)
    if isinstance(suffix, IPv4Network):
        raise BadValueError("`via` completes IPv6 addresses alone", f"write {end}, or the end of an IPv6 address such as ::20")
    if names is not None and nic not in names.nics:
        raise BadValueError("unknown nic", instead_of(nic, names.nics))
    return Relative(suffix, nic)


def _of(version: int) -> PlainValidator:
    """Places of one family."""

    def read(value: object, info: ValidationInfo) -> Literally:
        found = literally(value, info)
        if found.version != version:
            raise BadValueError(f"not an IPv{version} address", f"write it as `v{found.version}`")
        return found

    return PlainValidator(read)


class _Named(Section):
    """What every object has."""

    from_loader: ClassVar[frozenset[str]] = frozenset({"kind", "name", "line"})

    name: Name
    line: int = 0


class Host(_Named):
    """Addresses by family: `{v4: 192.168.10.20, v6: "2001:db8::20"}`."""

    kind: Literal["host"] = "host"
    v4: Annotated[tuple[Annotated[Literally, _of(4)], ...], OneOrMore] = ()
    v6: Annotated[tuple[Annotated[Literally, _of(6)], ...], OneOrMore] = ()


class Group(_Named):
    """Networks, ranges and other objects together: a list, or one of them alone."""

    kind: Literal["group"] = "group"
    members: Annotated[tuple[Annotated[Place, PlainValidator(place)], ...], OneOrMore, Some]


class FileSet(_Named):
    """Addresses in a file, which is read again when it changes. What was good is kept while the file isn't."""

    kind: Literal["file"] = "file"
    file: Annotated[str, file_path("/etc/softena/drop.txt")]
    max: Annotated[int, amount(1, 2_000_000)] = 100_000
    """Entries, at most."""
    every: Annotated[float, duration("1s", "1d")] = 60.0
    """Seconds from one look at the file to the next."""
    max_age: Annotated[float, duration("1m", "1000d")] | None = None
    """Seconds after its last change from which on the file stands for no address."""
    missing: Annotated[Literal["refuse", "empty"], only("refuse", "empty")] = "refuse"
    """What a file means that can't be read at the start."""


Places = Annotated[tuple[Annotated[Place, PlainValidator(place)], ...], OneOrMore]


def _domain(value: object) -> str:
    """`updates.example.org`, or `.example.org` for it and all below it; lower case."""
    text = scalar(value, "updates.example.org").lower().removesuffix(".")
    if not text.isascii():
        raise BadValueError("not an ASCII domain name", "write it as it stands in DNS, with xn--")
    if not DOMAIN.fullmatch(text) or len(text) > 253:
        raise BadValueError("not a domain name", "write one such as updates.example.org, or .example.org for it and all below it")
    return text


class Domains(_Named):
    """Addresses of domain names, learned from the answers of DNS that pass."""

    kind: Literal["fqdn"] = "fqdn"
    fqdn: Annotated[tuple[Annotated[str, PlainValidator(_domain)], ...], OneOrMore, Some]
    grace: Annotated[float, duration("0s", "1d")] = 300.0
    """Seconds that an address counts beyond its time to live: clients keep it a little longer."""
    most: Annotated[int, amount(1, 65_536)] = 4096
    """Addresses, at most."""
    resolvers: Places = ()
    """Whose answers count; those of all, if there are none."""


OBJECT_KINDS: dict[str, type[Section]] = {"host": Host, "group": Group, "file": FileSet, "fqdn": Domains}
Object = Annotated[Host | Group | FileSet | Domains, Field(discriminator="kind")]


# -- ports -------------------------------------------------------------------------------------------------------------

def read_services(value: object, info: ValidationInfo) -> Matches:
    """What one word or a list of them stands for, each match once."""
    names: Names | None = info.context
    own = names.ports if names is not None else NO_NAMES
    if isinstance(value, str):
        return service_matches(value, own)
    words = _WORDS.validate_python(one_or_more(value), context=info.context)
    return tuple(dict.fromkeys(match for word in words for match in word))


def _word(value: object, info: ValidationInfo) -> Matches:
    return service_matches(value, info.context.ports if info.context is not None else NO_NAMES)


_WORDS: TypeAdapter[tuple[Matches, ...]] = TypeAdapter(tuple[Annotated[Matches, PlainValidator(_word)], ...])


def _new_word(value: object) -> str:
    text: str = word(31)(value)
    if text in WORDS:
        raise BadValueError("name that stands for ports already", "choose another name; `softena words` lists those that are taken")
    return text


class Ports(Section):
    """Ports and protocols together, as one word for `allow`, `deny` and `reject`."""

    from_loader: ClassVar[frozenset[str]] = frozenset({"name", "line"})

    name: Annotated[str, PlainValidator(_new_word)]
    line: int = 0
    words: Annotated[Matches, PlainValidator(read_services)]


def named_ports(written: Mapping[str, object]) -> dict[str, Matches | None]:
    """What each name in the section `ports` stands for, as far as it is sound; None: itself, in the end."""
    found: dict[str, Matches | None] = {}

    def meaning(name: str, above: frozenset[str]) -> Matches | None:
        if name in above or len(above) > DEEPEST:
            return None
        if name not in found:
            inside = above | {name}
            parts = [meaning(each, inside) if each in written and each not in WORDS else each for each in _texts(written[name])]
            found[name] = _sum(parts)
        return found[name]

    for name in written:
        meaning(name, frozenset())
    return found


def _texts(value: object) -> Iterator[str]:
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, str):
            yield each


def _sum(parts: Iterable[Matches | str | None]) -> Matches | None:
    """All matches of words and of other names, without those that can't be read: their own place tells why. None, if one part is."""
    matches: dict[ServiceMatch, None] = {}
    for part in parts:
        if part is None:
            return None
        with suppress(BadValueError):
            matches |= dict.fromkeys(service_matches(part) if isinstance(part, str) else part)
    return tuple(matches)
