"""How good a model is, also when only noisy counts of scores are known.

Members publish how many held-out records of each class fall into each of a few public score bins, with
Gaussian noise. Area under the curve, log loss and any threshold metric follow from the sum of such histograms
at no further cost. Negative noisy counts stay as they are: cutting them at zero biases the area by up to a
tenth.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hanse.learning.random_source import SecureRandom

FloatArray = NDArray[np.float64]

_BINS: Final = 20

SCORE_EDGES: Final[tuple[float, ...]] = tuple((bin_ / _BINS) ** 2 for bin_ in range(_BINS + 1))
"""Public edges of 20 score bins, finer at small scores, where propensities are."""


class ScoreHistogram(NamedTuple):
    """Counts of held-out records per score bin; not whole and not positive once noise is added."""

    positives: FloatArray
    negatives: FloatArray


def score_histogram(
    scores: FloatArray, labels: NDArray[np.float32], edges: tuple[float, ...] = SCORE_EDGES
) -> ScoreHistogram:
    """Counts scores. Each record is in one bin of one class, so it changes one count by one.

    Args:
        scores: Shape (rows,), in [0, 1].
        labels: Shape (rows,), 0 or 1.
        edges: Increasing bin edges; the last bin includes its upper edge.

    Returns:
        Exact counts, each of shape (bins,).
    """
    bins = len(edges) - 1
    cells = np.clip(np.searchsorted(edges, scores, side="right") - 1, 0, bins - 1)
    positive = labels == 1
    return ScoreHistogram(
        np.bincount(cells[positive], minlength=bins).astype(np.float64),
        np.bincount(cells[~positive], minlength=bins).astype(np.float64),
    )


def add_gaussian_noise(counts: FloatArray, std: float, random: SecureRandom) -> FloatArray:
    """Adds noise to counts, once per release.

    Args:
        counts: Any counts, shape (cells,).
        std: Standard deviation of the noise in each.
        random: Source of the noise.

    Returns:
        Noised counts of the same shape.
    """
    return counts + std * random.normal(counts.size)


def auc_from_histogram(positives: FloatArray, negatives: FloatArray) -> float | None:
    """Area under the ROC curve, records of one bin counted as ties.

    Args:
        positives: Counts per bin, from low scores to high; may be noisy.
        negatives: As above.

    Returns:
        The area in [0, 1], or None if noise or data leave no record of a class.
    """
    n_positive, n_negative = float(positives.sum()), float(negatives.sum())
    if n_positive <= 0 or n_negative <= 0:
        return None
    area = positives @ _below(negatives) / (n_positive * n_negative)
    return float(np.clip(area, 0.0, 1.0))


def auc_standard_error(positives: FloatArray, negatives: FloatArray, noise_std: float) -> float | None:
    """Standard error of :func:`auc_from_histogram`, of drawing the records and of the noise.

    The first part is that of DeLong et al. (Biometrics 1988) on binned scores, the second the delta method.

    Args:
        positives: Counts per bin, from low scores to high.
        negatives: As above.
        noise_std: Standard deviation of the noise in each count; 0 without noise.

    Returns:
        The standard error, or None where the area is None.
    """
    area = auc_from_histogram(positives, negatives)
    if area is None:
        return None
    n_positive, n_negative = float(positives.sum()), float(negatives.sum())
    of_positive = _below(negatives) / n_negative - area
    of_negative = _below(positives[::-1])[::-1] / n_positive - area
    # Noisy counts can make a sum of squares negative where there are hardly any records.
    drawn = max(0.0, float(positives @ of_positive**2)) / n_positive**2
    drawn += max(0.0, float(negatives @ of_negative**2)) / n_negative**2
    noise = float((of_positive**2).sum()) / n_positive**2 + float((of_negative**2).sum()) / n_negative**2
    return float(np.sqrt(drawn + noise_std**2 * noise))


def log_loss_from_histogram(
    positives: FloatArray, negatives: FloatArray, edges: tuple[float, ...] = SCORE_EDGES
) -> float | None:
    """Mean negative log likelihood, with every score taken as the middle of its bin.

    Args:
        positives: Counts per bin, from low scores to high.
        negatives: As above.
        edges: The bin edges.

    Returns:
        The loss in nats, or None if noise or data leave no record.
    """
    total = float(positives.sum() + negatives.sum())
    if total <= 0:
        return None
    middles = (np.asarray(edges[:-1]) + np.asarray(edges[1:])) / 2
    loss = -(positives @ np.log(middles) + negatives @ np.log1p(-middles)) / total
    return float(max(0.0, loss))


def roc_auc(scores: FloatArray, labels: NDArray[np.float32]) -> float | None:
    """Exact area under the ROC curve; ties count one half.

    Args:
        scores: Shape (rows,).
        labels: Shape (rows,), 0 or 1.

    Returns:
        The area, or None if a class is missing.
    """
    values, ranks = np.unique(scores, return_inverse=True)
    positive = labels == 1
    return auc_from_histogram(
        np.bincount(ranks[positive], minlength=len(values)).astype(np.float64),
        np.bincount(ranks[~positive], minlength=len(values)).astype(np.float64),
    )


def _below(counts: FloatArray) -> FloatArray:
    """For each bin, the count below it and half of its own."""
    below: FloatArray = np.cumsum(counts) - counts / 2
    return below
