"""A member's part of the rounds of one run."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.enforcement import AdmittedExamples
from hanse.errors import PolicyError, PrivacyError, ProtocolError
from hanse.learning.dpsgd import PrivateSgd
from hanse.learning.models import FloatVector, build, get_flat, set_flat
from hanse.learning.plain_sgd import PlainSgd
from hanse.learning.random_source import SecureRandom
from hanse.learning.shapes import MAX_WEIGHT, Groups, check_weights
from hanse.policies import Training

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
        groups: Features of each categorical column; only ``wide_and_deep`` reads them.

    Raises:
        PrivacyError: ``privacy.unsupported`` with noise for several outputs or weighted classes.
    """

    def __init__(
        self,
        training: Training,
        n_features: int,
        noise_multiplier: float | None,
        random: SecureRandom,
        groups: Groups = (),
    ) -> None:
        if noise_multiplier is not None and (training.outputs > 1 or training.positive_weight != 1):
            raise PrivacyError("privacy.unsupported", "with privacy a model has one label, unweighted")
        self._training = training
        self._n_features = n_features
        self._groups = groups
        self._random = random
        self._model = build(training, n_features, groups)
        self._steps_taken = 0
        self._sgd = (
            PlainSgd(self._model, training.positive_weight)
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
        row_weights: NDArray[np.float32] | None = None,
    ) -> RoundResult:
        """Takes the steps of one round.

        Args:
            weights: Global weights.
            examples: All records that are admitted now. One that is not finite is never used. Labels are 0 or
                1, shape (rows,), or, for several outputs, of shape (rows, outputs) as
                :func:`hanse.learning.targets.encode_targets` gives them.
            round_number: From 1.
            steps: Number of steps.
            row_weights: What each record counts, shape (rows,); without privacy only. None for 1.

        Returns:
            The update.

        Raises:
            ProtocolError: ``protocol.malformed`` if the weights do not fit the model,
                ``protocol.unexpected-step`` if the agreement has no such round, or fewer steps in it.
            PolicyError: ``policy.cohort`` (rule P15) without rows.
            PrivacyError: ``privacy.unsupported`` for row weights with privacy.
        """
        self._check_round(round_number, steps)
        x, y = examples.features, _outputs(examples.labels, self._training)
        if len(x) == 0:
            raise PolicyError("policy.cohort", "no row is admitted", rule="P15")
        check_weights(self._training, self._n_features, weights, MAX_WEIGHT, self._groups)
        set_flat(self._model, weights)
        usable = _usable(x, y)
        rate = self._training.sample_rate
        for step in range(steps):
            drawn = np.flatnonzero((self._random.uniform(len(x)) < rate) & usable)
            self._step(x, y, drawn, rate, self._learning_rate(round_number, step), row_weights)
            self._steps_taken += 1
        return RoundResult(_shorten(get_flat(self._model) - weights, self._training.max_update_norm), steps)

    def _step(
        self,
        x: NDArray[np.float32],
        y: NDArray[np.float32],
        drawn: NDArray[np.intp],
        rate: float,
        learning_rate: float,
        row_weights: NDArray[np.float32] | None,
    ) -> None:
        if isinstance(self._sgd, PlainSgd):
            counted = len(x) if row_weights is None else float(row_weights.sum())
            weights = None if row_weights is None else row_weights[drawn]
            self._sgd.step(
                x[drawn],
                y[drawn],
                expected_rows=rate * counted,
                learning_rate=learning_rate,
                row_weights=weights,
            )
            return
        if row_weights is not None:
            raise PrivacyError("privacy.unsupported", "with privacy every record counts alike")
        self._sgd.step(x[drawn], y[drawn, 0], expected_rows=rate * len(x), learning_rate=learning_rate)

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
    groups: Groups = (),
) -> FloatVector:
    """Runs all rounds on one set of rows: what a federated model is compared with.

    Args:
        training: Model and schedule.
        noise_multiplier: As for :class:`LocalTrainer`.
        random: Source of sampling and noise.
        weights: Weights to start from.
        examples: The records.
        groups: As for :class:`LocalTrainer`.

    Returns:
        The trained weights.

    Raises:
        HanseError: As :meth:`LocalTrainer.run_round`.
    """
    trainer = LocalTrainer(training, examples.features.shape[1], noise_multiplier, random, groups)
    for round_number in range(1, training.rounds + 1):
        weights = weights + trainer.run_round(weights, examples, round_number, training.local_steps).delta
    return weights


def _usable(x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Rows whose gradient is finite whatever the weights; each is judged by itself alone."""
    inside = ((y >= 0) & (y <= 1)) | np.isnan(y)
    label = (y[:, 0] == 0) | (y[:, 0] == 1)
    # With further outputs a record without the label still says something; with the label alone it does not.
    known = label | np.isnan(y[:, 0]) & ~np.isnan(y[:, 1:]).all(axis=1)
    usable: NDArray[np.bool_] = (np.abs(x) <= MAX_FEATURE).all(axis=1) & inside.all(axis=1) & known
    return usable


def _outputs(labels: NDArray[np.float32], training: Training) -> NDArray[np.float32]:
    """Labels as shape (rows, outputs)."""
    outputs = labels[:, None] if labels.ndim == 1 else labels
    if outputs.shape[1] != training.outputs:
        raise ProtocolError("protocol.malformed", "the labels are not those of all outputs")
    return outputs


def _shorten(delta: FloatVector, max_norm: float) -> FloatVector:
    """Scales an update to the agreed norm. It is computed from noised steps, so this costs no privacy."""
    norm = float(np.linalg.norm(delta.astype(np.float64)))
    # A hair below: the receiver measures again, on what rounding has left.
    scale = min(1.0, max_norm * (1 - 1e-6) / norm) if norm else 1.0
    return (delta * np.float32(scale)).astype(np.float32)
