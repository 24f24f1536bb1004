"""How good a vertical model is on the rows that its label holder has kept aside."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanse.learning.evaluation.grid import FINE
from hanse.learning.evaluation.reliability import reliability_of
from hanse.learning.metrics import roc_auc, score_histogram

Figures = dict[str, float]
"""Names of figures are those of :class:`hanse.server.evaluation.Metrics`, ``…_alone`` and ``auc_others``."""


def held_out_figures(scores: NDArray[Any], labels: NDArray[np.float32]) -> Figures:
    """Area under the ROC curve, log loss, Brier score, and how well scores are calibrated.

    Without both classes, the loss alone.

    Args:
        scores: Probabilities of the held-out rows.
        labels: 0 or 1.
    """
    if not len(labels):
        return {}
    clipped = np.clip(np.asarray(scores, dtype=np.float64), 1e-7, 1 - 1e-7)
    figures = {"log_loss": float(-np.mean(np.where(labels == 1, np.log(clipped), np.log1p(-clipped))))}
    area = roc_auc(clipped, labels)
    if area is not None:
        figures |= {"auc": area, "auc_standard_error": standard_error(area, labels)}
        figures |= _calibration(clipped, labels)
    return figures


def _calibration(scores: NDArray[np.float64], labels: NDArray[np.float32]) -> Figures:
    """Of the scores as they are: nothing is fitted here."""
    counts = score_histogram(scores, labels, tuple(FINE.edges.tolist()))
    found = reliability_of(counts, FINE, None)
    figures = {"brier": float(np.mean((scores - labels) ** 2))}
    if found is not None:
        figures["calibration_error"] = found.error
        figures["calibration_standard_error"] = found.standard_error
        figures |= {} if found.slope is None else {"calibration_slope": found.slope}
    return figures


def alone(figures: Figures) -> Figures:
    """Figures under the names of those of the label holder's own columns alone."""
    return {f"{name}_alone": value for name, value in figures.items()}


def others(added: NDArray[Any], labels: NDArray[np.float32]) -> Figures:
    """The area of what the others' columns add to scores, by itself; nothing without both classes.

    Args:
        added: Points or log-odds of the held-out rows.
        labels: 0 or 1.
    """
    area = roc_auc(added, labels) if len(labels) else None
    return {} if area is None else {"auc_others": area}


def standard_error(area: float, labels: NDArray[np.float32]) -> float:
    """Of an area under the curve (Hanley and McNeil, Radiology 143, 1982).

    Args:
        area: The area.
        labels: Of both classes.
    """
    positives = float((labels == 1).sum())
    negatives = len(labels) - positives
    both_above, both_below = area / (2 - area), 2 * area**2 / (1 + area)
    spread = (positives - 1) * (both_above - area**2) + (negatives - 1) * (both_below - area**2)
    return math.sqrt(max(0.0, area * (1 - area) + spread) / (positives * negatives))
