"""Flow steering as a driver sets it: a table of rules by location, handed to the engine whole at each change.

A rule is taken or refused when it comes; whether its queue exists is asked when a packet comes. A location that is taken already gets
the new rule. Source: ENA interface, FLOW_STEERING_CONFIG.
"""

from __future__ import annotations

from collections.abc import Mapping
from ctypes import Array, c_uint8

from ena_dev.abi.admin import FeatureCommand, Status
from ena_dev.abi.features import FeatureId
from ena_dev.abi.flow_steering import ANY_LOCATION, FlowAction, FlowLocation, FlowSpec, FlowSteering, FlowType
from ena_dev.device.control_buffer import Refused, illegal, read_buffer
from ena_dev.device.feature import Feature, payload
from ena_dev.device.interfaces import Engine, FlowRule, Memory

TCP, UDP = 6, 17
TYPES = {
    FlowType.IPV4: (4, 0),
    FlowType.IPV6: (6, 0),
    FlowType.IPV4_TCP: (4, TCP),
    FlowType.IPV6_TCP: (6, TCP),
    FlowType.IPV4_UDP: (4, UDP),
    FlowType.IPV6_UDP: (6, UDP),
}
"""IP version and protocol; 0 for any protocol."""


class FlowRules:
    """The rules of one card: at locations below `size`, for queues below `queues`."""

    def __init__(self, memory: Memory, engine: Engine, size: int, queues: int) -> None:
        self._memory, self._engine, self._size, self._queues = memory, engine, size, queues
        self._rules: dict[int, FlowRule] = {}

    def reset(self) -> None:
        """The engine has forgotten them already."""
        self._rules.clear()

    def features(self) -> Mapping[FeatureId, Feature]:
        return {FeatureId.FLOW_STEERING_CONFIG: Feature(set=self._set)}

    def _set(self, command: FeatureCommand) -> FlowLocation | None:
        entry = payload(command, FlowSteering)
        if entry.flags:
            raise illegal(f"flow rule flags {entry.flags:#x}")
        answer = None
        match entry.action:
            case FlowAction.ADD:
                rule = self._rule(command, entry)
                self._rules[rule.location] = rule
                answer = FlowLocation(location=rule.location)
            case FlowAction.REMOVE:
                if self._rules.pop(entry.location, None) is None:
                    raise illegal(f"no flow rule at {entry.location}")
            case FlowAction.REMOVE_ALL:
                self._rules.clear()
            case action:
                raise illegal(f"flow rule action {action}")
        self._engine.set_flow_rules(self._rules.values())
        return answer

    def _rule(self, command: FeatureCommand, entry: FlowSteering) -> FlowRule:
        """The rule to be added; Refused if it can't be meant."""
        version, protocol = TYPES.get(entry.flow_type, (0, 0))
        if not version or entry.queue >= self._queues:
            raise illegal(f"a flow rule of type {entry.flow_type} for queue {entry.queue}")
        spec = FlowSpec.parse(read_buffer(self._memory, command.buffer, FlowSpec.size()))
        if not protocol and (spec.destination_port_mask or spec.source_port_mask):
            raise illegal("a flow rule for ports of any protocol")
        size = 4 if version == 4 else 16
        return FlowRule(
            location=self._location(entry.location),
            queue=entry.queue,
            version=version,
            protocol=protocol,
            destination=_address(spec.destination, size),
            destination_mask=_address(spec.destination_mask, size),
            source=_address(spec.source, size),
            source_mask=_address(spec.source_mask, size),
            destination_port=spec.destination_port,
            destination_port_mask=spec.destination_port_mask,
            source_port=spec.source_port,
            source_port_mask=spec.source_port_mask,
            tos=spec.tos,
            tos_mask=spec.tos_mask,
        )

    def _location(self, asked: int) -> int:
        if asked < self._size:
            return asked
        if asked != ANY_LOCATION:
            raise illegal(f"a flow rule at {asked} of {self._size}")
        for location in range(self._size):
            if location not in self._rules:
                return location
        raise Refused(Status.RESOURCE_ALLOCATION_FAILURE, f"all {self._size} flow rules are taken")


def _address(field: Array[c_uint8], size: int) -> bytes:
    """16 bytes, of which only `size` count."""
    return bytes(field)[:size].ljust(16, b"\0")
