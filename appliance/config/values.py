"""Single values: text of the file (or a Python value) in, typed value out; `BadValueError` with a hint otherwise.

Scalars of a file arrive as text, whatever YAML would have made of them, so that each field reads its own notation and
nothing is guessed: durations and percents need their unit, numbers are decimal, switches are words. Readers that take a
parameter are factories. At the end the readers become the annotated types that the models use. Addresses: `addresses.py`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, PlainValidator

from appliance.config.errors import BadValueError, instead_of, quoted

UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
SIZES = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
SWITCHES = {"on": True, "true": True, "off": False, "false": False}
OLD_SWITCHES = {"yes": "on", "y": "on", "no": "off", "n": "off"}  # switches in YAML 1.1, plain text in 1.2
OTHER_BASES = (
    ("hexadecimal", 16, r"0x([0-9a-fA-F]{1,16})"),
    ("octal", 8, r"0o?([0-7]{1,20})"),
    ("binary", 2, r"0b([01]{1,64})"),
)
SPAN = re.compile(
    r"(?:([0-9]{1,9})d)?(?:([0-9]{1,9})h)?(?:([0-9]{1,9})m)?(?:([0-9]{1,9}(?:\.[0-9]{1,6})?)s)?(?:([0-9]{1,9})ms)?"
)  # one group a unit, in the order of UNITS
RESERVED = ("self", "any")


def scalar(value: object, example: str) -> str:
    """The text of a single value; `example` is what the hint offers when there is none."""
    if isinstance(value, str) and value:
        return value
    if value is None or value == "":
        raise BadValueError("no value", f"write a value such as {example}")
    if isinstance(value, dict | list | tuple):
        raise BadValueError("must be a single value", f"write a value such as {example}")
    return str(value)


def whole(low: int, high: int) -> PlainValidator:
    """Decimal integers from `low` to `high`."""
    return PlainValidator(lambda value: _whole(value, low, high))


def _whole(value: object, low: int, high: int) -> int:
    hint = f"write {low}" if low == high else f"write a number from {low} to {high}"
    number = value if isinstance(value, int) and not isinstance(value, bool) else _decimal(scalar(value, str(high)), hint)
    if not low <= number <= high:
        raise BadValueError("out of range", hint)
    return number


def _decimal(text: str, hint: str) -> int:
    if re.fullmatch(r"-?(0|[1-9][0-9]{0,18})", text):
        return int(text)
    for kind, base, digits in OTHER_BASES:
        if found := re.fullmatch(digits, text):
            raise BadValueError(f"{kind} number, which YAML 1.1 and 1.2 read differently", f"write {int(found[1], base)}")
    if re.fullmatch(r"[0-9]{1,3}([_,][0-9]{3}){1,5}", text):
        raise BadValueError("digits are grouped", f"write {re.sub('[_,]', '', text)}")
    if re.fullmatch(r"[0-9]+(:[0-5]?[0-9])+", text):
        raise BadValueError("base-60 number of YAML 1.1", hint)
    raise BadValueError("not a whole number", hint)


def only(*words: str) -> PlainValidator:
    """One of a few words."""

    def read(value: object) -> str:
        text = scalar(value, words[0])
        if text not in words:
            raise BadValueError("unknown word", instead_of(text, words, "write" if len(words) == 1 else "write one of"))
        return text

    return PlainValidator(read)


def switch(value: object) -> bool:
    """`on` and `off`, or `true` and `false`."""
    if isinstance(value, bool):
        return value
    text = scalar(value, "on")
    if text.lower() in OLD_SWITCHES:
        raise BadValueError(f"{quoted(text)} is a switch in YAML 1.1 only", f"write {OLD_SWITCHES[text.lower()]}")
    if text.lower() not in SWITCHES:
        raise BadValueError("not a switch", "write on or off")
    return SWITCHES[text.lower()]


def duration(low: str, high: str) -> PlainValidator:
    """Durations with units (`250ms`, `30s`, `2h4m`) from `low` to `high`; seconds."""
    least, most = seconds(low), seconds(high)

    def read(value: object) -> float:
        found = float(value) if isinstance(value, int | float) else seconds(scalar(value, "30s"))
        if not least <= found <= most:
            raise BadValueError("out of range", f"write a duration from {low} to {high}")
        return found

    return PlainValidator(read)


def seconds(text: str) -> float:
    """A duration with units."""
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
        raise BadValueError("duration without unit", f"write {text}s, or another of the units {', '.join(UNITS)}")
    if base_60 := re.fullmatch(r"([0-9]{1,6}):([0-9]{1,2})", text):
        raise BadValueError("base-60 number of YAML 1.1", f"write {base_60[1]}m{base_60[2]}s or {base_60[1]}h{base_60[2]}m")
    parts = SPAN.fullmatch(text)
    if parts is None or not text:
        raise BadValueError("not a duration", f"write a number with one of the units {', '.join(UNITS)}, such as 30s or 2h4m")
    return sum(float(count) * unit for count, unit in zip(parts.groups(), UNITS.values(), strict=True) if count)


def size(value: object) -> int:
    """Bytes with a unit: `128MiB`."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    text = scalar(value, "128MiB")
    if found := re.fullmatch(r"([0-9]{1,9})([KMG]iB)", text):
        return int(found[1]) * SIZES[found[2]]
    if near := re.fullmatch(r"([0-9]{1,9}) ?([kKmMgG]?)i?[bB]?", text):
        raise BadValueError("size without one of the units KiB, MiB, GiB", f"write {near[1]}{near[2].upper() or 'M'}iB")
    raise BadValueError("not a size", "write a number with one of the units KiB, MiB, GiB, such as 128MiB")


