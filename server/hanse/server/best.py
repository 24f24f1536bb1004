"""The best state of a run so far, where the agreement has patience.

Each round evaluates the state before it on the held-out rows of all members, and the run's end evaluates one
state more, the last one. So nothing is asked that a run without patience does not ask: with a privacy budget
the figures are noisy and paid for, and choosing by them costs nothing more. What is chosen by noise is chosen
a little by chance; and a state that was chosen by held-out rows looks a little better on them than it is.
"""

from typing import Annotated

from pydantic import Field

from hanse.audit.event import Digest, Document
from hanse.learning.calibration import NO_MEANING, ScoreMeaning
from hanse.learning.federated import Stopping


class Best(Document):
    """A state, and how good it was found to be.

    Attributes:
        round: After which round it was; 0 for the start.
        state: SHA-256 of it.
        metrics: Of its evaluation.
        meaning: What its scores mean, by that.
    """

    round: Annotated[int, Field(ge=0)]
    state: Digest
    metrics: dict[str, float | None]
    meaning: ScoreMeaning = NO_MEANING

    def rule(self, patience: int, rounds: int) -> Stopping:
        """What is known of the run after so many rounds.

        Args:
            patience: Of the agreement.
            rounds: The last round whose state was evaluated.
        """
        return Stopping(patience, self.round, self.metrics.get("log_loss"), rounds)

    def over(self, patience: int, rounds: int) -> bool:
        """Whether the run stops; arguments as :meth:`rule`."""
        return self.rule(patience, rounds).over


def better(best: Best | None, seen: Best, patience: int) -> Best | None:
    """The better of the best state and the one that was evaluated last.

    Args:
        best: None before the first.
        seen: Evaluated last.
        patience: Of the agreement; 0 keeps none.
    """
    if patience == 0:
        return None
    if best is None:
        return seen
    after = best.rule(patience, best.round).observe(seen.round, seen.metrics.get("log_loss"))
    return seen if after.improved else best
