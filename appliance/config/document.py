"""YAML as a tree of nodes that know their place: mappings, lists and text, nothing guessed.

Built from the events of libyaml instead of its objects, so that nothing is resolved behind the reader's back, and depth,
aliases, duplicate keys and tags are judged as they arrive. Plain `null`, `~` and nothing at all are None; every other
scalar stays text. Aliases share their anchor's node; what they would expand to is counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from yaml import parse
from yaml.cyaml import CBaseLoader
from yaml.error import MarkedYAMLError
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from appliance.config.errors import ConfigError, Mistake, listed, quoted
from appliance.config.source import Place, Source

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

    place: Place
    value: str | list[Node] | dict[str, Entry] | None
    plain: bool = False  # text without quotes
    size: int = 1  # nodes in it, aliases expanded
    height: int = 1
    blank: bool = False  # a value in it is missing

    def holding(self, value: list[Node] | dict[str, Entry]) -> Node:
        """The same node with other things in it."""
        return Node(self.place, value, self.plain, self.size, self.height, self.blank)

    def shown(self) -> str:
        """How a message names it."""
        if self.value is None or self.value == "":
            return "nothing"
        if isinstance(self.value, str):
            return quoted(self.value)
        if isinstance(self.value, dict):
            return f"a mapping of {listed(self.value, 4)}" if self.value else "an empty mapping"
        return "a list" if self.value else "an empty list"


@dataclass(slots=True)
class Entry:
    """A key's place and its value."""

    place: Place
    node: Node
    plain: bool = True  # the key has no quotes


@dataclass(slots=True)
class _Open:
    """A collection whose end hasn't come yet."""

    node: Node
    anchor: str | None
    key: Node | None = None  # mapping: the key that waits for its value
    repeated: bool = False  # mapping: that key was there before


@dataclass(slots=True)
class _Builder:
    source: Source
    mistakes: list[Mistake] = field(default_factory=list)
    stack: list[_Open] = field(default_factory=list)
    anchors: dict[str, Node | None] = field(default_factory=dict)  # None: still open
    expanded: int = 0
    root: Node | None = None

    def take(self, event: Event) -> None:
        start: Any = event.start_mark  # never None: the events come from a text
        offset: int = start.index
        match event:
            case ScalarEvent():
                plain, text = not event.style, event.value
                node = Node(self._place(offset, event.tag), None if plain and text in NULLS else text, plain)
                self._add(node, offset)
                if event.anchor:
                    self.anchors[event.anchor] = node
            case SequenceStartEvent() | MappingStartEvent():
                empty: dict[str, Entry] | list[Node] = {} if isinstance(event, MappingStartEvent) else []
                self._open(Node(self._place(offset, event.tag), empty), event.anchor, offset)
            case SequenceEndEvent() | MappingEndEvent():
                self._close(offset)
            case AliasEvent():
                self._add(self._alias(event, offset), offset)
            case DocumentStartEvent():
                self._start_document(event, offset)

    def _place(self, offset: int, tag: str | None) -> Place:
        place = self.source.place(offset)
        if tag is not None:
            self.mistakes.append(self.source.mistake(place, "tags have no meaning here", quoted(tag), "remove the tag"))
        return place

    def _start_document(self, event: DocumentStartEvent, offset: int) -> None:
        if event.explicit:
            end: Any = event.end_mark
            offset = end.index - len("---")  # behind its directives
        if self.root is not None:
            raise self.source.refuse(offset, "second document in the file", "`---`", "keep one document a file")
        if event.version is not None and tuple(event.version) != (1, 2):
            found = quoted("%YAML " + ".".join(str(number) for number in event.version))
            raise self.source.refuse(offset, "only YAML 1.2 is read", found, "remove the directive")

    def _alias(self, event: AliasEvent, offset: int) -> Node:
        name = event.anchor
        if name not in self.anchors:
            raise self.source.refuse(offset, "unknown alias", quoted(f"*{name}"), "define its anchor first")
        node = self.anchors[name]
        if node is None:
            raise self.source.refuse(offset, "alias inside its own anchor", quoted(f"*{name}"), "write the value out")
        self.expanded += node.size
        if self.expanded > MOST_EXPANDED:
            raise self.source.refuse(offset, "aliases expand to too much", quoted(f"*{name}"), "write the values out")
        self._check_depth(len(self.stack) + node.height, offset)
        return node

    def _check_depth(self, depth: int, offset: int) -> None:
        if depth > DEEPEST:
            raise self.source.refuse(offset, "nested too deeply", f"{depth} levels", f"stay within {DEEPEST} levels")

    def _open(self, node: Node, anchor: str | None, offset: int) -> None:
        self._check_depth(len(self.stack) + 1, offset)
        if self.stack and isinstance(self.stack[-1].node.value, dict) and self.stack[-1].key is None:
            hint = "write `key: value`, and quote text that starts with a bracket"
            raise self.source.refuse(offset, "key is not text", "a mapping or a list", hint)
        if anchor:
            self.anchors[anchor] = None
        self.stack.append(_Open(node, anchor))

    def _close(self, offset: int) -> None:
        done = self.stack.pop()
        if done.anchor:
            self.anchors[done.anchor] = done.node
        self._add(done.node, offset)

    def _add(self, node: Node, offset: int) -> None:
        if not self.stack:
            self.root = node
            return
        top = self.stack[-1]
        holder, key = top.node, top.key
        into = holder.value
        if isinstance(into, list):
            into.append(node)
        elif key is None:
            self._key(top, node, offset)
            return
        else:
            if node.value is None:
                node = Node(key.place, None)  # nothing has no place of its own
            if isinstance(into, dict) and not top.repeated:
                into[key.value if isinstance(key.value, str) else ""] = Entry(key.place, node, key.plain)
            top.key, top.repeated = None, False
        if node.value is None or node.blank:
            holder.blank = True
        holder.size += node.size
        if node.height >= holder.height:
            holder.height = node.height + 1

    def _key(self, top: _Open, key: Node, offset: int) -> None:
        if isinstance(key.value, dict | list):
            raise self.source.refuse(offset, "key is not text", key.shown(), "write `key: value`")
        text = key.value or ""
        if not text:
            self.mistakes.append(self.source.mistake(key.place, "empty key", "nothing", "write a name before the colon"))
        into = top.node.value
        if isinstance(into, dict) and text in into:
            hint = f"remove one of the two; the first is on line {into[text].place.line}"
            self.mistakes.append(self.source.mistake(key.place, "duplicate key", quoted(text), hint))
            top.repeated = True
        top.key = key


def read_document(source: Source) -> tuple[Node, list[Mistake]]:
    """The document's root and the mistakes that don't hide others. Raises ConfigError where reading can't go on."""
    builder = _Builder(source)
    try:
        for event in _events(source):
            builder.take(event)
        if builder.root is None or builder.root.value is None:
            raise source.refuse(0, "empty file", "nothing", "write at least `nics:` and `zones:`")
    except ConfigError as error:
        raise ConfigError([*builder.mistakes, *error.mistakes]) from error
    return builder.root, builder.mistakes


def _events(source: Source) -> Iterator[Event]:
    try:
        yield from parse(source.text, Loader=CBaseLoader)
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