def segment(value: object) -> int:
    """`mss-clamp: on`, `off`, or bytes: 1, 0, or the largest segment that TCP may announce."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int) and value in (0, 1):
        return value
    if isinstance(value, str) and value.lower() in SWITCHES:
        return int(SWITCHES[value.lower()])
    try:
        return _whole(value, 88, 9176)
    except BadValueError:
        raise BadValueError("no segment size", "write on, off, or bytes from 88 to 9176, such as 1360") from None


def percent(value: object) -> float:
    """Percents from `0%` to `100%`, as a fraction from 0 to 1."""
    if isinstance(value, int | float):
        fraction = float(value)
    else:
        text = scalar(value, "0.1%")
        if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
            raise BadValueError("share without unit", f"write {text}%")
        if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?%", text):
            raise BadValueError("not a percentage", "write a number with a percent sign, such as 0.1%")
        fraction = float(text[:-1]) / 100
    if not 0 <= fraction <= 1:
        raise BadValueError("out of range", "write a share from 0% to 100%")
    return fraction


def word(longest: int) -> Callable[[object], str]:
    """Names of nics, zones, services, targets: lower case, digits and dashes, not a reserved word, at most `longest`."""

    def read(value: object) -> str:
        text = scalar(value, "web-1")
        if text in RESERVED:
            raise BadValueError("reserved word used as a name", "choose another name")
        if not re.fullmatch(rf"[a-z][a-z0-9-]{{0,{longest - 1}}}", text):
            raise BadValueError("not a name", f"write a letter, then letters, digits and dashes, lower case, at most {longest} characters")
        return text

    return read


def title(value: object) -> str:
    """Names of rules: any text on one line, at most 60 characters."""
    text = scalar(value, "home out")
    if len(text) > 60 or not text.isprintable() or text != text.strip():
        raise BadValueError("not a rule name", "write up to 60 printable characters without spaces at the ends")
    return text


def interface_name(value: object) -> str:
    """Linux interface names: 1 to 15 characters of `A-Za-z0-9._-`."""
    text = scalar(value, "tap0")
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,15}", text) or text in (".", ".."):
        raise BadValueError("not a Linux interface name", "write 1 to 15 letters, digits, dots, dashes or underscores")
    return text


def socket_path(example: str) -> PlainValidator:
    """Absolute paths of unix sockets: the kernel takes at most 107 bytes."""

    def read(value: object) -> str:
        text = scalar(value, example)
        if not text.startswith("/") or text.endswith("/") or len(text.encode(errors="surrogatepass")) > 107 or not text.isprintable():
            raise BadValueError("not a socket path", f"write an absolute path of at most 107 bytes, such as {example}")
        return text

    return PlainValidator(read)


def file_path(example: str) -> PlainValidator:
    """Absolute paths of files."""

    def read(value: object) -> str:
        text = scalar(value, example)
        if not text.startswith("/") or text.endswith("/") or len(text) > 1000 or not text.isprintable():
            raise BadValueError("not a file's path", f"write an absolute path such as {example}")
        return text

    return PlainValidator(read)


def amount(low: int, high: int) -> PlainValidator:
    """Decimal integers from `low` to `high`; `200k` and `2M` count thousands and millions."""

    def read(value: object) -> int:
        hint = f"write a number from {low} to {high}, such as 200k"
        if isinstance(value, int) and not isinstance(value, bool):
            number = value
        else:
            text = scalar(value, "200k")
            factor = {"k": 1000, "M": 1_000_000}.get(text[-1], 1)
            number = _decimal(text[:-1] if factor > 1 else text, hint) * factor
        if not low <= number <= high:
            raise BadValueError("out of range", hint)
        return number

    return PlainValidator(read)


def mac(value: object) -> bytes:
    """A unicast MAC address, 6 bytes."""
    if isinstance(value, bytes) and len(value) == 6:
        octets = value
    else:
        text = scalar(value, "02:00:00:00:00:01")
        if not re.fullmatch(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}", text):
            raise BadValueError("not a MAC address", "write six pairs of hex digits, such as 02:00:00:00:00:01")
        octets = bytes.fromhex(text.replace(":", ""))
    if octets[0] & 1 or not any(octets):
        raise BadValueError("not a unicast MAC address", "write one whose first pair is even, such as 02:00:00:00:00:01")
    return octets


def mac_of(name: str) -> bytes:
    """The MAC address of a nic that names none: locally administered, unicast, the same for a name on each run."""
    return b"\x02\x5e" + hashlib.blake2b(name.encode(), digest_size=4).digest()


def one_or_more(value: object) -> list[Any] | tuple[Any, ...]:
    """A single item stands for a list of one. A list without items says nothing: Python code passes an empty tuple for that."""
    if value == []:
        raise BadValueError("empty list", "write at least one item, or remove the key")
    return value if isinstance(value, list | tuple) else (value,)


def some(value: Any) -> Any:
    """Refuses empty lists and mappings where nothing makes no sense."""
    if not value:
        raise BadValueError("empty", "write at least one item")
    return value


OneOrMore = BeforeValidator(one_or_more)
Some = AfterValidator(some)
Switch = Annotated[bool, PlainValidator(switch)]
Segment = Annotated[int, PlainValidator(segment)]
Percent = Annotated[float, PlainValidator(percent)]
NicName = Annotated[str, PlainValidator(word(15))]
Name = Annotated[str, PlainValidator(word(31))]
Title = Annotated[str, PlainValidator(title)]
InterfaceName = Annotated[str, PlainValidator(interface_name)]
Mac = Annotated[bytes, PlainValidator(mac)]
ZoneWords = Annotated[tuple[Annotated[str, PlainValidator(lambda value: scalar(value, "home"))], ...], OneOrMore]
