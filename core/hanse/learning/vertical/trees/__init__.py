"""Boosted trees over parties with different columns of the same rows, from secret-shared sums.

* :mod:`hanse.learning.vertical.trees.terms`: what all parties know before.
* :mod:`hanse.learning.vertical.trees.ring`, :mod:`hanse.learning.vertical.trees.one_hot`,
  :mod:`hanse.learning.vertical.trees.dealing`: the arithmetic of shares.
* :mod:`hanse.learning.vertical.trees.label_holder`, :mod:`hanse.learning.vertical.trees.feature_holder`,
  :mod:`hanse.learning.vertical.trees.dealer`: the parties.
* :mod:`hanse.learning.vertical.trees.sums`, :mod:`hanse.learning.vertical.trees.remote`,
  :mod:`hanse.learning.vertical.trees.masks`, :mod:`hanse.learning.vertical.trees.messages`: what the engine
  asks, and what is said for it.
* :mod:`hanse.learning.vertical.trees.released`: columns as a feature holder shows them.
* :mod:`hanse.learning.vertical.trees.parts`, :mod:`hanse.learning.vertical.trees.scoring`: the model.
"""

from hanse.learning.vertical.trees.dealer import Dealer
from hanse.learning.vertical.trees.feature_holder import FeatureHolder
from hanse.learning.vertical.trees.label_holder import LabelHolder
from hanse.learning.vertical.trees.parts import FeaturePart, LabelPart
from hanse.learning.vertical.trees.scoring import answer_request, request_scores
from hanse.learning.vertical.trees.terms import TreesTerms

__all__ = [
    "Dealer",
    "FeatureHolder",
    "FeaturePart",
    "LabelHolder",
    "LabelPart",
    "TreesTerms",
    "answer_request",
    "request_scores",
]
