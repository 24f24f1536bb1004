"""The audit of the real private training: it holds its peace on a correct one and finds a fault."""

import itertools

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hanse.aggregation import InProcessAggregator
from hanse.enforcement.simulation import simulated_examples
from hanse.learning import SecureRandom, parameter_count, recommend
from hanse.learning.auditing import Procedure, audit_privacy
from hanse.learning.private import PrivateRun, PrivateSgdCoordinator
from hanse.learning.private_gradients import PrivateGradientContributor
from hanse.learning.recipe import PrivateSchedule
from hanse.privacy import Budget, SharedPlan, make_shared_plan

torch.set_num_threads(1)

BUDGET = Budget(3.0, 1e-5)
SCHEDULE = PrivateSchedule(steps=40, sample_rate=0.3, clip_norm=2.0, learning_rate=0.02)


def training_with(plan: SharedPlan, weakened: float) -> Procedure:
    keys = (number.to_bytes(32, "big") for number in itertools.count())  # other noise in every training

    def train(features: NDArray[np.float32], labels: NDArray[np.float32]) -> NDArray[np.float32]:
        training, width = recommend("logistic", 1_000, 1, None), features.shape[1]
        run = PrivateRun(
            training=training,
            n_features=width,
            schedule=SCHEDULE,
            noise_multiplier=plan.gradients.noise_multiplier / weakened,
            rows_noise_multiplier=plan.rows.noise_multiplier,
            members=1,
            honest_shares=1,
        )
        examples = simulated_examples(features, labels)
        member = PrivateGradientContributor(run, examples, lambda _: None, SecureRandom(next(keys)))
        start = np.zeros(parameter_count(training, width), dtype=np.float32)
        coordinator = PrivateSgdCoordinator(InProcessAggregator({"anna": member}), run, start)
        states = [start]
        for step in range(SCHEDULE.steps):
            coordinator.take_step(step)
            states.append(coordinator.weights)
        return np.stack(states)[:, :width]

    return train


@pytest.mark.slow
def test_half_of_the_noise_is_found_and_all_of_it_is_not() -> None:
    rng = np.random.default_rng(7)
    rows = (rng.random((1_000, 10)) < 0.3).astype(np.float32)
    labels = (rng.random(1_000) < 0.3).astype(np.float32)
    plan = make_shared_plan(BUDGET, steps=SCHEDULE.steps, sample_rate=SCHEDULE.sample_rate, shared=False)
    correct, faulty = (
        audit_privacy(
            training_with(plan, weakened),
            rows,
            labels,
            claimed_epsilon=BUDGET.epsilon,
            delta=BUDGET.delta,
            rng=rng,
        )
        for weakened in (1.0, 2.0)
    )
    assert correct.verdict == "consistent"
    assert correct.fitted_bound > BUDGET.epsilon / 10  # it sees the canaries at all
    assert faulty.verdict == "refuted"
