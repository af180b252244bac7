"""The base of every record that crosses the bus: a table of fields that is also the memory layout.

A record lists its fields in the order and with the bits of the contract, reserved bits included (names with a leading
underscore), so that its size and each position follow from reading the table top to bottom. Words stay naturally aligned: no
packing directive is needed.

Mind two habits of ctypes: a write into a bit field truncates silently (check ranges where values enter), and a record made with
`from_buffer` is a live view of shared memory (take a `snapshot` before judging it).
"""

from __future__ import annotations

from ctypes import Array, LittleEndianStructure, c_uint8, c_uint16, c_uint32, c_uint64, sizeof
from typing import Any, Self

U8, U16, U32, U64 = c_uint8, c_uint16, c_uint32, c_uint64

ADDRESS_BITS = 48


class WireRecord(LittleEndianStructure):
    """A little-endian record. Equal when of one type with equal bytes; printed without its zero fields."""

    def snapshot(self) -> Self:
        """A private copy, safe from later writes of the other side."""
        return type(self).from_buffer_copy(self)

    @classmethod
    def parse(cls, data: bytes | bytearray | memoryview, offset: int = 0) -> Self:
        """A record copied out of `data`. Raises ValueError if fewer bytes than the record's size follow `offset`."""
        return cls.from_buffer_copy(data, offset)

    @classmethod
    def size(cls) -> int:
        return sizeof(cls)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and bytes(self) == bytes(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = ((name, getattr(self, name)) for name in self._names())
        return f"{type(self).__name__}({', '.join(f'{name}={_show(value)}' for name, value in shown if _is_set(value))})"

    @classmethod
    def _names(cls) -> list[str]:
        """Names of all fields in wire order, those of base records first."""
        return [field[0] for base in reversed(cls.__mro__) for field in base.__dict__.get("_fields_", ())]


class BusAddress(WireRecord):
    """A 48-bit bus address in two fields. Source: ENA interface, DMA addressing."""

    _fields_ = [
        ("low", U32),
        ("high", U16),
        ("_reserved6", U16),
    ]

    @classmethod
    def of(cls, address: int) -> Self:
        """Raises ValueError unless 0 <= address < 2**48."""
        if not 0 <= address < 1 << ADDRESS_BITS:
            raise ValueError(f"{address:#x} is no bus address of {ADDRESS_BITS} bits")
        return cls(low=address & 0xFFFFFFFF, high=address >> 32)

    @property
    def value(self) -> int:
        return int(self.high) << 32 | int(self.low)


def _is_set(value: Any) -> bool:
    return any(bytes(value)) if isinstance(value, (Array, WireRecord)) else bool(value)


def _show(value: Any) -> str:
    return bytes(value).rstrip(b"\0").hex() if isinstance(value, Array) else repr(value)
