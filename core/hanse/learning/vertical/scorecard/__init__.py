"""A scorecard over the columns of two parties: logistic regression on secret shares.

* :mod:`hanse.learning.vertical.scorecard.parties`: label holder and feature holder.
* :mod:`hanse.learning.vertical.scorecard.dealer`: the coordinator's part.
* :mod:`hanse.learning.vertical.scorecard.card`: points.
* :mod:`hanse.learning.vertical.scorecard.checking`: the check of the dealer.
* :mod:`hanse.learning.vertical.scorecard.design`: columns as cells, cells as features.
* :mod:`hanse.learning.vertical.scorecard.secret`, :mod:`hanse.learning.vertical.scorecard.dealing`,
  :mod:`hanse.learning.vertical.scorecard.wave`, :mod:`hanse.learning.vertical.scorecard.ring`: arithmetic.
"""

from hanse.learning.vertical.scorecard.card import HalfCard, probabilities, whole_card
from hanse.learning.vertical.scorecard.dealer import deal
from hanse.learning.vertical.scorecard.parties import (
    receive_points,
    send_points,
    train_feature_holder,
    train_label_holder,
)
from hanse.learning.vertical.scorecard.settings import ScorecardSettings

__all__ = [
    "HalfCard",
    "ScorecardSettings",
    "deal",
    "probabilities",
    "receive_points",
    "send_points",
    "train_feature_holder",
    "train_label_holder",
    "whole_card",
]
