"""YAML as a tree of nodes that know their place: mappings, lists and text, nothing guessed.

Built from the events of libyaml instead of its objects, so that nothing is resolved behind the reader's back, and depth,
aliases, duplicate keys and tags are judged as they arrive. Plain `null`, `~` and nothing at all are None; every other
scalar stays text. Aliases share their anchor's node; what they would expand to is counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from yaml.cyaml import CBaseLoader
from yaml.error import MarkedYAMLError
from yaml.events import (
    AliasEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
)

from appliance.config.errors import ConfigError, Mistake, listed, quoted
from appliance.config.source import Source

DEEPEST = 32
MOST_EXPANDED = 20_000  # nodes that aliases may add
NULLS = ("", "~", "null", "Null", "NULL")
UNCLOSED_BRACKET = "bracket not closed, or no comma between two items"
UNCLOSED_QUOTE = "quote not closed"
INDENTED = "indentation differs from the lines above"
SYNTAX = (  # what the parser says, what that means to a reader, what would do
    ("cannot start any token", "text starts with a special character", "put quotes around the text"),
    ("mapping values are not allowed", "unexpected colon", "quote text that contains `: `, or indent like the lines above"),
    ("unexpected ':'", "text in brackets starts or ends with a colon", "put quotes around the text"),
    ("expected ',' or", UNCLOSED_BRACKET, "close it, and quote text with brackets or commas"),
    ("could not find expected ':'", "line without a colon", "write `key: value`, or indent like the lines above"),
    ("unexpected end of stream", UNCLOSED_QUOTE, "close the quote"),
    ("unexpected document indicator", UNCLOSED_QUOTE, "close the quote"),
    ("expected key", INDENTED, "indent like the lines it belongs to"),
    ("expected '-' indicator", INDENTED, "indent like the lines it belongs to"),
    ("expected <document start>", INDENTED, "indent like the lines it belongs to"),
    ("escape character", "unknown escape sequence", "use single quotes, or write two backslashes"),
    ("expected node content", "value expected", "put a value here, and quote text that starts with a bracket"),
    ("incompatible YAML document", "only YAML 1.2 is read", "remove the directive"),
)
OTHER_SYNTAX = "check brackets, quotes and indentation near here"


@dataclass(slots=True)
class Node:
    """One value and its place. `value`: text or None, a list of nodes, or entries by key in the order of the file."""

    at: int
    """Where it starts in the text; `Source.place` makes a line and a column of it."""
    value: str | list[Node] | dict[str, Entry] | None
    plain: bool = False  # text without quotes
    blank: bool = False  # a value in it is missing

    def holding(self, value: list[Node] | dict[str, Entry]) -> Node:
        """The same node with other things in it."""
        return Node(self.at, value, self.plain, self.blank)

    def shown(self) -> str:
        """How a message names it."""
        if self.value is None or self.value == "":
            return "nothing"
        if isinstance(self.value, str):
            return quoted(self.value)
        if isinstance(self.value, dict):
            return f"a mapping of {listed(self.value, 4)}" if self.value else "an empty mapping"
        return "a list" if self.value else "an empty list"

    def extent(self) -> tuple[int, int]:
        """Nodes in it and levels of them, with all aliases written out."""
        if not isinstance(self.value, dict | list):
            return 1, 1
        nodes = self.value if isinstance(self.value, list) else (entry.node for entry in self.value.values())
        sizes, heights = zip((0, 0), *(node.extent() for node in nodes), strict=True)
        return 1 + sum(sizes), 1 + max(heights)


@dataclass(slots=True)
class Entry:
    """A key's place and its value."""

    at: int
    node: Node
    plain: bool = True  # the key has no quotes


