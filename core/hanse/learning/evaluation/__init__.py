"""How good a model is on the held-out records of all members, from sums over the members alone.

* :mod:`hanse.learning.evaluation.evaluate`: the coordinator's half, and a member's view of its own records.
* :mod:`hanse.learning.evaluation.contributor`: the member's half.
* :mod:`hanse.learning.evaluation.measures`, :mod:`hanse.learning.evaluation.groups`: the figures.
* :mod:`hanse.learning.evaluation.grid`: the public bins that all of it rests on, and what they cost.
"""

from hanse.learning.evaluation.contributor import EvaluationContributor
from hanse.learning.evaluation.evaluate import AmountMeasures, Evaluation, Plan, evaluate, own_view
from hanse.learning.evaluation.grid import COARSE, FINE, ScoreGrid
from hanse.learning.evaluation.groups import GroupComparison, Part
from hanse.learning.evaluation.held import Held, Judged
from hanse.learning.evaluation.measures import Decile, Interval, Measures, measure

__all__ = [
    "COARSE",
    "FINE",
    "AmountMeasures",
    "Decile",
    "Evaluation",
    "EvaluationContributor",
    "GroupComparison",
    "Held",
    "Interval",
    "Judged",
    "Measures",
    "Part",
    "Plan",
    "ScoreGrid",
    "evaluate",
    "measure",
    "own_view",
]
