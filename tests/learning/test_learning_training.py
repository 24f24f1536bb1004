"""Rounds of members: equal to pooled training where they must be, private where they must be."""

from collections.abc import Iterable

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.learning.conftest import make_mlp, make_rows, make_training

from hanse.enforcement.simulation import simulated_examples
from hanse.errors import PolicyError, ProtocolError
from hanse.learning import (
    Predictor,
    SecureRandom,
    Update,
    aggregate,
    defect,
    initial_weights,
    recommend,
    roc_auc,
)
from hanse.learning.training import MAX_FEATURE, LocalTrainer, train_alone
from hanse.policies import Privacy, Training
from hanse.privacy import SampledGaussian, epsilon, make_plan

Rows = NDArray[np.float32]
Data = tuple[Rows, Rows]


def train_federated(training: Training, noise: float | None, members: Iterable[Data], weights: Rows) -> Rows:
    data = list(members)
    trainers = [LocalTrainer(training, data[0][0].shape[1], noise, SecureRandom()) for _ in data]
    for round_number in range(1, training.rounds + 1):
        updates = []
        for name, (trainer, (x, y)) in enumerate(zip(trainers, data, strict=True)):
            result = trainer.run_round(weights, simulated_examples(x, y), round_number, training.local_steps)
            updates.append(Update(str(name), result.delta, len(y)))
            assert defect(updates[-1], weights.size, training.max_update_norm) is None
        weights = aggregate(weights, updates, 2)
    return weights


@pytest.mark.parametrize("make", [make_training, make_mlp])
def test_full_batches_of_one_step_equal_pooled_gradient_descent(make: type, rng: np.random.Generator) -> None:
    training = make(sample_rate=1.0, local_steps=1, rounds=20)
    members = [make_rows(rng, rows) for rows in (30, 200, 75)]
    weights = initial_weights(training, 12, rng)
    pooled = (np.concatenate([x for x, _ in members]), np.concatenate([y for _, y in members]))
    federated = train_federated(training, None, members, weights)
    assert (
        np.abs(
            federated - train_alone(training, None, SecureRandom(), weights, simulated_examples(*pooled))
        ).max()
        <= 1e-6
    )
    assert np.abs(federated - weights).max() > 0.1


def test_learning_rate_falls_to_zero_over_all_rounds_not_over_one(rng: np.random.Generator) -> None:
    x, y = make_rows(rng, 50)
    training = make_training(sample_rate=1.0, rounds=4, local_steps=2)
    weights = np.zeros(13, np.float32)
    norms = [
        float(
            np.linalg.norm(
                LocalTrainer(training, 12, None, SecureRandom())
                .run_round(weights, simulated_examples(x, y), number, 1)
                .delta
            )
        )
        for number in (1, 2, 3, 4)
    ]
    # Round r starts at step 2 (r - 1) of 8.
    assert np.array(norms) / norms[0] == pytest.approx([1, 0.75, 0.5, 0.25], rel=1e-4)


def test_every_step_counts_also_empty_ones(rng: np.random.Generator) -> None:
    x, y = make_rows(rng, 5)
    training = make_training(sample_rate=0.01, rounds=3, local_steps=20)
    trainer = LocalTrainer(training, 12, 1.0, SecureRandom())
    weights = np.zeros(13, np.float32)
    for number in (1, 2, 3):
        result = trainer.run_round(weights, simulated_examples(x, y), number, 20)
        assert result.steps == 20
        assert np.isfinite(result.delta).all()
    assert trainer.steps_taken == 60


def test_what_all_rounds_cost_is_the_plan_and_an_engine_per_round_would_say_less(
    rng: np.random.Generator,
) -> None:
    training = make_training(rounds=6)
    budget = Privacy(unit="record", adjacency="add-or-remove-one", epsilon=2.0, delta=1e-5)
    plan = make_plan(training, budget, columns=4)
    x, y = make_rows(rng, 50)
    trainer = LocalTrainer(training, 12, plan.training.noise_multiplier, SecureRandom())
    weights = np.zeros(13, np.float32)
    for number in range(1, 7):
        weights = (
            weights + trainer.run_round(weights, simulated_examples(x, y), number, training.local_steps).delta
        )
    taken = plan.training_steps(trainer.steps_taken)
    assert epsilon([plan.counts, taken], 1e-5) == plan.training_epsilon <= 2.0
    assert epsilon([plan.counts, plan.training_steps(training.local_steps)], 1e-5) < 1.0


def test_private_updates_differ_each_time(rng: np.random.Generator) -> None:
    x, y = make_rows(rng, 100)
    deltas = [
        LocalTrainer(make_training(sample_rate=1.0), 12, 1.0, SecureRandom())
        .run_round(np.zeros(13, np.float32), simulated_examples(x, y), 1, 1)
        .delta
        for _ in range(3)
    ]
    assert len({delta.tobytes() for delta in deltas}) == 3


