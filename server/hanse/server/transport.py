"""How the coordinator reaches the members' nodes: the seam between the rounds and the engine below them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Replies:
    """What has come back for one set of commands.

    Attributes:
        bodies: Serialised ``SignedMessage`` per member that has answered.
        failures: Why a member will not answer, per member; a short engine-side reason, no payload. Who is in
            neither has not answered yet.
    """

    bodies: Mapping[str, bytes]
    failures: Mapping[str, str] = field(default_factory=dict)


class Pending(Protocol):
    """Commands that are under way."""

    def collect(self, timeout_s: float) -> Replies:
        """Waits for the answers; may be called again.

        Args:
            timeout_s: How long to wait for all answers together; 0 for what is there. A member that is silent
                for longer is not waited for.

        Returns:
            Everything that has come since the commands were sent.
        """
        ...


class Transport(Protocol):
    """Carries one command to each of several members and brings back their replies."""

    def wait_for(self, members: frozenset[str], timeout_s: float) -> frozenset[str]:
        """Waits until all the members are connected, or the time is over; returns those that are."""
        ...

    def begin(self, commands: Mapping[str, bytes]) -> Pending:
        """Sends each member its command and returns at once.

        Args:
            commands: Serialised ``SignedMessage`` per member name.
        """
        ...
