"""The coordinator's half of an evaluation; a member runs it too, on its own records, for itself alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.aggregation import Aggregator, InProcessAggregator
from hanse.learning.evaluation.contributor import EvaluationContributor
from hanse.learning.evaluation.deciles import Decile, deciles
from hanse.learning.evaluation.grid import FINE, ScoreGrid
from hanse.learning.evaluation.groups import GroupComparison, Part, merge_small, part_of, threshold_of
from hanse.learning.evaluation.held import Held
from hanse.learning.evaluation.measures import Measures, measure
from hanse.learning.evaluation.questions import ERRORS, GROUP_SCORES, GROUP_SIZES, SCORES, Question
from hanse.learning.metrics import ScoreHistogram
from hanse.policies import Label, Training

FloatArray = NDArray[np.float64]

_STDS_ABOVE_NOISE: Final = 2.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What to evaluate, from the agreement alone.

    Attributes:
        labels: The agreement's label, then its targets' that are labels.
        amounts: Bound of each amount, by name.
        minimum_rows: Fewest records of each class in a group, and of any part of a table: the agreement's
            ``suppress_below``.
        groups: Number of cells of each public column that groups are compared by.
        selected_share: Share of all records that counts as selected, in (0, 1).
        grid: Bins of the scores.
        noise_std: Standard deviation of the noise in each summed count; 0 without noise.
    """

    labels: tuple[str, ...]
    amounts: Mapping[str, float]
    minimum_rows: int
    groups: Mapping[str, int]
    selected_share: float = 0.1
    grid: ScoreGrid = FINE
    noise_std: float = 0.0

    @classmethod
    def of(cls, label: Label, training: Training, minimum_rows: int, groups: Mapping[str, int]) -> "Plan":
        """The plan for a model without privacy budget; arguments as the attributes."""
        amounts = {target.name: target.bound for target in training.targets if target.bound is not None}
        names = (label.name, *(target.name for target in training.targets if target.kind == "label"))
        return cls(names, amounts, minimum_rows, groups)


@dataclass(frozen=True, slots=True)
class AmountMeasures:
    """How good predictions of an amount are, in its unit; amounts above the bound count as the bound.

    Attributes:
        rows: Records whose amount is known.
        mean: Their mean amount.
        rmse: Root of the mean squared error.
        mae: Mean absolute error.
        r2: Share of the variance that is explained; None where there is none.
        deciles: From the highest predictions to the lowest; ``expected`` and ``observed`` are mean amounts,
            lift and gain those of the amount and not of people.
    """

    rows: float
    mean: float
    rmse: float
    mae: float
    r2: float | None
    deciles: tuple[Decile, ...]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All figures.

    Attributes:
        labels: By label.
        amounts: By amount; None where no record's amount is known.
        groups: By column; absent where no two groups are large enough.
        members: Whose records are in it.
    """

    labels: Mapping[str, Measures]
    amounts: Mapping[str, AmountMeasures | None]
    groups: Mapping[str, GroupComparison]
    members: tuple[str, ...]


def evaluate(aggregator: Aggregator, plan: Plan) -> Evaluation:
    """Evaluates a model on the held-out records of all members.

    Args:
        aggregator: Access to the members' :class:`EvaluationContributor`.
        plan: What to evaluate.

    Returns:
        The figures.

    Raises:
        TrainingError: As the aggregator.
    """
    question = Question(SCORES, plan.grid, labels=plan.labels, amounts=tuple(plan.amounts))
    total = aggregator.aggregate(question.query(len(aggregator.members)))
    bins = plan.grid.bins
    ends = [2 * bins] * len(plan.labels) + [2 * bins + ERRORS] * len(plan.amounts)
    parts = np.split(total.values, np.cumsum(ends)[:-1])
    histograms = [ScoreHistogram(part[:bins], part[bins : 2 * bins]) for part in parts]
    labels = dict(zip(plan.labels, histograms, strict=False))
    amounts = zip(
        plan.amounts.items(), parts[len(plan.labels) :], histograms[len(plan.labels) :], strict=True
    )
    groups = (_compare(aggregator, plan, column, labels[plan.labels[0]]) for column in plan.groups)
    return Evaluation(
        {
            name: measure(histogram, plan.grid, plan.noise_std, plan.minimum_rows)
            for name, histogram in labels.items()
        },
        {
            name: _measure_amount(bound, histogram, part[2 * bins :], plan)
            for (name, bound), part, histogram in amounts
        },
        {comparison.column: comparison for comparison in groups if comparison is not None},
        total.members,
    )


def own_view(held: Held, plan: Plan) -> Evaluation:
    """The same figures on a member's own records, computed by it and for it alone: nothing is sent.

    Args:
        held: The member's scored records.
        plan: What to evaluate; its noise does not count, there is none.

    Returns:
        The figures, with the member called ``own``.
    """
    alone = InProcessAggregator({"own": EvaluationContributor(held)})
    return evaluate(
        alone,
        Plan(plan.labels, plan.amounts, plan.minimum_rows, plan.groups, plan.selected_share, plan.grid),
    )


def _measure_amount(
    bound: float, histogram: ScoreHistogram, errors: FloatArray, plan: Plan
) -> AmountMeasures | None:
    rows = float(histogram.positives.sum() + histogram.negatives.sum())
    if rows <= 0:
        return None
    squared, absolute, truths = errors.tolist()
    mean = float(histogram.positives.sum()) / rows
    variance = truths / rows - mean**2
    parts = deciles(histogram, plan.grid.middles, plan.minimum_rows)
    return AmountMeasures(
        rows=rows,
        mean=bound * mean,
        rmse=bound * max(0.0, squared / rows) ** 0.5,
        mae=bound * max(0.0, absolute / rows),
        r2=1 - squared / rows / variance if variance > 0 else None,
        deciles=tuple(
            Decile(part.rows, bound * part.expected, bound * part.observed, part.lift, part.gain)
            for part in parts
        ),
    )


def _compare(
    aggregator: Aggregator, plan: Plan, column: str, everybody: ScoreHistogram
) -> GroupComparison | None:
    sizes = _group_sizes(aggregator, column, plan.groups[column])
    # A group that noise could have made large is small.
    minimum = max(float(plan.minimum_rows), _STDS_ABOVE_NOISE * plan.noise_std)
    merged = merge_small(*sizes, minimum)
    if len(set(merged)) < 2:  # noqa: PLR2004 - nothing to compare with
        return None
    question = Question(GROUP_SCORES, plan.grid, column=column, merged=merged)
    total = aggregator.aggregate(question.query(len(aggregator.members))).values
    threshold = threshold_of(everybody, plan.grid, plan.selected_share)
    histograms = np.split(total, 2 * question.parts)
    parts: list[Part] = []
    for number in range(question.parts):
        members = tuple(group for group, part in enumerate(merged) if part == number)
        histogram = ScoreHistogram(histograms[2 * number], histograms[2 * number + 1])
        parts.append(part_of(members, histogram, plan.grid, threshold, plan.noise_std))
    return GroupComparison(column, threshold, tuple(parts))


def _group_sizes(aggregator: Aggregator, column: str, groups: int) -> tuple[Sequence[float], Sequence[float]]:
    question = Question(GROUP_SIZES, column=column, merged=tuple(range(groups)))
    positives, negatives = np.split(aggregator.aggregate(question.query(len(aggregator.members))).values, 2)
    return positives.tolist(), negatives.tolist()
