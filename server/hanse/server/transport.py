"""How the coordinator reaches the members' nodes: the seam between the rounds and the engine below them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Replies:
    """What came back for one set of commands.

    Attributes:
        bodies: Serialised ``SignedMessage`` per member that answered in time.
        failures: Why a member did not answer, per member; a short engine-side reason, no payload.
    """

    bodies: Mapping[str, bytes]
    failures: Mapping[str, str] = field(default_factory=dict)


class Transport(Protocol):
    """Carries one command to each of several members and brings back their replies."""

    def wait_for(self, members: frozenset[str], timeout_s: float) -> frozenset[str]:
        """Waits until all the members are connected, or the time is over; returns those that are."""
        ...

    def exchange(self, commands: Mapping[str, bytes], timeout_s: float) -> Replies:
        """Sends each member its command and waits for the answers.

        Args:
            commands: Serialised ``SignedMessage`` per member name.
            timeout_s: How long to wait for all answers together. A member that is silent for longer
                is reported as a failure, never waited for.
        """
        ...
