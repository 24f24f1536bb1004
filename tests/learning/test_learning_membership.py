"""Membership inference against learners that remember everything, nothing, or a little."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from hanse.errors import ConfigurationError, ProtocolError
from hanse.learning.auditing import Learner, MembershipInference, Scorer, infer_membership
from hanse.learning.auditing.membership import true_positive_rate
from hanse.learning.statements import statement_from_json, statement_to_json

Rows = NDArray[np.float32]
ROWS = 400


def remembering(strength: float) -> Learner:
    """A learner that says of the rows it has seen what their label was, and nothing of all others."""

    def learn(features: Rows, labels: Rows) -> Scorer:
        seen = {row.tobytes(): float(label) for row, label in zip(features, labels, strict=True)}

        def score(asked: Rows) -> NDArray[np.float64]:
            known = np.array([seen.get(row.tobytes(), 0.5) for row in asked])
            return 0.5 + strength * (known - 0.5)

        return score

    return learn


def noisy(rng: np.random.Generator) -> Learner:
    def learn(features: Rows, labels: Rows) -> Scorer:
        del features, labels
        return lambda asked: rng.random(len(asked))

    return learn


@pytest.fixture
def rows() -> tuple[Rows, Rows]:
    rng = np.random.default_rng(3)
    return rng.random((ROWS, 4)).astype(np.float32), (rng.random(ROWS) < 0.4).astype(np.float32)


def test_a_learner_that_remembers_is_found_out(rows: tuple[Rows, Rows]) -> None:
    found = infer_membership(remembering(0.9), *rows, np.random.default_rng(1), models=8)
    assert found.likelihood_ratio.area == 1.0
    assert found.likelihood_ratio.true_positive_rate == 1.0
    assert found.loss.true_positive_rate == 1.0


def test_a_learner_that_knows_nothing_gives_nothing_away(rows: tuple[Rows, Rows]) -> None:
    rng = np.random.default_rng(2)
    found = infer_membership(noisy(rng), *rows, rng, models=16, claimed_epsilon=1.0, delta=1e-5)
    for attack in (found.likelihood_ratio, found.loss):
        assert abs(attack.area - 0.5) < 0.03
        assert attack.true_positive_rate < 0.03
    assert found.largest_allowed_rate == pytest.approx(0.01 * np.e + 1e-5)


def test_equal_scores_are_counted_on_the_safe_side() -> None:
    member = np.arange(10) < 5
    assert true_positive_rate(np.zeros(10), member, 0.01) == 0.0
    assert true_positive_rate(member.astype(np.float64), member, 0.01) == 1.0


def test_without_privacy_no_rate_is_ruled_out(rows: tuple[Rows, Rows]) -> None:
    found = infer_membership(remembering(0.1), *rows, np.random.default_rng(1), models=8)
    assert found.largest_allowed_rate == 1.0


@pytest.mark.parametrize(("count", "models"), [(100, 8), (ROWS, 6), (ROWS, 9)])
def test_too_little_to_say_anything_is_refused(rows: tuple[Rows, Rows], count: int, models: int) -> None:
    with pytest.raises(ConfigurationError, match="needs"):
        infer_membership(
            remembering(1.0), rows[0][:count], rows[1][:count], np.random.default_rng(1), models=models
        )


def test_it_survives_its_json(rows: tuple[Rows, Rows]) -> None:
    found = infer_membership(remembering(0.5), *rows, np.random.default_rng(1), models=8)
    assert statement_from_json(MembershipInference, statement_to_json(found)) == found


@given(st.binary(max_size=200))
def test_any_bytes_are_a_finding_or_an_error(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        statement_from_json(MembershipInference, data)