def test_rows_are_drawn_anew_at_the_agreed_rate() -> None:
    """The bias gradient of the first full-size step counts the drawn rows: p - y = 1/2 for each."""
    x, y = np.zeros((1000, 1), np.float32), np.zeros(1000, np.float32)
    training = make_training(sample_rate=0.3, learning_rate=1.0)
    drawn = []
    for _ in range(40):
        trainer = LocalTrainer(training, 1, None, SecureRandom())
        delta = trainer.run_round(np.zeros(2, np.float32), simulated_examples(x, y), 1, 1).delta
        drawn.append(-delta[1] * 2 * 0.3 * 1000)
    # Binomial(1000, .3): standard deviation 14.5, of the mean of forty 2.3.
    assert np.mean(drawn) == pytest.approx(300, abs=12)
    assert 8 < np.std(drawn) < 23


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("noise", [None, 1e-6])
def test_rows_that_are_not_finite_take_no_part(
    poison: float, noise: float | None, rng: np.random.Generator
) -> None:
    x, y = make_rows(rng, 60)
    bad = x.copy()
    bad[3, 2] = poison
    good_y, bad_y = np.delete(y, 3), y.copy()
    training = make_training(sample_rate=1.0, clip_norm=1e3)
    deltas = []
    for rows, labels in ((bad, bad_y), (np.delete(x, 3, axis=0), good_y)):
        trainer = LocalTrainer(training, 12, noise, SecureRandom())
        deltas.append(
            trainer.run_round(np.zeros(13, np.float32), simulated_examples(rows, labels), 1, 1).delta
            * len(rows)
        )
    assert deltas[0] == pytest.approx(deltas[1], abs=1e-1 if noise else 1e-5)
    assert MAX_FEATURE < 1e30


def test_a_label_that_is_neither_takes_no_part(rng: np.random.Generator) -> None:
    x, y = make_rows(rng, 10)
    y[:] = np.nan
    trainer = LocalTrainer(make_training(sample_rate=1.0), 12, None, SecureRandom())
    assert not trainer.run_round(np.zeros(13, np.float32), simulated_examples(x, y), 1, 5).delta.any()


def test_an_update_is_never_longer_than_agreed(rng: np.random.Generator) -> None:
    x, y = make_rows(rng, 50)
    training = make_training(max_update_norm=0.01)
    delta = (
        LocalTrainer(training, 12, 5.0, SecureRandom())
        .run_round(np.zeros(13, np.float32), simulated_examples(x, y), 1, 10)
        .delta
    )
    assert np.linalg.norm(delta) == pytest.approx(0.01, rel=1e-4)
    assert defect(Update("m", delta, 50), 13, 0.01) is None


@pytest.mark.parametrize(("round_number", "steps"), [(0, 1), (6, 1), (1, 0), (1, 11)])
def test_rounds_and_steps_beyond_the_agreement_are_refused(round_number: int, steps: int) -> None:
    trainer = LocalTrainer(make_training(), 1, None, SecureRandom())
    rows = np.ones((3, 1), np.float32)
    with pytest.raises(ProtocolError) as caught:
        trainer.run_round(np.zeros(2, np.float32), simulated_examples(rows, rows[:, 0]), round_number, steps)
    assert caught.value.code == "protocol.unexpected-step"


def test_no_rows_and_unfit_weights_are_refused() -> None:
    trainer = LocalTrainer(make_training(), 1, None, SecureRandom())
    rows = np.ones((3, 1), np.float32)
    with pytest.raises(PolicyError):
        trainer.run_round(np.zeros(2, np.float32), simulated_examples(rows[:0], rows[:0, 0]), 1, 1)
    for weights in (np.zeros(3, np.float32), np.full(2, np.nan, np.float32)):
        with pytest.raises(ProtocolError):
            trainer.run_round(weights, simulated_examples(rows, rows[:, 0]), 1, 1)
    assert trainer.steps_taken == 0


def test_private_federation_beats_private_members_alone(rng: np.random.Generator) -> None:
    members = [make_rows(rng, 400, 30) for _ in range(3)]
    x_test, y_test = make_rows(rng, 4000, 30)
    training = recommend("logistic", 400, 3, 3.0).model_copy(update={"rounds": 5, "local_steps": 10})
    noise = 2.3
    assert epsilon([SampledGaussian(noise, training.sample_rate, 50)], 1e-5) <= 3.0
    start = np.zeros(31, np.float32)

    def quality(weights: Rows) -> float:
        area = roc_auc(Predictor(training, 30, weights).scores(x_test), y_test)
        assert area is not None
        return area

    alone = [
        quality(train_alone(training, noise, SecureRandom(), start, simulated_examples(*data)))
        for data in members
    ]
    assert quality(train_federated(training, noise, members, start)) > np.mean(alone)


def test_recipe_steps_less_far_where_noise_is_larger() -> None:
    rates = [recommend("logistic", rows, 4, 3.0).learning_rate for rows in (100, 1_000, 10_000, 1_000_000)]
    assert rates == sorted(rates)
    assert rates[0] < rates[-1]
    assert recommend("mlp", 1_000, 4, 1.0).learning_rate < recommend("mlp", 1_000, 4, 8.0).learning_rate
    assert recommend("mlp", 1_000, 4, None).hidden == (16,)
    assert recommend("logistic", 1_000, 4, None).hidden == ()
