"""The audit of a member's real training: it holds its peace on a correct one and finds a fault."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hanse.enforcement.simulation import simulated_examples
from hanse.learning import SecureRandom, parameter_count
from hanse.learning.auditing import Procedure, audit_privacy
from hanse.learning.training import LocalTrainer
from hanse.policies import Training
from hanse.privacy import SampledGaussian, calibrate

torch.set_num_threads(1)

EPSILON, DELTA = 3.0, 1e-5
SCHEDULE = Training(
    model="logistic",
    hidden=(),
    rounds=4,
    local_steps=10,
    sample_rate=0.3,
    learning_rate=0.02,
    clip_norm=2.0,
    max_update_norm=1e6,
    round_timeout_s=60,
    holdout_fraction=0.2,
)


def training_with(noise: float) -> Procedure:
    def train(features: NDArray[np.float32], labels: NDArray[np.float32]) -> NDArray[np.float32]:
        examples = simulated_examples(features, labels)
        trainer = LocalTrainer(SCHEDULE, features.shape[1], noise, SecureRandom())
        states = [np.zeros(parameter_count(SCHEDULE, features.shape[1]), dtype=np.float32)]
        for number in range(1, SCHEDULE.rounds + 1):
            update = trainer.run_round(states[-1], examples, number, SCHEDULE.local_steps)
            states.append(states[-1] + update.delta)
        return np.stack(states)[:, : features.shape[1]]

    return train


@pytest.mark.slow
def test_half_of_the_noise_is_found_and_all_of_it_is_not() -> None:
    rng = np.random.default_rng(7)
    rows = (rng.random((1_000, 10)) < 0.3).astype(np.float32)
    labels = (rng.random(1_000) < 0.3).astype(np.float32)
    steps = SCHEDULE.rounds * SCHEDULE.local_steps
    noise = calibrate(lambda z: [SampledGaussian(z, SCHEDULE.sample_rate, steps)], EPSILON, DELTA)
    correct, faulty = (
        audit_privacy(training_with(z), rows, labels, claimed_epsilon=EPSILON, delta=DELTA, rng=rng)
        for z in (noise, noise / 2)
    )
    assert correct.verdict == "consistent"
    assert correct.fitted_bound > EPSILON / 10  # it sees the canaries at all
    assert faulty.verdict == "refuted"
