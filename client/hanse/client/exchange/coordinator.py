"""What a member says to the coordinator itself, as protocols between two parties want it."""

from dataclasses import dataclass

from hanse.client.exchange.sealed import WAIT_S, Relay
from hanse.errors import ProtocolError
from hanse.exchange import LONGEST_BODY_BYTES


@dataclass(frozen=True, slots=True)
class CoordinatorChannel:
    """A :class:`hanse.exchange.PeerChannel` to the coordinator, in clear to it.

    Attributes:
        relay: This member's session, :class:`hanse.client.exchange.ExchangeChannel`.
        wait_s: How long to wait for room, and for each message.
        peer: Empty: the coordinator.
    """

    relay: Relay
    wait_s: float = WAIT_S
    peer: str = ""

    def send(self, body: bytes) -> None:
        """See :class:`hanse.exchange.PeerChannel`."""
        if len(body) > LONGEST_BODY_BYTES:
            raise ProtocolError("exchange.too-large", f"a message of {len(body)} bytes to the coordinator")
        self.relay.send(body, "", self.wait_s)

    def receive(self) -> bytes:
        """See :class:`hanse.exchange.PeerChannel`."""
        return self.relay.receive(self.wait_s)
