from ena_dev.port.port import Port

class TapPort(Port):
    name: str
    offloads: bool
    steered: bool
    io_uring: bool
    def __init__(
        self,
        name: str,
        queues: int = ...,
        *,
        vnet: bool = ...,
        offloads: bool = ...,
        tun: bool = ...,
        mac: bytes = ...,
        io_uring: bool = ...,
    ) -> None: ...
    def fileno(self, queue: int = ...) -> int: ...
    def counters(self) -> dict[str, int]: ...
