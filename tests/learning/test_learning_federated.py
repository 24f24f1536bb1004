"""Rounds through sums: the mean that pooled arithmetic gives, exact to the encoding; and when they stop."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from tests.learning.conftest import make_mlp, make_rows, make_training

from hanse.aggregation import InProcessAggregator, Query, Vector, encode_body
from hanse.enforcement.simulation import simulated_examples
from hanse.errors import HanseError, ProtocolError, TrainingError
from hanse.learning import (
    Predictor,
    SecureRandom,
    Update,
    aggregate,
    initial_weights,
    parameter_count,
    roc_auc,
)
from hanse.learning.federated import Stopping, average, recommend_federated, train, validation_loss
from hanse.learning.federated.questions import LOSS, UPDATE, ask, encoding, read
from hanse.learning.federated.update import MemberRows, UpdateContributor, mean_loss
from hanse.learning.shapes import Groups
from hanse.learning.training import LocalTrainer
from hanse.policies import Model, Training

Rows = NDArray[np.float32]
FEATURES = 12


def contributor(training: Training, rows: MemberRows, groups: Groups = ()) -> UpdateContributor:
    trainer = LocalTrainer(training, FEATURES, None, SecureRandom(), groups)
    return UpdateContributor(
        training, trainer, rows, lambda weights: Predictor(training, FEATURES, weights, groups)
    )


def rows_of(x: Rows, y: Rows, kept: int = 0) -> MemberRows:
    validation = simulated_examples(x[:kept], y[:kept]) if kept else None
    return MemberRows(simulated_examples(x[kept:], y[kept:]), validation)


def members(
    training: Training, data: Sequence[tuple[Rows, Rows]], kept: int = 0, groups: Groups = ()
) -> InProcessAggregator:
    return InProcessAggregator(
        {f"m{i:02}": contributor(training, rows_of(x, y, kept), groups) for i, (x, y) in enumerate(data)}
    )


def test_a_round_is_the_mean_of_the_updates_by_rows(rng: np.random.Generator) -> None:
    training = make_training(sample_rate=1.0)
    data = [make_rows(rng, rows) for rows in (20, 70, 500)]
    start = rng.normal(0, 0.1, FEATURES + 1).astype(np.float32)
    done = average(members(training, data), training, start, 1)
    alone = [
        LocalTrainer(training, FEATURES, None, SecureRandom())
        .run_round(start, simulated_examples(x, y), 1, training.local_steps)
        .delta
        for x, y in data
    ]
    updates = [Update(str(i), delta, len(data[i][0])) for i, delta in enumerate(alone)]
    np.testing.assert_allclose(done.weights, aggregate(start, updates, 2), atol=2e-6)
    assert done.rows == pytest.approx(590)
    assert done.members == ("m00", "m01", "m02")
    assert done.loss is None


def test_one_step_of_all_members_is_a_step_on_pooled_rows(rng: np.random.Generator) -> None:
    training = make_training(sample_rate=1.0, local_steps=1)
    data = [make_rows(rng, rows) for rows in (31, 64, 200)]
    pooled = (np.concatenate([x for x, _ in data]), np.concatenate([y for _, y in data]))
    start = np.zeros(FEATURES + 1, np.float32)
    together = average(members(training, data), training, start, 1).weights
    np.testing.assert_allclose(
        together, average(members(training, [pooled]), training, start, 1).weights, atol=2e-6
    )


def test_adaptive_rounds_of_members_are_those_of_pooled_rows(rng: np.random.Generator) -> None:
    training = recommend_federated("logistic").model_copy(update={"rounds": 12})
    data = [make_rows(rng, rows) for rows in (31, 64, 200)]
    pooled = (np.concatenate([x for x, _ in data]), np.concatenate([y for _, y in data]))
    start = np.zeros(FEATURES + 1, np.float32)
    together, alone = (train(members(training, rows), training, start).weights for rows in (data, [pooled]))
    # Rounding of float32 weights, carried through twelve rounds.
    np.testing.assert_allclose(together, alone, atol=2e-3)
    assert np.abs(alone).max() > 0.3


def test_adaptive_rounds_reach_the_pooled_fit_of_scikit_learn(rng: np.random.Generator) -> None:
    data = [make_rows(rng, 300) for _ in range(3)]
    x, y = (np.concatenate([each[part] for each in data]) for part in (0, 1))
    training = recommend_federated("logistic")
    weights = train(members(training, data), training, np.zeros(FEATURES + 1, np.float32)).weights
    fitted = LogisticRegression(C=1e6, max_iter=1000).fit(x, y)
    ours = Predictor(training, FEATURES, weights).scores(x)
    assert log_loss(y, ours) == pytest.approx(log_loss(y, fitted.predict_proba(x)[:, 1]), abs=2e-3)


@pytest.mark.parametrize("model", ["logistic", "mlp", "wide_and_deep", "scorecard"])
def test_there_is_a_schedule_for_every_model(model: Model) -> None:
    assert recommend_federated(model, patience=5).model == model


GROUPS = ((0, 1, 2, 3), (4, 5, 6))
WIDE: dict[str, Any] = {"model": "wide_and_deep", "embedding": 3, "hidden": (8,)}


@pytest.mark.parametrize(
    "training", [make_training(rounds=6), make_mlp(rounds=6), make_mlp(rounds=6, **WIDE)]
)
def test_every_model_learns_over_members(training: Training, rng: np.random.Generator) -> None:
    training = training.model_copy(update={"learning_rate": 2.0, "local_steps": 20})
    data = [make_rows(rng, 300) for _ in range(4)]
    x, y = make_rows(rng, 3000)
    groups = GROUPS if training.model == "wide_and_deep" else ()
    start = initial_weights(training, FEATURES, np.random.default_rng(1), groups)
    trained = train(members(training, data, groups=groups), training, start)
    area = roc_auc(Predictor(training, FEATURES, trained.weights, groups).scores(x), y)
    assert area is not None
    assert area > 0.85
    assert (trained.round_number, len(trained.rounds), trained.loss) == (6, 6, None)


def test_validation_loss_is_that_of_pooled_rows(rng: np.random.Generator) -> None:
    training = make_training(patience=2)
    data = [make_rows(rng, rows) for rows in (60, 90)]
    weights = rng.normal(0, 1, FEATURES + 1).astype(np.float32)
    loss = validation_loss(members(training, data, kept=40), training, weights, 3)
    x, y = (np.concatenate([each[part][:40] for each in data]) for part in (0, 1))
    assert loss == pytest.approx(log_loss(y, Predictor(training, FEATURES, weights).scores(x)), abs=1e-6)


def test_a_run_stops_when_nothing_is_gained_and_keeps_the_best(rng: np.random.Generator) -> None:
    """Ten rows each and a step size that overfits: the loss falls, then rises."""
    training = make_mlp(rounds=40, patience=3, learning_rate=8.0, sample_rate=1.0, max_update_norm=100.0)
    data = [make_rows(rng, 330) for _ in range(3)]
    asked = members(training, data, kept=320)
    start = initial_weights(training, FEATURES, np.random.default_rng(1))
    trained = train(asked, training, start)
    assert trained.round_number < len(trained.rounds) < 40
    losses = [done.loss for done in trained.rounds if done.loss is not None]
    assert trained.loss == min(losses)
    assert len(trained.rounds) == trained.round_number + training.patience
    again = validation_loss(asked, training, trained.weights, trained.round_number)
    assert again == pytest.approx(trained.loss, abs=1e-6)


@given(st.lists(st.none() | st.floats(0, 2), max_size=30), st.integers(0, 5))
def test_the_rule_stops_after_as_many_rounds_as_it_is_patient(
    losses: list[float | None], patience: int
) -> None:
    rule = Stopping(patience)
    for number, loss in enumerate(losses):
        rule = rule.observe(number, loss)
        assert rule.over == (patience > 0 and number - rule.best_round >= patience)
        assert rule.improved == (rule.best_loss is not None and rule.best_round == number)
        known = [seen for seen in losses[: number + 1] if seen is not None]
        assert (rule.best_loss is None) == (not known)
        if rule.best_loss is not None:
            assert rule.best_loss <= min(known) + 1e-4
            assert losses[rule.best_round] == rule.best_loss


def test_row_weights_are_the_weight_of_a_member(rng: np.random.Generator) -> None:
    training = make_training(sample_rate=1.0)
    x, y = make_rows(rng, 40)
    rows = MemberRows(simulated_examples(x, y), None, np.full(40, 2.5, np.float32))
    done = average(
        InProcessAggregator({"a": contributor(training, rows)}), training, np.zeros(13, np.float32), 1
    )
    assert done.rows == pytest.approx(100)


class Liar:
    """Answers with what it likes."""

    def __init__(self, answer: Vector) -> None:
        self._answer = answer

    def contribute(self, query: Query) -> Vector:
        del query
        return self._answer


def test_a_mean_beyond_the_agreed_norm_is_no_round(rng: np.random.Generator) -> None:
    training = make_training(max_update_norm=5.0)
    start = np.zeros(FEATURES + 1, np.float32)
    honest = contributor(training, rows_of(*make_rows(rng, 50)))
    for answer in (np.array([*[5.0] * 13, 1e-3, 0, 0]), np.array([*[0.0] * 13, -1.0, 0, 0])):
        with pytest.raises(TrainingError) as caught:
            average(InProcessAggregator({"a": honest, "b": Liar(answer)}), training, start, 1)
        assert caught.value.code == "run.update-rejected"


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "model.weights"},
        {"length": 15},
        {"encoding": encoding(make_training(max_update_norm=2.0), 2)},
        {"body": encode_body({"round": 1})},
        {"body": encode_body({"round": True}, np.zeros(13, "<f4"))},
        {"body": encode_body({"round": 1, "x": 2}, np.zeros(13, "<f4"))},
        {"body": encode_body({"round": 1}, np.zeros(13, "<f8"))},
        {"body": encode_body({"round": 1}, np.zeros((1, 13), "<f4"))},
        {"body": encode_body({"round": 9}, np.zeros(13, "<f4"))},
        {"body": encode_body({"round": 1}, np.full(13, 1e9, "<f4"))},
    ],
)
def test_other_questions_are_refused(change: Mapping[str, Any], rng: np.random.Generator) -> None:
    training = make_training()
    good = ask(UPDATE, training, np.zeros(13, np.float32), 1, 2)
    asked = contributor(training, rows_of(*make_rows(rng, 20)))
    assert asked.contribute(good).shape == (16,)
    with pytest.raises(ProtocolError):
        asked.contribute(Query(**({s: getattr(good, s) for s in Query.__slots__} | dict(change))))


@given(st.sampled_from([UPDATE, LOSS]), st.binary(max_size=80))
def test_random_questions_are_refused(kind: str, body: bytes) -> None:
    with pytest.raises(HanseError):
        read(Query(kind, body, 16, encoding(make_training(), 2)), make_training())


def test_the_loss_leaves_out_what_is_missing() -> None:
    logits = np.array([[0.0, 50.0], [0.0, -800.0]])
    labels = np.array([[1, np.nan], [np.nan, 1]], np.float32)
    assert mean_loss(logits, labels) == pytest.approx((np.log(2) + 800) / 2)


def test_the_encoding_is_as_fine_as_a_double_allows() -> None:
    for members_, norm in ((2, 20.0), (40, 1000.0), (100, 1e6)):
        form = encoding(make_training(max_update_norm=norm), members_)
        assert form.fraction_bits >= 20 or norm == 1e6
        assert form.bound >= norm
    assert parameter_count(make_training(), 12) == 13
