"""How status and flows look to people: coloured tables on a terminal, aligned plain columns elsewhere (or under NO_COLOR, without colour).

Texts from the appliance are shown as they are: no markup in them has a meaning.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from math import ceil
from typing import Any

Row = Sequence[object]

NIC_COLUMNS = ("name", "zone", "tap", "guest", "addresses", "mtu", "queues", "link", "resets", "rx", "rx bytes", "tx", "tx bytes")
FLOW_COLUMNS = (
    "protocol", "state", "from", "to", "answered by", "answered to", "rule", "target", "why", "packets", "bytes", "idle", "expires",
)  # fmt: skip
RULE_COLUMNS = ("verdict", "packets", "bytes", "flows", "over limit", "last hit")
NAT_COLUMNS = ("kind", "flows", "last flow")
STYLES = {
    "up": "green", "down": "red", "active": "green", "unhealthy": "red", "ejected": "red", "reachable": "green", "established": "green",
    "failed": "red", "denied": "red",
}  # fmt: skip


def show_status(status: Mapping[str, Any]) -> None:
    """Print the whole status."""
    used, limit, octets = (status["flows"].get(key, 0) for key in ("used", "limit", "limit-bytes"))
    uptime = timedelta(seconds=int(status["uptime"]))
    about = f"softena {status['version']}, {status['config']} (generation {status['generation']}), up {uptime}"
    print(f"{about}, {used:,} of {limit:,} flows (at most {ceil(octets / 2**20):,} MiB)")
    show("nics", NIC_COLUMNS, map(_nic, status["nics"]))
    services = ((each["name"], " ".join(each["listen"]), cookies(each["syn-cookies"])) for each in status["services"])
    show("services", ("service", "listens", "SYN cookies"), services)
    pressed = ((each["name"], cookies(each["syn-cookies"])) for each in status.get("forwards", ()) if each["syn-cookies"])
    show("forwards", ("forward", "SYN cookies"), [row for row in pressed if row[1]])
    show("targets", ("service", "target", "address", "weight", "state", "health", "flows"), _targets(status["services"]))
    show("rules", ("rule", "line", *RULE_COLUMNS), map(_rule, status["rules"]))
    show("nat", ("entry", "line", *NAT_COLUMNS), map(_nat, status["nat"]))
    show_sets(status["sets"])
    show("drops", ("reason", "frames"), ((name, f"{frames:,}") for name, frames in drops(status).items()))
    show("no source port left", ("outside", "refused flows", "episodes", "last"), map(_exhausted, status.get("nat-exhausted", ())))
    show("neighbours", ("nic", "address", "mac", "state"), ((n["nic"], n["address"], n["mac"], n["state"]) for n in status["neighbours"]))


def drops(status: Mapping[str, Any]) -> dict[str, int]:
    """Dropped frames by reason: on their way, of those that were handed over, and by the cards."""
    found: Counter[str] = Counter(status["drops"])
    for part in (status.get("handed-over", {}), *status["nics"]):
        found.update(part.get("drops", {}))
    return dict(found)


def show_rules(rules: Iterable[Mapping[str, Any]], nat: Iterable[Mapping[str, Any]], file: str) -> None:
    """Print rules and entries of `nat`, each with its place in the file."""
    show("rules", ("rule", "where", *RULE_COLUMNS), map(_rule, _placed(rules, file)))
    show("nat", ("entry", "where", *NAT_COLUMNS), map(_nat, _placed(nat, file)))


def _placed(rows: Iterable[Mapping[str, Any]], file: str) -> Iterable[Mapping[str, Any]]:
    return ({**row, "line": f"{file}:{row['line']}" if row["line"] else ""} for row in rows)


def show_sets(sets: Iterable[Mapping[str, Any]]) -> None:
    """Print the sets that are read from files."""
    show("sets", ("set", "file", "state", "entries", "changed", "problem"), map(_set, sets))


def _set(each: Mapping[str, Any]) -> Row:
    changed = "" if each["modified"] is None else f"{timedelta(seconds=max(0, int(time.time() - each['modified'])))} ago"
    return each["name"], each["file"], each["state"], f"{each['entries']:,}", changed, each["problem"]


def show_flows(flows: Sequence[Mapping[str, Any]], more: bool) -> None:
    """Print flows, a line each."""
    show("flows", FLOW_COLUMNS, map(_flow, flows))
    print(f"{len(flows)} flows{'; there are more: --limit' if more else ''}")


def show(title: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Print a table without the columns that are empty; nothing if it has no rows."""
    cells = [[str(cell) for cell in row] for row in rows]
    if not cells:
        return
    filled = [index for index in range(len(columns)) if any(row[index] for row in cells)]
    columns, cells = [columns[index] for index in filled], [[row[index] for index in filled] for row in cells]
    if not sys.stdout.isatty():
        print("\n" + title + "\n" + "\n".join(_aligned([columns, *cells])))
        return
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE, header_style="dim", pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if all(_number(row[index]) for row in cells) else "left", overflow="fold")
    for row in cells:
        table.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
    Console().print(table)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    return ["  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _number(cell: str) -> bool:
    return cell.replace(",", "").isdigit()


def _nic(nic: Mapping[str, Any]) -> Row:
    link = "up" if nic["link"] else "down"
    counts = [f"{nic[way][unit]:,}" for way in ("rx", "tx") for unit in ("packets", "bytes")]
    far_side = nic["tap"], _guest(nic["guest"])
    return (nic["name"], nic["zone"], *far_side, " ".join(nic["addresses"]), nic["mtu"], nic["queues"], link, nic["resets"], *counts)


def _guest(guest: Mapping[str, Any] | None) -> str:
    """Who runs the card at the far side of a nic."""
    if guest is None:
        return ""
    if guest["driver"] is not None:
        return f"{guest['driver']['system']} {guest['driver']['distribution']}".strip()  # drivers write their kernel's release there
    return "no driver" if guest["connected"] else "not connected"


def _targets(services: Iterable[Mapping[str, Any]]) -> Iterable[Row]:
    for service in services:
        for place, target in enumerate(service["targets"]):
            named = "" if place else service["name"]
            health = target["state"] + (", counts as up" if target["state"] == "down" and target["up"] else "")
            where = endpoint(target["address"], target["port"])
            yield named, target["name"], where, target["weight"], phase(target), health, f"{target['flows']:,}"


def cookies(told: Mapping[str, Any]) -> str:
    """Whether a service is under pressure, and how many cookies it has come to; nothing while there were none."""
    if not (told["under-pressure"] or told["sent"]):
        return ""
    pressure = "under pressure, " if told["under-pressure"] else ""
    return f"{pressure}{told['sent']:,} sent, {told['accepted']:,} accepted, {told['refused']:,} refused"


def phase(target: Mapping[str, Any]) -> str:
    """What a target is about, how long, how far, and why."""
    if target["ejected"] is not None:
        return f"{target['phase']}, {_left(target['ejected']['until'])}: {target['ejected']['why']}"
    if target["share"] < 100:
        return f"{target['phase']}, warms up: {target['share']}%"
    return str(target["phase"]) if target["deadline"] is None else f"{target['phase']}, {_left(target['deadline'])}"


def _left(until: float) -> str:
    return f"{max(0, round(until - time.time()))} s left"


def _rule(rule: Mapping[str, Any]) -> Row:
    verdict = rule["verdict"] + (", audit" if rule["audit"] else "") + ("" if rule["applies"] else ", not now")
    over = "" if rule.get("over-limit") is None else f"{rule['over-limit']:,}"
    counts = [f"{rule[unit]:,}" for unit in ("packets", "bytes", "flows")]
    return rule["name"], rule["line"] or "", verdict, *counts, over, _ago(rule["idle"])


def _nat(entry: Mapping[str, Any]) -> Row:
    return entry["name"], entry["line"] or "", entry["kind"], f"{entry['flows']:,}", _ago(entry["idle"])


def _ago(seconds: float | None) -> str:
    return "" if seconds is None else f"{timedelta(seconds=int(seconds))} ago"


def _exhausted(address: Mapping[str, Any]) -> Row:
    last = "now" if address["active"] else _ago(address["idle"])
    return address["outside"] or "(no address)", f"{address['flows']:,}", address["episodes"], last


def _flow(flow: Mapping[str, Any]) -> Row:
    original, reply = flow["original"], flow["reply"]
    ends = [endpoint(original["source"], original["sport"]), endpoint(original["destination"], original["dport"])]
    ends += [endpoint(reply["source"], reply["sport"]), endpoint(reply["destination"], reply["dport"])] if reply else ["", ""]
    if ends[2:] == [ends[1], ends[0]]:
        ends[2:] = ["", ""]  # not translated
    target = f"{flow['service']}/{flow['target']}" if flow["service"] else ""
    counts = [f"{sum(flow['packets']):,}", f"{sum(flow['bytes']):,}", f"{flow['idle']:.0f} s", f"{flow['expires']:.0f} s"]
    return flow["protocol"], flow["state"], *ends, flow["rule"], target, flow["reason"], *counts


def endpoint(address: str, port: int) -> str:
    """An address with its port, IPv6 in brackets; port 0 is left out."""
    if not port:
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
