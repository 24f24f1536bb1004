"""Calibration from held-out counts: it mends what is off, keeps the order, and tells of nobody alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.learning.calibration import Calibration
from hanse.learning.evaluation import COARSE, FINE, ScoreGrid, measure
from hanse.learning.evaluation.calibration import decile_thresholds, fit_calibration
from hanse.learning.metrics import ScoreHistogram, score_histogram

ROWS = 20_000


def people(rng: np.random.Generator, rows: int = ROWS) -> tuple[np.ndarray, np.ndarray]:
    """Scores that are too sure of themselves and too high, and what came of them."""
    logits = rng.normal(-2, 1.2, rows)
    labels = (rng.random(rows) < 1 / (1 + np.exp(-logits))).astype(np.float32)
    return 1 / (1 + np.exp(-(2 * logits + 1.5))), labels


def counted(scores: np.ndarray, labels: np.ndarray, grid: ScoreGrid = FINE) -> ScoreHistogram:
    return score_histogram(scores, labels, tuple(grid.edges.tolist()))


def error(scores: np.ndarray, labels: np.ndarray) -> float:
    found = measure(counted(scores, labels), FINE).calibration_error
    assert found is not None
    return found


@pytest.mark.parametrize(("grid", "noise_std", "after"), [(FINE, 0.0, 0.008), (COARSE, 20.0, 0.03)])
def test_scores_mean_probabilities_afterwards(grid: ScoreGrid, noise_std: float, after: float) -> None:
    rng = np.random.default_rng(6)
    counts = counted(*people(rng), grid)
    noisy = ScoreHistogram(*(side + noise_std * rng.normal(size=side.shape) for side in counts))
    fitted = fit_calibration(noisy, grid, 10, noise_std)
    assert fitted is not None
    scores, labels = people(rng)
    assert error(scores, labels) > 0.07
    meant = fitted.apply(scores)
    assert error(meant, labels) < after
    assert (np.diff(meant[np.argsort(scores)]) >= 0).all()
    assert len(np.unique(meant)) > 0.99 * len(scores)


Counts = st.lists(st.floats(-30, 3000), min_size=20, max_size=20).map(np.array)


@given(Counts, Counts, st.integers(1, 50), st.floats(0, 30))
def test_any_counts_give_a_rising_map_or_none(
    positives: np.ndarray, negatives: np.ndarray, minimum: int, noise_std: float
) -> None:
    fitted = fit_calibration(ScoreHistogram(positives, negatives), COARSE, minimum, noise_std)
    thresholds = decile_thresholds(ScoreHistogram(positives, negatives), COARSE, minimum)
    assert len(thresholds) in (0, 9)
    assert list(thresholds) == sorted(thresholds)
    if fitted is not None:
        scores = np.array([0.0, 1e-9, 0.2, 0.5, 0.99, 1.0])
        meant = fitted.apply(scores)
        assert ((meant >= 0) & (meant <= 1)).all()
        assert (np.diff(meant) >= 0).all()


def test_too_few_records_give_none() -> None:
    few = ScoreHistogram(np.full(20, 0.4), np.full(20, 30.0))
    assert fit_calibration(few, COARSE, 10) is None
    assert decile_thresholds(few, COARSE, 100) == ()
    together = fit_calibration(few, COARSE, 8)
    assert together is not None
    assert together.meant == pytest.approx([np.log(8.5 / 600.5)], abs=1e-4)


def test_tenths_of_the_held_out_records() -> None:
    scores, labels = people(np.random.default_rng(2))
    thresholds = decile_thresholds(counted(scores, labels), FINE, 10)
    shares = np.bincount(np.searchsorted(thresholds, scores, side="right"), minlength=10) / len(scores)
    np.testing.assert_allclose(shares, 0.1, atol=0.005)


def test_what_is_not_a_number_stays_none() -> None:
    one = Calibration(given=(-1.0, 1.0), meant=(-2.0, 0.0))
    np.testing.assert_allclose(one.shift(np.array([-3.0, 0.0, 4.0])), [-4.0, -1.0, 3.0])
    assert np.isnan(one.apply(np.array([np.nan]))).all()
    for given_, meant in (((0.0,), (0.0, 1.0)), ((0.0, 0.0), (0.0, 1.0)), ((0.0, 1.0), (1.0, 0.0))):
        with pytest.raises(ValueError, match="rise"):
            Calibration(given=given_, meant=meant)
