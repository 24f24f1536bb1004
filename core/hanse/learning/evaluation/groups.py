"""Whether scores treat groups alike, without telling of small groups.

A group counts as small if it has fewer records of either class than the minimum: with a single positive, its
rate would be that person's. Small groups become one part, and if that is still small, the next larger group
joins it. All records are in some part, so subtracting the parts from the figures of all records leaves
nothing that was hidden.

What the coordinator itself learns beyond that: the number of records of each class and group, all members
together (the question that the merging rests on); with a privacy budget those carry noise.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanse.learning.evaluation.grid import ScoreGrid
from hanse.learning.evaluation.measures import Interval, auc_interval
from hanse.learning.metrics import ScoreHistogram, auc_from_histogram

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Part:
    """Figures of one group, or of several small ones together.

    Attributes:
        groups: Cells of the column that are in it.
        rows: Its records.
        base_rate: Share of positives.
        selection_rate: Share whose score is at or above the threshold.
        true_positive_rate: That share among its positives.
        auc: Area under the ROC curve within it.
        auc_interval: Its 95 % interval.
    """

    groups: tuple[int, ...]
    rows: float
    base_rate: float
    selection_rate: float
    true_positive_rate: float
    auc: float | None
    auc_interval: Interval | None


@dataclass(frozen=True, slots=True)
class GroupComparison:
    """The groups of one column side by side.

    Attributes:
        column: Public column that the groups are the cells of.
        threshold: Score from which a record counts as selected.
        parts: The groups, small ones together; at least two.
    """

    column: str
    threshold: float
    parts: tuple[Part, ...]

    @property
    def selection_ratio(self) -> float | None:
        """Lowest selection rate over the highest; None where nobody is selected."""
        rates = [part.selection_rate for part in self.parts]
        return min(rates) / max(rates) if max(rates) > 0 else None

    @property
    def opportunity_gap(self) -> float:
        """Largest difference between the true positive rates of two parts."""
        rates = [part.true_positive_rate for part in self.parts]
        return max(rates) - min(rates)


def compared(columns: Collection[str], comparisons: Mapping[str, GroupComparison]) -> dict[str, float | None]:
    """Figures of the comparisons by name: of each column, and the worst of all columns.

    Args:
        columns: Those by which groups were to be compared.
        comparisons: By column.

    Returns:
        ``selection_ratio`` and ``opportunity_gap``, and both for each column, as ``selection_ratio.city``.
        None where a column has no two groups that are large enough; then nothing is known of the worst
        either. Empty without columns.
    """
    figures: dict[str, float | None] = {}
    for name, worst in (("selection_ratio", min), ("opportunity_gap", max)):
        each = [getattr(comparisons.get(column), name, None) for column in columns]
        figures |= {f"{name}.{column}": one for column, one in zip(columns, each, strict=True)}
        if columns:
            known = [one for one in each if one is not None]
            figures[name] = worst(known) if len(known) == len(each) else None
    return figures


def merge_small(positives: Sequence[float], negatives: Sequence[float], minimum: float) -> tuple[int, ...]:
    """Which groups are told apart.

    Args:
        positives: Records per group.
        negatives: Records per group.
        minimum: Fewest of each class in a part.

    Returns:
        Part of each group, numbered from 0; the small ones are together in the last. All are in part 0 where
        no two parts would be large enough.
    """
    # A group without records hides nobody: it is put with the last part.
    there = [group for group in range(len(positives)) if positives[group] or negatives[group]]
    order = sorted(there, key=lambda group: min(positives[group], negatives[group]))
    small = [group for group in order if min(positives[group], negatives[group]) < minimum]
    while small and len(small) < len(order) and not _enough(small, positives, negatives, minimum):
        small.append(order[len(small)])
    large = sorted(set(order) - set(small))
    last = len(large) if small or not large else len(large) - 1
    numbers = {group: number for number, group in enumerate(large)}
    return tuple(numbers.get(group, last) for group in range(len(positives)))


def threshold_of(histogram: ScoreHistogram, grid: ScoreGrid, selected_share: float) -> float:
    """The edge of a bin above which about a share of all records is.

    Args:
        histogram: Of all records.
        grid: The bins.
        selected_share: In (0, 1).

    Returns:
        An edge.
    """
    rows = (histogram.positives + histogram.negatives)[::-1]
    above = np.concatenate([[0.0], np.maximum.accumulate(np.cumsum(rows))])
    nearest = int(np.argmin(np.abs(above - selected_share * rows.sum())))
    return float(grid.edges[grid.bins - nearest])


def part_of(
    groups: tuple[int, ...], histogram: ScoreHistogram, grid: ScoreGrid, threshold: float, noise_std: float
) -> Part:
    """Figures of one part.

    Args:
        groups: Cells of the column that are in it.
        histogram: Their records.
        grid: The bins.
        threshold: An edge of the grid.
        noise_std: Standard deviation of the noise in each count.

    Returns:
        The figures.
    """
    positives, negatives = float(histogram.positives.sum()), float(histogram.negatives.sum())
    selected = grid.edges[:-1] >= threshold
    yes, no = float(histogram.positives[selected].sum()), float(histogram.negatives[selected].sum())
    rows = positives + negatives
    return Part(
        groups=groups,
        rows=rows,
        base_rate=positives / rows if rows > 0 else 0.0,
        selection_rate=(yes + no) / rows if rows > 0 else 0.0,
        true_positive_rate=yes / positives if positives > 0 else 0.0,
        auc=auc_from_histogram(*histogram),
        auc_interval=auc_interval(histogram, noise_std),
    )


def _enough(
    groups: Sequence[int], positives: Sequence[float], negatives: Sequence[float], minimum: float
) -> bool:
    return all(sum(counts[group] for group in groups) >= minimum for counts in (positives, negatives))
