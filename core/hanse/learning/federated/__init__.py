"""Federated averaging through sums: what a coordinator asks, what a member answers, when a run stops.

McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data", AISTATS 2017. The
coordinator learns sums over the members alone: of updates weighted by rows, of rows, of losses. The member's
half is :mod:`hanse.learning.federated.update`; it loads torch, the others do not.
"""

from hanse.learning.federated.average import AveragedRound, Trained, average, train, validation_loss
from hanse.learning.federated.schedule import recommend_federated
from hanse.learning.federated.stopping import MINIMUM_IMPROVEMENT, Stopping

__all__ = [
    "MINIMUM_IMPROVEMENT",
    "AveragedRound",
    "Stopping",
    "Trained",
    "average",
    "recommend_federated",
    "train",
    "validation_loss",
]
