"""As much of DNS as it takes to learn addresses: the question of a message, and the addresses that an answer has for it. Pure.

Everything comes from the wire: offsets are checked before they are used, compression leads backwards only, and names, records and chains of
aliases have bounds. What doesn't fit is no message (None), never an error.
Source: RFC 1035, sections 3.1, 4.1; RFC 3596; RFC 2181, section 8.
"""

from __future__ import annotations

from typing import Final, NamedTuple

A, CNAME, AAAA, IN = 1, 5, 28, 1
HEADER: Final = 12
RESPONSE, OPCODE, RCODE = 0x8000, 0x7800, 0x000F
LONGEST: Final = 255
MOST_LABELS: Final = 127
MOST_RECORDS: Final = 256
MOST_ALIASES: Final = 16


class Question(NamedTuple):
    """What is asked, and under which number."""

    number: int
    name: str  # lower case, without the dot at its end
    kind: int


class Address(NamedTuple):
    """An address of the name that was asked for, and for how many seconds it holds."""

    version: int
    number: int
    ttl: int


class Answer(NamedTuple):
    """A response: the question that it repeats, and all addresses that it has for it."""

    question: Question
    addresses: tuple[Address, ...]


def read_query(message: bytes) -> Question | None:
    """The question of a standard query; None for anything else."""
    found = _question(message)
    return None if found is None or found[1] & (RESPONSE | OPCODE) else found[0]


def read_answer(message: bytes) -> Answer | None:
    """A response without an error; None for anything else. Addresses are those of the name and of the aliases that lead from it."""
    found = _question(message)
    if found is None or found[1] & (RESPONSE | OPCODE | RCODE) != RESPONSE:
        return None
    question, _, at = found
    aliases: dict[str, str] = {}
    addresses: dict[str, list[Address]] = {}
    for _ in range(min(int.from_bytes(message[6:8]), MOST_RECORDS)):
        owner = _name(message, at)
        if owner is None or owner[1] + 10 > len(message):
            return None
        name, at = owner
        kind, cls, ttl, size = (int.from_bytes(message[at + low : at + high]) for low, high in ((0, 2), (2, 4), (4, 8), (8, 10)))
        at += 10
        if size > len(message) - at:
            return None
        if cls == IN and kind == CNAME and (target := _name(message, at)) is not None and target[1] == at + size:
            aliases.setdefault(name, target[0])
        elif cls == IN and (kind, size) in ((A, 4), (AAAA, 16)):
            version = 4 if kind == A else 6
            number = int.from_bytes(message[at : at + size])
            addresses.setdefault(name, []).append(Address(version, number, 0 if ttl >> 31 else ttl))
        at += size
    return Answer(question, tuple(_led_to(question.name, aliases, addresses)))


def _led_to(name: str, aliases: dict[str, str], addresses: dict[str, list[Address]]) -> list[Address]:
    """The addresses of a name, or of the last of its aliases; none of a chain that is too long, or a circle."""
    for _ in range(MOST_ALIASES):
        if name in addresses:
            return addresses[name]
        if name not in aliases:
            break
        name = aliases[name]
    return []


def _question(message: bytes) -> tuple[Question, int, int] | None:
    """The only question, the flags, and where the records begin."""
    if len(message) < HEADER or int.from_bytes(message[4:6]) != 1:
        return None
    name = _name(message, HEADER)
    if name is None or name[1] + 4 > len(message):
        return None
    text, at = name
    kind, cls = int.from_bytes(message[at : at + 2]), int.from_bytes(message[at + 2 : at + 4])
    number, flags = int.from_bytes(message[0:2]), int.from_bytes(message[2:4])
    return (Question(number, text, kind), flags, at + 4) if cls == IN else None


def _name(message: bytes, at: int) -> tuple[str, int] | None:
    """A name in lower case, and where it ends in the message. A pointer leads to before the place where it was followed."""
    labels: list[bytes] = []
    end = lowest = 0
    length = 1
    here, lowest = at, at
    while True:
        if here >= len(message):
            return None
        size = message[here]
        if size >= 0xC0:
            if here + 1 >= len(message):
                return None
            end = end or here + 2
            target = (size & 0x3F) << 8 | message[here + 1]
            if target >= lowest or target < HEADER:
                return None
            here = lowest = target
            continue
        if size > 63 or size > len(message) - here - 1:
            return None
        if size == 0:
            return b".".join(labels).decode("latin-1"), end or here + 1
        length += size + 1
        if length > LONGEST or len(labels) >= MOST_LABELS:
            return None
        label = message[here + 1 : here + 1 + size]
        labels.append(label.lower() if b"." not in label else b"\\")  # a dot inside a label must not look like one between two
        here += size + 1
