"""Each form in which an agreement lets scores leave, as a total function on float64 arrays.

What is not a number stays none (NaN) in every form; what is below 0 or above 1 counts as the end. A score at
an edge belongs above it.
"""

import math
from typing import Final

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

BANDS: Final = 10
DECILES: Final = 10
BOTH, LIKELY, WORTHY, OTHER = 1.0, 2.0, 3.0, 4.0
"""Segments, in the order of :attr:`hanse.policies.Segments.names`."""


def rounded(scores: FloatArray, decimals: int) -> FloatArray:
    """Scores rounded to so many decimals, halves to the even one."""
    if scores.shape == (1,) and not math.isnan(score := scores.item()):
        scale = 10.0**decimals  # of one score numpy takes longer to begin than to round
        return np.array([round(min(max(score, 0.0), 1.0) * scale) / scale])
    result: FloatArray = scores.clip(0.0, 1.0).round(decimals).astype(np.float64, copy=False)
    return result


def banded(scores: FloatArray, edges: tuple[float, ...] = ()) -> FloatArray:
    """Number of the band of each score, from 1.

    Args:
        scores: Shape (rows,).
        edges: Increasing; none for ten bands of equal width.

    Returns:
        From 1 to one more than there are edges; 1 for [0, 0.1) up to 10 for [0.9, 1] without any.
    """
    known = np.clip(scores, 0.0, 1.0)
    if not edges:
        return np.minimum(np.floor(known * BANDS), BANDS - 1) + 1
    return _counted(known, edges)


def decile_of(scores: FloatArray, thresholds: tuple[float, ...]) -> FloatArray:
    """Tenth of the held-out records that each score would be in.

    Args:
        scores: Shape (rows,).
        thresholds: Lowest score of each tenth but the lowest one, not decreasing; nine of them.

    Returns:
        From 1 for the lowest tenth to 10 for the highest.
    """
    return _counted(np.clip(scores, 0.0, 1.0), thresholds)


def flagged(scores: FloatArray, threshold: float) -> FloatArray:
    """1 for scores at the threshold or above, 0 for all others."""
    return np.where(np.isnan(scores), np.nan, (scores >= threshold).astype(np.float64))


def listed(scores: FloatArray, top: int) -> FloatArray:
    """1 for the highest scores of a call, and no number for any other.

    Args:
        scores: Shape (rows,).
        top: How many are on the list.

    Returns:
        1 or NaN. Of equal scores, those that come first in the call are on the list.
    """
    result = np.full(scores.shape, np.nan)
    order = np.argsort(-scores, kind="stable")  # NaN comes last
    chosen = order[: max(0, top)]
    result[chosen[~np.isnan(scores[chosen])]] = 1.0
    return result


def segmented(scores: FloatArray, values: FloatArray, score_from: float, value_from: float) -> FloatArray:
    """Number of everybody's segment.

    Args:
        scores: Shape (rows,).
        values: What each is worth, shape (rows,); NaN where that is not known, which counts as low.
        score_from: From which score on somebody is likely.
        value_from: From which value on somebody is of high value.

    Returns:
        1 likely and of high value, 2 likely, 3 of high value, 4 neither.
    """
    likely, worthy = scores >= score_from, values >= value_from
    found = np.where(likely, np.where(worthy, BOTH, LIKELY), np.where(worthy, WORTHY, OTHER))
    return np.where(np.isnan(scores), np.nan, found)


def _counted(scores: FloatArray, edges: tuple[float, ...]) -> FloatArray:
    numbers = np.searchsorted(np.asarray(edges), scores, side="right") + 1.0
    return np.where(np.isnan(scores), np.nan, numbers)
