"""Losses of several outputs, weights of classes and rows, and what points a scorecard gives."""

from datetime import UTC, datetime

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.learning.conftest import categorical, make_rows, make_training, numeric

from hanse.enforcement.simulation import simulated_examples
from hanse.errors import ConfigurationError, PrivacyError, ProtocolError, ServingError
from hanse.learning import LoadedModel, ModelManifest, Predictor, SecureRandom, Transform
from hanse.learning.losses import record_losses
from hanse.learning.scorecard import scorecard
from hanse.learning.targets import encode_targets
from hanse.learning.training import LocalTrainer, train_alone
from hanse.policies import Label, PointScale, Training

TARGETS = (
    {"name": "churned", "kind": "label", "positive": "1"},
    {"name": "spent", "kind": "amount", "bound": 100.0},
)
TRAINING = make_training(targets=TARGETS)
SCALE = PointScale(points=600, odds=20.0, doubling=40)


def test_targets_become_one_column_per_output_and_missing_ones_stay_missing() -> None:
    columns = {
        "churned": np.array([1, "0", None, 1.0, "maybe"], dtype=object),
        "spent": np.array([0.0, 25.0, np.nan, 1e9, -3.0]),
    }
    encoded = encode_targets(TRAINING, np.array([1, 0, 1, 0, np.nan], np.float32), columns)
    nan = np.nan
    expected = [[1, 1, 0, nan], [0, 0, 1, 0.25], [1, nan, nan, nan], [0, 1, 1, 1], [nan, 0, 0, nan]]
    np.testing.assert_array_equal(encoded, np.array(expected, np.float32))


@pytest.mark.parametrize("columns", [{}, {"churned": np.zeros(2), "spent": np.zeros(3)}])
def test_targets_that_are_not_there_are_an_error(columns: dict[str, NDArray[np.float64]]) -> None:
    with pytest.raises(ConfigurationError):
        encode_targets(TRAINING, np.zeros(2, np.float32), columns)


anything = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.binary(max_size=3)
)


@given(st.lists(st.tuples(anything, anything), min_size=1, max_size=5))
def test_every_value_is_a_target_or_missing(rows: list[tuple[object, object]]) -> None:
    columns = {}
    for position, name in enumerate(("churned", "spent")):
        columns[name] = np.empty(len(rows), dtype=object)
        columns[name][:] = [row[position] for row in rows]
    encoded = encode_targets(TRAINING, np.zeros(len(rows), np.float32), columns)
    assert encoded.shape == (len(rows), 4)
    assert (np.isnan(encoded) | ((encoded >= 0) & (encoded <= 1))).all()


def test_a_missing_target_has_no_gradient_and_no_other_loses_its_own() -> None:
    logits = torch.zeros(2, 3, requires_grad=True)
    targets = torch.tensor([[1.0, float("nan"), 0.25], [0.0, 1.0, float("nan")]])
    losses = record_losses(logits, targets)
    assert losses.detach().numpy() == pytest.approx([2 * np.log(2)] * 2)
    losses.sum().backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    np.testing.assert_allclose(logits.grad, [[-0.5, 0, 0.25], [0.5, -0.5, 0]])


