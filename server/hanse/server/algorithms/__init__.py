"""How models are learned, the coordinator's halves: one module each. The agreement decides.

The members' halves are in :mod:`hanse.client.algorithms`.
"""

from hanse.learning import Transform
from hanse.policies import Agreement
from hanse.server.algorithms.algorithm import Algorithm, Learned
from hanse.server.algorithms.averaging import Averaging
from hanse.server.algorithms.boosting import Boosting
from hanse.server.algorithms.private_sgd import Opening, PrivateSgd

__all__ = ["Algorithm", "Learned", "Opening", "algorithm_of"]


def algorithm_of(
    agreement: Agreement, transform: Transform, run: str, opening: Opening | None = None
) -> Algorithm:
    """The way of learning that an agreement has.

    Args:
        agreement: Of the run.
        transform: The fitted preprocessing.
        run: Name of the run.
        opening: What its preparation has settled; only the start of a run with shared noise needs it.

    Raises:
        TrainingError: ``run.no-features``, ``run.unsupported`` if it cannot be done with this preprocessing.
    """
    if agreement.secure_sums and agreement.privacy is not None:
        return PrivateSgd(agreement, run, opening)
    if agreement.training.model == "trees":
        return Boosting(agreement, transform)
    return Averaging(agreement, transform, run)
