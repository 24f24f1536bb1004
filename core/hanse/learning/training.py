"""A member's part of the rounds of one run."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.enforcement import AdmittedExamples
from hanse.errors import PolicyError, ProtocolError
from hanse.learning.dpsgd import PlainSgd, PrivateSgd
from hanse.learning.models import FloatVector, build, check_weights, get_flat, set_flat
from hanse.learning.random_source import SecureRandom
from hanse.policies import Training

MAX_WEIGHT: Final = 1e4
"""Largest absolute value of a weight that a member trains from."""

MAX_FEATURE: Final = 1e3
"""Largest absolute value of a feature; a row beyond it has no part in the training."""


@dataclass(frozen=True, slots=True)
class RoundResult:
    """What one round of one member gave.

    Attributes:
        delta: New weights minus the weights that the round started from, shortened to the agreed norm. With
            privacy it is safe to send; without, it is not.
        steps: Steps taken, empty ones included: what the round costs.
    """

    delta: FloatVector
    steps: int


class LocalTrainer:
    """Trains at one member, over all rounds of one run.

    One object for the whole run: the learning rate falls linearly to zero over all its rounds, and
    :attr:`steps_taken` is what an accountant must be told.

    Args:
        training: Model and schedule of the agreement.
        n_features: Width of the transformed rows.
        noise_multiplier: Noise of :class:`hanse.privacy.PrivacyPlan`; None trains without privacy.
        random: Source of sampling and noise.
    """

    def __init__(
        self, training: Training, n_features: int, noise_multiplier: float | None, random: SecureRandom
    ) -> None:
        self._training = training
        self._n_features = n_features
        self._random = random
        self._model = build(training, n_features)
        self._steps_taken = 0
        self._sgd = (
            PlainSgd(self._model)
            if noise_multiplier is None
            else PrivateSgd(
                self._model,
                noise_multiplier=noise_multiplier,
                clip_norm=training.clip_norm,
                random=random,
            )
        )

    @property
    def steps_taken(self) -> int:
        """Steps of all rounds so far, empty ones included."""
        return self._steps_taken

    def run_round(
        self,
        weights: FloatVector,
        examples: AdmittedExamples,
        round_number: int,
        steps: int,
    ) -> RoundResult:
        """Takes the steps of one round.

        Args:
            weights: Global weights.
            examples: All records that are admitted now. One that is not finite is never used.
            round_number: From 1.
            steps: Number of steps.

        Returns:
            The update.

        Raises:
            ProtocolError: ``protocol.malformed`` if the weights do not fit the model,
                ``protocol.unexpected-step`` if the agreement has no such round, or fewer steps in it.
            PolicyError: ``policy.cohort`` (rule P15) without rows.
        """
        self._check_round(round_number, steps)
        x, y = examples.features, examples.labels
        if len(x) == 0:
            raise PolicyError("policy.cohort", "no row is admitted", rule="P15")
        check_weights(self._training, self._n_features, weights, MAX_WEIGHT)
        set_flat(self._model, weights)
        usable = _usable(x, y)
        rate = self._training.sample_rate
        for step in range(steps):
            drawn = np.flatnonzero((self._random.uniform(len(x)) < rate) & usable)
            self._sgd.step(
                x[drawn],
                y[drawn],
                expected_rows=rate * len(x),
                learning_rate=self._learning_rate(round_number, step),
            )
            self._steps_taken += 1
        return RoundResult(_shorten(get_flat(self._model) - weights, self._training.max_update_norm), steps)

    def _check_round(self, round_number: int, steps: int) -> None:
        """The learning rate is below zero past the last planned step, and the budget covers no step more."""
        if not (1 <= round_number <= self._training.rounds and 1 <= steps <= self._training.local_steps):
            raise ProtocolError("protocol.unexpected-step", "the agreement has no such round or step")

    def _learning_rate(self, round_number: int, step: int) -> float:
        """Linear decay over the whole run, as measured: it gives what averaging the iterates would."""
        done = (round_number - 1) * self._training.local_steps + step
        return self._training.learning_rate * (
            1 - done / (self._training.rounds * self._training.local_steps)
        )


def train_alone(
    training: Training,
    noise_multiplier: float | None,
    random: SecureRandom,
    weights: FloatVector,
    examples: AdmittedExamples,
) -> FloatVector:
    """Runs all rounds on one set of rows: what a federated model is compared with.

    Args:
        training: Model and schedule.
        noise_multiplier: As for :class:`LocalTrainer`.
        random: Source of sampling and noise.
        weights: Weights to start from.
        examples: The records.

    Returns:
        The trained weights.

    Raises:
        HanseError: As :meth:`LocalTrainer.run_round`.
    """
    trainer = LocalTrainer(training, examples.features.shape[1], noise_multiplier, random)
    for round_number in range(1, training.rounds + 1):
        weights = weights + trainer.run_round(weights, examples, round_number, training.local_steps).delta
    return weights


def _usable(x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Rows whose gradient is finite whatever the weights; each is judged by itself alone."""
    usable: NDArray[np.bool_] = (np.abs(x) <= MAX_FEATURE).all(axis=1) & ((y == 0) | (y == 1))
    return usable


def _shorten(delta: FloatVector, max_norm: float) -> FloatVector:
    """Scales an update to the agreed norm. It is computed from noised steps, so this costs no privacy."""
    norm = float(np.linalg.norm(delta.astype(np.float64)))
    # A hair below: the receiver measures again, on what rounding has left.
    scale = min(1.0, max_norm * (1 - 1e-6) / norm) if norm else 1.0
    return (delta * np.float32(scale)).astype(np.float32)
