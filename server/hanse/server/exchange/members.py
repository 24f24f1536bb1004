"""What the coordinator and one member say to each other, as protocols between two parties want it."""

from dataclasses import dataclass
from typing import Final

from hanse.errors import ProtocolError
from hanse.exchange import LONGEST_BODY_BYTES
from hanse.server.exchange.exchange import Exchange

WAIT_S: Final = 600.0
"""How long the coordinator waits for a member: it may have much to compute before it answers."""


@dataclass(frozen=True, slots=True)
class MemberChannel:
    """A :class:`hanse.exchange.PeerChannel` to one member.

    Attributes:
        exchange: The sessions of the phase.
        peer: The member.
        wait_s: How long to wait for room, and for each message.
    """

    exchange: Exchange
    peer: str
    wait_s: float = WAIT_S

    def send(self, body: bytes) -> None:
        """See :class:`hanse.exchange.PeerChannel`."""
        if len(body) > LONGEST_BODY_BYTES:
            raise ProtocolError("exchange.too-large", f"a message of {len(body)} bytes to {self.peer}")
        self.exchange.send(self.peer, body, self.wait_s)

    def receive(self) -> bytes:
        """See :class:`hanse.exchange.PeerChannel`."""
        return self.exchange.receive(self.peer, self.wait_s)
