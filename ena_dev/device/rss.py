"""Receive-side scaling as the driver sets it: function, key, table, input.

Only Toeplitz exists. The hash consumes the key of the control buffer last byte first, so the engine gets it reversed. A key can be
read back only after it was set: an earlier answer would overwrite the random key that the driver keeps in that very buffer.
Source: ENA interface, RSS.
"""

from __future__ import annotations

from collections.abc import Mapping
from ctypes import Array

from ena_dev.abi.admin import FeatureCommand
from ena_dev.abi.features import (
    NO_INLINE_ENTRY,
    FeatureId,
    HashField,
    HashFields,
    HashFunction,
    HashProtocol,
    RssHashFunction,
    RssHashInput,
    RssHashInputTable,
    RssIndirection,
    RssIndirectionEntry,
    RssKey,
)
from ena_dev.device.control_buffer import illegal, read_buffer, unsupported, write_buffer
from ena_dev.device.feature import Feature, payload
from ena_dev.device.interfaces import Engine, Memory, RssSpec

DEFAULT_KEY = bytes.fromhex("6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa")
FOUR_TUPLE = HashField.L3_SOURCE | HashField.L3_DESTINATION | HashField.L4_SOURCE | HashField.L4_DESTINATION
HASHED = frozenset({HashProtocol.TCP4, HashProtocol.UDP4, HashProtocol.TCP6, HashProtocol.UDP6})


class Rss:
    """The RSS state of one card since its last reset. What a command asks may be Refused."""

    def __init__(self, memory: Memory, engine: Engine, table_log: int) -> None:
        self._memory, self._engine, self._table_log = memory, engine, table_log
        self._key: bytes | None = None  # as it lies in the driver's memory
        self._initial = 0
        self._table: tuple[int, ...] = ()

    def reset(self) -> None:
        self._key, self._initial, self._table = None, 0, ()
        self._apply()

    def features(self) -> Mapping[FeatureId, Feature]:
        return {
            FeatureId.RSS_HASH_FUNCTION: Feature(get=self._get_function, set=self._set_function),
            FeatureId.RSS_INDIRECTION_TABLE_CONFIG: Feature(get=self._get_table, set=self._set_table),
            FeatureId.RSS_HASH_INPUT: Feature(get=self._get_input, set=self._set_input),
        }

    def _get_function(self, command: FeatureCommand) -> RssHashFunction:
        buffer = command.buffer
        if buffer.length and self._key is not None:
            write_buffer(self._memory, buffer, bytes(RssKey(parts=RssKey.PARTS, key=(*self._key,))))
        return RssHashFunction(supported=HashFunction.TOEPLITZ, selected=HashFunction.TOEPLITZ, initial_value=self._initial)

    def _set_function(self, command: FeatureCommand) -> None:
        """Without a control buffer only the initial value changes."""
        choice, buffer = payload(command, RssHashFunction), command.buffer
        if choice.selected != HashFunction.TOEPLITZ:
            raise unsupported(f"hash function {choice.selected:#x}")
        if buffer.length:
            record = RssKey.parse(read_buffer(self._memory, buffer, RssKey.size()))
            if record.parts != RssKey.PARTS:
                raise illegal(f"a key of {record.parts} words")
            self._key = bytes(record.key)
        self._initial = choice.initial_value
        self._apply()

    def _get_table(self, command: FeatureCommand) -> RssIndirection:
        if command.buffer.length and self._table:
            write_buffer(self._memory, command.buffer, b"".join(bytes(RssIndirectionEntry(queue=queue)) for queue in self._table))
        size = self._table_log
        return RssIndirection(min_size_log=size, max_size_log=size, size_log=size, inline_index=NO_INLINE_ENTRY)

    def _set_table(self, command: FeatureCommand) -> None:
        """Entries are taken as they are: drivers send stale ones, and the engine knows what to do about them."""
        choice = payload(command, RssIndirection)
        if choice.size_log != self._table_log or choice.inline_index != NO_INLINE_ENTRY:
            raise illegal(f"a table of 2**{choice.size_log} entries, inline index {choice.inline_index:#x}")
        entries = RssIndirectionEntry * (1 << self._table_log)
        data = read_buffer(self._memory, command.buffer, RssIndirectionEntry.size() << self._table_log)
        self._table = tuple(int(entry.queue) for entry in entries.from_buffer_copy(data))
        self._apply()

    def _get_input(self, command: FeatureCommand) -> RssHashInput:
        """The input is fixed: both addresses and ports of TCP and UDP, over either IP."""
        if command.buffer.length:
            write_buffer(self._memory, command.buffer, bytes(RssHashInputTable(supported=_fields(), selected=_fields())))
        return RssHashInput()

    def _set_input(self, command: FeatureCommand) -> None:
        """A driver may ask for what is done anyway; anything else is something this card lacks."""
        table = RssHashInputTable.parse(read_buffer(self._memory, command.buffer, RssHashInputTable.size()))
        if bytes(table.selected) != bytes(_fields()):
            raise unsupported("the hash input is fixed")

    def _apply(self) -> None:
        key = DEFAULT_KEY if self._key is None else self._key[::-1]
        self._engine.set_rss(RssSpec(key=key, initial=int(self._initial), table=self._table))


def _fields() -> Array[HashFields]:
    """One array of the input table, as it stands for ever."""
    array = HashFields * RssHashInputTable.PROTOCOLS
    return array(*(HashFields(fields=FOUR_TUPLE if protocol in HASHED else 0) for protocol in range(RssHashInputTable.PROTOCOLS)))
