"""Cross checks of objects: groups that hold themselves, ends of addresses that no nic completes, objects that can't be forwarded to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from appliance.config.errors import quoted
from appliance.config.finding import Finding, Scope
from appliance.config.models import Config, Forward
from appliance.config.objects import Group, Host, ObjectName, Place, Relative
from appliance.config.places import Path, named
from appliance.config.resolve import Meanings, completed, prefix_of, single_addresses


def check(scope: Scope) -> Iterator[Finding]:
    """Findings about objects, and about what is written in their place."""
    for name, item in scope.config.objects.items():
        path: Path = ("objects", name)
        if isinstance(item, Host) and not (item.v4 or item.v6) and path not in scope.broken:
            yield Finding(path, "no address", "write `v4`, `v6` or both", "neither `v4` nor `v6`")
    yield from _circles(scope.config)
    yield from _relatives(scope)
    if not any(scope.lost(section) for section in ("objects", "nat", "nics")):
        yield from _forwards(scope.config)


def _circles(config: Config) -> Iterator[Finding]:
    """Each group that leads back to itself, at the member by which it does."""
    inside = {name: item.members if isinstance(item, Group) else () for name, item in config.objects.items()}
    groups = {name: [member for member in members if isinstance(member, ObjectName)] for name, members in inside.items()}
    for name, members in inside.items():
        for index, member in enumerate(members):
            if isinstance(member, ObjectName) and name in _reached(member, groups):
                hint = "remove it here, or there" if member != name else "remove it"
                yield Finding(("objects", name, "members", index), "group that holds itself, in the end", hint, quoted(member))
                break


def _reached(start: str, groups: dict[str, list[ObjectName]]) -> set[str]:
    reached, waiting = set(), [start]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += groups.get(name, ())
    return reached


def _relatives(scope: Scope) -> Iterator[Finding]:
    """Ends of addresses, where the file alone says how they begin."""
    for path, place in _written(scope.config):
        nic = scope.config.nics.get(place.nic)
        if nic is None or (nic.uplink is not None and not nic.address):
            continue
        prefix = prefix_of(nic)
        if prefix is None:
            hint = "give it one, or write the whole address"
            yield Finding(path, f"{named('nics', nic.name)} has no global IPv6 network", hint, quoted(f"{place.suffix} via {nic.name}"))
        elif completed(place, nic) is None:
            hint = f"write what is behind the {prefix.prefixlen} bits of {prefix} alone, such as ::20"
            yield Finding(path, "more than the end of an address", hint, quoted(str(place.suffix)))


def _written(config: Config) -> Iterator[tuple[Path, Relative]]:
    """All ends of addresses in objects and rules."""
    for name, item in config.objects.items():
        yield from _ends(("objects", name), {"v6": item.v6} if isinstance(item, Host) else {"members": item.members})
    for number, rule in enumerate(config.policy):
        if Relative in map(type, rule.source) or Relative in map(type, rule.destination):
            yield from _ends(("policy", number), {"source": rule.source, "destination": rule.destination})


def _ends(path: Path, lists: Mapping[str, Sequence[Place]]) -> Iterator[tuple[Path, Relative]]:
    for key, places in lists.items():
        for index, place in enumerate(places):
            if isinstance(place, Relative):
                yield (*path, key, index), place


def _forwards(config: Config) -> Iterator[Finding]:
    meanings = Meanings(config)
    for number, rule in enumerate(config.nat):
        if isinstance(rule, Forward) and isinstance(rule.to_address, ObjectName):
            meaning = meanings.of(rule.to_address)
            several = any(ranges and ranges[0][0] != ranges[-1][1] for ranges in (meaning.four, meaning.six))
            if several or (meaning.sure and not single_addresses(meaning)):
                hint = "forward to an object with one address, or one of each family"
                yield Finding(("nat", number, "to"), "object with more than one address", hint, quoted(rule.to_address))
