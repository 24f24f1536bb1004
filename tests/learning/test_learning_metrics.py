"""Metrics against scikit-learn, exactly and from noisy histograms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import log_loss, roc_auc_score

from hanse.learning import (
    SCORE_EDGES,
    SecureRandom,
    add_gaussian_noise,
    auc_from_histogram,
    auc_standard_error,
    log_loss_from_histogram,
    roc_auc,
    score_histogram,
)

Scores = NDArray[np.float64]
Labels = NDArray[np.float32]


def held_out(rng: np.random.Generator, rows: int = 16_000) -> tuple[Scores, Labels]:
    """Calibrated scores like those of a propensity model: 11 % positive, area near .78."""
    logits = rng.normal(-2.5, 1.2, rows)
    scores = 1 / (1 + np.exp(-logits))
    return scores, (rng.random(rows) < scores).astype(np.float32)


@given(
    st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=60).filter(
        lambda rows: len({label for _, label in rows}) == 2
    )
)
def test_area_equals_sklearn_with_ties(rows: list[tuple[int, bool]]) -> None:
    scores = np.array([score / 6 for score, _ in rows])
    labels = np.array([label for _, label in rows], dtype=np.float32)
    assert roc_auc(scores, labels) == pytest.approx(roc_auc_score(labels, scores))


def test_area_of_one_class_is_none() -> None:
    assert roc_auc(np.array([0.2, 0.4]), np.ones(2, np.float32)) is None
    assert roc_auc(np.array([]), np.array([], dtype=np.float32)) is None


def test_edges_cover_the_unit_interval() -> None:
    assert SCORE_EDGES[0] == 0
    assert SCORE_EDGES[-1] == 1
    assert list(SCORE_EDGES) == sorted(set(SCORE_EDGES))


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=40))
def test_every_record_is_in_one_bin_of_its_class(rows: list[tuple[float, bool]]) -> None:
    scores = np.array([score for score, _ in rows])
    labels = np.array([label for _, label in rows], dtype=np.float32)
    positives, negatives = score_histogram(scores, labels)
    assert positives.sum() == labels.sum()
    assert negatives.sum() == len(rows) - labels.sum()
    assert positives.shape == negatives.shape == (20,)


def test_bins_are_half_open_and_the_last_is_closed() -> None:
    positives, _ = score_histogram(np.array([0.0, 0.5, 0.499, 1.0]), np.ones(4, np.float32), (0.0, 0.5, 1.0))
    assert positives.tolist() == [2, 2]


def test_histogram_area_and_loss_are_close_to_exact(rng: np.random.Generator) -> None:
    scores, labels = held_out(rng)
    positives, negatives = score_histogram(scores, labels)
    area = auc_from_histogram(positives, negatives)
    assert area == pytest.approx(roc_auc_score(labels, scores), abs=0.005)
    loss = log_loss_from_histogram(positives, negatives)
    assert loss == pytest.approx(log_loss(labels, scores), abs=0.003)


def test_standard_error_is_that_of_repeated_draws_and_noise(rng: np.random.Generator) -> None:
    std = 20.0
    source = SecureRandom(bytes(32))
    areas, errors = [], []
    for _ in range(200):
        exact = score_histogram(*held_out(rng, 4000))
        positives, negatives = (add_gaussian_noise(counts, std, source) for counts in exact)
        areas.append(auc_from_histogram(positives, negatives))
        errors.append(auc_standard_error(positives, negatives, std))
    spread = float(np.std([area for area in areas if area is not None]))
    assert float(np.median([error for error in errors if error is not None])) == pytest.approx(
        spread, rel=0.25
    )


def test_noise_does_not_bias_the_area(rng: np.random.Generator) -> None:
    exact = score_histogram(*held_out(rng, 4000))
    source = SecureRandom(bytes(32))
    noisy = [auc_from_histogram(*(add_gaussian_noise(c, 10.0, source) for c in exact)) for _ in range(300)]
    mean = float(np.mean([area for area in noisy if area is not None]))
    assert mean == pytest.approx(auc_from_histogram(*exact) or 0, abs=0.004)


def test_error_without_noise_is_that_of_delong() -> None:
    # Separated classes have no spread; a coin has the Mann-Whitney variance (m + n + 1) / (12 m n).
    apart = np.array([0.0, 50.0]), np.array([50.0, 0.0])
    assert auc_standard_error(*apart, 0.0) == 0
    even = np.full(20, 50.0)
    assert auc_standard_error(even, even, 0.0) == pytest.approx(np.sqrt(2001 / (12 * 1000**2)), rel=0.01)


@pytest.mark.parametrize("counts", [np.zeros(20), np.full(20, -1.0)])
def test_nothing_left_is_none(counts: Scores) -> None:
    assert auc_from_histogram(counts, counts) is None
    assert auc_standard_error(counts, counts, 1.0) is None
    assert log_loss_from_histogram(counts, counts) is None


def test_noise_cannot_leave_the_possible_range() -> None:
    positives = np.zeros(20)
    positives[[0, 19]] = [-40.0, 50.0]
    negatives = np.zeros(20)
    negatives[[0, 19]] = [50.0, -40.0]
    assert auc_from_histogram(positives, negatives) == 1.0
    assert (auc_standard_error(positives, negatives, 5.0) or -1) >= 0
