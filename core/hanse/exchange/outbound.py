"""The sending half of a session: messages in pieces, kept until they are acknowledged."""

from collections import deque
from dataclasses import dataclass

from hanse.api.v1.exchange_pb2 import Frame
from hanse.errors import ProtocolError, TrainingError
from hanse.exchange.limits import FRAME_COST, Limits


@dataclass(frozen=True, slots=True)
class _Piece:
    """A numbered frame to be.

    Attributes:
        sequence: Its number.
        through: Cost of all frames up to this one.
        payload: A view of the message, which is not copied before it is sent.
        last: Whether it ends a message.
        peer: As in the frame.
        end: Whether it ends the session.
        error_code: Why.
    """

    sequence: int
    through: int
    payload: memoryview
    last: bool
    peer: str
    end: bool = False
    error_code: str = ""

    @property
    def cost(self) -> int:
        """What it costs of the credit, bytes."""
        return len(self.payload) + FRAME_COST

    def frame(self) -> Frame:
        """The frame, without acknowledgement and credit."""
        return Frame(
            sequence=self.sequence,
            payload=bytes(self.payload),
            last=self.last,
            peer=self.peer,
            end=self.end,
            error_code=self.error_code,
        )


class Outbound:
    """See the module docstring.

    Args:
        limits: Sizes.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._waiting: deque[_Piece] = deque()
        self._sent: deque[_Piece] = deque()
        self._sequence = 0  # of the newest piece
        self._through = 0  # its cost with all before
        self._transmitted = 0  # newest number that any connection was given
        self._current = 0  # newest number that this connection was given
        self._acknowledged = 0
        self._credit = 0
        self._held = 0
        self.ended = False

    @property
    def settled(self) -> bool:
        """Whether everything is acknowledged."""
        return self._acknowledged == self._sequence

    def room(self, size: int) -> bool:
        """Whether a message of so many bytes can be taken now."""
        return not self._held or self._held + size <= self._limits.unacknowledged_bytes

    def put(self, body: bytes, peer: str = "") -> None:
        """Queues a message, whether or not there is room.

        Raises:
            ProtocolError: ``exchange.too-large``.
            TrainingError: ``exchange.closed`` after the end.
        """
        if len(body) > self._limits.message_bytes:
            raise ProtocolError(
                "exchange.too-large", f"{len(body)} bytes; at most {self._limits.message_bytes} in a message"
            )
        view, step = memoryview(body), self._limits.piece_bytes
        for start in range(0, max(len(body), 1), step):
            self._append(view[start : start + step], last=start + step >= len(body), peer=peer)

    def end(self, error_code: str = "") -> None:
        """Queues the end of the session; a second one changes nothing."""
        if not self.ended:
            self._append(memoryview(b""), end=True, error_code=error_code)
            self.ended = True

    def _append(
        self,
        payload: memoryview,
        *,
        last: bool = False,
        peer: str = "",
        end: bool = False,
        error_code: str = "",
    ) -> None:
        if self.ended:
            raise TrainingError("exchange.closed", "this side has ended the session")
        self._sequence += 1
        self._through += len(payload) + FRAME_COST
        self._held += len(payload) + FRAME_COST
        self._waiting.append(_Piece(self._sequence, self._through, payload, last, peer, end, error_code))

    @property
    def allowed(self) -> bool:
        """Whether there is a frame that the other side's credit allows."""
        return bool(self._waiting) and self._waiting[0].through <= self._credit

    def next(self) -> Frame | None:
        """The next frame that the other side's credit allows; it counts as sent."""
        if not self.allowed:
            return None
        piece = self._waiting.popleft()
        self._sent.append(piece)
        self._current = piece.sequence
        self._transmitted = max(self._transmitted, piece.sequence)
        return piece.frame()

    def acknowledge(self, sequence: int, credit: int) -> None:
        """Forgets what the other side has received.

        Args:
            sequence: The newest that it has; one that is older than what it said before changes nothing.
            credit: What it grants.

        Raises:
            ProtocolError: ``exchange.out-of-step`` for a frame that this connection was not given.
        """
        if sequence > self._current:
            raise ProtocolError("exchange.out-of-step", f"frame {sequence} is acknowledged but was not sent")
        while self._sent and self._sent[0].sequence <= sequence:
            self._held -= self._sent.popleft().cost
        self._acknowledged = max(self._acknowledged, sequence)
        self._credit = max(self._credit, credit)

    def rewind(self, received: int, credit: int) -> None:
        """Goes back, for a new connection, to what the other side has received.

        Raises:
            ProtocolError: ``exchange.out-of-step`` if it was never sent so much, or had more before.
        """
        if not self._acknowledged <= received <= self._transmitted:
            raise ProtocolError(
                "exchange.out-of-step",
                f"resumed after frame {received}; {self._acknowledged} to {self._transmitted} are possible",
            )
        self._waiting.extendleft(reversed(self._sent))
        self._sent.clear()
        while self._waiting and self._waiting[0].sequence <= received:
            self._held -= self._waiting.popleft().cost
        self._acknowledged = self._current = received
        self._credit = max(self._credit, credit)
