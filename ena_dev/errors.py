"""The error tree: whose fault it is decides the class.

    SoftenaError
    +- UsageError          a caller's bug; never retried
    +- BusError            an address or access that nobody owns
    +- DeviceError         the other side broke the contract; only a reset helps
    |  +- RegisterTimeout
    |  +- ResetTimeout
    |  +- MissingCompletion
    |  +- InvalidRequestId
    |  +- MissingKeepAlive
    +- AdminError          a command was refused, with its status
    +- PortError           the network side can't be opened or used
    +- ConfigError         a mistake in a file; carries every mistake found
    +- HostError           the Linux host refused something (addresses, namespaces)

Facts are attributes, the message is a sentence. A bad frame is a counter, not an exception.
"""

from __future__ import annotations


class SoftenaError(Exception):
    """Base of all errors raised on purpose."""


class UsageError(SoftenaError):
    """A caller broke a documented rule."""


class BusError(SoftenaError):
    """An access to an address that nobody owns, or in a way its owner refuses."""

    def __init__(self, address: int, length: int, why: str) -> None:
        super().__init__(f"bus address {address:#x}, {length} bytes: {why}")
        self.address, self.length, self.why = address, length, why


class DeviceError(SoftenaError):
    """The card broke the contract; only a reset helps."""


class RegisterTimeout(DeviceError):
    """A register could not be read: the card is gone or does not answer."""

    def __init__(self, register: str, waited: float) -> None:
        super().__init__(f"register {register}: no answer" + (f" in {waited:.1f} s" if waited else ", the card is gone"))
        self.register, self.waited = register, waited


class ResetTimeout(DeviceError):
    """The card did not follow the reset handshake in time."""

    def __init__(self, step: str, waited: float) -> None:
        super().__init__(f"reset: {step} not seen after {waited:.1f} s")
        self.step, self.waited = step, waited


class MissingCompletion(DeviceError):
    """A request stayed without completion for too long."""

    def __init__(self, queue: int, req_id: int, waited: float) -> None:
        super().__init__(f"tx queue {queue}: request {req_id} not completed after {waited:.1f} s")
        self.queue, self.req_id, self.waited = queue, req_id, waited


class InvalidRequestId(DeviceError):
    """A completion names a request that is not in flight."""

    def __init__(self, queue: int, req_id: int) -> None:
        super().__init__(f"queue {queue}: completion for request {req_id}, which is not in flight")
        self.queue, self.req_id = queue, req_id


class MissingKeepAlive(DeviceError):
    """The card sent no keep-alive event for too long."""

    def __init__(self, waited: float) -> None:
        super().__init__(f"no keep-alive for {waited:.1f} s")
        self.waited = waited


class AdminError(SoftenaError):
    """An admin command was refused or not answered. `status` is the contract's number; None means no answer in time."""

    def __init__(self, command: str, status: int | None, name: str) -> None:
        super().__init__(f"admin command {command}: {name}" + ("" if status is None else f" (status {status})"))
        self.command, self.status, self.name = command, status, name


class PortError(SoftenaError):
    """The network side of a card can't be opened or used."""


class HostError(SoftenaError):
    """The Linux host refused something the appliance needs: what, why, and what would do."""

    def __init__(self, what: str, why: str = "", hint: str = "") -> None:
        super().__init__(what + (f": {why}" if why else "") + (f"; {hint}" if hint else ""))
        self.what, self.why, self.hint = what, why, hint
