"""What a model version has to show before it is promoted. Pure.

The gate looks at figures that runs and audits leave behind; what none of them computes is *unknown*. A check
that is required and unknown does not pass.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from hanse.policies.fields import Document
from hanse.policies.texts import WrittenDocument

_NORMAL_975: Final = 1.959963984540054
_Share = Annotated[float, Field(ge=0, le=1)]


class Quality(Document):
    """Area under the ROC curve on held-out rows.

    Attributes:
        required: Whether a version without the figure is kept back.
        minimum_auc: What the lower end of its 95 % interval must reach; .5 is guessing.
    """

    required: bool = True
    minimum_auc: _Share = 0.5


class Calibration(Document):
    """Mean difference between expected and observed shares over the deciles, of scores as they are served.

    Attributes:
        required: Whether a version without the figure is kept back.
        maximum_error: What the upper end of its 95 % interval may reach.
    """

    required: bool = True
    maximum_error: _Share = 0.05


class Fairness(Document):
    """Groups side by side.

    Attributes:
        required: Whether a version without the figures is kept back, whatever its agreement says; one whose
            agreement names protected columns always is.
        minimum_selection_ratio: Lowest over highest selection rate of a group.
        maximum_opportunity_gap: Largest difference between the true positive rates of two groups.
    """

    required: bool = False
    minimum_selection_ratio: _Share = 0.8
    maximum_opportunity_gap: _Share = 0.1


class Required(Document):
    """A check whose threshold is in the agreement, or in the model's own claim.

    Attributes:
        required: Whether a version without the figure is kept back.
    """

    required: bool


class Gate(WrittenDocument):
    """The thresholds of a member.

    Attributes:
        schema_version: Version of this form.
        quality: Area under the curve.
        calibration: Whether a score of 10 % means one in ten.
        fairness: Whether groups are treated alike.
        privacy: Whether the run cost no more than the agreement allows.
        leakage: Whether attacks on what was sent to feature holders learn no more of labels than is
            agreed; of vertical models.
        canaries: Whether an attack with canaries refutes the claimed epsilon (``hanse audit privacy``).
    """

    header: ClassVar[str] = "hanse evaluation gate v1\n"
    called: ClassVar[str] = "an evaluation gate"

    schema_version: Literal[1] = 1
    quality: Quality = Quality()
    calibration: Calibration = Calibration()
    fairness: Fairness = Fairness()
    privacy: Required = Required(required=True)
    leakage: Required = Required(required=True)
    canaries: Required = Required(required=False)


@dataclass(frozen=True, slots=True)
class Figures:
    """What is known about a version; None where nothing computed it.

    Attributes:
        vertical: Whether it is a vertical model.
        auc: Area under the ROC curve on held-out rows.
        auc_standard_error: Its standard error.
        calibration_error: Mean difference of expected and observed shares.
        calibration_standard_error: Its standard error.
        protected: Whether the agreement names columns by which groups are compared.
        selection_ratio: Lowest over highest selection rate of a group.
        opportunity_gap: Largest difference of true positive rates.
        budget: Epsilon and delta of the agreement; None without a budget.
        spent: Epsilon that the run cost a record at most, and the delta that it holds at.
        leaked: Largest area that attacks on labels have reached at a feature holder, and what is agreed.
        claimed_epsilon: Epsilon that an attack with canaries tried to refute.
        shown_epsilon: Epsilon that the attack shows at least.
    """

    vertical: bool
    auc: float | None = None
    auc_standard_error: float | None = None
    calibration_error: float | None = None
    calibration_standard_error: float | None = None
    protected: bool = False
    selection_ratio: float | None = None
    opportunity_gap: float | None = None
    budget: tuple[float, float] | None = None
    spent: tuple[float, float] | None = None
    leaked: tuple[float, float] | None = None
    claimed_epsilon: float | None = None
    shown_epsilon: float | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """What one check found.

    Attributes:
        name: Of the check, as the gate names it.
        outcome: ``passed``, ``failed`` or ``unknown``.
        required: Whether it must be known.
        says: The figures, in words.
    """

    name: str
    outcome: Literal["passed", "failed", "unknown"]
    required: bool
    says: str

    @property
    def blocks(self) -> bool:
        """Whether the version is kept back by it."""
        return self.outcome == "failed" or (self.outcome == "unknown" and self.required)


def judge(gate: Gate, figures: Figures) -> tuple[Check, ...]:
    """Makes every check.

    Args:
        gate: The thresholds.
        figures: What is known about the version.

    Returns:
        One result for each check, in a fixed order.
    """
    return tuple(_checks(gate, figures))


def blocking(checks: Sequence[Check]) -> tuple[str, ...]:
    """Names of the checks that keep a version back."""
    return tuple(check.name for check in checks if check.blocks)


def auc_bounds(auc: float, standard_error: float) -> tuple[float, float]:
    """The 95 % interval of an area, normal in its log-odds as evaluations make it."""
    if not 0 < auc < 1:
        return auc, auc
    middle, reach = math.log(auc / (1 - auc)), _NORMAL_975 * standard_error / (auc * (1 - auc))
    return 1 / (1 + math.exp(reach - middle)), 1 / (1 + math.exp(-reach - middle))


def _checks(gate: Gate, figures: Figures) -> Iterator[Check]:
    yield _quality(gate.quality, figures)
    yield _calibration(gate.calibration, figures)
    yield _fairness(gate.fairness, figures)
    yield _privacy(gate.privacy, figures)
    if figures.vertical:
        yield _leakage(gate.leakage, figures)
    yield _canaries(gate.canaries, figures)


def _check(name: str, required: bool, ok: bool | None, says: str) -> Check:  # noqa: FBT001 - in one file
    outcome: Literal["passed", "failed", "unknown"] = (
        "unknown" if ok is None else "passed" if ok else "failed"
    )
    return Check(name, outcome, required, says)


def _quality(terms: Quality, figures: Figures) -> Check:
    area, error = figures.auc, figures.auc_standard_error
    if area is None or error is None:
        return _check("quality", terms.required, None, "no area under the curve with its standard error")
    low, high = auc_bounds(area, error)
    says = f"area {area:.3f} (95 % interval {low:.3f} to {high:.3f}), from {terms.minimum_auc:g} on"
    return _check("quality", terms.required, low >= terms.minimum_auc, says)


def _calibration(terms: Calibration, figures: Figures) -> Check:
    error, chance = figures.calibration_error, figures.calibration_standard_error
    if error is None or chance is None:
        return _check("calibration", terms.required, None, "no calibration error with its standard error")
    high = error + _NORMAL_975 * chance
    says = f"error {error:.3f} (95 % interval up to {high:.3f}), at most {terms.maximum_error:g}"
    return _check("calibration", terms.required, high <= terms.maximum_error, says)


def _fairness(terms: Fairness, figures: Figures) -> Check:
    ratio, gap = figures.selection_ratio, figures.opportunity_gap
    required = terms.required or figures.protected
    if ratio is None or gap is None:
        says = "groups of a protected column could not be compared" if figures.protected else "none is agreed"
        return _check("fairness", required, None, says)
    says = (
        f"selection ratio {ratio:.2f}, at least {terms.minimum_selection_ratio:g}; opportunity gap "
        f"{gap:.2f}, at most {terms.maximum_opportunity_gap:g}"
    )
    ok = ratio >= terms.minimum_selection_ratio and gap <= terms.maximum_opportunity_gap
    return _check("fairness", required, ok, says)


def _privacy(terms: Required, figures: Figures) -> Check:
    if figures.budget is None:
        return _check("privacy", terms.required, says="the agreement has no privacy budget", ok=True)
    epsilon, delta = figures.budget
    agreed = f"epsilon {epsilon:g} at delta {delta:g}"
    if figures.spent is None:
        return _check("privacy", terms.required, None, f"nothing says what the run has cost, of {agreed}")
    spent, at_delta = figures.spent
    says = f"epsilon {spent:.3f} at delta {at_delta:g}, of {agreed}"
    return _check("privacy", terms.required, spent <= epsilon and at_delta <= delta, says)


def _leakage(terms: Required, figures: Figures) -> Check:
    if figures.leaked is None:
        return _check("leakage", terms.required, None, "nothing was attacked that was sent")
    leaked, agreed = figures.leaked
    says = f"an attack on labels reaches {leaked:.3f}, {agreed:g} is agreed"
    return _check("leakage", terms.required, leaked <= agreed, says)


def _canaries(terms: Required, figures: Figures) -> Check:
    claimed, shown = figures.claimed_epsilon, figures.shown_epsilon
    if claimed is None or shown is None:
        return _check("canaries", terms.required, None, "not attacked here (hanse audit privacy)")
    says = f"an attack shows epsilon {shown:.2f} at least, {claimed:.2f} is claimed"
    return _check("canaries", terms.required, shown <= claimed, says)
