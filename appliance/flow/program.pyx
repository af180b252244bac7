# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""The fast path's surface for Python: a Worker, its commands and reads, and the program to which each queue pair is lent.

Commands and work cross by rings with one writer and one reader. Reads of lists take the executor's barrier; single counters are
aligned words with one writer and are read as they are.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

from appliance.flow.commands cimport step
from appliance.flow.engine cimport (
    ADJACENCY_FAILED, ADJACENCY_INCOMPLETE, ADJACENCY_VALID, COMMAND_ADJACENCY, COMMAND_DELETE, COMMAND_DENY, COMMAND_INSTALL,
    COMMAND_RING, Command, Copied, ENDED_RING, Engine, Lane, MISS_RING, Miss, NEIGHBOURS, NIC_QUEUES, NICS, NatCount, Nic,
    OUTGOING_RING, Outcome, Outgoing, PROFILES, PUNT_RING, Profile, RULES, SNAPSHOT, Service, TIMEOUT_DNS, TIMEOUT_ICMP,
    TIMEOUT_TCP_CLOSING, TIMEOUT_TCP_ESTABLISHED, TIMEOUT_TCP_OPENING, TIMEOUT_UDP, TIMEOUT_UDP_REPLIED, UNSAID, drop,
)
from appliance.flow.flows cimport drop_parked
from appliance.flow.forward cimport burst
from appliance.flow.fragments cimport TRAINS
from appliance.flow.key cimport Tuple, is_icmp, reply_kind
from appliance.flow.limits cimport LimitTable
from appliance.flow.megaflow cimport MegaflowTable, POOLS
from appliance.flow.parking cimport unpark
from appliance.flow.reasons cimport DROP_DELETED
from appliance.flow.steering cimport Home, STEERING_ENTRIES, Steering, comes_home, find_home
from appliance.flow.synproxy cimport GUARD_ALWAYS, pressed
from appliance.flow.table cimport CLASS_DENIED, CLASS_FREE, FLOW_DECREMENT, FLOW_LIBERAL, FLOW_TELL, Flow, FlowTable, Table, pack_key, table_decided
from appliance.flow.tcp cimport tcp_event_of
from appliance.flow.trains cimport drop_waiting, train_sent
from appliance.flow.views cimport flow_of, miss_of, punt_of, refused_of
from appliance.flow.wheel cimport TimerWheel
from ena_dev.bus.atomic cimport load_acquire, store_release
from ena_dev.bus.executor cimport Executor, task_init, task_wake
from ena_dev.driver.copies cimport frame_from
from ena_dev.driver.pool cimport BufferPool, Pool
from ena_dev.driver.queue cimport Program, QueuePair
from ena_dev.driver.rings cimport BURST, MAX_RX_BUFFERS, Frame
from ena_dev.packet.headers cimport PROTOCOL_TCP, PROTOCOL_UDP
from ena_dev.packet.toeplitz cimport Toeplitz

from appliance.flow import records
from appliance.flow.reasons import NUMBERS
from appliance.flow.tcp import TRANSITIONS
from appliance.flow.views import CLASS_NAMES
from ena_dev.errors import UsageError

TIMEOUT_NAMES = {"tcp-opening": TIMEOUT_TCP_OPENING, "tcp-established": TIMEOUT_TCP_ESTABLISHED, "tcp-closing": TIMEOUT_TCP_CLOSING,
                 "udp": TIMEOUT_UDP, "udp-replied": TIMEOUT_UDP_REPLIED, "dns": TIMEOUT_DNS, "icmp": TIMEOUT_ICMP}


cdef uint64_t nanoseconds(double seconds) except? 0:
    if not 0 <= seconds <= 1e9:
        raise UsageError(f"{seconds} seconds is no time to wait")
    return <uint64_t> (seconds * 1e9)


cdef uint16_t small(object value, str what) except? 0:
    if not 0 <= value <= 65535:
        raise UsageError(f"{what} {value} isn't within 0..65535")
    return value


cdef bint ports_fit(const Tuple *key) noexcept:
    """ICMP has one identifier, TCP and UDP have ports, others have none."""
    if is_icmp(key.version, key.protocol):
        return key.sport == key.dport
    return key.protocol == PROTOCOL_TCP or key.protocol == PROTOCOL_UDP or key.sport == 0 and key.dport == 0


