"""What boosting minimises: gradients, hessians and losses of rows, as exact multiples of a small step.

A row's figures are divided by a public unit, so that none is above one, and rounded to
``2^-gradient_bits``. Sums of such multiples are exact in any order, which is why members together grow the
very trees that one holder of all rows would.

Newton steps on the log loss and on half the squared error (Chen and Guestrin, "XGBoost: A Scalable Tree
Boosting System", KDD 2016, equations 4 and 5).
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.learning.boosting.settings import BoostingSettings
from hanse.learning.predictor import sigmoid

Floats = NDArray[np.float64]

MAX_LOSS: Final = 16.0
"""Largest loss of one row in nats that counts: a bound, for a log loss has none."""

_LOGISTIC_HESSIANS: Final = 4.0  # p (1 - p) is at most a quarter
_RAREST: Final = 1e-6


def unit(settings: BoostingSettings) -> float:
    """What a weight of one means: the smallest power of two that no row's weight is above.

    A power of two, so that multiplying by it is exact.
    """
    return float(2.0 ** math.ceil(math.log2(settings.max_weight * max(1.0, settings.positive_weight))))


def sum_units(settings: BoostingSettings) -> Floats:
    """Factors that make sums of rows' gradients, hessians and counts those of the objective, shape (3,)."""
    hessians = _LOGISTIC_HESSIANS if settings.objective == "logistic" else 1.0
    return np.array([unit(settings), unit(settings) / hessians, 1.0])


def loss_unit(settings: BoostingSettings) -> float:
    """Factor that makes a mean of :func:`losses` nats, or squares of the label's unit."""
    if settings.value_range is not None:
        low, high = settings.value_range
        return (high - low) ** 2
    return MAX_LOSS


def quantise(settings: BoostingSettings, values: Floats) -> Floats:
    """The nearest multiples of the step."""
    scale = 2.0**settings.gradient_bits
    return np.rint(values * scale) / scale


def prepare_targets(settings: BoostingSettings, values: Floats) -> Floats:
    """Labels in [0, 1]; NaN where unknown.

    Args:
        settings: The run's.
        values: 0 and 1 for ``logistic``; numbers, which are cut at the range, for ``squared``.
    """
    if settings.value_range is None:
        return values
    low, high = settings.value_range
    return (np.clip(values, low, high) - low) / (high - low)


def row_weights(settings: BoostingSettings, targets: Floats, weights: Floats) -> Floats:
    """Weight of each row for each label, in units; 0 where the label is unknown.

    Args:
        settings: The run's.
        targets: See :func:`prepare_targets`, shape (labels, rows).
        weights: Of the rows, at most ``max_weight``, shape (rows,).
    """
    weighted = weights * np.where(targets == 1, settings.positive_weight, 1.0)
    return np.where(np.isnan(targets), 0.0, weighted) / unit(settings)


def gradients(
    settings: BoostingSettings, raw: Floats, targets: Floats, weights: Floats
) -> tuple[Floats, Floats]:
    """First and second derivatives of the loss by the raw score, in units, quantised.

    Args:
        settings: The run's.
        raw: Raw scores, any shape.
        targets: Same shape.
        weights: See :func:`row_weights`.

    Returns:
        Gradients in [-1, 1], hessians in [0, 1]; 0 where the weight is.
    """
    known = np.nan_to_num(targets)
    if settings.objective == "logistic":
        chances = sigmoid(raw)
        slopes, curves = chances - known, _LOGISTIC_HESSIANS * chances * (1.0 - chances)
    else:
        limit = settings.residual_clip
        slopes, curves = np.clip(raw - known, -limit, limit), np.ones_like(raw)
    return quantise(settings, weights * slopes), quantise(settings, weights * curves)


def losses(settings: BoostingSettings, raw: Floats, targets: Floats, weights: Floats) -> Floats:
    """Weighted loss of each row in units of :data:`MAX_LOSS` for ``logistic``, else of the squared range.

    Args:
        settings: The run's.
        raw: Raw scores, any shape.
        targets: Same shape.
        weights: See :func:`row_weights`.

    Returns:
        In [0, 1], quantised.
    """
    known = np.nan_to_num(targets)
    if settings.objective == "logistic":
        each = np.logaddexp(0.0, np.where(known == 1, -raw, raw)) / MAX_LOSS
    else:
        each = np.clip(raw - known, -settings.residual_clip, settings.residual_clip) ** 2
    return quantise(settings, weights * np.minimum(each, 1.0))


def base_score(settings: BoostingSettings, mean: float) -> float:
    """The raw score that a model starts from.

    Args:
        settings: The run's.
        mean: Weighted mean of the targets.
    """
    if settings.objective == "squared":
        return mean
    chance = min(max(mean, _RAREST), 1.0 - _RAREST)
    return math.log(chance / (1.0 - chance))


def scores(settings: BoostingSettings, raw: Floats) -> Floats:
    """What a user sees: probabilities among people as they are, or values in the label's unit."""
    if settings.value_range is not None:
        low, high = settings.value_range
        return np.clip(low + (high - low) * raw, low, high)
    return sigmoid(raw - math.log(settings.positive_weight))


def scores_of_one(settings: BoostingSettings, raw: Sequence[float]) -> Floats:
    """As :func:`scores`, of one row, to the last digit.

    Args:
        settings: The run's.
        raw: One for each label.

    Returns:
        Shape (1, labels).
    """
    if settings.value_range is not None or len(raw) != 1:
        return scores(settings, np.array([raw]))
    # Of one number numpy takes longer to begin than to compute; its tangent is not always Python's.
    return np.array([[0.5 * (1.0 + np.tanh(0.5 * (raw[0] - math.log(settings.positive_weight))))]])
