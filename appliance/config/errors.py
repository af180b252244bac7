"""What goes wrong with a file: one `BadValueError` where a value is read, one `Mistake` with its place, one `ConfigError` with all of them.

Readers of single values raise `BadValueError` and know nothing about files. The loader finds the place and makes a `Mistake`
of it. Every message has the same three parts, in this order: what is wrong, what was found, what would do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from ena_dev.errors import SoftenaError

LONGEST_SHOWN = 60  # characters of a found value that a message repeats


class BadValueError(ValueError):
    """A value that can't be used. `hint` says what would do; `found` overrides the text that the file has there."""

    def __init__(self, what: str, hint: str, found: str | None = None) -> None:
        super().__init__(f"{what}, {hint}")
        self.what, self.hint, self.found = what, hint, found


@dataclass(frozen=True, slots=True, order=True)
class Mistake:
    """One mistake (or warning) and its place: 1-based line and column, the column in characters."""

    file: str
    line: int
    column: int
    what: str
    found: str
    hint: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.what}, found {self.found}, {self.hint}"


class ConfigError(SoftenaError):
    """A file that can't be used. `mistakes` holds every mistake found, in the order of the file."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = list(mistakes)
        super().__init__("\n".join(str(mistake) for mistake in self.mistakes))


def quoted(text: str) -> str:
    """`text` in backquotes, on one line, shortened when long."""
    return f"`{one_line(text)}`"


def one_line(text: str) -> str:
    """`text` as a terminal may have it: what doesn't print is escaped, and what is long is cut."""
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[: LONGEST_SHOWN + 1])
    return line if len(line) <= LONGEST_SHOWN else line[: LONGEST_SHOWN - 1] + "…"


def listed(words: Iterable[str], limit: int = 12) -> str:
    """The words in backquotes with commas, at most `limit` of them."""
    shown = [quoted(word) for word in words]
    return ", ".join(shown[:limit]) + (", …" if len(shown) > limit else "") if shown else "nothing"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant, if one is close."""
    close = get_close_matches(word[:LONGEST_SHOWN].lower(), list(known), n=1, cutoff=0.6)
    return close[0] if close else None


def instead_of(word: str, known: Iterable[str], otherwise: str = "use one of") -> str:
    """The hint for an unknown word: the near one, or the list of all."""
    words = sorted(known)
    close = nearest(word, words)
    return f"did you mean {quoted(close)}?" if close else f"{otherwise} {listed(words)}"
