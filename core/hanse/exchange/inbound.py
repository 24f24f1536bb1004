"""The receiving half of a session: pieces in order become messages; who sends too much is stopped."""

from collections import deque
from collections.abc import Container, Iterator
from contextlib import contextmanager

from hanse.api.v1.exchange_pb2 import Frame
from hanse.errors import CATALOGUE, ProtocolError
from hanse.exchange.limits import FRAME_COST, Limits


class Inbound:
    """See the module docstring.

    Args:
        limits: Sizes.
        peers: Names that a message may be addressed to; None for any.

    Attributes:
        received: Number of the newest frame.
        granted: What the other end may have sent in all.
        end: Why the other end has ended the session, empty if it is done; None if it has not.
        urgent: Whether the other end is likely to wait for an acknowledgement.
    """

    def __init__(self, limits: Limits, peers: Container[str] | None) -> None:
        self._limits = limits
        self._peers = peers
        self._ready: dict[str, deque[tuple[bytes, int]]] = {}
        self._ready_cost = 0
        self._partial = bytearray()
        self._partial_cost = 0
        self._partial_peer = ""
        self._cost = 0
        self._waiting = 0
        self.received = 0
        self.granted = limits.window_bytes
        self.end: str | None = None
        self.urgent = False

    def accept(self, frame: Frame) -> bool:
        """Takes a numbered frame.

        Args:
            frame: A frame whose sequence is not 0.

        Returns:
            Whether it is new; one that was there before is dropped.

        Raises:
            ProtocolError: ``exchange.out-of-step`` for a gap, ``exchange.flooded`` for more than was granted,
                ``exchange.too-large``, ``exchange.unknown-peer``, ``protocol.malformed``.
        """
        if frame.sequence <= self.received:
            return False
        if frame.sequence != self.received + 1 or self.end is not None:
            raise ProtocolError(
                "exchange.out-of-step", f"frame {frame.sequence} does not follow frame {self.received}"
            )
        cost = len(frame.payload) + FRAME_COST
        if self._cost + cost > self.granted:
            raise ProtocolError("exchange.flooded", f"frame {frame.sequence} goes beyond what was granted")
        self._check(frame)
        self.received = frame.sequence
        self._cost += cost
        if frame.end:
            self.end = frame.error_code if frame.error_code in CATALOGUE else ""
            self.urgent = True
        else:
            self._append(frame, cost)
        self._grant()
        return True

    def _check(self, frame: Frame) -> None:
        begun = self._partial_cost > 0
        if frame.end:
            if begun or frame.payload or frame.last or frame.peer:
                raise ProtocolError("protocol.malformed", "a session ends in the middle of a message")
            return
        if len(frame.payload) > self._limits.piece_bytes or not (frame.payload or frame.last):
            raise ProtocolError("protocol.malformed", f"a piece of {len(frame.payload)} bytes")
        if frame.error_code or (begun and frame.peer != self._partial_peer):
            raise ProtocolError("protocol.malformed", "a piece of another message in the middle of one")
        if len(self._partial) + len(frame.payload) > self._limits.message_bytes:
            raise ProtocolError(
                "exchange.too-large", f"a message of more than {self._limits.message_bytes} bytes"
            )
        if frame.peer and self._peers is not None and frame.peer not in self._peers:
            raise ProtocolError("exchange.unknown-peer", "a message for somebody outside of the session")

    def _append(self, frame: Frame, cost: int) -> None:
        self._partial_cost += cost
        if frame.last and not self._partial:
            body = frame.payload
        else:
            self._partial += frame.payload
            if not frame.last:
                self._partial_peer = frame.peer
                return
            body = bytes(self._partial)
            self.urgent = True  # of long messages, few fit into what a sender keeps
        self._ready.setdefault(frame.peer, deque()).append((body, self._partial_cost))
        self._ready_cost += self._partial_cost
        self._partial = bytearray()
        self._partial_cost = 0

    def peek(self, peer: str = "") -> bytes | None:
        """The oldest message of a peer, which stays."""
        queue = self._ready.get(peer)
        return queue[0][0] if queue else None

    def take(self, peer: str = "") -> bytes | None:
        """The oldest message of a peer; makes room for others."""
        queue = self._ready.get(peer)
        if not queue:
            return None
        body, cost = queue.popleft()
        if not queue:
            del self._ready[peer]
        self._ready_cost -= cost
        self._grant()
        return body

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """While somebody waits for a message that is not there, and others may stand before it."""
        self._waiting += 1
        self._grant()
        try:
            yield
        finally:
            self._waiting -= 1

    @property
    def held(self) -> int:
        """What is held now, in bytes with the cost of frames."""
        return self._ready_cost + self._partial_cost

    def _grant(self) -> None:
        """A message that is not whole does not count, so that the longest one gets through."""
        window = self._limits.window_bytes
        room = window - self._ready_cost
        if self._waiting:
            room = min(window, room + self._limits.reserve_bytes)
        self.granted = max(self.granted, self._cost + max(0, room))
