"""What the decision engine is told, what it answers, and what it may ask: plain values, no behaviour.

`Facts` describe the first packet of a flow, `Decision` is the verdict and the flow's whole future, `StateView` is the little of
the running appliance that a decision depends on. Addresses are integers beside an IP version, ports are host-order integers.
"""

from enum import StrEnum
from random import Random
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from appliance.balancer.history import History

if TYPE_CHECKING:
    from appliance.nat.bindings import Bindings

SELF: Final = 255
"""The nic index that stands for the appliance itself: its own Linux stack behind the TUN device."""

NOWHERE: Final = -1
"""The egress of a flow that was refused before it had a route."""

ICMP: Final = 1
TCP: Final = 6
UDP: Final = 17
ICMPV6: Final = 58

Tuple5 = tuple[int, int, int, int]
"""(source, destination, sport, dport); version and protocol, the rest of the five-tuple, always travel beside it."""

NO_TUPLE: Final[Tuple5] = (0, 0, 0, 0)


class Reason(StrEnum):
    """Why a flow was allowed or refused. The values are the names that counters and logs show."""

    ALLOWED = "allowed"
    POLICY = "policy"  # a rule, or the default, denies it
    REJECTED = "rejected"  # the same, and the sender is told
    NO_ROUTE = "no-route"  # no connected network, static route or gateway leads there
    NO_TARGET = "no-target"  # the service has no target that is up and takes new flows
    NAT_EXHAUSTED = "nat-exhausted"  # the reply is another flow's, and no source port is left, or may be chosen
    NOT_A_START = "not-a-start"  # a packet that only an existing flow may carry
    BAD_ADDRESS = "bad-address"  # a source or destination that no router may forward
    SPOOFED = "spoofed"  # its source is not behind the nic it came in by
    BOGON = "bogon"  # a special-purpose address where the Internet is


class Facts(NamedTuple):
    """The first packet of a flow, as it arrived."""

    nic: int  # ingress nic, index in the configuration's order; SELF for the appliance's own traffic
    version: int  # 4 | 6
    protocol: int  # IP protocol number
    source: int
    destination: int
    sport: int  # TCP, UDP: port. ICMP echo: the identifier, in both. Others: 0
    dport: int
    icmp_type: int  # -1 when not ICMP
    flags: int  # TCP flags byte, 0 otherwise
    queue: int = 0  # rx queue it came on
    target: str | None = None  # of a flow that is judged again: the target it has, which it keeps


class Decision(NamedTuple):
    """What becomes of a flow. The rewrite of the original direction is `reply` reversed."""

    allow: bool
    reason: str  # a Reason
    rule: str  # "default deny" when nothing matched; implied rules: "forward NAME", "service NAME", "health NAME"; "" when none was asked
    line: int  # of the rule in the configuration file, 0 without one
    egress: int  # nic index, SELF, or NOWHERE
    next_hop: int  # address to resolve on the egress nic, the destination itself when connected; 0 for SELF
    reply: Tuple5  # the expected reply as it arrives at the appliance; NO_TUPLE when refused
    service: str | None  # the service that took the flow, or "forward NAME"
    target: str | None  # the service's target that was chosen
    reply_hop: int = 0  # address to resolve on the ingress nic for replies; 0 when the flow began at SELF
    liberal: bool = False  # TCP: any sequence numbers may pass
    audited: str = ""  # a rule under audit that would have decided, "" without one
    would: str = ""  # what it says: allow, deny or reject
    guard: int = 0  # TCP: whether such handshakes are answered by SYN cookies: 0 never, 1 under pressure, 2 always
    proxy: bool = False  # TCP: the target is told who its client is, by a header of the PROXY protocol
    outside: int = 0  # what the source becomes, or would if there were a port; 0: it stays, or there is no address
    pool: int = -1  # the number of the pool that this address is from
    keeps_port: bool = False  # a source that changes may have any port, below 1024 too
    draws: bool = False  # it gets one at random
    alone: bool = False  # it hangs on more than the class of the flow, and says nothing of others
    dnat: str = ""  # the entry of `nat` by which its destination is translated, "" without one
    snat: str = ""  # and the one by which its source is


class StateView(Protocol):
    """The running state a decision may ask about."""

    random: Random
    history: History
    """What balancing remembers."""
    bindings: "Bindings"
    """Inside ends with an outside port of their own."""

    def is_free(self, version: int, protocol: int, reply: Tuple5) -> bool:
        """Whether no flow expects packets of this tuple yet."""

    def comes_home(self, facts: Facts, egress: int, reply: Tuple5) -> bool:
        """Whether this reply arrives at nic `egress` by the queue that the flow began at; true where there is nothing to choose."""

    def named(self, objects: tuple[str, ...], version: int, address: int) -> bool:
        """Whether an address is of a domain name in one of these objects."""

    def target_up(self, service: str, target: str) -> bool:
        """Whether health checks let this target take new flows; always true for a service without checks."""

    def target_share(self, service: str, target: str) -> int:
        """How much of its weight counts for a target that is up, in percent: less than 100 while it warms up."""
