"""When a run has nothing more to gain: a rule over the losses of its rounds, without memory of its own.

The loss is that on rows which members keep from training, before the round; it follows from sums over the
members and names none. The weights of the best round are kept, so a run loses nothing by going on for a
while.

Rows that choose the round flatter the model that they chose. :func:`hanse.learning.federated.train` is given
rows for that which are neither trained on nor held out. A run has the held-out rows alone, and its metrics
are from the rows that chose: the more rounds and the fewer rows, the more they flatter.
"""

from dataclasses import dataclass
from typing import Final, Self

MINIMUM_IMPROVEMENT: Final = 1e-4
"""Nats by which a loss has to fall to count as lower: less is noise at ten thousand rows."""


@dataclass(frozen=True, slots=True)
class Stopping:
    """What the rule knows after some rounds.

    Attributes:
        patience: Rounds without improvement after which to stop; 0 for never.
        best_round: Round whose weights had the lowest loss; 0 for the start.
        best_loss: Their loss in nats; None before the first that is known.
        rounds: Last round that was observed.
    """

    patience: int
    best_round: int = 0
    best_loss: float | None = None
    rounds: int = 0

    def observe(self, round_number: int, loss: float | None) -> Self:
        """The rule after one round more.

        Args:
            round_number: Round whose weights were judged; 0 for the start.
            loss: Their loss; None if no member has validation rows, which is no improvement.

        Returns:
            What is known now.
        """
        improved = loss is not None and (
            self.best_loss is None or loss <= self.best_loss - MINIMUM_IMPROVEMENT
        )
        best_round, best_loss = (round_number, loss) if improved else (self.best_round, self.best_loss)
        return type(self)(self.patience, best_round, best_loss, round_number)

    @property
    def improved(self) -> bool:
        """Whether the last round observed is the best."""
        return self.best_loss is not None and self.best_round == self.rounds

    @property
    def over(self) -> bool:
        """Whether to stop."""
        return self.patience > 0 and self.rounds - self.best_round >= self.patience
