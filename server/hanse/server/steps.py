"""What the rounds are made of, however the members' figures come together."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from hanse.learning import Transform
from hanse.server.algorithms import Algorithm, Opening
from hanse.server.evaluation import Metrics
from hanse.server.party import Parts


@dataclass(frozen=True, slots=True)
class Prepared:
    """What the preparation gave.

    Attributes:
        transform: The fitted preprocessing.
        cell_counts: Rows per cell over all members, with each one's noise; empty without privacy.
        planned: Epsilon that the whole run will have spent, by member.
        rows: Rows by member, as it has stated them.
        opening: What the members have settled of shared noise; None without.
        average: Share of each feature among the records of all members, in hundredths; empty where the sums
            are not over enough members to be told, or no cell is counted.
    """

    transform: Transform
    cell_counts: tuple[float, ...]
    planned: Mapping[str, float]
    rows: Parts
    opening: Opening | None = None
    average: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Account:
    """What a run has cost the people in the data, and what it may say of how many they are.

    Attributes:
        certificate: By :func:`hanse.privacy.make_certificate`; None without a budget.
        rows: The noisy number of training records; None if none was asked for.
    """

    certificate: dict[str, Any] | None = None
    rows: float | None = None


@dataclass(frozen=True, slots=True)
class Round:
    """What a round gave.

    Attributes:
        state: What the algorithm has learned after it.
        metrics: Evaluation of the state before it.
        members: Whose rows it learned from, sorted.
        rows: Rows by member, as it has stated them.
        shares: Each member's part of what the round gains, where it is agreed that this is computed.
    """

    state: bytes
    metrics: Metrics
    members: tuple[str, ...]
    rows: Parts
    shares: Mapping[str, float] = field(default_factory=dict)


class Steps(Protocol):
    """How one step of a run is made. Each of them raises as :meth:`hanse.server.rounds.Rounds.conduct`."""

    def prepare(self) -> Prepared:
        """Lets every member check the agreement, and fits the preprocessing."""
        ...

    def train(self, number: int, algorithm: Algorithm, state: bytes, transform: Transform) -> Round:
        """Trains one round, from 1."""
        ...

    def evaluate(self, state: bytes, transform: Transform) -> Metrics:
        """Evaluates the final state."""
        ...

    def account(self, state: bytes) -> Account:
        """What a whole run with that state has cost."""
        ...
