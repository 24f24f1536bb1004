"""How models are learned, the members' halves: one module each. The agreement decides.

The coordinator's halves are in :mod:`hanse.server.algorithms`.
"""

from hanse.client.algorithms.algorithm import Algorithm
from hanse.client.algorithms.averaging import Averaging
from hanse.client.algorithms.boosting import Boosting
from hanse.client.algorithms.private_sgd import PrivateSgd
from hanse.policies import Agreement

__all__ = ["Algorithm", "algorithm_of"]


def algorithm_of(agreement: Agreement) -> Algorithm:
    """The way of learning that an agreement has.

    Args:
        agreement: Of the run.
    """
    if agreement.secure_sums and agreement.privacy is not None:
        return PrivateSgd(agreement)
    return Boosting() if agreement.training.model == "trees" else Averaging()
