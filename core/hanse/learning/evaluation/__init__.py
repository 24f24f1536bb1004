"""How good a model is on the held-out records of all members, from sums over the members alone.

* :mod:`hanse.learning.evaluation.evaluate`: the coordinator's half, and a member's view of its own records.
* :mod:`hanse.learning.evaluation.contributor`: the member's half.
* :mod:`hanse.learning.evaluation.measures`, :mod:`hanse.learning.evaluation.groups`,
  :mod:`hanse.learning.evaluation.reliability`: the figures.
* :mod:`hanse.learning.evaluation.protected`: whom an agreement has compared.
* :mod:`hanse.learning.evaluation.grid`: the public bins that all of it rests on, and what they cost.
"""

from hanse.learning.evaluation.contributor import EvaluationContributor
from hanse.learning.evaluation.deciles import Decile
from hanse.learning.evaluation.evaluate import AmountMeasures, Evaluation, Plan, evaluate, own_view
from hanse.learning.evaluation.grid import COARSE, FINE, ScoreGrid
from hanse.learning.evaluation.groups import GroupComparison, Part, compared
from hanse.learning.evaluation.held import Held, Judged
from hanse.learning.evaluation.measures import Interval, Measures, measure
from hanse.learning.evaluation.protected import group_sizes, groups_of, protected_columns
from hanse.learning.evaluation.reliability import Reliability, reliability_of

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
    "Reliability",
    "ScoreGrid",
    "compared",
    "evaluate",
    "group_sizes",
    "groups_of",
    "measure",
    "own_view",
    "protected_columns",
    "reliability_of",
]
