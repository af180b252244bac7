from collections.abc import Collection, Mapping, Sequence

from appliance.flow.limits import LimitTable
from appliance.flow.megaflow import MegaflowTable
from appliance.flow.records import FlowView, Profile, Tuple5, Work
from ena_dev.bus.executor import Executor
from ena_dev.driver.pool import BufferPool
from ena_dev.driver.queue import Program, QueuePair
from ena_dev.packet.toeplitz import Toeplitz

class FlowProgram(Program):
    """The burst program of one queue pair of one Worker."""

    def take(self) -> Work:
        """All that waits to be decided, for the pair's coroutine. Empty lists: nothing."""
    def inject(self, frames: Sequence[tuple[bytes, int, int]], now: float) -> int:
        """Run frames (bytes, FRAME_* flags, segment size) through the program as if this pair had received them.

        Returns how many had a buffer. Takes the barrier. For replays and tests.
        """

class Worker:
    """The fast path of one worker: flow table, neighbours, timers, one program for each queue pair.

    `flows`: bound of decided flows. `secret`: 16 random bytes, new at each start. `timeouts`: seconds by name, all of tcp-established,
    tcp-opening, tcp-closing, udp, udp-replied, dns, icmp. Raises UsageError for other values.

    Commands go through a bounded ring and are applied in order by the executor's next round; they return False when the ring is full.
    `install` and `deny` don't wake an executor that sleeps: `flush` does, once for many.
    They, and `take`, belong to one thread: the event loop's. A command for a flow that has ended meanwhile is counted, and ignored.
    """

    megaflows: MegaflowTable
    limits: LimitTable

    def __init__(self, executor: Executor, pool: BufferPool, flows: int, secret: bytes, timeouts: dict[str, float]) -> None: ...
    def add_nic(self, index: int, mac: bytes, mtu: int, pairs: Sequence[QueuePair], is_self: bool = False, mss: int = 0) -> None:
        """Add a card, or replace what is known of it. `index`: 0..255; 1..32 pairs, by queue index. Takes the barrier.

        mss: the largest segment of TCP that passes it, as SYNs announce it; 1: what both nics of a flow carry, 0: none is lowered.
        """
    def set_steering(self, index: int, hasher: Toeplitz, table: Sequence[int]) -> None:
        """By which queue packets come in at a nic: `table[hash % len(table)]`, a power of two of at most 128 entries; none: nobody knows.

        Where it was said, source ports are drawn so that replies find the queue that their flow began at. Takes the barrier.
        """
    def read_dns(self, wanted: bool) -> None: ...
    def set_mtu(self, index: int, mtu: int) -> None: ...
    def set_profiles(self, default: Profile, rules: Mapping[int, Profile], services: Mapping[int, Profile]) -> None:
        """How flows are kept: by what their rule says, else their service, else `default`. At most 255 different. Takes the barrier.

        For new and existing flows: shorter timeouts are noticed within a turn of the wheel, about a minute.
        """
    def program(self, pair: QueuePair) -> FlowProgram:
        """The program to lend `pair` to; the same one each time. Raises UsageError if no nic has this pair."""
    def close(self) -> None:
        """Leave the executor, give back what is parked. The pairs have been taken back before. Idempotent."""

    # commands
    def flush(self) -> None:
        """Have the compiled path hear what `install` and `deny` have told it."""
    def install(
        self,
        flow: int,
        version: int,
        protocol: int,
        reply: Tuple5,
        egress_nic: int,
        adjacency: int,
        reply_adjacency: int,
        rule: int,
        generation: int,
        service: int = 0,
        target: int = 0,
        decrement: bool = True,
        liberal: bool = False,
        audit: int = 0,
        alike: int = 0,
        pool: tuple[int, int] | None = None,
        guard: int = 0,
        proxy: bool = False,
        nat: tuple[int, int] = (0, 0),
    ) -> bool:
        """Decide a pending flow: let it pass. `reply` reversed is the rewrite. Its parked frames go on, in order.

        A pending flow of the reply tuple becomes this flow's reply direction. If a decided flow holds it: `Refused`.
        adjacency: 1..65535, where the original direction's frames go; reply_adjacency: the replies'. rule, service, target: 0..65535.
        liberal: of TCP any sequence numbers pass, and a handshake of which only half is seen.
        audit: a rule that would have decided, and is counted as well, 0: none.
        alike: ALIKE_* bits (`appliance/flow/megaflow.pxd`): how the decision holds for all flows alike; pool: the (pool, target) chosen.
        guard: of TCP, whether SYNs like this one are answered by cookies: 0 never, 1 while the service is under pressure, 2 always. When
        one is due, the flow is not opened but remembered as one that may be, and begins when the cookie comes back.
        proxy: of TCP, its target reads a PROXY protocol header first.
        nat: entries of `nat`, 1..65535, by which destination and source are translated, 0: none; once it begins, the flow counts for them.
        """
    def deny(self, flow: int, rule: int, generation: int, reason: str, seconds: float = 1.0, audit: int = 0, tell: bool = False,
        alike: int = 0, pool: tuple[int, int] | None = None) -> bool:
        """Decide a pending or live flow: drop its frames, parked ones included, as `reason` (one of `reasons`) for so long.

        A copy of the first parked one is punted when that is "no-route" or "no-neighbour"; with `tell`, and of "rejected", of all.
        """
    def delete(self, flow: int, reason: str) -> bool:
        """End a flow; its next frame is a miss. Parked frames are dropped as `reason`."""
    def set_adjacency(self, index: int, nic: int, mac: bytes | None) -> bool:
        """Neighbour `index` is at `mac`: frames that wait for it go out. None: it failed, and they and later ones are
        dropped; a copy of the first that waited is punted, as "no-neighbour"."""
    def clear_adjacency(self, index: int, nic: int) -> bool:
        """Neighbour `index` is incomplete (again): frames wait, at most 8."""
    def send(self, nic: int, frame: bytes, queue: int = 0) -> bool:
        """Send a frame of the control plane's own, 14..1536 bytes, checksums finished."""

    # reads
    def is_free(self, version: int, protocol: int, source: int, destination: int, sport: int, dport: int) -> bool:
        """Whether no flow expects packets of this (reply) tuple. Takes no barrier: a hint, `install` has the last word."""
    def comes_home(self, nic: int, queue: int, egress: int, version: int, protocol: int, reply: Tuple5) -> bool:
        """Whether the reply to a flow that came in by a queue of `nic` arrives at `egress` by the queue of that number, modulo the queues
        of the nic that has fewer; true where nobody knows, of one queue, and without ports. Takes no barrier."""
    def lookup(
        self, version: int, protocol: int, source: int, destination: int, sport: int, dport: int, kind: int | None = None,
    ) -> tuple[FlowView, int] | None:
        """The flow of packets with this tuple, and their direction (0 original, 1 reply). `kind`: the ICMP type, 0 for what has none; ICMP
        without it is looked for as echo requests, then as their replies.

        This and the next take the barrier themselves: never call them inside `executor.held()`.
        """
    def lookup_fragment(self, version: int, protocol: int, source: int, destination: int, identity: int) -> tuple[FlowView, int] | None:
        """The flow of a packet that leaves in fragments with this identification, until all were seen, and the direction of answers."""
    def read(self, cursor: int, count: int, targets: Collection[int] = ()) -> tuple[list[FlowView], int]:
        """At most `count` flows from a cursor (begin with 0), and the next cursor: 0 when all were seen. The list may be short or empty.
        With `targets` it has only flows of these."""
    def rule_counters(self) -> dict[int, tuple[int, int, int]]:
        """(packets, bytes, flows) by rule since the start, denied ones included."""
    def rule_last(self, rule: int) -> float:
        """When a frame was last counted for a rule, seconds; 0.0: never."""
    def nat_flows(self, entry: int) -> tuple[int, float]:
        """How many flows an entry of `nat` has translated since the start, and when the last of them began, seconds; 0.0: never."""
    def counters(self) -> dict[str, int]:
        """Totals by name, and frames dropped as "drop:REASON", for all `reasons`: received + made = sent + punted + parked + sum of drops.

        What the control plane sends is apart: control-sent, control-dropped. Read while the executor runs, the totals may be a burst apart.
        """
    def adjacency_used(self, index: int) -> float:
        """When a frame last went, or waited to go, to this neighbour, seconds; 0.0: never."""
    def adjacency_flows(self, index: int) -> int:
        """How many directions of decided flows lead to this neighbour. Commands that are still in the ring are not counted."""
    def target_flows(self, target: int) -> int:
        """How many decided flows have this target, 1..65535. Commands that are still in the ring are not counted."""
    def target_outcomes(self, target: int) -> tuple[int, int, int]:
        """(answered, refused, silent): how new flows to a target, 1..65535, went since the start, modulo 2^32 (`outcomes.pxd`)."""
    def service_cookies(self, service: int) -> tuple[tuple[int, int, int], int, bool]:
        """SYN cookies of a service (sent, accepted, refused), its half-open flows, and whether it is under pressure. 0: flows without."""
    def usage(self) -> dict[str, int]:
        """Flows by class: pending, opening, unreplied, established, closing, denied; `used` (decided), `limit`, `self-reserve`."""
