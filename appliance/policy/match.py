"""Networks as pairs of integers, the form in which compiled rules test addresses."""

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network

Nets = tuple[tuple[int, int], ...]
"""(mask, network) pairs of one IP version. Empty matches every address."""


def nets_of(networks: Iterable[IPv4Network | IPv6Network], version: int) -> Nets | None:
    """The networks of one IP version; None if there are networks, but none of it: then no address of that version matches."""
    networks = tuple(networks)
    nets = tuple((int(net.netmask), int(net.network_address)) for net in networks if net.version == version)
    if networks and not nets:
        return None
    if any(mask == 0 for mask, _ in nets):
        return ()
    return nets


def matches(nets: Nets, address: int) -> bool:
    """Whether an address lies in one of the networks."""
    return not nets or any(address & mask == net for mask, net in nets)
