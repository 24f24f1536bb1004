"""The audit: its bounds against another implementation, and verdicts on procedures of known epsilon."""

import math
from collections.abc import Callable
from statistics import NormalDist

import dp_accounting
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hanse.errors import ConfigurationError, ProtocolError
from hanse.learning.auditing import PrivacyAudit, Procedure, audit_privacy
from hanse.learning.auditing.attacks import repetition_attack, twin_attack, weights_attack
from hanse.learning.auditing.bounds import (
    MAX_EPSILON,
    area,
    epsilon_of_gaussian,
    fitted_bound,
    one_run_bound,
    refuted_epsilon,
)
from hanse.learning.auditing.canaries import VALUE, draw, plant
from hanse.learning.statements import statement_from_json, statement_to_json

DELTA = 1e-5

# Canaries, guesses, correct, delta, significance; epsilon by `_epsilon_one_run` in auditing.py of
# google-deepmind/jax_privacy at commit 8967688c26d46f3b74bfdfe61ef1f984b887abab (Apache-2.0), run on its own.
KNOWN = [
    ((1000, 1000, 700, 1e-5, 0.05), 0.7317406384658977),
    ((1000, 300, 250, 1e-5, 0.05), 1.3470037499635397),
    ((1000, 100, 98, 1e-5, 0.05), 2.7109631340457816),
    ((1000, 1000, 540, 1e-5, 0.05), 0.05383190721132698),
    ((1000, 100, 100, 1e-5, 0.001), 1.815790842870014),
    ((500, 500, 499, 1e-6, 0.01), 4.312164202486984),
    ((1000, 300, 299, 0.0, 0.05), 4.137328595617883),
]


def gaussian_mechanism(
    mu: float, rng: np.random.Generator, releases: int = 1, repeat: bool = False, key: int | None = None
) -> Procedure:
    """Publishes every column's sum of clipped values with noise: epsilon is exactly that of ``mu``."""

    def publish(features: NDArray[np.float32], labels: NDArray[np.float32]) -> NDArray[np.float64]:
        del labels
        source = rng if key is None else np.random.default_rng(key)
        clipped = np.minimum(features, 1.0).sum(axis=0)
        width = features.shape[1]
        noise = source.normal(size=(releases, width)) * math.sqrt(releases) / mu
        if repeat:
            noise = np.repeat(noise[:1], releases, axis=0)
            # A record is in some of the releases only, as with Poisson sampling.
            clipped = clipped * source.integers(2, size=(releases, width))
        return np.vstack([np.zeros(width), np.cumsum(clipped + noise, axis=0)])

    return publish


def audit(train: Procedure, claimed: float, rng: np.random.Generator, canaries: int = 1000) -> PrivacyAudit:
    rows = np.zeros((20, 3), dtype=np.float32)
    return audit_privacy(
        train,
        rows,
        rows[:, 0],
        claimed_epsilon=claimed,
        delta=DELTA,
        rng=rng,
        canaries=canaries,
    )


@pytest.mark.parametrize(("arguments", "expected"), KNOWN)
def test_the_one_run_bound_is_that_of_another_implementation(
    arguments: tuple[int, int, int, float, float], expected: float
) -> None:
    assert refuted_epsilon(*arguments) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("mu", "delta"), [(0.1, 1e-3), (0.5, 1e-5), (1.0, 1e-5), (2.0, 1e-6), (4.0, 1e-5)])
def test_epsilon_of_a_gaussian_is_that_of_another_implementation(mu: float, delta: float) -> None:
    expected = dp_accounting.get_epsilon_gaussian(1 / mu, delta)
    assert epsilon_of_gaussian(mu, delta) == pytest.approx(expected, abs=1e-6)


@settings(max_examples=20)
@given(st.integers(0, 300), st.floats(1e-4, 0.4))
def test_more_correct_guesses_refute_more(correct: int, significance: float) -> None:
    fewer = refuted_epsilon(300, 300, max(0, correct - 1), DELTA, significance)
    assert 0 <= fewer <= refuted_epsilon(300, 300, correct, DELTA, significance) <= MAX_EPSILON


def test_a_correct_mechanism_is_refuted_no_more_often_than_stated() -> None:
    rng = np.random.default_rng(5)
    mu, significance, runs = 1.0, 0.1, 200
    truth = epsilon_of_gaussian(mu, DELTA)
    above = theorem_above = 0
    for run in range(runs):
        included = rng.random(400) < 0.5
        scores = rng.normal(size=400) + mu * included
        above += fitted_bound(scores, included, DELTA, significance) > truth
        if run % 10 == 0:  # it takes longer
            theorem_above += one_run_bound(scores, included, DELTA, significance) > truth
    assert above <= runs * significance + 3 * math.sqrt(runs * significance * (1 - significance))
    assert above >= runs * significance / 3  # it is a bound near its level, not a constant zero
    assert theorem_above == 0


