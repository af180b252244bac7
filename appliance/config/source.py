"""A file as text with places: reads bytes that nobody vouches for, and turns offsets into 1-based lines and columns.

Places count characters, not bytes, and lines end at line feeds alone (a carriage return before one belongs to the line),
as editors count.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from pathlib import Path
from typing import NamedTuple

from appliance.config.errors import ConfigError, Mistake, quoted

LARGEST = 4 << 20  # bytes
UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
"""As in YAML 1.2.2, section 5.1, and the line breaks of YAML 1.1 too: what follows one in a comment would count, unseen."""
TABBED = re.compile(r"^[ ]*\t[ \t]*(?=[^\s#])", re.MULTILINE)


class Place(NamedTuple):
    """1-based line and column."""

    line: int
    column: int


class Source:
    """The text of one file. `name` is what messages call it."""

    def __init__(self, text: str, name: str) -> None:
        self.text, self.name = text, name
        self._starts = [0, *(found.end() for found in re.finditer("\n", text))]

    def place(self, offset: int) -> Place:
        """Where the character at `offset` is; an offset behind the end is the end."""
        end = len(self.text)
        if offset >= end:
            offset = end - 1 if end and self._starts[-1] == end else end  # behind the last line feed there's no line: stay on its own
        line = bisect_right(self._starts, offset)
        return Place(line, offset - self._starts[line - 1] + 1)

    def rest_of_line(self, offset: int) -> str:
        """What a reader sees from `offset` on."""
        return self.text[offset : offset + 200].split("\n", 1)[0].strip()

    def mistake(self, at: int, what: str, found: str, hint: str) -> Mistake:
        """A mistake in this file, at an offset."""
        line, column = self.place(at)
        return Mistake(self.name, line, column, what, found, hint)

    def refuse(self, offset: int, what: str, found: str, hint: str) -> ConfigError:
        """The error of a file that can't be read past `offset`."""
        return ConfigError([self.mistake(offset, what, found, hint)])


def open_source(path: Path) -> Source:
    """Read a file. Raises ConfigError if it can't be read, is too large, or isn't text."""
    name = str(path)
    try:
        with path.open("rb") as stream:
            data = stream.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise Source("", name).refuse(0, "file can't be read", why[:1].lower() + why[1:], "check the path and its permissions") from error
    return decoded(data, name)


def decoded(data: bytes, name: str) -> Source:
    """The text of `data`, which must be UTF-8."""
    if len(data) > LARGEST:
        raise Source("", name).refuse(0, "file is too large", f"more than {LARGEST} bytes", "split or shorten it")
    try:
        return checked(data.decode("utf-8-sig"), name)
    except UnicodeDecodeError as error:
        readable = Source(error.object[: error.start].decode("utf-8", "replace"), name)
        line, column = len(readable._starts), len(readable.text) - readable._starts[-1] + 1
        found = f"byte {error.object[error.start]:#04x}"
        raise ConfigError([Mistake(name, line, column, "not UTF-8 text", found, "save the file as UTF-8")]) from error


def checked(text: str, name: str) -> Source:
    """The text as a source, unless it holds what no configuration needs: control characters, tabs as indentation."""
    source = Source(text, name)
    if len(text) > LARGEST:
        raise source.refuse(0, "file is too large", f"more than {LARGEST} characters", "split or shorten it")
    if odd := UNPRINTABLE.search(text):
        raise source.refuse(odd.start(), "unprintable character", f"U+{ord(odd[0]):04X}", "remove it")
    tabs = [tab.start() + tab[0].index("\t") for tab in TABBED.finditer(text)]
    if tabs:
        mistakes = [source.mistake(at, "tab in the indentation", quoted("\t"), "indent with spaces") for at in tabs]
        raise ConfigError(mistakes)
    return source
