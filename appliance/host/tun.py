"""The TUN device of the appliance's own traffic: pings, health checks, servers.

The appliance's addresses are addresses of the TUN, so the Linux stack answers for them with real TCP and UDP. What an own address
sends goes to the TUN whatever its destination, by a rule for the address and a routing table of its own; the machine's main table
stays as it is.

    rule 5250: from 203.0.113.7 lookup 5250        table 5250: default dev softena

That also makes arriving packets pass a strict reverse path filter: the way back to any sender is the TUN.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence

from pyroute2 import IPRoute

from appliance.host.changes import Call, Changes, perform, session
from appliance.host.links import IFA_F_NODAD, IFA_F_NOPREFIXROUTE, Interface, Link, find, owners, set_link, without_link_local
from ena_dev.errors import HostError

TABLE = 5250  # also the priority of its rules: after the local table, before the main one
MAIN = 254
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


def configure_tun(name: str, addresses: Sequence[Interface], mtu: int, *, table: int = TABLE, default_route: bool = False) -> Changes:
    """Bring an open TUN up with the addresses of all nics, and route what they send into it.

    With `default_route`, what is bound to no address also goes there by default, from the first address of the family. `table` must be
    this appliance's alone, from 1 to 32765 and none of the kernel's own. Rules that a killed run left in it are replaced.
    Raises HostError, having undone all.
    """
    changes = Changes()
    with session() as ip, changes.or_undone():
        link = find(ip, name)
        own = {address.ip: address for address in addresses}
        _refuse_taken(ip, link, own.values())
        _sweep_rules(ip, link, table)
        without_link_local(ip, changes, link)
        changes.make(ip, f"set the MTU of {name} to {mtu}", set_link(link.index, mtu=mtu), set_link(link.index, mtu=link.mtu))
        changes.make(ip, f"bring {name} up", set_link(link.index, state="up"), set_link(link.index, state="down"))
        for address in own.values():
            _add_address(ip, changes, link, address, table)
        for version in sorted({address.version for address in own.values()}):
            _add_default(ip, changes, link, version, table)
            if default_route:
                primary = next(address for address in own.values() if address.version == version)
                _add_default(ip, changes, link, version, MAIN, primary)
    return changes


def _refuse_taken(ip: IPRoute, tun: Link, addresses: Iterable[Interface]) -> None:
    """The kernel would let two interfaces have an address, and answer for it on both, around the card."""
    taken = owners(ip)
    for address in addresses:
        owner = taken.get(address.ip, tun.index)
        if owner != tun.index:
            name = ip.get_links(owner)[0].get("ifname")
            hint = f"take over {name} as a nic's uplink, take the address off it, or run in a network namespace of its own"
            raise HostError(f"can't give {tun.name} the address {address.ip}", f"it belongs to {name}", hint)


def _sweep_rules(ip: IPRoute, tun: Link, table: int) -> None:
    """Rules outlive the TUN that they were made for; its routes don't. So a table in use is somebody else's."""
    for family in FAMILIES.values():
        for route in ip.get_routes(family=family, table=table):
            if route.get("oif") not in (None, tun.index):
                name = ip.get_links(route.get("oif"))[0].get("ifname")
                hint = "give each appliance in a network namespace its own table"
                raise HostError(f"can't use routing table {table}", f"it routes to {name}", hint)
        for rule in ip.get_rules(family=family):
            if rule.get("table") == table and rule.get("priority") == table:
                source = {"src": rule.get("src"), "src_len": rule["src_len"]} if rule.get("src") else {}
                perform(ip, ("rule", "del", {"family": family, "table": table, "priority": table, **source}))


def _add_address(ip: IPRoute, changes: Changes, tun: Link, address: Interface, table: int) -> None:
    text, bits = str(address.ip), address.max_prefixlen
    at: dict[str, object] = {"index": tun.index, "address": text, "prefixlen": bits}
    # A /128 would bring a route of its own into the main table.
    flags = {"IFA_FLAGS": IFA_F_NODAD | IFA_F_NOPREFIXROUTE} if address.version == 6 else {}
    changes.make(ip, f"give {tun.name} the address {text}", ("addr", "add", at | flags), ("addr", "del", at))
    rule = {"family": FAMILIES[address.version], "src": text, "src_len": bits, "table": table, "priority": table}
    changes.make(ip, f"route what {text} sends", ("rule", "add", rule), ("rule", "del", rule))


def _add_default(ip: IPRoute, changes: Changes, tun: Link, version: int, table: int, source: Interface | None = None) -> None:
    route = {"family": FAMILIES[version], "dst": "default", "oif": tun.index, "table": table}
    if source is not None:
        route["prefsrc"] = str(source.ip)
    add: Call = ("route", "add", route)
    hint = "there is one by another interface: name that one as an uplink too, or remove its default route" if table == MAIN else ""
    changes.make(ip, f"make {tun.name} the IPv{version} default route in table {table}", add, ("route", "del", route), hint)
