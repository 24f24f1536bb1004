"""Records divided by their scores into parts of equal size, of which only counts per bin are known."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.learning.metrics import ScoreHistogram

FloatArray = NDArray[np.float64]

PARTS: Final = 10
"""Deciles."""


@dataclass(frozen=True, slots=True)
class Decile:
    """One part of the records, in order of their scores.

    Attributes:
        rows: Records in it; whole bins are divided as if their records were alike, so not a whole number.
        expected: Mean score.
        observed: Share of positives.
        lift: Share of positives over that of all records.
        gain: Share of all positives that are in this part or one of higher scores.
    """

    rows: float
    expected: float
    observed: float
    lift: float
    gain: float


def deciles(histogram: ScoreHistogram, middles: FloatArray, minimum_rows: int = 1) -> tuple[Decile, ...]:
    """Divides the records by their scores into ten parts of equal size, or fewer if they would be too small.

    Args:
        histogram: As for :func:`measure`.
        middles: Score of each bin.
        minimum_rows: Fewest records of a part.

    Returns:
        From the highest scores to the lowest; none if there are too few records or no positives.
    """
    positives, negatives = (counts[::-1] for counts in histogram)
    rows = positives + negatives
    total, yes = float(rows.sum()), float(positives.sum())
    parts = min(PARTS, int(total // max(1, minimum_rows))) if total > 0 else 0
    if parts < 1 or yes <= 0:
        return ()
    # Noise makes sums fall here and there; where a part ends, the sum so far never does.
    reached = np.concatenate([[0.0], np.maximum.accumulate(np.cumsum(rows))])
    cuts = np.linspace(0.0, total, parts + 1)
    sums = [
        np.diff(np.interp(cuts, reached, np.concatenate([[0.0], np.cumsum(of_bin)])))
        for of_bin in (rows, positives, rows * middles[::-1])
    ]
    gains = np.cumsum(sums[1]) / yes
    return tuple(
        Decile(
            rows=float(n),
            expected=float(score / n) if n > 0 else 0.0,
            observed=float(p / n) if n > 0 else 0.0,
            lift=float(p / n * total / yes) if n > 0 else 0.0,
            gain=float(gain),
        )
        for n, p, score, gain in zip(*sums, gains, strict=True)
    )
