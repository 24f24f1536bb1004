"""Updates that would spoil a model: found, named where single updates are seen, and kept out.

* :mod:`hanse.learning.robustness.defence`: what an agreement names, in a run.
* :mod:`hanse.learning.robustness.screening`: the default where updates are seen.
* :mod:`hanse.learning.robustness.grouping`: the default under secure sums, from six members.
* :mod:`hanse.learning.robustness.rules`: other ways to combine updates that are seen.
* :mod:`hanse.learning.robustness.findings`: what is reported and logged.

What a member does itself, before anybody can judge it: :class:`hanse.learning.training.LocalTrainer` shortens
its update to the agreement's norm, and an encoding for secure sums refuses values beyond its bound. Both bind
honest software only.
"""

from hanse.learning.robustness.defence import combine, judge
from hanse.learning.robustness.findings import Finding, Kind, RobustnessReport
from hanse.learning.robustness.grouping import (
    MINIMUM_GROUP,
    GroupMean,
    Judged,
    Probe,
    assign_groups,
    judge_groups,
)
from hanse.learning.robustness.rules import RULES, Rule, RuleName
from hanse.learning.robustness.screening import Screened, screen

__all__ = [
    "MINIMUM_GROUP",
    "RULES",
    "Finding",
    "GroupMean",
    "Judged",
    "Kind",
    "Probe",
    "RobustnessReport",
    "Rule",
    "RuleName",
    "Screened",
    "assign_groups",
    "combine",
    "judge",
    "judge_groups",
    "screen",
]