cdef int fill_profile(Profile *profile, object given) except -1:
    if {name for name, _ in given.timeouts} != set(TIMEOUT_NAMES):
        raise UsageError(f"timeouts are {', '.join(TIMEOUT_NAMES)}, not {', '.join(name for name, _ in given.timeouts)}")
    for name, seconds in given.timeouts:
        profile.timeouts[<int> TIMEOUT_NAMES[name]] = nanoseconds(seconds)
    profile.reset, profile.inbound, profile.mss = said(given.reset), said(given.inbound), small(given.mss, "segment")
    return 0


cdef uint8_t said(object value) noexcept:
    return UNSAID if value is None else 1 if value else 0


cdef int choose(Command *command, object pool) except -1:
    """What a pool has chosen: (pool, target), or None."""
    if pool is not None:
        command.pool, command.chosen = small(pool[0], "pool"), <uint32_t> small(pool[1], "target") + 1
        if command.pool >= POOLS:
            raise UsageError(f"there is no pool {command.pool}")
    return 0


cdef inline void copy_flow(const Table *table, uint32_t slot, Copied *copy) noexcept nogil:
    """The caller holds the barrier."""
    copy.flow, copy.slot = table.flows[slot], slot
    if copy.flow.half[0].key.protocol == PROTOCOL_TCP:
        copy.connection = table.connections[slot]


cdef enum:
    TARGET_WORDS = 1024        # a bit for each of TARGETS


cdef int fill_wanted(uint64_t *wanted, targets) except -1:
    """A bit for each of some targets."""
    cdef uint16_t number
    memset(wanted, 0, TARGET_WORDS * sizeof(uint64_t))
    for target in targets:
        number = small(target, "target")
        wanted[number >> 6] |= 1ULL << (number & 63)
    return 0


cdef inline bint is_wanted(const uint64_t *wanted, uint16_t target) noexcept nogil:
    return wanted[target >> 6] >> (target & 63) & 1


cdef class FlowProgram(Program):
    """The burst program of one queue pair of one Worker."""

    cdef Worker worker
    cdef Lane *lane

    def take(self):
        """All that waits to be decided, for the pair's coroutine."""
        cdef Lane *lane = self.lane
        cdef Miss *miss
        cdef uint32_t miss_tail = load_acquire(&lane.miss_tail), punt_tail = load_acquire(&lane.punt_tail)     # what comes meanwhile rings again
        cdef uint32_t ended_tail = load_acquire(&lane.ended_tail)
        misses, punts, refused, ended = [], [], [], []
        while lane.miss_head != miss_tail:
            miss = &lane.misses[lane.miss_head & (MISS_RING - 1)]
            if miss.refused:
                refused.append(refused_of(miss))
            else:
                misses.append(miss_of(miss))
            store_release(&lane.miss_head, lane.miss_head + 1)
        while lane.punt_head != punt_tail:
            punts.append(punt_of(&lane.punts[lane.punt_head & (PUNT_RING - 1)]))
            store_release(&lane.punt_head, lane.punt_head + 1)
        while lane.ended_head != ended_tail:
            ended.append(flow_of(lane.engine, &lane.ended[lane.ended_head & (ENDED_RING - 1)]))
            store_release(&lane.ended_head, lane.ended_head + 1)
        return records.Work(misses, punts, refused, ended)

    def inject(self, frames, double now):
        """Run frames through the program as if this pair had received them. Returns how many had buffers."""
        cdef Frame received[BURST]
        cdef int n = 0, done = 0
        cdef uint64_t ns = <uint64_t> (now * 1e9)
        with self.worker.executor.held():
            try:
                for data, flags, segment in frames:
                    if not self.gather(&received[n], data, flags, segment, ns):
                        break
                    n += 1
                    if n == BURST:
                        self.burst(self.context, self.lane.pair, received, n, ns)
                        done, n = done + n, 0
            finally:
                if n:
                    self.burst(self.context, self.lane.pair, received, n, ns)
        return done + n

    cdef bint gather(self, Frame *frame, bytes data, uint8_t flags, uint16_t segment, uint64_t now) except *:
        """A frame in buffers of the pool, as a burst has it. False: not enough buffers."""
        cdef Pool *pool = self.worker.engine.pool
        if not 0 < len(data) <= MAX_RX_BUFFERS * pool.size:
            raise UsageError(f"a frame of {len(data)} bytes can't be received")
        if not frame_from(frame, pool, <const uint8_t *> data, len(data)):
            return False
        frame.flags, frame.segment, frame.arrived = flags, segment, now
        frame.nic, frame.queue = self.lane.pair.nic, self.lane.pair.index
        return True


