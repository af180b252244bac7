from ena_dev.bus.memory import Memory

class BufferPool:
    def __init__(self, memory: Memory, count: int, size: int = ...) -> None: ...
    count: int
    free: int
    mistakes: int
    def census(self) -> dict[str, int]:
        """Buffers by owner: pool, posted, burst, parked, sent. Their sum is `count`."""
    def close(self) -> None: ...
