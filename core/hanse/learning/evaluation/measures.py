"""Metrics of scores of which only counts per bin are known.

Everything here is computed from sums over the members and costs no privacy beyond theirs. Counts that carry
noise are taken as they are, below zero too: cutting them there biases the area by up to a tenth.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.learning.calibration import ScoreMeaning
from hanse.learning.evaluation.calibration import meaning_of
from hanse.learning.evaluation.deciles import Decile, deciles
from hanse.learning.evaluation.grid import ScoreGrid
from hanse.learning.evaluation.reliability import Reliability, reliability_of
from hanse.learning.metrics import ScoreHistogram, auc_from_histogram, auc_standard_error

FloatArray = NDArray[np.float64]

_NORMAL_975: Final = 1.959963984540054
_NOBODY: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % confidence interval."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Measures:
    """How good scores are. A figure is None where data or noise leave no record of a class.

    Attributes:
        rows: Records with a label.
        positives: Of them, with a positive one.
        auc: Area under the ROC curve, records of one bin counted as ties.
        auc_interval: Its interval, of drawing the records and of the noise; see :func:`auc_interval`.
        pr_auc: Average precision: area under the precision-recall curve.
        log_loss: Mean negative log likelihood in nats.
        brier: Mean squared difference of score and label.
        calibration_error: Mean difference between expected and observed over the deciles, by rows (ECE), of
            the scores as the model has them.
        deciles: From the highest scores to the lowest; fewer than ten if parts would have too few rows.
        meaning: What scores mean by these records.
        reliability: How far scores are from what they are to mean, with that meaning.
    """

    rows: float
    positives: float
    auc: float | None
    auc_interval: Interval | None
    pr_auc: float | None
    log_loss: float | None
    brier: float | None
    calibration_error: float | None
    deciles: tuple[Decile, ...]
    meaning: ScoreMeaning
    reliability: Reliability | None


def measure(
    histogram: ScoreHistogram, grid: ScoreGrid, noise_std: float = 0.0, minimum_rows: int = 1
) -> Measures:
    """Computes all metrics.

    Args:
        histogram: Counts per bin, summed over the members; labels between 0 and 1 count in both parts.
        grid: The bins.
        noise_std: Standard deviation of the noise in each count; 0 without noise.
        minimum_rows: Fewest records of a part of the calibration table.

    Returns:
        The metrics.
    """
    # What is left of noise can be so small that its square is zero; nobody is counted by a billionth.
    histogram = ScoreHistogram(*(np.where(np.abs(part) < _NOBODY, 0.0, part) for part in histogram))
    positives, negatives = histogram
    auc = auc_from_histogram(positives, negatives)
    parts = deciles(histogram, grid.middles, minimum_rows)
    total = sum(part.rows for part in parts)
    meaning = meaning_of(histogram, grid, minimum_rows, noise_std)
    return Measures(
        rows=float(positives.sum() + negatives.sum()),
        positives=float(positives.sum()),
        auc=auc,
        auc_interval=auc_interval(histogram, noise_std),
        pr_auc=average_precision(histogram),
        log_loss=_mean(histogram, -np.log(grid.middles), -np.log1p(-grid.middles)),
        brier=_mean(histogram, (1 - grid.middles) ** 2, grid.middles**2),
        calibration_error=sum(abs(part.expected - part.observed) * part.rows for part in parts) / total
        if total > 0
        else None,
        deciles=parts,
        meaning=meaning,
        reliability=reliability_of(histogram, grid, meaning.calibration, noise_std, minimum_rows),
    )


def auc_interval(histogram: ScoreHistogram, noise_std: float = 0.0) -> Interval | None:
    """95 % interval of the area: DeLong's variance of the binned scores, plus that of the noise.

    It is normal in the log-odds of the area, so it stays inside [0, 1]. It assumes that records are drawn
    independently: people whom several members hold are counted as several, and make it too narrow.

    Args:
        histogram: As for :func:`measure`.
        noise_std: As above.

    Returns:
        The interval; None where there is no area, [0, 1] where nothing can be said.
    """
    area = auc_from_histogram(*histogram)
    error = auc_standard_error(*histogram, noise_std)
    if area is None or error is None:
        return None
    if not 0 < area < 1:
        return Interval(0.0, 1.0) if noise_std else Interval(area, area)
    reach = np.exp(_NORMAL_975 * error / (area * (1 - area)))
    odds = area / (1 - area)
    return Interval(float(odds / reach / (1 + odds / reach)), float(1 - 1 / (1 + odds * reach)))


def ties(histogram: ScoreHistogram) -> float:
    """Half the share of pairs of a positive and a negative that are in one bin: how far off the area is."""
    positives, negatives = histogram
    pairs = float(positives.sum()) * float(negatives.sum())
    return 0.5 * float(positives @ negatives) / pairs if pairs > 0 else 0.0


def average_precision(histogram: ScoreHistogram) -> float | None:
    """Mean precision over the positives, in order of falling scores.

    Within a bin, records are taken as evenly mixed (Davis and Goadrich, "The Relationship Between
    Precision-Recall and ROC Curves", ICML 2006, section 4).

    Args:
        histogram: As for :func:`measure`.

    Returns:
        In [0, 1]; None without positives or with nothing but noise.
    """
    positives, negatives = (counts[::-1] for counts in histogram)
    total = float(positives.sum())
    if total <= 0:
        return None
    rows = positives + negatives
    rows_above = np.cumsum(rows) - rows
    positives_above = np.cumsum(positives) - positives
    usable = (rows > 0) & (rows_above > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = positives / rows
        mixed = slope + (positives_above - slope * rows_above) / rows * np.log1p(rows / rows_above)
        end = (positives_above + positives) / (rows_above + rows)
    # The first bin, and noise below zero, which has no mixture: precision at the end of the bin.
    precision = np.where(usable, mixed, np.where(rows_above + rows > 0, end, 0.0))
    return float(np.clip(positives @ precision / total, 0.0, 1.0))


def _mean(histogram: ScoreHistogram, of_positive: FloatArray, of_negative: FloatArray) -> float | None:
    total = float(histogram.positives.sum() + histogram.negatives.sum())
    if total <= 0:
        return None
    summed = float(histogram.positives @ of_positive + histogram.negatives @ of_negative)
    return max(0.0, summed / total)
