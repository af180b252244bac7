"""From the path of a value to its place in the file and to words: `("nics", "lan", "mtu")` is line 5, `nic "lan": mtu`.

Paths are those of the shaped tree (see `shape.py`), as pydantic reports them and the cross checks write them. A path may
go on where the file has a single value (a list of one), or name what isn't there: then the nearest place above holds.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, get_args

from appliance.config.document import Entry, Node
from appliance.config.errors import one_line
from appliance.config.models import Config
from appliance.config.nat import NAT_KINDS
from appliance.config.objects import OBJECT_KINDS
from appliance.config.schedules import SCHEDULE_TAGS
from appliance.config.section import Section

Path = tuple[int | str, ...]
KINDS = {
    "nics": "nic", "zones": "zone", "services": "service", "policy": "rule", "nat": "nat rule", "objects": "object", "ports": "ports",
    "schedules": "schedule",
}  # fmt: skip
TAGS = {"nat": NAT_KINDS, "objects": OBJECT_KINDS}
"""Words that pydantic puts into paths for the kind of an item."""
FILLED_IN = ("name", "members", "words")
"""Keys that hold the whole item, which the loader adds."""


def locate(root: Node, path: Path) -> Entry:
    """The value at `path` with its key; for items of a list, both are the item."""
    here = Entry(root.at, root)
    for part in existing(root, path):
        value = here.node.value
        if isinstance(value, dict):
            here = value[str(part)]
        elif isinstance(value, list):
            item = value[int(part)]
            here = Entry(item.at, item)
    return here


def existing(root: Node, path: Path) -> Path:
    """The parts of `path` that the tree has: tags of unions, indexes into single values and missing keys are left out."""
    taken: list[int | str] = []
    here = root
    for part in _untagged(path):
        if isinstance(here.value, dict) and part in here.value:
            here = here.value[str(part)].node
        elif isinstance(here.value, list) and isinstance(part, int) and part < len(here.value):
            here = here.value[part]
        else:
            continue
        taken.append(part)
    return tuple(taken)


def _untagged(path: Path) -> Path:
    """The path without the kind of its item, which may be called as one of the item's own keys: `objects, bad, file, file`."""
    tagged = len(path) > 3 and isinstance(path[3], str) and path[2] in TAGS.get(str(path[0]), ())
    return (*path[:2], *path[3:]) if tagged else path


def subject(root: Node, path: Path) -> str:
    """The path in a reader's words, empty for the file itself."""
    words: list[str] = []
    rest = _untagged(path)
    if len(path) >= 2 and path[0] in KINDS:
        words.append(named(str(path[0]), _name(root, path[:2])))
        rest = () if len(path) == 3 and path[2] in TAGS.get(str(path[0]), ()) else rest[2:]
        if rest and rest[0] in FILLED_IN:
            rest = rest[1:]
    words += [str(part) for part in rest if isinstance(part, str) and part not in SCHEDULE_TAGS]
    return ": ".join(words)


def named(section: str, name: str) -> str:
    """One item of a section: `nic "lan"`."""
    return f'{KINDS[section]} "{one_line(name)}"'


def _name(root: Node, path: Path) -> str:
    if isinstance(path[1], str):
        return path[1]
    item = locate(root, path).node.value
    name = item["name"].node.value if isinstance(item, dict) and "name" in item else None
    return name if isinstance(name, str) else str(path[1] + 1)


def keys_at(path: Path) -> tuple[str, ...]:
    """The keys that the mapping at `path` may have."""
    models: list[type[Section]] = [Config]
    for part in path:
        inside = [model for model in models if model in (NAT_KINDS.get(str(part)), OBJECT_KINDS.get(str(part)))]
        if inside:  # the tag of a kind
            models = inside
            continue
        fields = [field for model in models for name, field in model.model_fields.items() if part in (name, field.validation_alias)]
        if fields:
            models = [model for field in fields for model in _models(field.annotation)]
    return tuple(dict.fromkeys(key for model in models for key in model.file_keys()))


def _models(annotation: Any) -> Iterable[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)
