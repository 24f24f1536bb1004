"""The coordinator's half of federated averaging."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.aggregation import Aggregator, Vector
from hanse.errors import TrainingError
from hanse.learning.federated.adaptive import Adaptive
from hanse.learning.federated.questions import LOSS, ROW_CAP, UPDATE, ask
from hanse.learning.federated.stopping import Stopping
from hanse.policies import Training

Weights = NDArray[np.float32]

_ROUNDING: Final = 1e-3


@dataclass(frozen=True, slots=True)
class AveragedRound:
    """What one round gave.

    Attributes:
        weights: Global weights after it, the mean added as it is.
        mean: Mean of the updates.
        members: Whose updates are in them.
        rows: Rows of all of them together, each member's cut at :data:`ROW_CAP`.
        loss: Validation loss of the weights before it, in nats; None without validation rows.
    """

    weights: Weights
    mean: Vector
    members: tuple[str, ...]
    rows: float
    loss: float | None


@dataclass(frozen=True, slots=True)
class Trained:
    """What a run gave.

    Attributes:
        weights: Global weights of the best round, or of the last one without early stopping.
        round_number: That round.
        rounds: All rounds, in order.
        loss: Validation loss of the weights; None without early stopping.
    """

    weights: Weights
    round_number: int
    rounds: tuple[AveragedRound, ...]
    loss: float | None


def average(aggregator: Aggregator, training: Training, weights: Weights, round_number: int) -> AveragedRound:
    """Conducts one round: the mean of the members' updates, weighted by their rows.

    Args:
        aggregator: Access to the members' :class:`hanse.learning.federated.update.UpdateContributor`.
        training: Model and schedule.
        weights: Global weights before the round.
        round_number: From 1.

    Returns:
        The round.

    Raises:
        TrainingError: ``run.update-rejected`` if the sum cannot be one of updates within the agreed norm;
            otherwise as the aggregator.
    """
    query = ask(UPDATE, training, weights, round_number, len(aggregator.members))
    total = aggregator.aggregate(query)
    update, (weight, *loss) = total.values[: weights.size], total.values[weights.size :]
    mean = update / weight if weight > 0 else np.full(weights.size, np.inf)
    if not np.linalg.norm(mean) <= training.max_update_norm * (1 + _ROUNDING):
        raise TrainingError("run.update-rejected", "the members' mean is longer than any update may be")
    return AveragedRound(
        (weights + mean).astype(np.float32),
        mean,
        total.members,
        float(weight) * ROW_CAP,
        _mean(np.array(loss)),
    )


def validation_loss(
    aggregator: Aggregator, training: Training, weights: Weights, round_number: int
) -> float | None:
    """Loss of weights on the rows that members keep from training.

    Args:
        aggregator: As for :func:`average`.
        training: Model and schedule.
        weights: Global weights.
        round_number: The last round done.

    Returns:
        The mean over all members' rows in nats; None if there are none.

    Raises:
        TrainingError: As the aggregator.
    """
    query = ask(LOSS, training, weights, round_number, len(aggregator.members))
    return _mean(aggregator.aggregate(query).values)


def train(aggregator: Aggregator, training: Training, start: Weights) -> Trained:
    """Conducts all rounds, or fewer where the agreement has patience and the loss no longer falls.

    Args:
        aggregator: As for :func:`average`.
        training: Model and schedule.
        start: Weights of :func:`hanse.learning.shapes.initial_weights`.

    Returns:
        The run.

    Raises:
        TrainingError: As :func:`average`.
    """
    rounds: list[AveragedRound] = []
    weights = best = start
    stopping = Stopping(training.patience)
    adaptive = Adaptive.start(start.size)
    for number in range(1, training.rounds + 1):
        before = weights
        done = average(aggregator, training, weights, number)
        if training.patience:
            stopping = stopping.observe(number - 1, done.loss)
            best = weights if stopping.improved else best
            if stopping.over:
                return Trained(best, stopping.best_round, tuple(rounds), stopping.best_loss)
        rounds.append(done)
        weights = done.weights
        if training.adaptive_step:
            adaptive = adaptive.after(done.mean, training)
            weights = (before + adaptive.change(training)).astype(np.float32)
    if not training.patience:
        return Trained(weights, training.rounds, tuple(rounds), None)
    stopping = stopping.observe(
        training.rounds, validation_loss(aggregator, training, weights, training.rounds)
    )
    best = weights if stopping.improved else best
    return Trained(best, stopping.best_round, tuple(rounds), stopping.best_loss)


def _mean(loss: Vector) -> float | None:
    total, weight = loss.tolist()
    return total / weight if weight > 0 else None