def test_the_area_is_that_of_the_gaussian_it_came_from() -> None:
    rng = np.random.default_rng(6)
    included = rng.random(20_000) < 0.5
    found = area(rng.normal(size=20_000) + 1.0 * included, included)
    assert abs(found.value - NormalDist().cdf(1 / math.sqrt(2))) < 4 * found.standard_error


def test_a_correct_procedure_is_consistent_and_a_leaking_one_refuted() -> None:
    rng = np.random.default_rng(8)
    claimed = epsilon_of_gaussian(0.72, DELTA)
    correct = audit(gaussian_mechanism(0.72, rng, releases=5), claimed, rng)
    leaking = audit(gaussian_mechanism(1.44, rng, releases=5), claimed, rng)
    assert correct.verdict == "consistent"
    assert correct.one_run_bound <= claimed
    assert leaking.verdict == "refuted"
    assert leaking.fitted_bound > claimed


def _named(finding: PrivacyAudit, attack: str) -> float:
    return next(bound.fitted_bound for bound in finding.attacks if bound.attack == attack)


def test_a_seed_that_the_next_run_uses_again_is_found_by_the_twin() -> None:
    rng = np.random.default_rng(9)
    finding = audit(gaussian_mechanism(0.3, rng, key=4), 1.0, rng)
    assert finding.verdict == "refuted"
    assert _named(finding, "twin") > 10 > _named(finding, "weights")


def test_noise_that_repeats_itself_is_found() -> None:
    rng = np.random.default_rng(10)
    finding = audit(gaussian_mechanism(0.05, rng, releases=8, repeat=True), 1.0, rng)
    assert finding.verdict == "refuted"
    assert _named(finding, "repetition") > 10 > _named(finding, "weights")


def test_a_canary_is_alone_in_its_column_and_missing_where_it_was_left_out() -> None:
    rng = np.random.default_rng(11)
    included = draw(200, rng)
    features = rng.random((30, 4)).astype(np.float32)
    planted = plant(features, features[:, 0].round(), included)
    columns = planted.features[:, 4:]
    assert (planted.features[:30, :4] == features).all()
    assert ((columns != 0).sum(axis=0) == included).all()
    assert set(np.unique(columns)) == {0.0, VALUE}
    assert planted.blank_features.shape == planted.features.shape
    assert not planted.blank_features[30:].any()


def test_scores_do_not_depend_on_the_step_size_of_a_release() -> None:
    updates = np.random.default_rng(12).normal(size=(3, 50))
    scale = np.array([[1.0], [1e-3], [50.0]])
    assert weights_attack(updates * scale) == pytest.approx(weights_attack(updates))
    assert not twin_attack(updates, updates).any()
    assert not repetition_attack(updates[:1]).any()


@pytest.mark.parametrize(
    "returned",
    [
        lambda x: np.zeros((2, x.shape[1] - 1)),
        lambda x: np.zeros((1, x.shape[1])),
        lambda x: np.full((2, x.shape[1]), np.nan),
    ],
)
def test_a_procedure_that_returns_something_else_is_refused(
    returned: Callable[[NDArray[np.float32]], NDArray[np.float64]],
) -> None:
    with pytest.raises(ConfigurationError, match="weights"):
        audit(lambda x, _: returned(x), 1.0, np.random.default_rng(1))


def test_too_few_canaries_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="canaries"):
        audit(gaussian_mechanism(1.0, np.random.default_rng(1)), 1.0, np.random.default_rng(1), canaries=20)


def test_an_audit_survives_its_json_and_a_wrong_verdict_does_not() -> None:
    rng = np.random.default_rng(13)
    finding = audit(gaussian_mechanism(0.7, rng), 3.0, rng, canaries=200)
    data = statement_to_json(finding)
    assert statement_from_json(PrivacyAudit, data) == finding
    with pytest.raises(ProtocolError, match="PrivacyAudit"):
        statement_from_json(PrivacyAudit, data.replace(b'"consistent"', b'"refuted"'))
    with pytest.raises(ProtocolError, match="canonical"):
        statement_from_json(PrivacyAudit, b" " + data)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_audit_or_an_error(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        statement_from_json(PrivacyAudit, data)