def test_weights_count_positives_and_rows() -> None:
    logits, targets = torch.zeros(3, 2), torch.tensor([[1.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
    plain = np.log(2)
    weighted = record_losses(logits, targets, 3.0, torch.tensor([1.0, 2.0, 0.5]))
    assert weighted.numpy() == pytest.approx([4 * plain, 4 * plain, 2 * plain])


def fit(training: Training, x: NDArray[np.float32], y: NDArray[np.float32]) -> Predictor:
    count = training.outputs * (x.shape[1] + 1)
    weights = train_alone(
        training, None, SecureRandom(), np.zeros(count, np.float32), simulated_examples(x, y)
    )
    return Predictor(training, x.shape[1], weights)


def test_a_weighted_class_leaves_scores_calibrated(rng: np.random.Generator) -> None:
    """In each of two groups the score is the group's rate, although positives weighed nine times as much."""
    x = (np.arange(2000) % 2).astype(np.float32)[:, None]
    y = (rng.random(2000) < np.where(x[:, 0] == 1, 0.3, 0.05)).astype(np.float32)
    base = {"rounds": 5, "local_steps": 60, "sample_rate": 1.0, "learning_rate": 1.0}
    predictor = fit(make_training(positive_weight=9.0, **base), x, y)
    scores = predictor.scores(np.array([[0], [1]], np.float32))
    assert scores == pytest.approx([y[x[:, 0] == 0].mean(), y[x[:, 0] == 1].mean()], abs=0.01)


def test_row_weights_count_as_repeated_rows(rng: np.random.Generator) -> None:
    x, y = make_rows(rng, 60)
    counts = rng.integers(1, 4, 60)
    training = make_training(sample_rate=1.0)
    zeros = np.zeros(13, np.float32)
    weighted = LocalTrainer(training, 12, None, SecureRandom()).run_round(
        zeros, simulated_examples(x, y), 1, 5, counts.astype(np.float32)
    )
    repeated = LocalTrainer(training, 12, None, SecureRandom()).run_round(
        zeros, simulated_examples(np.repeat(x, counts, axis=0), np.repeat(y, counts)), 1, 5
    )
    np.testing.assert_allclose(weighted.delta, repeated.delta, atol=1e-5)


def test_several_outputs_learn_and_the_expected_amount_is_the_mean(rng: np.random.Generator) -> None:
    x = (np.arange(1500) % 2).astype(np.float32)[:, None]
    buys = rng.random(1500) < np.where(x[:, 0] == 1, 0.5, 0.1)
    spent = np.where(buys, rng.gamma(2, np.where(x[:, 0] == 1, 15, 5)), 0.0)
    labels = encode_targets(
        TRAINING, buys.astype(np.float32), {"churned": np.full(1500, None, dtype=object), "spent": spent}
    )
    training = make_training(
        targets=TARGETS, rounds=10, local_steps=60, sample_rate=1.0, learning_rate=4.0, max_update_norm=1e3
    )
    predicted = fit(training, x, labels).targets(np.array([[0], [1]], np.float32))["spent"]
    capped = np.minimum(spent, 100.0)
    assert predicted == pytest.approx([capped[x[:, 0] == k].mean() for k in (0, 1)], rel=0.06)


def test_labels_of_another_width_and_what_privacy_does_not_cover_are_refused() -> None:
    rows = np.ones((3, 1), np.float32)
    with pytest.raises(ProtocolError):
        LocalTrainer(TRAINING, 1, None, SecureRandom()).run_round(
            np.zeros(8, np.float32), simulated_examples(rows, rows[:, 0]), 1, 1
        )
    for training in (TRAINING, make_training(positive_weight=2.0)):
        with pytest.raises(PrivacyError):
            LocalTrainer(training, 1, 1.0, SecureRandom())
    with pytest.raises(PrivacyError):
        LocalTrainer(make_training(), 1, 1.0, SecureRandom()).run_round(
            np.zeros(2, np.float32), simulated_examples(rows, rows[:, 0]), 1, 1, rows[:, 0]
        )


def card_model(training: Training, weights: NDArray[np.float32]) -> LoadedModel:
    transform = Transform.fit((numeric("age", 30, 50), categorical("job", "clerk", "nurse")), None, 0)
    manifest = ModelManifest(
        name="card",
        version=1,
        agreement_digest="a" * 64,
        run="r",
        purpose="joint_modelling.propensity",
        label=Label(name="bought", positive="yes"),
        transform=transform,
        training=training,
        metrics={},
        privacy=None,
        epsilon={},
        members=("north", "south"),
        created_at=datetime(2026, 1, 31, 9, tzinfo=UTC),
    )
    return LoadedModel(manifest, Predictor(training, transform.n_features, weights), "b" * 64)


def test_points_added_up_are_the_score(rng: np.random.Generator) -> None:
    weights = rng.normal(size=8).astype(np.float32)
    model = card_model(make_training(model="scorecard", scale=SCALE), weights)
    card = scorecard(model)
    values = {
        "age": np.array([20.0, 40, 50, np.nan]),
        "job": np.array(["nurse", "clerk", "x", None], dtype=object),
    }
    scores = model.predictor.scores(model.transform.apply(values))
    cells = [("below 30", "nurse"), ("30 to below 50", "clerk"), ("from 50", "missing or other")]
    cells.append(("missing", "missing or other"))
    points = {(row.column, row.cell): row.points for row in card.rows}
    totals = [card.base + points["age", age] + points["job", job] for age, job in cells]
    assert scores == pytest.approx([card.probability(total) for total in totals], abs=1e-12)
    exact = Predictor(make_training(), 7, weights).logits(model.transform.apply(values))
    assert np.abs(model.predictor.logits(model.transform.apply(values)) - exact).max() <= 1.5 * np.log(2) / 40


def test_points_mean_what_the_scale_says() -> None:
    card = scorecard(card_model(make_training(model="scorecard", scale=SCALE), np.zeros(8, np.float32)))
    assert card.probability(600) == pytest.approx(20 / 21)
    assert card.probability(640) == pytest.approx(40 / 41)
    text = card.as_text()
    assert text.splitlines()[-1] == "600 points are odds of 20 to 1; 40 more double the odds."
    assert all(word in text for word in ("age", "30 to below 50", "missing or other", "(base)"))


def test_only_a_scorecard_has_points() -> None:
    with pytest.raises(ServingError):
        scorecard(card_model(make_training(), np.zeros(8, np.float32)))
