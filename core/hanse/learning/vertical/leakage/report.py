"""What known attacks learn from what the other side saw, for the card of a model; and when it is too much."""

from typing import Annotated, Final, Literal, TypeAlias

from pydantic import Field

from hanse.errors import PolicyError
from hanse.policies.agreement.vertical import MAXIMUM_LEAKAGE
from hanse.policies.fields import Count, Document, Many, Text

Area = Annotated[float, Field(ge=0, le=1)]
Attack: TypeAlias = Literal["norm", "cosine", "spectral", "probe"]

LEAKAGE_MEANING: Final = (
    "How well four known attacks tell the labels of people apart, as areas under the attacker's ROC curve; "
    ".5 is guessing. They are run by the label holder, with the true labels, on what the other party got. "
    "A party that has columns of the same people can guess labels from these alone; where a figure says "
    "what the same attack reaches without the run, only what goes beyond it counts as leaked. Where it says "
    "what is reached among people of whom the party's columns say the same, the rest of the area is what the "
    "model knows of people like these; all of it counts. A low figure says that these attacks fail; it does "
    "not say that no attack succeeds."
)


class Finding(Document):
    """What one attack learned from one thing that was seen.

    Attributes:
        attack: ``norm``, ``cosine`` (one known positive), ``spectral`` (nothing known) or ``probe`` (some
            labels known).
        seen: What it was run on, in words.
        area: Under the attacker's ROC curve.
        without: The same attack on what the party had without the run; None where it had nothing.
        given: Its area among people of whom the party's own columns say the same, as the trained model reads
            them: what is left is about the person's own label. None where it was not told apart.
    """

    attack: Attack
    seen: Text
    area: Area
    without: Area | None = None
    given: Area | None = None

    @property
    def leaked(self) -> float:
        """What the policy judges: the area, or what the run has added where something was known before."""
        if self.without is None:
            return self.area
        return 0.5 + max(0.0, self.area - max(0.5, self.without))


class LeakageReport(Document):
    """What one party could learn of the labels, and what the label holder could learn of its columns.

    Attributes:
        schema_version: Version of this form.
        party: Whose view was attacked.
        mode: How the model was trained.
        rows: People.
        findings: Of the attacks on labels; none if nothing that depends on labels went to the party.
        disclosed: Of attacks on what the agreement lets the party know, as its half of a scorecard:
            shown, not judged.
        label_epsilon: Of randomised response on labels; None where labels are not what is noised.
        columns_recovered: Share of the variance of the party's columns that a linear model recovers from what
            it sent, knowing the columns of ``known`` people; None where it was not measured.
        known: People of whom probes know labels or columns.
        chance: Area that guessing may reach by chance among so few people; up to it nothing is judged.
    """

    schema_version: Literal[1] = 1
    party: Text
    mode: Text
    rows: Count
    findings: Annotated[Many[Finding], Field(max_length=64)] = ()
    disclosed: Annotated[Many[Finding], Field(max_length=64)] = ()
    label_epsilon: Annotated[float, Field(gt=0)] | None = None
    columns_recovered: Area | None = None
    known: Count
    chance: Area = 0.5

    @property
    def leaked(self) -> float:
        """The area of the worst finding, as it is judged; .5 without any."""
        return 0.5 if self.worst is None else self.worst.leaked

    @property
    def worst(self) -> Finding | None:
        """The finding that leaked most; None without any."""
        return max(self.findings, key=lambda finding: finding.leaked, default=None)


def check_release(reports: tuple[LeakageReport, ...], maximum: float = MAXIMUM_LEAKAGE) -> None:
    """Refuses a model whose training leaked too much.

    Args:
        reports: One for each feature holder.
        maximum: Largest leaked area that the agreement allows.

    Raises:
        PolicyError: ``policy.leakage`` without a report, or if an attack leaked more.
    """
    if not reports:
        raise PolicyError("policy.leakage", "there is no leakage report; without one no model is released")
    for report in reports:
        worst = report.worst
        if worst is not None and not worst.leaked <= max(maximum, report.chance):
            raise PolicyError(
                "policy.leakage",
                f"the {worst.attack} attack on {worst.seen} at {report.party} reaches {worst.leaked:.3f}, "
                f"{maximum:.3f} is agreed: with a split network choose a smaller epsilon or frozen bottoms; "
                "with trees or a scorecard something is sent that is not masked, so find out what",
            )
