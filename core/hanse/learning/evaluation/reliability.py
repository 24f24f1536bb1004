"""Whether scores, as they are served, mean probabilities: an error with its chance, and Cox's slope.

Everything is computed from counts per bin, as all of :mod:`hanse.learning.evaluation.measures` is.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.learning.calibration import Calibration
from hanse.learning.evaluation.deciles import Decile, deciles
from hanse.learning.evaluation.grid import ScoreGrid
from hanse.learning.metrics import ScoreHistogram

FloatArray = NDArray[np.float64]

_STEPS: Final = 50
_SETTLED: Final = 1e-9
_SQRT_2: Final = 2**0.5


@dataclass(frozen=True, slots=True)
class Reliability:
    """How far scores are from what they are to mean.

    Attributes:
        error: Mean difference between expected and observed shares over the deciles, by records (the expected
            calibration error). Of scores with a calibration it is what is left of it, and what the chance of
            the records that it was fitted on adds: a calibration fits its own records better than any others.
            That errs on the high side.
        standard_error: Of that, of drawing the records and of the noise.
        slope: Of a logistic regression of the labels on the log-odds that the model gives (Cox, "Two Further
            Applications of a Model for Binary Regression", Biometrika 1958): 1 where they are right, below
            where the model is too sure of itself. None where the counts have none.
    """

    error: float
    standard_error: float
    slope: float | None


def reliability_of(
    histogram: ScoreHistogram,
    grid: ScoreGrid,
    calibration: Calibration | None,
    noise_std: float = 0.0,
    minimum_rows: int = 1,
) -> Reliability | None:
    """Computes them.

    Args:
        histogram: Counts per bin of the scores as the model has them, summed over the members.
        grid: The bins. A score counts as the middle of its bin.
        calibration: What is served instead of the scores; it was fitted on these very counts.
        noise_std: Standard deviation of the noise in each count; 0 without noise.
        minimum_rows: Fewest records of a part.

    Returns:
        The figures; None where there are too few records, or none of a class.
    """
    served = grid.middles if calibration is None else calibration.apply(grid.middles)
    parts = [part for part in deciles(histogram, served, minimum_rows) if part.rows > 0]
    total = sum(part.rows for part in parts)
    if total <= 0 or histogram.negatives.sum() <= 0:
        return None
    weights = np.array([part.rows for part in parts]) / total
    gaps = np.array([abs(part.expected - part.observed) for part in parts])
    errors = np.array([_standard_error(part, noise_std, grid.bins / len(parts)) for part in parts])
    if calibration is not None:
        gaps = _mean_distance(gaps, errors)
    return Reliability(
        error=float(weights @ gaps),
        standard_error=float(np.sqrt(np.sum((weights * errors) ** 2))),
        slope=_slope(histogram, grid.middles),
    )


def _standard_error(part: Decile, noise_std: float, bins: float) -> float:
    """Of the share of positives of a part, which has about so many bins, each with its noise."""
    share = min(max(part.observed, 0.0), 1.0)
    # Half a record on either side: a part without positives is not sure to have none elsewhere.
    drawn = (share * part.rows + 0.5) * ((1 - share) * part.rows + 0.5) / (part.rows + 1) ** 3
    noise = bins * noise_std**2 * (share**2 + (1 - share) ** 2) / part.rows**2
    return math.sqrt(drawn + noise)


def _mean_distance(gaps: FloatArray, errors: FloatArray) -> FloatArray:
    """Mean of the absolute value of a normal variable: that of the folded normal distribution."""
    ratio = gaps / errors
    density = np.sqrt(2 / np.pi) * errors * np.exp(-(ratio**2) / 2)
    inside = np.array([math.erf(each / _SQRT_2) for each in ratio.tolist()])
    distance: FloatArray = density + gaps * inside
    return distance


def _slope(histogram: ScoreHistogram, middles: FloatArray) -> float | None:
    """By Newton's method on two parameters."""
    logits = np.log(middles) - np.log1p(-middles)
    rows = histogram.positives + histogram.negatives
    beta = np.array([0.0, 1.0])
    design = np.stack([np.ones_like(logits), logits], axis=1)
    for _ in range(_STEPS):
        means = 0.5 * (1 + np.tanh(0.5 * design @ beta))
        hessian = (design * (rows * means * (1 - means))[:, None]).T @ design
        if not np.isfinite(hessian).all() or np.linalg.eigvalsh(hessian)[0] <= _SETTLED:
            return None  # scores that are all alike, or nothing but noise
        step = np.linalg.solve(hessian, design.T @ (histogram.positives - rows * means))
        beta = beta + step
        if np.abs(step).max() < _SETTLED:
            return float(beta[1])
    return None