# -- the worker --------------------------------------------------------------------------------------------------------------

cdef class Worker:
    """Flow table, neighbours, timers, and a program for each queue pair: one writer's worth."""

    cdef Engine *engine
    cdef Executor executor
    cdef BufferPool pool
    cdef FlowTable table
    cdef TimerWheel wheel
    cdef readonly MegaflowTable megaflows
    cdef readonly LimitTable limits
    cdef dict programs         # (nic, queue) -> (pair, FlowProgram)
    cdef dict hashes           # nic -> Toeplitz, as long as the engine reads it
    cdef int top_rule
    cdef bint closed

    def __cinit__(self, Executor executor not None, BufferPool pool not None, int flows, bytes secret not None, timeouts):
        self.engine = <Engine *> calloc(1, sizeof(Engine))
        if self.engine == NULL:
            raise MemoryError("no memory for the fast path")
        self.executor, self.pool, self.programs, self.hashes, self.top_rule, self.closed = executor, pool, {}, {}, -1, True
        self.table = FlowTable(flows, secret)
        self.wheel = TimerWheel(self.table.table.slots)
        self.megaflows = MegaflowTable(executor, secret)
        self.limits = LimitTable(executor, secret, flows)
        self.engine.megaflows, self.engine.limits = &self.megaflows.all, &self.limits.all
        self.engine.table, self.engine.wheel, self.engine.pool = &self.table.table, &self.wheel.wheel, &pool.pool
        self.engine.pending_time = 1000000000ULL
        self.engine.cookies.root = self.table.table.secret
        self.engine.cookies.root.k0 ^= 0x636F6F6B696573ULL    # no two uses of a key see each other's hashes
        self.engine.parking.buffer_limit = pool.pool.count // 4
        fill_profile(&self.engine.profiles[1], records.Profile(tuple(timeouts.items())))
        self.engine.profiles[0].reset = self.engine.profiles[0].inbound = UNSAID
        self.fill_tcp()
        task_init(&self.engine.task, step, self.engine)
        with executor.held():
            executor.add(&self.engine.task, self)
        self.closed = False

    def __dealloc__(self):
        cdef int nic, queue
        if self.engine == NULL:
            return
        for nic in range(NICS):
            for queue in range(NIC_QUEUES):
                free(self.engine.nics[nic].lanes[queue])
        free(self.engine)

    cdef int fill_tcp(self) except -1:
        cdef int flags
        for (state, direction, event), following in TRANSITIONS.items():
            self.engine.tcp.next[<int> state][<int> direction][<int> event] = following
        for flags in range(32):
            self.engine.tcp.event[flags] = tcp_event_of(flags)
        return 0

    def close(self):
        """Leave the executor, give back what is parked."""
        cdef uint32_t i
        cdef Frame frame
        if self.closed:
            return
        with self.executor.held():
            self.executor.remove(&self.engine.task)
            for i in range(1, self.engine.table.fresh + 1):
                drop_parked(self.engine, i, DROP_DELETED)
            for i in range(1, TRAINS + 1):
                drop_waiting(self.engine, i, DROP_DELETED)
            for i in range(NEIGHBOURS):
                while unpark(&self.engine.parking, self.engine.pool, &self.engine.adjacencies[i].parked, &frame):
                    drop(self.engine, &frame, DROP_DELETED)
        self.closed = True

    # -- cards -------------------------------------------------------------------------------------------------------------

    def add_nic(self, int index, bytes mac not None, uint32_t mtu, pairs, bint is_self=False, mss=0):
        """Add a card, or replace what is known of it."""
        cdef Nic *nic
        cdef int queue
        pairs = list(pairs)
        if not 0 <= index < NICS or len(mac) != 6 or not 68 <= mtu <= 65535 or not 1 <= len(pairs) <= NIC_QUEUES:
            raise UsageError(f"nic {index}: a MAC of {len(mac)} bytes, an MTU of {mtu} or {len(pairs)} queues can't be")
        for queue, pair in enumerate(pairs):
            if not isinstance(pair, QueuePair) or pair.nic != index or pair.index != queue:
                raise UsageError(f"nic {index}: its queue {queue} isn't the pair of that place")
        nic = &self.engine.nics[index]
        with self.executor.held():
            for queue in range(len(pairs)):
                self.add_pair(nic, index, queue, pairs[queue])
            memcpy(nic.mac, <const char *> mac, 6)
            nic.mtu, nic.mss, nic.is_self, nic.present, nic.queues = mtu, small(mss, "segment"), is_self, 1, len(pairs)

    cdef int add_pair(self, Nic *nic, int index, int queue, QueuePair pair) except -1:
        cdef FlowProgram program
        cdef Lane *lane = nic.lanes[queue]
        if lane == NULL:
            lane = <Lane *> calloc(1, sizeof(Lane))
            if lane == NULL:
                raise MemoryError("no memory for a queue's rings")
            nic.lanes[queue], lane.engine = lane, self.engine
            program = FlowProgram()
            program.worker, program.lane, program.burst, program.context = self, lane, burst, lane
        else:
            program = self.programs[index, queue][1]
        lane.pair = pair.raw()
        self.programs[index, queue] = (pair, program)
        return 0

    def set_steering(self, int index, Toeplitz hasher not None, table):
        """By which queue packets come in at a nic."""
        cdef Steering *steering
        cdef bytes queues = bytes(table)
        cdef uint32_t entries = len(queues)
        if not 0 <= index < NICS or not self.engine.nics[index].present or entries & (entries - 1) or entries > STEERING_ENTRIES:
            raise UsageError(f"nic {index}: there is none, or its table can't have {entries} entries")
        if entries and max(queues) >= self.engine.nics[index].queues:
            raise UsageError(f"nic {index}: its table names queue {max(queues)}, of {self.engine.nics[index].queues}")
        steering = &self.engine.steering[index]
        with self.executor.held():
            steering.hash = &hasher.table if entries else NULL
            steering.entries, steering.queues = entries, self.engine.nics[index].queues
            memcpy(steering.table, <const char *> queues, entries)
        self.hashes[index] = hasher

    def read_dns(self, bint wanted):
        """Whether DNS that would pass is handed over first, translated: whoever takes it sends it on."""
        self.engine.reads_dns = wanted

    def set_mtu(self, int index, uint32_t mtu):
        if not 0 <= index < NICS or not self.engine.nics[index].present or not 68 <= mtu <= 65535:
            raise UsageError(f"nic {index}: there is none, or it can't have an MTU of {mtu}")
        self.engine.nics[index].mtu = mtu

    def set_profiles(self, default, rules, services):
        """How flows are kept, and those of some rules and services."""
        cdef int number
        cdef Profile *profiles = <Profile *> calloc(PROFILES, sizeof(Profile))
        if profiles == NULL:
            raise MemoryError("no memory for profiles")
        try:
            kinds = [records.Profile(tuple((name, 0.0) for name in TIMEOUT_NAMES)), default]
            kinds += dict.fromkeys(each for each in (*rules.values(), *services.values()) if each not in kinds)
            if len(kinds) > PROFILES:
                raise UsageError(f"flows can be kept in {PROFILES} different ways, not in {len(kinds)}")
            for number, profile in enumerate(kinds):
                fill_profile(&profiles[number], profile)
            numbers = {profile: place for place, profile in enumerate(kinds)}
            of_rule = {small(rule, "rule"): numbers[profile] for rule, profile in rules.items()}
            of_service = {small(service, "service"): numbers[profile] for service, profile in services.items()}
            with self.executor.held():
                memcpy(self.engine.profiles, profiles, PROFILES * sizeof(Profile))
                memset(self.engine.profile_of, 0, RULES)
                memset(self.engine.profile_of_service, 0, RULES)
                for rule, number in of_rule.items():
                    self.engine.profile_of[<int> rule] = number
                for service, number in of_service.items():
                    self.engine.profile_of_service[<int> service] = number
        finally:
            free(profiles)

    def program(self, QueuePair pair not None):
        """The program to lend `pair` to."""
        known, program = self.programs.get((pair.nic, pair.index), (None, None))
        if known is not pair:
            raise UsageError(f"queue pair {pair.index} of nic {pair.nic} isn't one of this worker's")
        return program

    # -- commands ----------------------------------------------------------------------------------------------------------

    cdef bint push(self, const Command *command, bint ring) noexcept:
        """A command that doesn't ring waits for one that does, for `flush`, or for whatever else the fast path is woken for."""
        cdef Engine *engine = self.engine
        cdef bint room = not self.closed and engine.command_tail - load_acquire(&engine.command_head) < COMMAND_RING
        if room:
            engine.commands[engine.command_tail & (COMMAND_RING - 1)] = command[0]
            store_release(&engine.command_tail, engine.command_tail + 1)
            store_release(&engine.task.ready, 1)
        if ring or not room:
            task_wake(&engine.task)
        return room

    def flush(self):
        """Have the fast path hear what `install` and `deny` have told it."""
        task_wake(&self.engine.task)

    def install(self, uint64_t flow, int version, int protocol, reply, int egress_nic, adjacency, reply_adjacency, rule, uint32_t generation,
                service=0, target=0, bint decrement=True, bint liberal=False, audit=0, uint16_t alike=0, pool=None, uint8_t guard=0,
                bint proxy=False, nat=(0, 0)):
        """Let a pending flow pass."""
        cdef Command command
        memset(&command, 0, sizeof(Command))
        pack_key(&command.reply, version, protocol, reply_kind(version, protocol), reply)
        if not 0 <= egress_nic < NICS:
            raise UsageError(f"there is no nic {egress_nic}")
        if not ports_fit(&command.reply):
            raise UsageError(f"the ports of {reply} have no meaning in protocol {protocol}")
        command.op, command.flow, command.nic, command.generation = COMMAND_INSTALL, flow, egress_nic, generation
        command.adjacency, command.reply_adjacency = small(adjacency, "adjacency"), small(reply_adjacency, "adjacency")
        command.rule, command.service, command.target = small(rule, "rule"), small(service, "service"), small(target, "target")
        if guard > GUARD_ALWAYS or (guard or proxy) and protocol != PROTOCOL_TCP:
            raise UsageError(f"protocol {protocol} has no cookies of kind {guard}, nor a header before its first byte")
        command.flags, command.alike = (FLOW_DECREMENT if decrement else 0) | (FLOW_LIBERAL if liberal else 0), alike
        command.guard, command.proxy = guard, proxy
        command.audit = small(audit, "rule")
        command.nat[0], command.nat[1] = small(nat[0], "entry"), small(nat[1], "entry")
        choose(&command, pool)
        self.top_rule = max(self.top_rule, command.rule, command.audit)
        return self.push(&command, False)

    def deny(self, uint64_t flow, rule, uint32_t generation, str reason not None, double seconds=1.0, audit=0, bint tell=False, uint16_t alike=0, pool=None):
        """Drop a flow's frames for a while."""
        cdef Command command
        memset(&command, 0, sizeof(Command))
        command.op, command.flow, command.generation, command.rule = COMMAND_DENY, flow, generation, small(rule, "rule")
        command.reason, command.duration, command.alike, command.audit = self.number(reason), nanoseconds(seconds), alike, small(audit, "rule")
        command.flags = FLOW_TELL if tell or reason == "rejected" else 0
        choose(&command, pool)
        self.top_rule = max(self.top_rule, command.rule, command.audit)
        return self.push(&command, False)

    def delete(self, uint64_t flow, str reason not None):
        """End a flow."""
        cdef Command command
        memset(&command, 0, sizeof(Command))
        command.op, command.flow, command.reason = COMMAND_DELETE, flow, self.number(reason)
        return self.push(&command, True)

    cdef uint8_t number(self, str reason) except? 0:
        if reason not in NUMBERS:
            raise UsageError(f"{reason!r} is no reason to drop a frame")
        return NUMBERS[reason]

    cdef bint adjacency(self, object index, int nic, bytes mac, uint8_t state) except *:
        cdef Command command
        memset(&command, 0, sizeof(Command))
        if not 0 <= nic < NICS or mac is not None and len(mac) != 6:
            raise UsageError(f"a neighbour at nic {nic} with a MAC of {len(mac or b'')} bytes can't be")
        command.op, command.nic, command.state, command.adjacency = COMMAND_ADJACENCY, nic, state, small(index, "adjacency")
        if mac is not None:
            memcpy(command.mac, <const char *> mac, 6)
        return self.push(&command, True)

    def set_adjacency(self, index, int nic, bytes mac):
        """A neighbour is at `mac`, or with None: it failed."""
        return self.adjacency(index, nic, mac, ADJACENCY_FAILED if mac is None else ADJACENCY_VALID)

    def clear_adjacency(self, index, int nic):
        """A neighbour is incomplete (again)."""
        return self.adjacency(index, nic, None, ADJACENCY_INCOMPLETE)

    def send(self, int nic, bytes frame not None, uint16_t queue=0):
        """Send a frame of the control plane's own."""
        cdef Engine *engine = self.engine
        cdef Outgoing *item
        if not 0 <= nic < NICS or not 14 <= len(frame) <= SNAPSHOT:
            raise UsageError(f"a frame of {len(frame)} bytes to nic {nic} can't be sent")
        if self.closed or engine.outgoing_tail - load_acquire(&engine.outgoing_head) >= OUTGOING_RING:
            return False
        item = &engine.outgoing[engine.outgoing_tail & (OUTGOING_RING - 1)]
        item.nic, item.queue, item.length = nic, queue, len(frame)
        memcpy(item.data, <const char *> frame, len(frame))
        store_release(&engine.outgoing_tail, engine.outgoing_tail + 1)
        task_wake(&engine.task)
        return True

    # -- reads -------------------------------------------------------------------------------------------------------------

    def is_free(self, int version, int protocol, source, destination, sport, dport):
        """Whether no flow that is let through expects packets of this tuple: a hint, since the table changes meanwhile."""
        found = self.table.find(version, protocol, (source, destination, sport, dport), reply_kind(version, protocol))
        return found is None or self.table.table.flows[<uint32_t> found[0]].state.cls == CLASS_DENIED

    def comes_home(self, int nic, uint32_t queue, int egress, int version, int protocol, reply):
        """Whether the reply to a flow that came in by a queue of `nic` arrives at `egress` by the queue of that number."""
        cdef Tuple key
        cdef Home home
        if not (0 <= nic < NICS and 0 <= egress < NICS):
            raise UsageError(f"there is no nic {nic}, or no nic {egress}")
        pack_key(&key, version, protocol, reply_kind(version, protocol), reply)
        find_home(&home, &self.engine.steering[nic], queue, &self.engine.steering[egress], &key)
        return bool(comes_home(&home, key.dport))

    def lookup(self, int version, int protocol, source, destination, sport, dport, kind=None):
        """The flow of packets with this tuple, and their direction."""
        cdef Copied copy
        with self.executor.held():
            found = self.table.find(version, protocol, (source, destination, sport, dport), kind)
            if found:
                copy_flow(self.engine.table, found[0], &copy)
        return (flow_of(self.engine, &copy), found[1]) if found else None

    def lookup_fragment(self, int version, int protocol, source, destination, uint32_t identity):
        """The flow of a packet that has left in fragments, and the direction of its answers."""
        cdef Copied copy
        cdef Tuple sent
        cdef uint32_t number
        high, low = (identity & 0xFFFF, 0) if version == 4 else (identity >> 16, identity & 0xFFFF)
        pack_key(&sent, version, protocol, 0, (source, destination, high, low))
        with self.executor.held():
            number = train_sent(self.engine, &sent)
            if number:
                copy_flow(self.engine.table, <uint32_t> self.engine.fragments.trains[number].flow, &copy)
                direction = self.engine.fragments.trains[number].direction ^ 1
        return (flow_of(self.engine, &copy), direction) if number else None

    def read(self, uint32_t cursor, int count, targets=()):
        """Flows from a cursor, those of `targets` if there are any, and the next cursor. One call looks at no more than 8 slots for each flow
        asked for."""
        cdef uint64_t[TARGET_WORDS] wanted
        cdef bint some = len(targets) != 0
        cdef Table *table = self.engine.table
        cdef uint32_t slot = cursor, end, fresh, n = 0, i, most = min(max(count, 0), <int> table.slots)
        cdef Copied *copies
        fill_wanted(wanted, targets)
        copies = <Copied *> malloc((<size_t> most + 1) * sizeof(Copied))
        if copies == NULL:
            raise MemoryError(f"no memory to read {count} flows")
        with self.executor.held():              # frames wait meanwhile: only copy here, show afterwards
            fresh = table.fresh
            end = min(<uint64_t> fresh, <uint64_t> cursor + 8 * <uint64_t> max(count, 1))
            while slot < end and n < most:
                slot += 1
                if table.flows[slot].state.cls != CLASS_FREE and (not some or is_wanted(wanted, table.flows[slot].state.target)):
                    copy_flow(table, slot, &copies[n])
                    n += 1
        try:
            return [flow_of(self.engine, &copies[i]) for i in range(n)], slot if slot < fresh else 0
        finally:
            free(copies)

    def rule_counters(self):
        """(packets, bytes, flows) by rule, of those that have decided a flow."""
        cdef int rule
        counts = {}
        for rule in range(self.top_rule + 1):
            if self.engine.rules[rule].flows:
                counts[rule] = (self.engine.rules[rule].packets, self.engine.rules[rule].bytes, self.engine.rules[rule].flows)
        return counts

    def rule_last(self, rule):
        """When a frame was last counted for a rule, seconds."""
        return self.engine.rules[small(rule, "rule")].last / 1e9

    def nat_flows(self, entry):
        """How many flows an entry of `nat` has translated, and when the last of them began, seconds."""
        cdef const NatCount *count = &self.engine.nat[small(entry, "entry")]
        return count.flows, count.last / 1e9

    def counters(self):
        """Totals by name, and drops by reason."""
        counters = dict(self.engine.counters)
        evicted, drops = counters.pop("evicted"), counters.pop("drops")
        counters["parked"] = self.engine.parking.frames
        counters["crowded"] = self.engine.table.crowded
        for number, name in CLASS_NAMES.items():
            counters[f"evicted-{name}"] = evicted[number]
        counters = {name.replace("_", "-"): value for name, value in counters.items()}
        return counters | {f"drop:{name}": frames for name, frames in zip(NUMBERS, drops, strict=True)}

    def adjacency_used(self, index):
        """When a frame last went, or wanted to go, to this neighbour, seconds."""
        return self.engine.adjacencies[small(index, "adjacency")].last_used / 1e9

    def adjacency_flows(self, index):
        """How many directions of decided flows lead to this neighbour."""
        return self.engine.adjacencies[small(index, "adjacency")].flows

    def target_flows(self, target):
        """How many decided flows a target has."""
        return self.engine.targets[small(target, "target")]

    def target_outcomes(self, target):
        """(answered, refused, silent) new flows of a target."""
        cdef const Outcome *outcome = &self.engine.outcomes[small(target, "target")]
        return outcome.answered, outcome.refused, outcome.silent

    def service_cookies(self, service):
        """(sent, accepted, refused) SYN cookies of a service, its half-open flows, and whether it is under pressure."""
        cdef Service *found = &self.engine.services[small(service, "service")]
        return (found.sent, found.accepted, found.refused), found.opening, bool(pressed(self.engine, service))

    def usage(self):
        """Flows by class, and the bounds."""
        usage = {name: self.engine.table.chain[<int> number].count for number, name in CLASS_NAMES.items()}
        return usage | {"used": table_decided(self.engine.table), "limit": self.engine.table.limit,
                        "self-reserve": self.engine.table.reserve}
