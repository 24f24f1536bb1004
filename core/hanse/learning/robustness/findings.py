"""What is wrong with an update, as a value that goes into the report of a run and into its log.

A finding names members, a round, a figure and the threshold that it crossed. It holds nothing of an update:
norms and cosines of one are published only where the agreement lets single updates be seen.
"""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from hanse.policies.fields import Count, Document, Many, Name

Kind: TypeAlias = Literal[
    "shape", "not-finite", "rows", "norm", "outlier", "weight", "direction", "group", "probe"
]
"""What was measured, and on which side of the threshold it is:

* ``shape``: values, not as many as the model has. ``not-finite``: values that are not, above none.
* ``rows``: rows behind the update, below one. ``norm``: L2 norm, above the agreement's.
* ``outlier``: L2 norm, in multiples of the round's median, above it, or norm times rows where that is less.
  ``weight``: rows, in multiples of the round's median, above it.
* ``direction``: median cosine to the others, below a negative threshold while most agree.
* ``group``: L2 norm of a group's mean, above the agreement's. ``probe``: what a group made better on
  held-out rows, in the unit of the probe, below what was asked.
"""


class Finding(Document):
    """One reason not to take an update as it is.

    Attributes:
        members: Who it is about: one member where single updates are seen, a group or everybody elsewhere.
        round: From 1.
        kind: What was measured.
        measure: The figure.
        threshold: What it crossed.
    """

    members: Annotated[Many[Name], Field(min_length=1)]
    round: Count
    kind: Kind
    measure: float
    threshold: float


class RobustnessReport(Document):
    """What the defence of a run did.

    Attributes:
        schema_version: Version of this form.
        mode: Whether it saw the updates of members, or sums over groups of them.
        rounds: Rounds of the run.
        findings: In the order of the rounds.
        excluded: Members whose updates were left out from some round on.
        rolled_back: Rounds whose result was discarded.
    """

    schema_version: Literal[1] = 1
    mode: Literal["individual", "grouped"]
    rounds: Count
    findings: Many[Finding]
    excluded: Many[Name]
    rolled_back: Many[Count]

    @property
    def named(self) -> frozenset[str]:
        """Members that a finding is about alone."""
        return frozenset(finding.members[0] for finding in self.findings if len(finding.members) == 1)
