"""From the tree as written to the tree as modelled: names and lines become entries, one-key items become mappings.

    nics: {wan: {...}}                   ->  nics: {wan: {name: wan, line: 3, ...}}
    objects: {nets: [10.0.0.0/8]}        ->  objects: {nets: {kind: group, name: nets, line: 4, members: [...]}}
    policy: [home out: {allow: any}]     ->  policy: [{name: home out, line: 9, verdict: allow, allow: any}]
    nat: [out: {masquerade: {...}}]      ->  nat: [{name: out, line: 12, kind: masquerade, ...}]

Every entry keeps or inherits a place, so that whatever later stages object to is found in the file. Items that have no
such shape are reported here and left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from appliance.config.document import Entry, Node
from appliance.config.errors import ConfigError, Mistake, instead_of, quoted
from appliance.config.models import Config, Nic, Route, Rule, Service, Zone
from appliance.config.nat import NAT_KINDS
from appliance.config.objects import OBJECT_KINDS, Ports
from appliance.config.places import named
from appliance.config.rules import VERDICTS
from appliance.config.schedules import Schedule
from appliance.config.section import Section
from appliance.config.source import Source

MARKED = ("file", "fqdn")
"""Kinds of objects that are told by a key of the same name."""
OTHER_TYPES = re.compile(r"(?i:y|n|yes|no|on|off|true|false|null|~)|[0-9]+(:[0-5]?[0-9])+|0o?[0-7]+")  # in YAML 1.1 or 1.2, not text


def shape(root: Node, source: Source) -> tuple[Node, list[Mistake]]:
    """The modelled tree, and what could not be brought into shape. Raises ConfigError if there is no mapping at all."""
    if not isinstance(root.value, dict):
        mistake = source.mistake(root.at, "file must be a mapping", root.shown(), "write `nics:`, `zones:` and the rest as keys")
        raise ConfigError([mistake])
    shaper = _Shaper(source)
    sections = dict(root.value)
    for key, entry in root.value.items():
        sections[key] = Entry(entry.at, shaper.section(key, entry.node), entry.plain)
    shaped = shaper.filled(Config, root.holding(sections), "", {})
    return shaped, shaper.mistakes


@dataclass(slots=True)
class _Shaper:
    source: Source
    mistakes: list[Mistake] = field(default_factory=list)

    def say(self, at: int, where: str, what: str, found: str, hint: str) -> None:
        self.mistakes.append(self.source.mistake(at, f"{where}: {what}" if where else what, found, hint))

    def line(self, at: int) -> str:
        return str(self.source.place(at).line)

    def section(self, key: str, node: Node) -> Node:
        models: dict[str, type[Section]] = {"nics": Nic, "zones": Zone, "services": Service, "schedules": Schedule}
        if key in ("objects", "ports") and isinstance(node.value, dict):
            make = self.object if key == "objects" else self.ports
            return node.holding({name: make(name, entry) for name, entry in node.value.items()})
        if key in models and isinstance(node.value, dict):
            return node.holding({name: self.named_item(key, models[key], name, entry) for name, entry in node.value.items()})
        if not isinstance(node.value, list):
            return node
        if key == "routes":
            return node.holding([self.filled(Route, item, key, {"line": self.line(item.at)}) for item in node.value])
        if key in ("policy", "nat"):
            return node.holding([made for item in node.value for made in self.ordered_item(key, item)])
        return node

    def named_item(
        self, section: str, model: type[Section], name: str, entry: Entry, more: Mapping[str, str] = MappingProxyType({})
    ) -> Entry:
        self.name(section, name, entry)
        extra = {"name": name, "line": self.line(entry.at), **more}
        return Entry(entry.at, self.filled(model, entry.node, named(section, name), extra, entry.at), entry.plain)

    def object(self, name: str, entry: Entry) -> Entry:
        """One object. What is no mapping is a group."""
        body = entry.node.value
        kind = next((kind for kind in MARKED if kind in body), "host") if isinstance(body, dict) else "group"
        entry = self.wrapped(entry, "members")
        return self.named_item("objects", OBJECT_KINDS[kind], name, entry, {"kind": kind})

    def ports(self, name: str, entry: Entry) -> Entry:
        return self.named_item("ports", Ports, name, self.wrapped(entry, "words"))

    def wrapped(self, entry: Entry, key: str) -> Entry:
        """What is written as a list, or alone, under the key that the model has for it."""
        node = entry.node
        if isinstance(node.value, dict) or node.value is None:
            return entry
        inner = Node(node.at, {key: Entry(node.at, node)}, False, node.blank)
        return Entry(entry.at, inner, entry.plain)

    def name(self, section: str, name: str, entry: Entry) -> None:
        if entry.plain and OTHER_TYPES.fullmatch(name):
            what = "name that YAML 1.1 does not read as text"
            self.say(entry.at, named(section, name), what, quoted(name), f'choose another name, or quote it: "{name}"')

    def filled(self, model: type[Section], node: Node, where: str, extra: dict[str, str], at: int | None = None) -> Node:
        """`node` with the entries that the loader fills in, which nobody may have written."""
        if not isinstance(node.value, dict):
            return node
        entries = node.value.copy()
        if not model.from_loader.isdisjoint(entries):
            for key in model.from_loader & entries.keys():
                self.say(entries.pop(key).at, where, "unknown key", quoted(key), instead_of(key, model.file_keys()))
        at = node.at if at is None else at
        for key, text in extra.items():
            entries[key] = Entry(at, Node(at, text))
        return node.holding(entries)

    def ordered_item(self, section: str, item: Node) -> Iterable[Node]:
        if not isinstance(item.value, dict) or len(item.value) != 1:
            example = "home out: {from: [home], to: [internet], allow: any}" if section == "policy" else "out: {masquerade: {...}}"
            self.say(item.at, section, "item must be one name with its mapping", item.shown(), f"write `- {example}`")
            return
        name, entry = next(iter(item.value.items()))
        self.name(section, name, entry)
        made = self.rule(name, entry) if section == "policy" else self.nat_rule(name, entry)
        if made is not None:
            made.at = entry.at
            yield made

    def rule(self, name: str, entry: Entry) -> Node | None:
        where, body = named("policy", name), entry.node.value
        if not isinstance(body, dict):
            self.say(entry.node.at, where, "must be a mapping", entry.node.shown(), "write {from: [ZONE], to: [ZONE], allow: any}")
            return None
        node = entry.node
        verdicts = body.keys() & VERDICTS
        if len(verdicts) != 1:
            body, verdicts = self.one_verdict(where, body, entry)
            node = node.holding(body)
        extra = {"name": name, "line": self.line(entry.at), "verdict": verdicts.pop()}
        return self.filled(Rule, node, where, extra, entry.at)

    def one_verdict(self, where: str, body: dict[str, Entry], entry: Entry) -> tuple[dict[str, Entry], set[str]]:
        """The body of a rule that has no verdict, or several, with one, and that one."""
        verdicts = [key for key in body if key in VERDICTS]
        for key in verdicts[1:]:
            what = f"both {quoted(verdicts[0])} and {quoted(key)}"
            self.say(body[key].at, where, what, quoted(key), "keep one, and make two rules of it")
        if verdicts:
            return {key: value for key, value in body.items() if key not in verdicts[1:]}, {verdicts[0]}
        found = ", ".join(map(quoted, body)) or "nothing"
        hint = "add `allow: any`, or the services it is about"
        self.say(entry.at, where, "missing key `allow`, `deny` or `reject`", found, hint)
        return {**body, "deny": Entry(entry.at, Node(entry.at, "any"))}, {"deny"}

    def nat_rule(self, name: str, entry: Entry) -> Node | None:
        where, body = named("nat", name), entry.node.value
        if not isinstance(body, dict) or not body:
            hint = "write {masquerade: {from: [ZONE], to: [ZONE]}} or {forward: {on: ZONE, port: tcp/443, to: ADDRESS}}"
            self.say(entry.node.at, where, "must be a mapping", entry.node.shown(), hint)
            return None
        kinds = [kind for kind in body if kind in NAT_KINDS]
        for key in body:
            if key not in NAT_KINDS:
                self.say(body[key].at, where, "unknown kind of translation", quoted(key), instead_of(key, NAT_KINDS))
        if len(kinds) > 1:
            self.say(body[kinds[1]].at, where, f"both `{kinds[0]}` and `{kinds[1]}`", quoted(kinds[1]), "make two rules of it")
        if not kinds:
            return None
        inner = body[kinds[0]]
        if not isinstance(inner.node.value, dict):
            self.say(inner.node.at, f"{where}: {kinds[0]}", "must be a mapping", inner.node.shown(), "write its keys in { }")
            return None
        extra = {"name": name, "line": self.line(entry.at), "kind": kinds[0]}
        return self.filled(NAT_KINDS[kinds[0]], inner.node, where, extra, entry.at)
