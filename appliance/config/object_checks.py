"""Cross checks of objects and schedules: groups that hold themselves, ends of addresses that no nic completes, forwards to too many."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from appliance.config.errors import quoted
from appliance.config.finding import Finding, Scope
from appliance.config.models import Config, Forward
from appliance.config.objects import Domains, FileSet, Group, Host, Object, ObjectName, Place, Relative
from appliance.config.places import Path, named
from appliance.config.resolve import Meanings, completed, prefix_of, single_addresses
from appliance.config.schedules import Schedule

DEEPEST: Final = 32
"""Groups inside each other."""
MOST_CIRCLES: Final = 20


def check(scope: Scope) -> Iterator[Finding]:
    """Findings about objects, and about what is written in their place."""
    for name, item in scope.config.objects.items():
        path: Path = ("objects", name)
        if isinstance(item, Host) and not (item.v4 or item.v6) and path not in scope.broken:
            yield Finding(path, "no address", "write `v4`, `v6` or both", "neither `v4` nor `v6`")
    yield from _circles(scope.config)
    yield from _schedules(scope.config)
    yield from _relatives(scope)
    if not any(scope.lost(section) for section in ("objects", "nat", "nics")):
        yield from _forwards(scope.config)
        yield from _named_sources(scope.config)


def _schedules(config: Config) -> Iterator[Finding]:
    """Schedules that begin when they end: nobody can tell whether that is always or never."""
    found: dict[Path, Schedule] = {("schedules", name): schedule for name, schedule in config.schedules.items()}
    found |= {("policy", number, "when"): rule.when for number, rule in enumerate(config.policy) if isinstance(rule.when, Schedule)}
    for path, schedule in found.items():
        if schedule.begin == schedule.end:
            yield Finding((*path, "to"), "the same time as `from`", "write another, or neither for the whole day")


def _groups(config: Config) -> dict[str, list[ObjectName]]:
    """The objects in each group, in order."""
    return {name: [member for member in _members(item) if isinstance(member, ObjectName)] for name, item in config.objects.items()}


def _members(item: Object) -> Sequence[Place]:
    return item.members if isinstance(item, Group) else ()


def _circles(config: Config) -> Iterator[Finding]:
    """Each group that leads back to itself, at the member by which it does, and each that leads too deep."""
    left, height = _groups(config), 0
    while height <= DEEPEST and (lowest := [name for name, members in left.items() if not any(member in left for member in members)]):
        height += 1
        for name in lowest:
            del left[name]
            if height == DEEPEST + 1:
                yield Finding(("objects", name), "groups nested too deeply", f"stay within {DEEPEST} levels", quoted(name))
    for name in list(left)[:MOST_CIRCLES]:
        for member in left[name]:
            if name in _reached(member, left):
                hint = "remove it here, or there" if member != name else "remove it"
                index = _members(config.objects[name]).index(member)
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
        match item:
            case Host():
                yield from _ends(("objects", name), {"v6": item.v6})
            case Group():
                yield from _ends(("objects", name), {"members": item.members})
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
            if several or (meaning.sure and not single_addresses(meaning)) or _comes_and_goes(config, rule.to_address):
                hint = "forward to an object with one address, or one of each family"
                yield Finding(("nat", number, "to"), "object with more than one address", hint, quoted(rule.to_address))


def _named_sources(config: Config) -> Iterator[Finding]:
    """Translations can't hang on domain names: a flow keeps its translation."""
    meanings = Meanings(config)
    for number, entry in enumerate(config.nat):
        for index, place in enumerate(getattr(entry, "source", ())):
            if isinstance(place, ObjectName) and meanings.of(place).names:
                hint = "name networks: domain names are for rules of the policy"
                yield Finding(("nat", number, "source", index), "object with domain names", hint, quoted(place))


def _comes_and_goes(config: Config, name: str) -> bool:
    return any(isinstance(config.objects.get(each), FileSet | Domains) for each in _reached(name, _groups(config)))
