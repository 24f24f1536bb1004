"""The member's half of federated averaging."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanse.aggregation import Query, Vector
from hanse.enforcement import AdmittedExamples
from hanse.learning.federated.questions import LOSS, LOSS_CAP, ROW_CAP, Question, read
from hanse.learning.predictor import Predictor
from hanse.learning.training import LocalTrainer
from hanse.policies import Training


@dataclass(frozen=True, slots=True)
class MemberRows:
    """What a member trains on, and what it judges rounds by.

    Attributes:
        training: Records to train on.
        validation: Records kept from training, for early stopping; None for none.
        row_weights: What each training record counts, shape (rows,); None for 1.
    """

    training: AdmittedExamples
    validation: AdmittedExamples | None = None
    row_weights: NDArray[np.float32] | None = None

    @property
    def weight(self) -> float:
        """Rows that the member's update counts for."""
        return float(len(self.training) if self.row_weights is None else self.row_weights.sum())


class UpdateContributor:
    """Trains from the weights that it is given, and answers with its weighted update.

    Args:
        training: Model and schedule.
        trainer: The one trainer of this run, without noise: its update is hidden by the sum alone.
        rows: The member's records now.
        predictor: Makes a predictor of weights; for the validation loss.
    """

    def __init__(
        self,
        training: Training,
        trainer: LocalTrainer,
        rows: MemberRows,
        predictor: Callable[[NDArray[np.float32]], Predictor],
    ) -> None:
        self._training = training
        self._trainer = trainer
        self._rows = rows
        self._predictor = predictor

    def contribute(self, query: Query) -> Vector:
        """Answers a question of :mod:`hanse.learning.federated.questions`.

        Args:
            query: From a coordinator.

        Returns:
            The answer.

        Raises:
            ProtocolError: ``protocol.malformed`` or ``protocol.unexpected-step`` for any other question.
            PolicyError: ``policy.cohort`` without rows.
        """
        question = read(query, self._training)
        loss = self._loss(question)
        if question.kind == LOSS:
            return loss
        weight = min(self._rows.weight, ROW_CAP) / ROW_CAP
        delta = self._trainer.run_round(
            question.weights,
            self._rows.training,
            question.round_number,
            self._training.local_steps,
            self._rows.row_weights,
        ).delta
        return np.concatenate([weight * delta.astype(np.float64), [weight], loss])

    def _loss(self, question: Question) -> Vector:
        """Validation loss times its weight, and the weight; zeros where it is not needed."""
        rows = self._rows.validation
        if rows is None or not len(rows) or not self._training.patience:
            return np.zeros(2)
        outputs = self._predictor(question.weights).outputs(rows.features)
        weight = min(len(rows), ROW_CAP) / ROW_CAP
        return np.array([weight * min(mean_loss(outputs, rows.labels), LOSS_CAP), weight])


def mean_loss(logits: NDArray[np.float64], labels: NDArray[np.float32]) -> float:
    """Mean over the records of the cross-entropy added over the outputs that a record has a value for.

    Args:
        logits: Shape (rows, outputs).
        labels: In [0, 1] or NaN, shape (rows, outputs) or, for one output, (rows,).

    Returns:
        The loss in nats.
    """
    targets = labels.reshape(logits.shape).astype(np.float64)
    # -y ln p - (1-y) ln(1-p) as a function of the logit, without overflow.
    losses = np.logaddexp(0.0, logits) - np.nan_to_num(targets) * logits
    return float(np.where(np.isnan(targets), 0.0, losses).sum(axis=1).mean())
