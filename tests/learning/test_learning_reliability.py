"""The error of scores as they are served, its chance, and Cox's slope."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from hanse.learning.evaluation import COARSE, FINE, ScoreGrid, measure
from hanse.learning.evaluation.calibration import fit_calibration
from hanse.learning.evaluation.reliability import reliability_of
from hanse.learning.metrics import ScoreHistogram, score_histogram

ROWS = 4_000
REPEATS = 60


def counted(
    rng: np.random.Generator, grid: ScoreGrid = FINE, stretch: float = 1.0, shift: float = 0.0
) -> ScoreHistogram:
    """Counts of scores whose log-odds are stretched and shifted from what is true."""
    true = rng.normal(-1.5, 1.2, ROWS)
    labels = (rng.random(ROWS) < 1 / (1 + np.exp(-true))).astype(np.float32)
    scores = 1 / (1 + np.exp(-(stretch * true + shift)))
    return score_histogram(scores, labels, tuple(grid.edges.tolist()))


def test_an_uncalibrated_error_is_the_expected_calibration_error() -> None:
    counts = counted(np.random.default_rng(1), stretch=2.0, shift=1.0)
    found = reliability_of(counts, FINE, None, minimum_rows=10)
    assert found is not None
    assert found.error == measure(counts, FINE, minimum_rows=10).calibration_error
    assert found.error > 0.08


def test_the_slope_is_that_of_a_logistic_regression() -> None:
    rng = np.random.default_rng(2)
    true = rng.normal(-1.5, 1.2, ROWS)
    labels = rng.random(ROWS) < 1 / (1 + np.exp(-true))
    given_ = np.clip(2 * true + 1, -9.9, 9.9)
    counts = score_histogram(1 / (1 + np.exp(-given_)), labels.astype(np.float32), tuple(FINE.edges.tolist()))
    found = reliability_of(counts, FINE, None)
    oracle = LogisticRegression(C=np.inf, tol=1e-8).fit(given_[:, None], labels).coef_[0, 0]
    assert found is not None
    assert found.slope == pytest.approx(oracle, abs=0.005)
    assert found.slope == pytest.approx(0.5, abs=0.06)


def test_what_a_calibration_leaves_is_no_less_than_other_records_show() -> None:
    """Fitted and judged on the same records it would look better than it is: it is judged on others here."""
    rng = np.random.default_rng(3)
    said, shown, naive = [], [], []
    for _ in range(REPEATS):
        counts = counted(rng, stretch=1.7, shift=0.8)
        fitted = fit_calibration(counts, FINE, 10)
        found = reliability_of(counts, FINE, fitted, minimum_rows=10)
        assert found is not None
        assert fitted is not None
        said.append(found.error)
        served = fitted.apply(FINE.middles)
        shown.append(_true_error(served))
        naive.append(_gap(counts, served))
    assert np.mean(naive) < 0.8 * np.mean(shown)
    assert np.mean(shown) < np.mean(said) < 2 * np.mean(shown)


def test_the_standard_error_is_how_much_the_error_varies() -> None:
    rng = np.random.default_rng(4)
    found = [reliability_of(counted(rng, stretch=2.0, shift=1.0), FINE, None) for _ in range(REPEATS)]
    errors = [one.error for one in found if one is not None]
    assert len(errors) == REPEATS
    # The chance of a standard deviation of 60 being off by a third is below 1 in 1,000.
    assert np.std(errors) == pytest.approx(np.mean([one.standard_error for one in found if one]), rel=0.34)


@settings(deadline=None)
@given(
    st.lists(st.floats(-30, 3000), min_size=20, max_size=20).map(np.array),
    st.lists(st.floats(-30, 3000), min_size=20, max_size=20).map(np.array),
    st.floats(0, 30),
)
def test_any_counts_give_finite_figures_or_none(
    positives: np.ndarray, negatives: np.ndarray, noise_std: float
) -> None:
    counts = ScoreHistogram(positives, negatives)
    for calibration in (None, fit_calibration(counts, COARSE, 10, noise_std)):
        found = reliability_of(counts, COARSE, calibration, noise_std, 10)
        if found is not None:
            assert np.isfinite([found.error, found.standard_error, found.slope or 0.0]).all()
            assert found.standard_error > 0


def test_without_records_of_a_class_nothing_is_said() -> None:
    none = np.zeros(20)
    assert reliability_of(ScoreHistogram(none, none), COARSE, None) is None
    assert reliability_of(ScoreHistogram(none + 5, none), COARSE, None) is None
    assert reliability_of(ScoreHistogram(none, none + 5), COARSE, None) is None
    one_bin = np.eye(20)[3] * 50
    alike = reliability_of(ScoreHistogram(one_bin, one_bin), COARSE, None)
    assert alike is not None
    assert alike.slope is None


def _true_error(served: np.ndarray) -> float:
    """On so many records that chance does not count."""
    rng = np.random.default_rng(99)
    true = rng.normal(-1.5, 1.2, 20_000)
    chances = 1 / (1 + np.exp(-true))
    given_ = served[FINE.cells(1 / (1 + np.exp(-(1.7 * true + 0.8))))]
    parts = np.array_split(np.argsort(given_, kind="stable"), 10)
    return float(np.mean([abs(given_[part].mean() - chances[part].mean()) for part in parts]))


def _gap(counts: ScoreHistogram, served: np.ndarray) -> float:
    rows = counts.positives + counts.negatives
    reached = np.cumsum(rows) - rows / 2
    parts = np.minimum((10 * reached / rows.sum()).astype(int), 9)
    gaps = [
        abs(float(served[parts == p] @ rows[parts == p]) - float(counts.positives[parts == p].sum()))
        for p in range(10)
    ]
    return sum(gaps) / float(rows.sum())
