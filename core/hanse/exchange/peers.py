"""What two parties of a run say to each other: whole messages, in order, each once.

Protocols between parties (alignment, vertical learning) are written against :class:`PeerChannel`, one
blocking call after the other, a thread for each party. Between members' nodes a channel is a sealed session
over the exchange; between a member and the coordinator, the exchange's own session; in one process,
:func:`memory_pair`.
"""

import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Final, Protocol

from hanse.errors import ProtocolError

LONGEST_BODY_BYTES: Final = 32 * 1024 * 1024
"""Of one message; what is longer is sent in several."""


class PeerChannel(Protocol):
    """One party's end of a conversation with one other; how long it waits is settled when it is made."""

    @property
    def peer(self) -> str:
        """The other party; empty for the coordinator."""
        ...

    def send(self, body: bytes) -> None:
        """Queues a message of at most :data:`LONGEST_BODY_BYTES` and returns; waits only for room.

        Raises:
            HanseError: ``exchange.too-large``, ``exchange.timeout``, or why the conversation has ended.
        """
        ...

    def receive(self) -> bytes:
        """The next message.

        Raises:
            HanseError: ``exchange.timeout`` if there is none in time, or why the conversation has ended.
        """
        ...


@dataclass(slots=True)
class _Pipe:
    """One direction."""

    waiting: deque[bytes] = field(default_factory=deque)
    changed: threading.Condition = field(default_factory=threading.Condition)
    closed: str = ""


@dataclass(slots=True)
class MemoryChannel:
    """A :class:`PeerChannel` within one process, which counts what it sends.

    Attributes:
        peer: As there.
        sent_bytes: Of all messages so far.
        sent_messages: How many.
    """

    peer: str
    _out: _Pipe
    _in: _Pipe
    _timeout_s: float
    sent_bytes: int = 0
    sent_messages: int = 0

    def send(self, body: bytes) -> None:
        """See :class:`PeerChannel`; there is always room."""
        if len(body) > LONGEST_BODY_BYTES:
            raise ProtocolError("exchange.too-large", f"a message of {len(body)} bytes to {self.peer}")
        with self._out.changed:
            if self._out.closed:
                raise ProtocolError(self._out.closed, f"the conversation with {self.peer} has ended")
            self._out.waiting.append(bytes(body))
            self._out.changed.notify_all()
        self.sent_bytes += len(body)
        self.sent_messages += 1

    def receive(self) -> bytes:
        """See :class:`PeerChannel`."""
        pipe = self._in
        with pipe.changed:
            if not pipe.changed.wait_for(lambda: bool(pipe.waiting or pipe.closed), self._timeout_s):
                raise ProtocolError("exchange.timeout", f"{self.peer} said nothing for {self._timeout_s} s")
            if pipe.waiting:
                return pipe.waiting.popleft()
            raise ProtocolError(pipe.closed, f"the conversation with {self.peer} has ended")

    def close(self, code: str = "exchange.closed") -> None:
        """Ends both directions; what was sent before can still be received."""
        for pipe in (self._out, self._in):
            with pipe.changed:
                pipe.closed = pipe.closed or code
                pipe.changed.notify_all()


def memory_pair(first: str, second: str, timeout_s: float = 60.0) -> tuple[MemoryChannel, MemoryChannel]:
    """Both ends of a conversation within one process.

    Args:
        first: Name of one party.
        second: Name of the other.
        timeout_s: How long each waits for a message.

    Returns:
        The end that ``first`` uses (its peer is ``second``), and the other.
    """
    there, back = _Pipe(), _Pipe()
    return MemoryChannel(second, there, back, timeout_s), MemoryChannel(first, back, there, timeout_s)
