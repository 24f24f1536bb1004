"""What a way of learning is to the rounds: state in, state out, over whatever carries its questions."""

from dataclasses import dataclass
from typing import Protocol

from hanse.aggregation import Aggregator


@dataclass(frozen=True, slots=True)
class Learned:
    """What one round taught.

    Attributes:
        state: The state after it.
        members: Whose rows it learned from, sorted.
    """

    state: bytes
    members: tuple[str, ...]


class Algorithm(Protocol):
    """The coordinator's half of how a model is learned, in rounds.

    Between rounds it knows nothing but the state: bytes that every member is sent and checks, that are kept
    after each round, and from which a run can go on. It is made anew from agreement, preprocessing and run.
    """

    @property
    def sums(self) -> int:
        """Most sums that a round asks for."""
        ...

    def start(self) -> bytes:
        """The state before the first round; everybody can compute it."""
        ...

    def round(self, members: Aggregator, number: int, state: bytes) -> Learned:
        """Conducts one round.

        Args:
            members: Access to them.
            number: From 1.
            state: Of the round before.

        Returns:
            What it taught.

        Raises:
            TrainingError: ``run.update-rejected`` if the sums cannot be those of members that keep the
                agreement; otherwise as the aggregator.
        """
        ...

    def finished(self, state: bytes) -> bool:
        """Whether no further round would gain anything."""
        ...

    def model_file(self, state: bytes) -> bytes:
        """The model's file of a model folder (:mod:`hanse.learning.artifact`)."""
        ...
