"""DNS answers, as they are heard on the way: right ones give exactly what they say, all others nothing, or something within bounds."""

from __future__ import annotations

import struct

from appliance.objects.dns import AAAA, CNAME, A, read_answer, read_query
from tests.fuzz.decode import Decisions

NAMES = ("a.example", "b.example", "WWW.a.example", "c.test", "")
TXT = 16
KINDS = (A, A, AAAA, CNAME, TXT)
SIZES = {A: 4, AAAA: 16, TXT: 9}
MOST_RECORDS, LONGEST = 256, 255


def dns(data: bytes) -> None:
    """A message of up to seven records by dice, then damaged in places; and the input as it is."""
    dice = Decisions(data)
    message, expected = answer(dice)
    found = read_answer(message)
    assert found is not None and [(each.version, each.number) for each in found.addresses] == expected, f"{found} instead of {expected}"
    assert read_query(message) is None
    made = bytearray(message)
    for _ in range(1 + dice.below(6)):
        made[dice.word(2) % len(made)] = dice.byte()
    for any_message in (bytes(made), bytes(made[: dice.word(2) % len(made)]), data):
        within_bounds(any_message)


def within_bounds(message: bytes) -> None:
    """Whatever it says."""
    for question in (read_query(message), (found := read_answer(message)) and found.question):
        name = b"" if question is None else question.name.encode("latin-1")
        assert len(name) <= LONGEST and name == name.lower()
    if found is not None:
        assert len(found.addresses) <= MOST_RECORDS
        assert all(each.number < 1 << (32 if each.version == 4 else 128) and 0 <= each.ttl < 1 << 31 for each in found.addresses)


def answer(dice: Decisions) -> tuple[bytes, list[tuple[int, int]]]:
    """A right message, and the addresses that it has for its question."""
    places: dict[str, int] = {}
    asked, count = dice.choice(NAMES), dice.below(8)
    message = struct.pack(">HHHHHH", dice.word(2), 0x8180, 1, count, 0, 0)
    message = put_name(message, asked, places, dice) + struct.pack(">HH", dice.choice((A, AAAA)), 1)
    aliases: dict[str, str] = {}
    addresses: dict[str, list[tuple[int, int]]] = {}
    for _ in range(count):
        owner, kind = dice.choice(NAMES), dice.choice(KINDS)
        message = put_name(message, owner, places, dice) + struct.pack(">HHI", kind, 1, dice.word(4))
        if kind == CNAME:
            target = dice.choice(NAMES)
            data = put_name(message + b"\0\0", target, places, dice)[len(message) + 2 :]
            aliases.setdefault(owner.lower(), target.lower())
        else:
            data = dice.take(SIZES[kind])
            if kind != TXT:
                addresses.setdefault(owner.lower(), []).append((4 if kind == A else 6, int.from_bytes(data, "big")))
        message += len(data).to_bytes(2, "big") + data
    return message, led_to(asked.lower(), aliases, addresses)


def led_to(name: str, aliases: dict[str, str], addresses: dict[str, list[tuple[int, int]]]) -> list[tuple[int, int]]:
    seen: set[str] = set()
    while name not in addresses and name in aliases and name not in seen:
        seen.add(name)
        name = aliases[name]
    return addresses.get(name, [])


def put_name(message: bytes, name: str, places: dict[str, int], dice: Decisions) -> bytes:
    """A name at the end of a message; or, as dice have it, a pointer to where it, or what it ends in, stands already."""
    labels = name.split(".") if name else []
    while labels:
        rest = ".".join(labels)
        if rest in places and dice.chance(160):
            return message + (0xC000 | places[rest]).to_bytes(2, "big")
        places.setdefault(rest, len(message))
        message += bytes((len(labels[0]),)) + labels.pop(0).encode()
    return message + b"\0"
