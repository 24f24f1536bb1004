"""One end of a session, without a connection, a clock or a thread.

Both ends number their frames from 1 and keep each until the other has acknowledged it. A connection may break
at any point; a new one begins with each side saying what it has received, and both go on from there. Within
a connection frames arrive in order (gRPC over TCP), so a gap is never a loss on the way but a fault of the
other side, and ends the session. Frames of a connection that was replaced are not looked at.

Back-pressure is credit: a receiver says how much it may have been sent in all, and raises that figure when
messages are taken. Who sends more than it was granted ends the session.
"""

from collections.abc import Container

from hanse.api.v1.exchange_pb2 import Frame
from hanse.errors import CATALOGUE, ProtocolError, TrainingError
from hanse.exchange.inbound import Inbound
from hanse.exchange.limits import Limits
from hanse.exchange.outbound import Outbound


class Endpoint:
    """See the module docstring.

    Args:
        limits: Sizes; both ends must have the same.
        peers: Names that the other end may address messages to; None for any.

    Attributes:
        outgoing: What this end sends.
        incoming: What it receives.
        connection: Number of the newest connection, 0 before the first.
    """

    def __init__(self, limits: Limits, peers: Container[str] | None = None) -> None:
        self._lag = limits.window_bytes // 4
        self.outgoing = Outbound(limits)
        self.incoming = Inbound(limits, peers)
        self.connection = 0
        self._told_received = 0
        self._told_credit = 0

    def greet(self) -> tuple[int, int, int]:
        """Gives up the connection there is, for a new one.

        Returns:
            Number of the new connection; what was received so far; what is granted.
        """
        self.connection += 1
        # The greeting tells the other end, on this connection, what is here.
        self._told_received, self._told_credit = self.incoming.received, self.incoming.granted
        return self.connection, self._told_received, self._told_credit

    def connect(self, received: int, credit: int) -> None:
        """Goes on where the other end is, once it has greeted too.

        Args:
            received: What it said that it has received.
            credit: What it said that it grants.

        Raises:
            ProtocolError: ``exchange.out-of-step``.
        """
        self.outgoing.rewind(received, credit)

    def accept(self, connection: int, frame: Frame) -> bool:
        """Takes a frame that a connection brought.

        Returns:
            Whether it brought a piece of a message, or the end.

        Raises:
            ProtocolError: As :meth:`Inbound.accept` and :meth:`Outbound.acknowledge`.
            TrainingError: The code that the other end broke the session with.
        """
        if connection != self.connection:
            return False
        if frame.sequence:
            self.outgoing.acknowledge(frame.ack, frame.credit)
            return self.incoming.accept(frame)
        if frame.error_code:
            code = frame.error_code if frame.error_code in CATALOGUE else "exchange.closed"
            raise TrainingError(code, "the other side broke the session")
        if frame.payload or frame.last or frame.peer or frame.end:
            raise ProtocolError("protocol.malformed", "a piece of a message without a number")
        self.outgoing.acknowledge(frame.ack, frame.credit)
        return False

    def next_frame(self) -> Frame | None:
        """The next frame for the connection, None if there is nothing to say now."""
        frame = self.outgoing.next()
        if frame is not None:
            return self._stamped(frame)
        return self.heartbeat() if self._update_due() else None

    def heartbeat(self) -> Frame:
        """A frame that says what was received, and no more."""
        return self._stamped(Frame())

    @property
    def due(self) -> bool:
        """Whether there is something to say, or nothing any more."""
        return self.outgoing.allowed or self._update_due() or self.complete

    @property
    def complete(self) -> bool:
        """Whether one side has ended the session and the other knows."""
        ours = self.outgoing.ended and self.outgoing.settled
        return ours or (self.incoming.end is not None and self._told_received == self.incoming.received)

    def _update_due(self) -> bool:
        """Rarely, because most frames go with an answer; at once where the other end waits for it."""
        return self.incoming.urgent or self.incoming.granted - self._told_credit >= self._lag

    def _stamped(self, frame: Frame) -> Frame:
        frame.ack = self._told_received = self.incoming.received
        frame.credit = self._told_credit = self.incoming.granted
        self.incoming.urgent = False
        return frame
