"""What two parties said to each other, as digests that both can write into their logs.

Each message enters as its length (8 bytes, big-endian) and its bytes, so that two conversations with the same
digest have the same messages, not only the same bytes in a row. What one party sent is what the other
received: ``brand.sent == insurer.received``.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

from hanse.exchange.peers import PeerChannel

_LENGTH_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Said:
    """One direction of a conversation so far.

    Attributes:
        messages: How many.
        bytes: Of all of them.
        digest: SHA-256 of all of them with their lengths, lower-case hex.
    """

    messages: int
    bytes: int
    digest: str


class _Account:
    """A running :class:`Said`."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._messages = 0
        self._bytes = 0

    def add(self, body: bytes) -> None:
        self._digest.update(len(body).to_bytes(_LENGTH_BYTES, "big"))
        self._digest.update(body)
        self._messages += 1
        self._bytes += len(body)

    def said(self) -> Said:
        return Said(self._messages, self._bytes, self._digest.hexdigest())


class Transcript:
    """A :class:`PeerChannel` that keeps account of what goes through it.

    A message that could not be queued is not in it. At most one thread sends, and one receives.

    Args:
        channel: What carries the messages.
    """

    def __init__(self, channel: PeerChannel) -> None:
        self._channel = channel
        self._sent = _Account()
        self._received = _Account()

    @property
    def peer(self) -> str:
        """The other party."""
        return self._channel.peer

    @property
    def sent(self) -> Said:
        """What this party has said."""
        return self._sent.said()

    @property
    def received(self) -> Said:
        """What the other party has said, as far as it was received."""
        return self._received.said()

    def send(self, body: bytes) -> None:
        """As :meth:`PeerChannel.send`."""
        self._channel.send(body)
        self._sent.add(body)

    def receive(self) -> bytes:
        """As :meth:`PeerChannel.receive`."""
        body = self._channel.receive()
        self._received.add(body)
        return body
