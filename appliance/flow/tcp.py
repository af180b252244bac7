"""TCP as a tracker in the middle sees it: who said what, in which state. The table is data; `tcp.pxd` steps a compiled copy of it.

    SYN_SENT --SYN+ACK back--> SYN_RECEIVED --ACK--> ESTABLISHED --FIN--> FIN_WAIT   --FIN back--> CLOSING --ACK--> TIME_WAIT
                                                                 \\-FIN back-> CLOSE_WAIT --FIN--/
    RST: CLOSED.  A SYN in TIME_WAIT or CLOSED begins another connection: the flow ends, and the new one is decided anew.

States are the originator's where RFC 9293 has a name: FIN_WAIT means that its side has sent FIN, CLOSE_WAIT that the other has.
What the table doesn't list is invalid: dropped, and the flow stays as it is. Retransmissions, answers to half-open connections
and challenge ACKs pass (RFC 9293, 3.5.1 and 3.10.7; RFC 5961). Sequence numbers are `window.pxd`'s; by them, a SYN and ACK may also answer
a SYN that was said into a connection of which nothing remained: then that is SYN_RECEIVED again.
"""

from enum import IntEnum
from typing import Final


class State(IntEnum):
    SYN_SENT = 1
    SYN_RECEIVED = 2
    ESTABLISHED = 3
    FIN_WAIT = 4
    CLOSE_WAIT = 5
    CLOSING = 6  # both sides have sent FIN
    TIME_WAIT = 7
    CLOSED = 8  # reset


class Event(IntEnum):
    """What the flags of a segment say. SYN with FIN or RST, FIN with RST, FIN without ACK, and no flag at all are never valid."""

    SYN = 0
    SYN_ACK = 1
    ACK = 2  # data as well
    FIN = 3
    RST = 4
    INVALID = 5


class Direction(IntEnum):
    ORIGINAL = 0
    REPLY = 1


O, R = Direction.ORIGINAL, Direction.REPLY  # noqa: E741
S, E = State, Event

TRANSITIONS: Final[dict[tuple[State, Direction, Event], State]] = {
    (S.SYN_SENT, O, E.SYN): S.SYN_SENT,
    (S.SYN_SENT, O, E.RST): S.CLOSED,
    (S.SYN_SENT, R, E.SYN): S.SYN_RECEIVED,  # simultaneous open
    (S.SYN_SENT, R, E.SYN_ACK): S.SYN_RECEIVED,
    (S.SYN_SENT, R, E.ACK): S.SYN_SENT,  # the other end knows an older connection
    (S.SYN_SENT, R, E.RST): S.CLOSED,
    (S.SYN_RECEIVED, O, E.SYN): S.SYN_RECEIVED,
    (S.SYN_RECEIVED, O, E.SYN_ACK): S.ESTABLISHED,  # simultaneous open
    (S.SYN_RECEIVED, O, E.ACK): S.ESTABLISHED,
    (S.SYN_RECEIVED, O, E.FIN): S.FIN_WAIT,
    (S.SYN_RECEIVED, O, E.RST): S.CLOSED,
    (S.SYN_RECEIVED, R, E.SYN): S.SYN_RECEIVED,
    (S.SYN_RECEIVED, R, E.SYN_ACK): S.SYN_RECEIVED,
    (S.SYN_RECEIVED, R, E.ACK): S.SYN_RECEIVED,  # data that answers data in the SYN (RFC 7413)
    (S.SYN_RECEIVED, R, E.FIN): S.CLOSE_WAIT,
    (S.SYN_RECEIVED, R, E.RST): S.CLOSED,
    (S.ESTABLISHED, O, E.SYN): S.ESTABLISHED,  # answered by a challenge ACK
    (S.ESTABLISHED, O, E.SYN_ACK): S.ESTABLISHED,
    (S.ESTABLISHED, O, E.ACK): S.ESTABLISHED,
    (S.ESTABLISHED, O, E.FIN): S.FIN_WAIT,
    (S.ESTABLISHED, O, E.RST): S.CLOSED,
    (S.ESTABLISHED, R, E.SYN_ACK): S.ESTABLISHED,
    (S.ESTABLISHED, R, E.ACK): S.ESTABLISHED,
    (S.ESTABLISHED, R, E.FIN): S.CLOSE_WAIT,
    (S.ESTABLISHED, R, E.RST): S.CLOSED,
    (S.FIN_WAIT, O, E.SYN): S.FIN_WAIT,
    (S.FIN_WAIT, O, E.ACK): S.FIN_WAIT,
    (S.FIN_WAIT, O, E.FIN): S.FIN_WAIT,
    (S.FIN_WAIT, O, E.RST): S.CLOSED,
    (S.FIN_WAIT, R, E.SYN_ACK): S.FIN_WAIT,  # the handshake's last ACK was lost, the FIN behind it overtook
    (S.FIN_WAIT, R, E.ACK): S.FIN_WAIT,
    (S.FIN_WAIT, R, E.FIN): S.CLOSING,
    (S.FIN_WAIT, R, E.RST): S.CLOSED,
    (S.CLOSE_WAIT, O, E.SYN): S.CLOSE_WAIT,
    (S.CLOSE_WAIT, O, E.ACK): S.CLOSE_WAIT,
    (S.CLOSE_WAIT, O, E.FIN): S.CLOSING,
    (S.CLOSE_WAIT, O, E.RST): S.CLOSED,
    (S.CLOSE_WAIT, R, E.SYN_ACK): S.CLOSE_WAIT,
    (S.CLOSE_WAIT, R, E.ACK): S.CLOSE_WAIT,
    (S.CLOSE_WAIT, R, E.FIN): S.CLOSE_WAIT,
    (S.CLOSE_WAIT, R, E.RST): S.CLOSED,
    (S.CLOSING, O, E.SYN): S.CLOSING,
    (S.CLOSING, O, E.ACK): S.TIME_WAIT,
    (S.CLOSING, O, E.FIN): S.CLOSING,
    (S.CLOSING, O, E.RST): S.CLOSED,
    (S.CLOSING, R, E.SYN_ACK): S.CLOSING,
    (S.CLOSING, R, E.ACK): S.TIME_WAIT,
    (S.CLOSING, R, E.FIN): S.CLOSING,
    (S.CLOSING, R, E.RST): S.CLOSED,
    (S.TIME_WAIT, O, E.SYN): S.SYN_SENT,
    (S.TIME_WAIT, O, E.ACK): S.TIME_WAIT,
    (S.TIME_WAIT, O, E.FIN): S.TIME_WAIT,
    (S.TIME_WAIT, O, E.RST): S.CLOSED,
    (S.TIME_WAIT, R, E.SYN): S.SYN_SENT,
    (S.TIME_WAIT, R, E.ACK): S.TIME_WAIT,
    (S.TIME_WAIT, R, E.FIN): S.TIME_WAIT,
    (S.TIME_WAIT, R, E.RST): S.CLOSED,
    (S.CLOSED, O, E.SYN): S.SYN_SENT,
    (S.CLOSED, O, E.ACK): S.CLOSED,
    (S.CLOSED, O, E.FIN): S.CLOSED,
    (S.CLOSED, O, E.RST): S.CLOSED,
    (S.CLOSED, R, E.SYN): S.SYN_SENT,
    (S.CLOSED, R, E.ACK): S.CLOSED,
    (S.CLOSED, R, E.FIN): S.CLOSED,
    (S.CLOSED, R, E.RST): S.CLOSED,
}
