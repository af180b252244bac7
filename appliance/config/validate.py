"""The shaped tree through the models: a `Config` of whatever is sound, and a `Mistake` for each thing that isn't.

What is broken is taken out and the rest validated again, so that the cross checks can still judge the sound part.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from appliance.config.document import Entry, Node
from appliance.config.errors import BadValueError, Mistake, instead_of, listed, quoted
from appliance.config.models import Config
from appliance.config.objects import Names, named_ports
from appliance.config.places import Path, existing, keys_at, locate, subject
from appliance.config.source import Source

EXAMPLES = {  # what to add for a missing key; where a key means different things, by section
    "nics": "nics: {wan: {address: 203.0.113.7/24}}",
    "zones": "zones: {internet: {nics: [wan]}}",
    "zones.nics": "nics: [NIC]",
    "routes.to": "to: 10.0.0.0/8",
    "via": "via: 192.168.10.254",
    "from": "from: [ZONE]",
    "to": "to: [ZONE]",
    "pool": "pool: 203.0.113.8-203.0.113.15",
    "one-to-one.outside": "outside: 203.0.113.20",
    "one-to-one.inside": "inside: 192.168.10.20",
    "netmap.outside": "outside: 10.99.0.0/16",
    "netmap.inside": "inside: 10.1.0.0/16",
    "nptv6.outside": "outside: 2001:db8:1::/48",
    "nptv6.inside": "inside: fd00:1::/48",
    "on": "on: ZONE",
    "port": "port: tcp/443",
    "forward.to": "to: 192.168.10.20:443",
    "listen": "listen: [203.0.113.10:443/tcp]",
    "targets": "targets: [{name: w1, address: 10.0.1.11:8443}]",
    "name": "name: w1",
    "address": "address: 10.0.1.11:8443",
    "protocol": "protocol: tcp",
    "listen.port": "port: 443",
    "listen.address": "address: 203.0.113.10",
}
KEY, ITEM = 3, 2  # lengths of the paths to `nics, wan, mtu` and to `nics, wan`
NEEDED = ("nics", "zones")
FILLED = ("kind", "line", "members", "name", "verdict", "words")  # entries that the loader adds to what was written


@dataclass(frozen=True, slots=True)
class Draft:
    """What the models made of a tree. `broken`: paths of what was left out or lost keys, at most two parts long."""

    tree: Node
    config: Config | None
    broken: frozenset[Path]
    mistakes: list[Mistake]


def validate(tree: Node, source: Source) -> Draft:
    """Build the configuration; if there are mistakes, once more without the broken keys, and without the items that then lack one."""
    names = _names(tree)
    config, errors = _build(tree, names)
    mistakes = [_mistake(error, tree, source) for error in errors]
    said = {(mistake.line, mistake.column) for mistake in mistakes}
    mistakes += [source.mistake(at, *words) for at, words in _empty_values(tree, tree, ()) if source.place(at) not in said]
    broken = frozenset(error["loc"][:2] for error in errors)
    for depth in (KEY, ITEM):
        if errors:
            tree = _without(tree, (), {_victim(error, tree, depth) for error in errors})
            config, errors = _build(tree, names)
    return Draft(tree, config, broken, mistakes)


def _names(tree: Node) -> Names:
    """The names that the file defines, sound or not: nobody is told that one is missing which only awaits its correction."""
    sections = tree.value if isinstance(tree.value, dict) else {}
    objects, nics, ports, schedules = (_items(sections.get(section)) for section in ("objects", "nics", "ports", "schedules"))
    written = {name: item["words"] for name, item in ports.items() if isinstance(item, dict) and "words" in item}
    return Names(frozenset(objects), frozenset(nics), named_ports(written), frozenset(schedules))


def _items(section: Entry | None) -> dict[str, Any]:
    plain = None if section is None else _plain(section.node)
    return plain if isinstance(plain, dict) else {}


def _build(tree: Node, names: Names) -> tuple[Config | None, list[ErrorDetails]]:
    try:
        return Config.model_validate(_plain(tree), by_alias=True, by_name=False, context=names), []
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
        return None, [each for each in errors if each["type"] != "default_factory_not_called"]


def _plain(node: Node) -> Any:
    value = node.value
    if isinstance(value, dict):
        return {key: text if type(text := entry.node.value) is str else _plain(entry.node) for key, entry in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _mistake(error: ErrorDetails, tree: Node, source: Source) -> Mistake:
    path = error["loc"]
    entry = locate(tree, path)
    where = subject(tree, path)

    def say(at: int, where: str, what: str, found: str, hint: str) -> Mistake:
        return source.mistake(at, f"{where}: {what}" if where else what, found, hint)

    bad = error.get("ctx", {}).get("error")
    if isinstance(bad, BadValueError):
        return say(entry.node.at, where, bad.what, bad.found or entry.node.shown(), bad.hint)
    key, above = str(path[-1]), subject(tree, path[:-1])
    match error["type"]:
        case "missing":
            return say(entry.at, above, f"missing key {quoted(key)}", _written(entry.node, path), f"add {quoted(_example(path))}")
        case "extra_forbidden":
            return say(entry.at, above, "unknown key", quoted(key), _instead_of_key(key, keys_at(path[:-1])))
        case "dict_type" | "model_type" | "model_attributes_type":
            return say(entry.node.at, where, "must be a mapping", entry.node.shown(), "write `key: value` pairs, or remove it")
        case "tuple_type" | "list_type":
            return say(entry.node.at, where, "must be a list", entry.node.shown(), "write its items in [ ] or on lines with `- `")
    return say(entry.node.at, where, error["msg"], entry.node.shown(), "correct the value")


def _example(path: Path) -> str:
    """The longest entry that fits: `forward.to` before `to`."""
    words = [part for part in path if isinstance(part, str)]
    for above in reversed(words[:-1]):
        if f"{above}.{words[-1]}" in EXAMPLES:
            return EXAMPLES[f"{above}.{words[-1]}"]
    return EXAMPLES.get(words[-1], f"{words[-1]}: VALUE")


def _instead_of_key(key: str, known: tuple[str, ...]) -> str:
    if key == "<<":
        return "merge keys are not read: write the keys out"
    return instead_of(key.replace("_", "-"), known)


def _written(node: Node, path: Path) -> str:
    """The keys that somebody wrote next to a missing one."""
    if not isinstance(node.value, dict):
        return node.shown()
    known = keys_at(path[:-1])
    return listed(key for key in node.value if key in known or key not in FILLED)


def _empty_values(tree: Node, node: Node, path: Path) -> Iterator[tuple[int, tuple[str, str, str]]]:
    """Keys without a value, where the models would take a default: nobody should have to guess which."""
    if node.value is None:
        where = subject(tree, path)
        yield node.at, (f"{where}: no value" if where else "no value", "nothing", "write one, or remove the key")
    elif not node.blank:
        return
    elif isinstance(node.value, dict):
        for key, entry in node.value.items():
            yield from _empty_values(tree, entry.node, (*path, key))
    elif isinstance(node.value, list):
        for index, item in enumerate(node.value):
            yield from _empty_values(tree, item, (*path, index))


def _victim(error: ErrorDetails, tree: Node, depth: int) -> Path:
    """What to take out of the tree because of an error: the unknown key alone, or what is broken down to `depth`."""
    path = existing(tree, error["loc"])
    return path if error["type"] == "extra_forbidden" else path[:depth]


def _without(node: Node, path: Path, drop: set[Path]) -> Node:
    if isinstance(node.value, dict):
        kept = {
            key: Entry(entry.at, _without(entry.node, (*path, key), drop), entry.plain)
            for key, entry in node.value.items()
            if (*path, key) not in drop
        }
        if not path:  # what every file needs may be empty here, but not absent
            kept |= {key: Entry(node.at, Node(node.at, {})) for key in NEEDED if key not in kept}
        return node.holding(kept)
    if isinstance(node.value, list):
        items = [_without(item, (*path, i), drop) for i, item in enumerate(node.value) if (*path, i) not in drop]
        return node.holding(items)
    return node