class _Reader:
    """Takes the events of one file. Collections call each other for what is in them, no deeper than DEEPEST."""

    def __init__(self, source: Source) -> None:
        self.mistakes: list[Mistake] = []
        self._source = source
        self._events = _events(source)
        self._anchors: dict[str, Node | None] = {}  # None: still open
        self._expanded = 0
        self._depth = 0  # collections that are open

    def document(self) -> Node | None:
        """The root of the one document in the file."""
        root = None
        for event in self._events:
            if isinstance(event, DocumentStartEvent):
                self._start_document(event, root is not None)
            elif isinstance(event, NodeEvent):
                root = self._node(event)
        return root

    def _start_document(self, event: DocumentStartEvent, is_second: bool) -> None:
        begin: Any = event.start_mark  # never None: the events come from a text
        end: Any = event.end_mark
        at = end.index - len("---") if event.explicit else begin.index  # behind its directives
        if is_second:
            raise self._source.refuse(at, "second document in the file", "`---`", "keep one document a file")
        if event.version is not None and tuple(event.version) != (1, 2):
            found = quoted("%YAML " + ".".join(str(number) for number in event.version))
            raise self._source.refuse(at, "only YAML 1.2 is read", found, "remove the directive")

    def _node(self, event: Any) -> Node:
        """The value that begins with this event."""
        kind, at = type(event), event.start_mark.index
        if kind is ScalarEvent:
            text, plain = event.value, not event.style
            node = Node(at, None if plain and text in NULLS else text, plain)
            if event.tag is not None:
                self._refuse_tag(event.tag, at)
        elif kind is AliasEvent:
            return self._alias(event.anchor, at)
        else:
            node = self._collection(event, at)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _collection(self, event: Any, at: int) -> Node:
        if event.tag is not None:
            self._refuse_tag(event.tag, at)
        self._check_depth(self._depth + 1, at)
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        self._depth += 1
        node = self._mapping(at) if isinstance(event, MappingStartEvent) else self._list(at)
        self._depth -= 1
        return node

    def _list(self, at: int) -> Node:
        items: list[Node] = []
        blank = False
        for event in self._events:
            if type(event) is SequenceEndEvent:
                break
            node = self._node(event)
            items.append(node)
            if node.value is None or node.blank:
                blank = True
        return Node(at, items, False, blank)

    def _mapping(self, at: int) -> Node:
        entries: dict[str, Entry] = {}
        blank = False
        take, events = self._node, self._events
        for event in events:
            if type(event) is MappingEndEvent:
                break
            text, key_at, plain = self._key(event)
            repeated = text in entries
            if repeated or not text:
                self._odd_key(text, key_at, entries)
            node = take(next(events))
            if node.value is None:
                node = Node(key_at, None)  # nothing has no place of its own
            if node.value is None or node.blank:
                blank = True
            if not repeated:
                entries[text] = Entry(key_at, node, plain)
        return Node(at, entries, False, blank)

    def _key(self, event: Any) -> tuple[str, int, bool]:
        """The text of a key, where it is, and whether it has no quotes."""
        at = event.start_mark.index
        if type(event) is ScalarEvent and event.tag is None and event.anchor is None:
            text, plain = event.value, not event.style
            return "" if plain and text in NULLS else text, at, plain
        if isinstance(event, CollectionStartEvent):
            if event.tag is not None:
                self._refuse_tag(event.tag, at)
            self._check_depth(self._depth + 1, at)
            hint = "write `key: value`, and quote text that starts with a bracket"
            raise self._source.refuse(at, "key is not text", "a mapping or a list", hint)
        key = self._node(event)
        if isinstance(key.value, dict | list):
            raise self._source.refuse(at, "key is not text", key.shown(), "write `key: value`")
        return key.value or "", key.at, key.plain

    def _odd_key(self, text: str, at: int, entries: dict[str, Entry]) -> None:
        if not text:
            self.mistakes.append(self._source.mistake(at, "empty key", "nothing", "write a name before the colon"))
        if text in entries:
            hint = f"remove one of the two; the first is on line {self._source.place(entries[text].at).line}"
            self.mistakes.append(self._source.mistake(at, "duplicate key", quoted(text), hint))

    def _refuse_tag(self, tag: str, at: int) -> None:
        self.mistakes.append(self._source.mistake(at, "tags have no meaning here", quoted(tag), "remove the tag"))

    def _alias(self, name: str, at: int) -> Node:
        if name not in self._anchors:
            raise self._source.refuse(at, "unknown alias", quoted(f"*{name}"), "define its anchor first")
        node = self._anchors[name]
        if node is None:
            raise self._source.refuse(at, "alias inside its own anchor", quoted(f"*{name}"), "write the value out")
        size, height = node.extent()
        self._expanded += size
        if self._expanded > MOST_EXPANDED:
            raise self._source.refuse(at, "aliases expand to too much", quoted(f"*{name}"), "write the values out")
        self._check_depth(self._depth + height, at)
        return node

    def _check_depth(self, depth: int, at: int) -> None:
        if depth > DEEPEST:
            raise self._source.refuse(at, "nested too deeply", f"{depth} levels", f"stay within {DEEPEST} levels")


def read_document(source: Source) -> tuple[Node, list[Mistake]]:
    """The document's root and the mistakes that don't hide others. Raises ConfigError where reading can't go on."""
    reader = _Reader(source)
    try:
        root = reader.document()
        if root is None or root.value is None:
            raise source.refuse(0, "empty file", "nothing", "write at least `nics:` and `zones:`")
    except ConfigError as error:
        raise ConfigError([*reader.mistakes, *error.mistakes]) from error
    return root, reader.mistakes


def _events(source: Source) -> Iterator[Event]:
    try:
        following = CBaseLoader(source.text).get_event
        while (event := following()) is not None:
            yield event
    except MarkedYAMLError as error:
        raise _syntax(source, error) from error
    except Exception as error:  # the parser is foreign code, and its own failures on odd input are the input's fault here
        raise source.refuse(len(source.text), "not YAML", type(error).__name__, OTHER_SYNTAX) from error


def _syntax(source: Source, error: MarkedYAMLError) -> ConfigError:
    problem = " ".join(str(error.problem or error.context or "not YAML").split())
    mark, opened = error.problem_mark or error.context_mark, error.context_mark
    if "expected node content" in problem and mark is not None:
        follows = source.text[mark.index :].lstrip()[:1]
        problem = {"": "expected ',' or", ":": "unexpected ':'"}.get(follows, problem)  # at the end, a bracket's end is missing
    for part, what, hint in SYNTAX:
        if part not in problem:
            continue
        if what == UNCLOSED_QUOTE:
            mark = opened or mark  # the end of the file is no place to look for it
        elif what == UNCLOSED_BRACKET and mark is not None and opened is not None and mark.line != opened.line:
            hint += f"; it opens on line {source.place(opened.index).line}"
        return _refusal(source, mark, what, hint)
    return _refusal(source, mark, problem, OTHER_SYNTAX)


def _refusal(source: Source, mark: Any, what: str, hint: str) -> ConfigError:
    offset = len(source.text) if mark is None else mark.index
    rest = source.rest_of_line(offset)
    return source.refuse(offset, f"YAML syntax: {what}", quoted(rest) if rest else "the end of the line", hint)
