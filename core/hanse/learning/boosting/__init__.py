"""Gradient boosted trees over many members: histograms are summed, rows stay where they are.

* :mod:`hanse.learning.boosting.settings`: what a run does.
* :mod:`hanse.learning.boosting.columns`: values as small numbers.
* :mod:`hanse.learning.boosting.engine`, :mod:`hanse.learning.boosting.splits`: trees from sums alone.
* :mod:`hanse.learning.boosting.objective`: gradients and losses that add up exactly.
* :mod:`hanse.learning.boosting.coordinator`, :mod:`hanse.learning.boosting.contributor`: the two halves.
* :mod:`hanse.learning.boosting.forest`, :mod:`hanse.learning.boosting.model`: trees, their file, scores.
* :mod:`hanse.learning.boosting.agreed`, :mod:`hanse.learning.boosting.predictor`: trees of an agreement, and
  scores of transformed rows.
"""

from hanse.learning.boosting.agreed import TreeColumns, agreed_settings
from hanse.learning.boosting.columns import BinnedColumn, Binning, Layout
from hanse.learning.boosting.contributor import BoostingContributor
from hanse.learning.boosting.coordinator import BoostingCoordinator
from hanse.learning.boosting.engine import Answer, Beginning, Engine, Progress, Question, Sums
from hanse.learning.boosting.forest import Forest
from hanse.learning.boosting.model import BoostedDescription, BoostedTrees, decode_trees, encode_trees
from hanse.learning.boosting.predictor import TreesPredictor, open_trees
from hanse.learning.boosting.settings import BoostingSettings

__all__ = [
    "Answer",
    "Beginning",
    "BinnedColumn",
    "Binning",
    "BoostedDescription",
    "BoostedTrees",
    "BoostingContributor",
    "BoostingCoordinator",
    "BoostingSettings",
    "Engine",
    "Forest",
    "Layout",
    "Progress",
    "Question",
    "Sums",
    "TreeColumns",
    "TreesPredictor",
    "agreed_settings",
    "decode_trees",
    "encode_trees",
    "open_trees",
]
