"""Fits what scores mean (:mod:`hanse.learning.calibration`) on held-out counts that a run releases anyway.

Neighbouring bins are put together until each part has enough records of either class, the shares of the parts
are made to rise by pool-adjacent-violators (Ayer et al., Annals of Mathematical Statistics 1955), and between
the parts the map is straight, so that no two different scores become one (as plain isotonic regression lets
them). Outside, it goes on with slope 1.

It adds nothing to what a run costs. Of a part it tells the share of positives, so a part has as many records
of each class as the agreement asks of a count, and twice what the noise of its bins could make up.
"""

from typing import Final

import numpy as np

from hanse.learning.calibration import MOST_PARTS, Calibration, ScoreMeaning
from hanse.learning.evaluation.grid import ScoreGrid
from hanse.learning.metrics import ScoreHistogram

_DIGITS: Final = 4
_SHARE_DIGITS: Final = 6
_STDS_ABOVE_NOISE: Final = 2.0
_DECILES: Final = 10


def meaning_of(
    histogram: ScoreHistogram, grid: ScoreGrid, minimum_rows: int, noise_std: float = 0.0
) -> ScoreMeaning:
    """What held-out counts say of scores; arguments as :func:`fit_calibration`."""
    calibration = fit_calibration(histogram, grid, minimum_rows, noise_std)
    deciles = decile_thresholds(histogram, grid, minimum_rows)
    if calibration is not None and deciles:
        deciles = tuple(np.round(calibration.apply(np.array(deciles)), _SHARE_DIGITS).tolist())
    return ScoreMeaning(calibration=calibration, deciles=deciles)


def fit_calibration(
    histogram: ScoreHistogram, grid: ScoreGrid, minimum_rows: int, noise_std: float = 0.0
) -> Calibration | None:
    """Fits a calibration on held-out counts.

    Args:
        histogram: Counts per bin, summed over the members, maybe with noise.
        grid: The bins.
        minimum_rows: Fewest records of each class in a part.
        noise_std: Standard deviation of the noise in each count; 0 without noise.

    Returns:
        The map; None where not even all records together are enough.
    """
    parts = _parts(histogram, grid, minimum_rows, noise_std)
    if not parts:
        return None
    given, meant = zip(*_rising(parts), strict=True)
    kept = [0]
    for place in range(1, len(given)):
        if round(given[place], _DIGITS) > round(given[kept[-1]], _DIGITS) and round(
            meant[place], _DIGITS
        ) > round(meant[kept[-1]], _DIGITS):
            kept.append(place)
    return Calibration(
        given=tuple(round(given[place], _DIGITS) for place in kept),
        meant=tuple(round(meant[place], _DIGITS) for place in kept),
    )


def decile_thresholds(histogram: ScoreHistogram, grid: ScoreGrid, minimum_rows: int) -> tuple[float, ...]:
    """Where the tenths of the held-out records begin.

    Args:
        histogram: As for :func:`fit_calibration`.
        grid: The bins; within one, records count as evenly spread.
        minimum_rows: Fewest records of a tenth.

    Returns:
        Nine scores, not decreasing; none if there are too few records.
    """
    rows = histogram.positives + histogram.negatives
    if float(rows.sum()) < _DECILES * max(1, minimum_rows):
        return ()
    reached = np.concatenate([[0.0], np.maximum.accumulate(np.maximum(np.cumsum(rows), 0.0))])
    wanted = np.linspace(0.0, reached[-1], _DECILES + 1)[1:-1]
    found = np.interp(wanted, reached, grid.edges)
    return tuple(np.round(found, _SHARE_DIGITS).tolist())


_Part = tuple[float, float, float]
"""Positives, negatives, and the sum of the log-odds of both."""


def _parts(histogram: ScoreHistogram, grid: ScoreGrid, minimum_rows: int, noise_std: float) -> list[_Part]:
    """Neighbouring bins together, each part with enough records of each class."""
    middles = grid.middles
    logits = np.log(middles) - np.log1p(-middles)
    total = float(histogram.positives.sum() + histogram.negatives.sum())
    parts: list[_Part] = []
    positives = negatives = weighted = 0.0
    bins = 0
    for yes, no, logit in zip(
        histogram.positives.tolist(), histogram.negatives.tolist(), logits.tolist(), strict=True
    ):
        positives, negatives = positives + yes, negatives + no
        weighted, bins = weighted + (yes + no) * logit, bins + 1
        fewest = max(float(minimum_rows), _STDS_ABOVE_NOISE * noise_std * bins**0.5)
        if min(positives, negatives) >= fewest and positives + negatives >= total / MOST_PARTS:
            parts.append((positives, negatives, weighted))
            positives = negatives = weighted = 0.0
            bins = 0
    if parts and bins:
        parts[-1] = _joined(parts[-1], (positives, negatives, weighted))
    return [part for part in parts if min(part[:2]) > 0]


def _rising(parts: list[_Part]) -> list[tuple[float, float]]:
    """Log-odds of the parts as given and as meant, after those whose shares fall were put together."""
    pooled: list[_Part] = []
    for part in parts:
        pooled.append(part)
        while len(pooled) > 1 and _meant(pooled[-2]) >= _meant(pooled[-1]):
            last = pooled.pop()
            pooled[-1] = _joined(pooled[-1], last)
    return [(weighted / (yes + no), _meant((yes, no, weighted))) for yes, no, weighted in pooled]


def _meant(part: _Part) -> float:
    # Half a record on either side: of few, the share is pulled a little to the middle.
    return float(np.log((part[0] + 0.5) / (part[1] + 0.5)))


def _joined(one: _Part, other: _Part) -> _Part:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2]
