from collections.abc import Iterable

from ena_dev.bus.executor import Executor
from ena_dev.device.interfaces import FlowRule

class FlowSteering:
    def __init__(self, executor: Executor) -> None: ...
    def set(self, rules: Iterable[FlowRule]) -> None: ...
