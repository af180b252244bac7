"""How long a flow may be idle, and how it ends then: of all flows, and of those that a rule, a forward or a service lets through.

    file    timeouts: {udp: 2m, ...}    Timeouts      whole, by defaults
    rule    timeouts: {udp: 10s}        OwnTimeouts   what is written; the rest is the file's

Defaults are the shortest that RFC 5382 (REQ-5), RFC 7857 (2.1), RFC 5508 (REQ-2) and RFC 6092 allow, and for replied UDP what RFC 4787
(REQ-5 c) recommends. It lets timers of well-known ports be shorter: `dns` is that of UDP to port 53, whose flows are many and over at once.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from appliance.config.section import Section
from appliance.config.values import duration, only

Established = Annotated[float, duration("1s", "30d")]
Transitory = Annotated[float, duration("1s", "1h")]
Datagrams = Annotated[float, duration("1s", "1d")]
OnExpiry = Annotated[Literal["forget", "reset"], only("forget", "reset")]
Refresh = Annotated[Literal["outbound", "both"], only("outbound", "both")]

TIMERS: Final = ("tcp_established", "tcp_opening", "tcp_closing", "udp", "udp_replied", "dns", "icmp")
"""The attributes that are seconds."""


class Timeouts(Section):
    """What holds where nothing else is written. Seconds, by state.

    `on_expiry`: whether both ends of a TCP connection that was idle for too long are told by a RST. `refresh`: whether packets from outside
    keep a flow that isn't TCP and whose source is hidden; those from inside always do (RFC 4787, REQ-6).
    """

    tcp_established: Established = 7440.0
    tcp_opening: Transitory = 240.0
    tcp_closing: Transitory = 240.0
    udp: Datagrams = 120.0
    udp_replied: Datagrams = 300.0
    dns: Datagrams = 30.0
    icmp: Transitory = 60.0
    on_expiry: OnExpiry = "forget"
    refresh: Refresh = "outbound"


class OwnTimeouts(Section):
    """What one rule, forward or service has of its own."""

    tcp_established: Established | None = None
    tcp_opening: Transitory | None = None
    tcp_closing: Transitory | None = None
    udp: Datagrams | None = None
    udp_replied: Datagrams | None = None
    dns: Datagrams | None = None
    icmp: Transitory | None = None
    on_expiry: OnExpiry | None = None
    refresh: Refresh | None = None

    def completed(self) -> OwnTimeouts:
        """These, and what they imply: who shortens or lengthens UDP means DNS as well."""
        dns = (each for each in (self.dns, self.udp_replied, self.udp) if each is not None)
        return self.model_copy(update={"dns": next(dns, None)})
